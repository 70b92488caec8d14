"""A virtual clock that advances only when someone sleeps."""

import threading
import time
from datetime import UTC, datetime

from kling_cli.clock import Clock

START = datetime(2026, 11, 22, tzinfo=UTC).timestamp()

# Its multiples modulo 1 are spread evenly, so few draws cover the whole range.
_GOLDEN = 0.6180339887498949
# Long enough to schedule another thread, short enough to repeat a thousand times.
_BREATH = 0.0002


class VirtualClock(Clock):
    """A clock for one or more threads, on which an hour takes no time.

    Seconds everywhere. `time` starts on 2026-11-22 at midnight UTC, `monotonic` at zero.
    """

    def __init__(self, *, start: float = START) -> None:
        self._lock = threading.Lock()
        self._date = start
        self._elapsed = 0.0
        self._draws = 0
        self._sleeps: list[float] = []

    def monotonic(self) -> float:
        with self._lock:
            return self._elapsed

    def time(self) -> float:
        with self._lock:
            return self._date + self._elapsed

    def sleep(self, seconds: float) -> None:
        """Advance the clock at once, and let other threads run for a moment."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self.advance(seconds)
        with self._lock:
            self._sleeps.append(seconds)
        time.sleep(_BREATH)

    def random(self) -> float:
        """Draw the next number of a fixed sequence in [0, 1)."""
        with self._lock:
            self._draws += 1
            return self._draws * _GOLDEN % 1.0

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._elapsed += seconds

    def shift_date(self, seconds: float) -> None:
        """Change the date, as a user or NTP does; `monotonic` is unchanged."""
        with self._lock:
            self._date += seconds

    @property
    def sleeps(self) -> tuple[float, ...]:
        with self._lock:
            return tuple(self._sleeps)
