"""The account's limit of parallel tasks, learned during a run."""

import threading
from collections.abc import Callable

from kling_cli.clock import Clock
from kling_cli.errors import KlingError

# Slots may become free when tasks of other programs end.
_GROW_SECONDS = 60.0


class ConcurrencyLimit:
    """The account's limit of parallel tasks, and whether it accepts tasks at all.

    The service counts a task from submission to end, and refuses one too many with code 1303. The
    trial account has five slots. Each try sends a whole picture, so a run that has reached the
    limit waits until one of its own tasks ends.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._most = float("inf")
        self._learned = 0.0
        self._closed: Callable[[], KlingError] | None = None

    def close(self, reason: Callable[[], KlingError]) -> None:
        """Submit nothing more in this run; each further request raises this error."""
        self._closed = self._closed or reason

    def check(self) -> None:
        """Raise the error of a closed limit."""
        if self._closed is not None:
            raise self._closed()

    def acquire(self) -> bool:
        """Take a slot for a new task, if one is free.

        Raises:
            KlingError: nothing more is submitted.
        """
        with self._lock:
            self.check()
            if self._running >= self._most:
                if self._clock.monotonic() - self._learned < _GROW_SECONDS:
                    return False
                self._most, self._learned = self._most + 1, self._clock.monotonic()
            self._running += 1
            return True

    def add(self) -> None:
        """Count a task that is already running, even if no slot is free."""
        with self._lock:
            self._running += 1

    def release(self, *, refused: bool) -> bool:
        """Free a slot; return whether other tasks of this run hold one.

        Args:
            refused: the service refused the task because the limit was reached.
        """
        with self._lock:
            self._running -= 1
            if refused:
                self._most, self._learned = max(self._running, 1), self._clock.monotonic()
            return self._running > 0
