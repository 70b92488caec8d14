"""Time and chance as parameters, so that a test owns both, and time in words."""

import time
from dataclasses import dataclass
from typing import Protocol

_SECONDS_A_MINUTE = 60


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
        import random

        return random.random()  # noqa: S311 - it spreads looks, nothing secret


def format_seconds(seconds: float) -> str:
    """Format elapsed seconds as 0:42 or 1:02:03."""
    minutes, rest = divmod(int(seconds), _SECONDS_A_MINUTE)
    hours, minutes = divmod(minutes, _SECONDS_A_MINUTE)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_about(seconds: float) -> str:
    """Format a usual duration as nobody could mistake for an exact one."""
    if seconds < 1.5 * _SECONDS_A_MINUTE:
        return f"{max(round(seconds / 5) * 5, 5)} s"
    return f"{round(seconds / _SECONDS_A_MINUTE)} min"
