"""A wait looks at the right moments, and ends for the right reasons only."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pytest
from ground.clock import VirtualClock

from kling_cli.errors import (
    ExitCode,
    KlingError,
    PendingError,
    RefusedError,
    SetupError,
    UnknownError,
    UnreachableError,
)
from kling_cli.purchase import Purchase
from kling_cli.task import Look, Task, TaskStatus, Video
from kling_cli.watching.waiting import Wait, watch

ID = "815336894036197446"
RUNNING = Look(task=Task(task_id=ID, status=TaskStatus.PROCESSING))
DONE = Look(
    task=Task(task_id=ID, status=TaskStatus.SUCCEED, videos=(Video(url="https://example.com/v"),))
)
BARE = Look(task=Task(task_id=ID, status=TaskStatus.SUCCEED))
FAILED = Look(task=Task(task_id=ID, status=TaskStatus.FAILED))
BROKEN = Look(error=UnreachableError("unreachable", "No answer: reset."))
REFUSED = Look(
    error=SetupError("token_refused", "Token refused (from KLING_TOKEN).", hint="Set it."),
    is_fatal=True,
)
MISSING = Look(
    is_missing=True,
    error=RefusedError("not_found", "No.", http_status=404, request_id="request-1"),
)


@dataclass
class Listener:
    """Hears all that a wait says."""

    seen: list[TaskStatus] = field(default_factory=list[TaskStatus])
    misses: list[int] = field(default_factory=list[int])

    def note(self, text: str) -> None:
        """Hear nothing of that kind from a wait."""
        raise AssertionError(text)

    warn = note

    def accept(self, purchase: Purchase) -> None:
        """Hear nothing of that kind from a wait."""
        raise AssertionError(purchase)

    def look(self, task: Task) -> None:
        """Hear of a good look."""
        self.seen.append(task.status)

    def miss(self, count: int, reason: str) -> None:
        """Hear of a failed one."""
        assert reason
        self.misses.append(count)

    def queue(self) -> None:
        """Say nothing."""

    def save(self, done: int, total: int | None) -> None:
        """Say nothing."""

    def hold(self, reason: str, *, seconds: float) -> None:
        """Hear nothing of that kind from a wait."""
        raise AssertionError(reason, seconds)


@dataclass
class Ground:
    """A wait over looks that are told beforehand, the last of them for ever."""

    clock: VirtualClock
    looks: Iterable[Look | Callable[[], Look]]
    talk: Listener = field(default_factory=Listener)
    times: list[float] = field(default_factory=list[float])

    def wait(self, wait: Wait | None = None) -> None:
        """Wait."""
        looks = iter(self._repeat_last())

        def fetch() -> Look:
            self.times.append(self.clock.monotonic())
            look = next(looks)
            return look if isinstance(look, Look) else look()

        watch(fetch, wait or Wait(name=ID), clock=self.clock, talk=self.talk)

    def fail(self, kind: type[KlingError], wait: Wait | None = None) -> KlingError:
        """Wait, and expect this error."""
        with pytest.raises(kind) as caught:
            self.wait(wait)
        return caught.value

    def _repeat_last(self) -> Iterator[Look | Callable[[], Look]]:
        look: Look | Callable[[], Look] | None = None
        for look in self.looks:
            yield look
        while look is not None:
            yield look


def test_first_look_comes_after_two_seconds(clock: VirtualClock) -> None:
    """A task that was accepted just now is looked at after 2 s, and a done one is never again."""
    ground = Ground(clock, [DONE])
    ground.wait()
    assert ground.times == [2.0]
    assert ground.talk.seen == [TaskStatus.SUCCEED]


@pytest.mark.parametrize(("age", "first"), [(1.5, 0.5), (2.0, 0.0), (500.0, 0.0), (None, 0.0)])
def test_an_older_task_is_looked_at_sooner(
    clock: VirtualClock, age: float | None, first: float
) -> None:
    """The first pause counts from the acceptance, so a resumed wait loses no time."""
    ground = Ground(clock, [FAILED])
    ground.wait(Wait(name=ID, age=age))
    assert ground.times == [first]


def test_looks_follow_the_hazard(clock: VirtualClock) -> None:
    """Looks are rare while the end is unlikely, then close, always 1 to 15 s apart, +-10 %."""
    ground = Ground(clock, [RUNNING] * 60 + [DONE])
    ground.wait()
    pauses = [
        later - earlier for earlier, later in zip(ground.times, ground.times[1:], strict=False)
    ]
    assert 13.5 <= pauses[0] <= 16.5
    assert min(pauses) >= 0.9
    assert max(pauses) <= 16.5
    late = [pause for at, pause in zip(ground.times, pauses, strict=False) if 100 < at < 200]
    assert max(late) < 6
    assert len({round(pause, 6) for pause in late}) == len(late), "looks come in lockstep"


def test_age_told_by_the_service_sets_the_pace(clock: VirtualClock) -> None:
    """A task of another machine is looked at as often as its age asks for."""
    created = clock.time() - 130
    old = Look(task=Task(task_id=ID, status=TaskStatus.PROCESSING, created_at=created))
    ground = Ground(clock, [old, old, DONE])
    ground.wait(Wait(name=ID, is_known=False, is_accepted=False, age=None))
    assert ground.times[0] == 0
    assert all(at < 5 * number for number, at in enumerate(ground.times[1:], 1))


@pytest.mark.parametrize(
    ("asked", "least", "most"), [(7.0, 13.5, 16.5), (60.0, 60, 60), (86400.0, 120, 120)]
)
@pytest.mark.parametrize("good", [True, False])
def test_retry_after_is_obeyed(
    clock: VirtualClock, *, asked: float, least: float, most: float, good: bool
) -> None:
    """A pause that the service asks for is kept, up to 120 s, never shortened (fault 20)."""
    first = Look(task=RUNNING.task, retry_after=asked) if good else None
    first = first or Look(error=BROKEN.error, retry_after=asked)
    ground = Ground(clock, [first, DONE])
    ground.wait()
    assert least <= ground.times[1] - ground.times[0] <= most


def test_retry_after_never_outlasts_the_deadline(clock: VirtualClock) -> None:
    """The user's timeout ends the wait although the service asks for more patience."""
    ground = Ground(clock, [Look(task=RUNNING.task, retry_after=100)])
    ground.fail(PendingError, Wait(name=ID, deadline=30))
    assert ground.times == [2.0, 30.0]


