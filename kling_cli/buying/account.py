"""What the account allows, as far as a run has learned it: how many tasks at once, and whether any.

The service counts a task from its submission to its end, and refuses one more with code 1303. The
trial account has five places. Each try sends a whole picture, so a run that has met the limit waits
for the end of one of its own tasks, and not for the clock.
"""

import threading

from kling_cli.buying.patience import Patience
from kling_cli.clock import Clock
from kling_cli.errors import KlingError, LaterError, NotStartedError, SetupError
from kling_cli.talk import Talk

# A task takes minutes; to look more often would cost more than a place that is free so long.
_STEP_SECONDS = 0.25
# Places may come back: another program's tasks end too.
_GROW_SECONDS = 60.0


class Account:
    """The account of one run, shared by its threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._taken = 0
        self._most: int | None = None
        self._learned = 0.0
        self._trouble: KlingError | None = None
        self._has_timed_out = False

    @property
    def trouble(self) -> KlingError | None:
        """Why nothing more is sent, for one more request; None while requests may be sent."""
        found = self._trouble
        if found is None:
            return _tell_not_started() if self._has_timed_out else None
        return type(found)(
            found.code,
            f"Not sent, because the account was refused before. {found.message}",
            hint=found.hint,
            http_status=found.http_status,
            service_code=found.service_code,
            request_id=found.request_id,
        )

    def enter(self, patience: Patience, *, talk: Talk) -> None:
        """Take a place among the tasks under way, and wait for one if all are taken.

        Raises:
            KlingError: nothing more is sent, or no place was free in time. Nothing was sent.
        """
        while not self._take():
            if patience.is_over:
                raise LaterError(
                    "concurrency_limit",
                    "The account runs as many tasks at once as it may, and none ended within the "
                    "timeout. Nothing was sent for this one.",
                    hint="The same command goes on later; --timeout gives it longer.",
                )
            talk.queue()
            patience.pause(_STEP_SECONDS)

    def join(self) -> None:
        """Take a place for a task that is under way already, whether there is room or not."""
        with self._lock:
            self._taken += 1

    def leave(self, *, is_full: bool = False) -> bool:
        """Give the place back.

        Args:
            is_full: the service has refused the task as one too many.

        Returns:
            Whether tasks of this run are under way, the end of one of which makes room.
        """
        with self._lock:
            self._taken -= 1
            if is_full:
                self._most = max(self._taken, 1)
                self._learned = self._clock.monotonic()
            return self._taken > 0

    def judge(self, error: KlingError) -> None:
        """Take in a refusal: one of the account itself ends all further submissions."""
        if isinstance(error, LaterError | SetupError):
            self._trouble = error

    def time_out(self) -> None:
        """Submit nothing new any more: a task of the run has reached its timeout."""
        self._has_timed_out = True

    def _take(self) -> bool:
        with self._lock:
            if (trouble := self.trouble) is not None:
                raise trouble
            if self._most is not None and self._taken >= self._most:
                if self._clock.monotonic() - self._learned < _GROW_SECONDS:
                    return False
                self._most += 1
                self._learned = self._clock.monotonic()
            self._taken += 1
            return True


def _tell_not_started() -> NotStartedError:
    return NotStartedError(
        "not_started",
        "A task of this run reached --timeout, so nothing new is submitted.",
        hint="The same command resumes the running tasks at no cost, then starts the rest; "
        "a longer --timeout lets them finish.",
    )
