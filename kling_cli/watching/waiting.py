"""Waiting for a task: when to look again, and until when.

A failed look is never a verdict. Only the task's own status ends a wait, or the deadline, or five
minutes without one good answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from kling_cli.clock import Clock
from kling_cli.errors import (
    Charged,
    KlingError,
    RefusedError,
    SetupError,
    UnknownError,
    UnreachableError,
)
from kling_cli.talk import Talk
from kling_cli.task import Look, Task, TaskStatus
from kling_cli.watching.schedule import Schedule
from kling_cli.watching.verdict import tell_doubt, tell_pending

# A relay writes its tasks down late; what it does not know after this was never there.
LAG_SECONDS = 120.0
# So long a video's URL may come after the word that it is done.
RESULT_SECONDS = 60.0

_FIRST_PAUSE = 2.0
_LONGEST_SILENCE = 300.0
# A machine that slept for an hour has to find its network again first.
_FEWEST_MISSES = 3
_MOST_MISSING = 5
_LONGEST_RETRY_AFTER = 120.0
_JITTER = 0.1
# What ends so much later than it may was not cut at the deadline: the machine was suspended.
_SUSPENDED_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What is waited for.

    Attributes:
        name: the id to name in messages.
        other_name: a further id of it, for the service's support.
        is_known: whether the journal knows it; an id typed by hand may be a slip.
        is_accepted: whether the service has ever shown it.
        is_listed: whether there is a journal to look up ids in.
        age: seconds since it was accepted, when the wait begins; None where only the service knows.
        deadline: in the clock's monotonic seconds.
        schedule: when its end is likely.
    """

    name: str
    other_name: str = ""
    is_known: bool = True
    is_accepted: bool = True
    is_listed: bool = True
    age: float | None = 0.0
    deadline: float = float("inf")
    schedule: Schedule = Schedule()  # noqa: RUF009 - it is frozen, so all may share it


def watch(fetch: Callable[[], Look], wait: Wait, *, clock: Clock, talk: Talk) -> None:
    """Look until the task has ended, or has been done for a minute without a video.

    Args:
        fetch: looks once.
        wait: what is waited for.
        clock: time and chance.
        talk: told of every look.

    Raises:
        PendingError: the deadline passed.
        UnreachableError: five minutes without one good answer.
        SetupError: the token was refused.
        UnknownError, RefusedError: the service does not know the task.
    """
    _Watch(fetch, wait, clock=clock, talk=talk).run()


def tell_bad_look(wait: Wait, look: Look, *, silence: float = 0.0) -> KlingError:
    """Make the error for a look that did not show the task.

    Args:
        wait: what was looked for.
        look: what came instead.
        silence: seconds for which looks have failed, where that is what ends the wait.
    """
    error = look.error or UnreachableError("unreachable", "No answer.")
    if look.is_missing:
        return _tell_missing(wait, error)
    fate = f"Whether task {wait.name} exists is not known."
    charged: Charged = "maybe"
    if wait.is_accepted:
        fate, charged = f"Task {wait.name} goes on and is paid for.", "yes"
    kind = SetupError if look.is_fatal else UnreachableError
    since = f"No good answer for {silence / 60:.0f} minutes. " if silence else ""
    after = f"{error.hint} Then: " if error.hint else ""
    return kind(
        error.code,
        f"{since}{error.message} {fate}",
        hint=f"{after}kling wait {wait.name}",
        charged=charged,
        http_status=error.http_status,
        service_code=error.service_code,
        request_id=error.request_id,
    )


def _tell_missing(wait: Wait, error: KlingError) -> KlingError:
    if wait.is_known and not wait.is_accepted:
        return tell_doubt(wait.name, error)
    kind = UnknownError if wait.is_known else RefusedError
    other = f" ({wait.other_name})" if wait.other_name else ""
    lister = "; kling tasks lists this machine's own" if wait.is_listed else ""
    return kind(
        "task_not_found",
        f"The service does not know task {wait.name}{other}.",
        hint=f"The journal keeps it; kling status {wait.name} looks again."
        if wait.is_known
        else f"Check the id, the base URL and the token{lister}.",
        charged="maybe" if wait.is_known else "no",
        http_status=error.http_status,
        service_code=error.service_code,
        request_id=error.request_id,
    )


class _Watch:
    def __init__(self, fetch: Callable[[], Look], wait: Wait, *, clock: Clock, talk: Talk) -> None:
        self._fetch = fetch
        self._wait = wait
        self._clock = clock
        self._talk = talk
        self._heard = clock.monotonic()
        self._accepted = self._heard - (wait.age or 0.0)
        self._misses = 0
        self._missing = 0
        self._done: float | None = None

    def run(self) -> None:
        pause = 0.0 if self._wait.age is None else _FIRST_PAUSE - self._wait.age
        while True:
            self._sleep(pause)
            # A machine that slept past the deadline looks once more when it is awake.
            is_last = self._clock.monotonic() >= self._wait.deadline
            look = self._fetch()
            if self._is_over(look):
                return
            late = self._clock.monotonic() - self._wait.deadline
            if is_last or 0 <= late < _SUSPENDED_SECONDS:
                raise self._tell_late(look)
            pause = self._choose_pause(look)

    def _sleep(self, seconds: float) -> None:
        left = self._wait.deadline - self._clock.monotonic()
        self._clock.sleep(max(min(seconds, left), 0.0))

    def _is_over(self, look: Look) -> bool:
        if look.task is not None:
            return self._take_in(look.task)
        if look.is_missing:
            self._count_missing(look)
        else:
            self._count_miss(look)
        return False

    def _take_in(self, task: Task) -> bool:
        """Take in what a good look has shown; tell whether it ends the wait."""
        now = self._clock.monotonic()
        self._heard, self._misses, self._missing = now, 0, 0
        if self._wait.age is None and task.created_at is not None:
            self._accepted = now - max(self._clock.time() - task.created_at, 0.0)
        self._wait = replace(self._wait, is_accepted=True)
        self._talk.look(task)
        if task.status is not TaskStatus.SUCCEED or task.videos:
            return task.status.is_final
        if self._done is None:
            self._done = now
        return now - self._done >= RESULT_SECONDS

    def _count_missing(self, look: Look) -> None:
        self._heard, self._misses = self._clock.monotonic(), 0
        if self._wait.is_known and self._age() < LAG_SECONDS:
            return
        self._missing += 1
        if self._missing >= _MOST_MISSING:
            raise tell_bad_look(self._wait, look)

    def _count_miss(self, look: Look) -> None:
        if look.is_fatal:
            raise tell_bad_look(self._wait, look)
        self._misses += 1
        self._talk.miss(self._misses, look.error.message if look.error else "")
        silence = self._clock.monotonic() - self._heard
        if silence >= _LONGEST_SILENCE and self._misses >= _FEWEST_MISSES:
            raise tell_bad_look(self._wait, look, silence=silence)

    def _choose_pause(self, look: Look) -> float:
        if look.is_missing and not self._wait.is_known:
            return _FIRST_PAUSE  # most likely a slip in the id: say so soon
        spacing = self._wait.schedule.space(self._age())
        spacing *= 1 + _JITTER * (2 * self._clock.random() - 1)
        return max(spacing, min(look.retry_after or 0.0, _LONGEST_RETRY_AFTER))

    def _age(self) -> float:
        return self._clock.monotonic() - self._accepted

    def _tell_late(self, look: Look) -> KlingError:
        if self._wait.is_accepted:
            return tell_pending(self._wait.name)
        return tell_bad_look(self._wait, look)