def test_timeout_is_no_failure(clock: VirtualClock) -> None:
    """When the timeout passes, the message names the id and the way, never a failure (fault 45)."""
    ground = Ground(clock, [RUNNING])
    error = ground.fail(PendingError, Wait(name=ID, deadline=60))
    assert ground.times[-1] == 60
    assert error.charged == "yes"
    assert ID in error.message
    assert error.hint == f"kling wait {ID}"
    assert "fail" not in error.message.lower()
    assert "again" not in error.message.lower()


def test_timeout_while_looks_fail_is_still_no_verdict(clock: VirtualClock) -> None:
    """A deadline that falls among failed looks says no more than that the task goes on."""
    ground = Ground(clock, [RUNNING, BROKEN])
    assert (
        "goes on and is paid for" in ground.fail(PendingError, Wait(name=ID, deadline=60)).message
    )


def test_without_a_limit_a_wait_lasts(clock: VirtualClock) -> None:
    """With no deadline a task of many hours is waited for."""
    ground = Ground(clock, [RUNNING] * 1000 + [DONE])
    ground.wait()
    assert clock.monotonic() > 3600


@pytest.mark.parametrize("looks", [[DONE], [BROKEN, DONE]], ids=["answered", "broken"])
def test_suspended_machine_looks_once_more(clock: VirtualClock, looks: list[Look]) -> None:
    """After an hour asleep one more look is made before the deadline is judged (fault 13)."""

    def sleep_through() -> Look:
        clock.advance(3600)
        return looks[0] if looks[0] is BROKEN else RUNNING

    ground = Ground(clock, [sleep_through, looks[-1]])
    ground.wait(Wait(name=ID, deadline=1800))
    assert ground.talk.seen[-1] is TaskStatus.SUCCEED
    assert ground.times[-1] > 3600


