"""Time and chance as parameters, so that a test owns both."""

import random
import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """What a run asks of time and chance."""

    def monotonic(self) -> float:
        """Tell seconds that never go backwards; deadlines are counted in these."""
        ...

    def time(self) -> float:
        """Tell seconds since the epoch; only for what people and the journal read."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        ...

    def random(self) -> float:
        """Draw a number from 0 up to, not including, 1."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's own time and chance."""

    def monotonic(self) -> float:
        """Tell seconds that never go backwards."""
        return time.monotonic()

    def time(self) -> float:
        """Tell seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        time.sleep(seconds)

    def random(self) -> float:
        """Draw a number that spreads looks in time; nothing secret hangs on it."""
        return random.random()  # noqa: S311 - jitter
