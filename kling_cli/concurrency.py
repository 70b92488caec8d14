"""How many tasks the account runs at once, as a run learns it."""

import threading
from collections.abc import Callable

from kling_cli.clock import Clock
from kling_cli.errors import KlingError

# Slots may come back: another program's tasks end too.
_GROW_SECONDS = 60.0


class ConcurrencyLimit:
    """How many tasks the account runs at once, and whether it takes any, as this run has learned.

    The service counts a task from its submission to its end, and refuses one more with code 1303;
    the trial account has five slots. Each try sends a whole picture, so a run that has met the
    limit waits for the end of one of its own tasks, and not for the clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._most = float("inf")
        self._learned = 0.0
        self._closed: Callable[[], KlingError] | None = None

    def close(self, reason: Callable[[], KlingError]) -> None:
        """Submit nothing more in this run, for a reason that each further request gets as error."""
        self._closed = self._closed or reason

    def check(self) -> None:
        """Raise the reason why nothing more is submitted, if there is one."""
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
        """Count a task that runs already, whether a slot is free or not."""
        with self._lock:
            self._running += 1

    def release(self, *, refused: bool) -> bool:
        """Free a slot; return whether other tasks of this run hold one, whose end makes room.

        Args:
            refused: the service has refused the task as one too many.
        """
        with self._lock:
            self._running -= 1
            if refused:
                self._most, self._learned = max(self._running, 1), self._clock.monotonic()
            return self._running > 0