def test_network_that_wakes_up_late_ends_nothing(clock: VirtualClock) -> None:
    """An hour asleep is no silence of five minutes: looks may fail at first (fault 13)."""

    def sleep_through() -> Look:
        clock.advance(3600)
        return BROKEN

    ground = Ground(clock, [RUNNING, sleep_through, BROKEN, DONE])
    ground.wait()
    assert ground.talk.misses == [1, 2]


def test_single_failed_looks_end_nothing(clock: VirtualClock) -> None:
    """A look that fails now and then is told, counted anew each time, and forgotten (fault 11)."""
    ground = Ground(clock, [BROKEN, RUNNING, BROKEN, BROKEN, RUNNING] * 20 + [DONE])
    ground.wait()
    assert ground.talk.misses == [1, 1, 2] * 20


def test_five_silent_minutes_end_the_wait(clock: VirtualClock) -> None:
    """Without one good answer for 5 min the wait ends, the task goes on (fault 12)."""
    ground = Ground(clock, [RUNNING, BROKEN])
    error = ground.fail(UnreachableError)
    heard, *_, last = ground.times
    assert 300 <= last - heard <= 317
    assert error.message == (
        f"No good answer for 5 minutes. No answer: reset. Task {ID} goes on and is paid for."
    )
    assert (error.charged, error.hint) == ("yes", f"kling wait {ID}")


def test_silence_counts_from_the_last_good_look(clock: VirtualClock) -> None:
    """However long a task has been seen running, a few failed looks are no silence."""
    ground = Ground(clock, [*[RUNNING] * 100, *[BROKEN] * 5, DONE])
    ground.wait()
    assert ground.times[100] > 300


def test_silence_about_a_doubtful_task_promises_nothing(clock: VirtualClock) -> None:
    """Of a task that the service never showed nobody says that it is paid for."""
    ground = Ground(clock, [BROKEN])
    error = ground.fail(UnreachableError, Wait(name=ID, is_accepted=False))
    assert "paid" not in error.message
    assert error.charged == "maybe"


@pytest.mark.parametrize("accepted", [True, False])
def test_refused_token_ends_the_wait_at_once(clock: VirtualClock, *, accepted: bool) -> None:
    """A token refused while waiting tells how to set another and go on (fault 30)."""
    ground = Ground(clock, [REFUSED])
    error = ground.fail(SetupError, Wait(name=ID, is_accepted=accepted))
    assert error.exit_code is ExitCode.AUTH
    assert error.hint == f"Set it. Then: kling wait {ID}"
    assert ("goes on and is paid for" in error.message) is accepted
    assert error.charged == ("yes" if accepted else "maybe")


def test_missing_is_lag_at_first(clock: VirtualClock) -> None:
    """A task that the service does not show within 120 s of its acceptance is waited for."""
    ground = Ground(clock, [MISSING] * 9 + [DONE])
    ground.wait()
    assert ground.times[-1] < 120
    assert ground.talk.misses == []


def test_missing_for_good_is_unknown(clock: VirtualClock) -> None:
    """Not found five times in a row after 120 s ends the wait of an own task with 9 (fault 29)."""
    ground = Ground(clock, [MISSING])
    error = ground.fail(UnknownError, Wait(name=ID, other_name="kling-mine"))
    assert sum(at >= 120 for at in ground.times) == 5
    assert error.code == "task_not_found"
    assert ID in error.message
    assert "kling-mine" in error.message
    assert error.request_id == "request-1"
    assert error.charged == "maybe"
    assert "try" not in error.message + error.hint


def test_missing_now_and_then_is_no_verdict(clock: VirtualClock) -> None:
    """One good look between starts the count of five anew."""
    ground = Ground(clock, [*[MISSING] * 4, RUNNING, *[MISSING] * 4, DONE])
    ground.wait(Wait(name=ID, age=500))


def test_missing_counts_as_an_answer(clock: VirtualClock) -> None:
    """Whoever says "not found" is there, so the five silent minutes begin anew."""
    ground = Ground(clock, [*[BROKEN] * 15, MISSING, *[BROKEN] * 15, DONE])
    ground.wait()
    assert ground.talk.misses == [*range(1, 16)] * 2


def test_slip_in_a_typed_id_is_told_soon(clock: VirtualClock) -> None:
    """An id that nobody knows is refused (6) after seconds, not minutes (fault 29)."""
    ground = Ground(clock, [MISSING])
    error = ground.fail(
        RefusedError, Wait(name="typo", is_known=False, is_accepted=False, age=None)
    )
    assert ground.times == [0, 2, 4, 6, 8]
    assert (error.code, error.charged) == ("task_not_found", "no")


def test_doubtful_submission_stays_unknown(clock: VirtualClock) -> None:
    """A submission that never shows stays unknown: it is looked for, and named (fault 9)."""
    ground = Ground(clock, [MISSING])
    error = ground.fail(UnknownError, Wait(name="kling-mine", is_accepted=False, age=30))
    assert error.code == "submission_unknown"
    assert "kling-mine" in error.message
    assert "--new" in error.hint
    assert error.http_status == 404


@pytest.mark.parametrize(
    ("look", "kind"),
    [(MISSING, UnknownError), (BROKEN, UnreachableError)],
    ids=["missing", "broken"],
)
def test_timeout_of_a_doubtful_submission(
    clock: VirtualClock, look: Look, kind: type[KlingError]
) -> None:
    """A timeout says what the last look said of a task that the service never showed."""
    error = Ground(clock, [look]).fail(kind, Wait(name="kling-mine", is_accepted=False, deadline=9))
    assert clock.monotonic() == 9
    assert error.charged == "maybe"


def test_found_submission_goes_on_after_the_timeout(clock: VirtualClock) -> None:
    """Once the service has shown it, a doubtful submission is a task like any other."""
    ground = Ground(clock, [RUNNING])
    ground.fail(PendingError, Wait(name="kling-mine", is_accepted=False, deadline=60))


def test_success_without_a_video_is_looked_at_for_a_minute(clock: VirtualClock) -> None:
    """A video whose URL comes a little after the success is not given up (fault 38)."""
    ground = Ground(clock, [BARE, BARE, BROKEN, DONE])
    ground.wait(Wait(name=ID, age=120))
    assert ground.talk.seen == [TaskStatus.SUCCEED] * 3


def test_success_without_a_video_ends_after_a_minute(clock: VirtualClock) -> None:
    """A success that names no video for 60 s ends the wait (fault 38)."""
    ground = Ground(clock, [BARE])
    ground.wait(Wait(name=ID, age=120))
    assert 60 <= ground.times[-1] - ground.times[0] <= 67


def test_timeout_comes_before_the_missing_video(clock: VirtualClock) -> None:
    """The user's timeout may end that minute before (fault 38)."""
    ground = Ground(clock, [BARE])
    ground.fail(PendingError, Wait(name=ID, deadline=20))
    assert clock.monotonic() == 20


@pytest.mark.parametrize("end", [DONE, FAILED])
def test_status_that_flaps_is_only_shown(clock: VirtualClock, end: Look) -> None:
    """A status that goes backwards ends nothing; a terminal one does (fault 48)."""
    queued = Look(task=Task(task_id=ID, status=TaskStatus.SUBMITTED))
    ground = Ground(clock, [queued, RUNNING, queued, BARE, RUNNING, end])
    ground.wait()
    assert [status.value[:4] for status in ground.talk.seen[:-1]] == [
        "subm",
        "proc",
        "subm",
        "succ",
        "proc",
    ]
