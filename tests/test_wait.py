"""`kling wait`: until each task has ended, and not a moment less for any failed look."""

import re
import signal
from itertools import pairwise

import pytest
from support.clock import VirtualClock
from support.process import Process
from support.replies import Reply
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules

RUNNING = Reply(json={"code": 0, "data": {"task_id": "815", "task_status": "processing"}})


def buy(kling: Program, *arguments: object) -> str:
    """Buy without waiting; returns the task's id."""
    return kling("effect", "squish", *map(str, arguments), "--no-wait").out.strip()


def test_first_look_comes_soon(
    kling: Program, service: LoopbackService, clock: VirtualClock
) -> None:
    """A task bought a minute ago is looked at without any pause."""
    task_id = buy(kling, PHOTO)
    clock.advance(60)
    service.shop.rules = Rules(looks_until_done=0)
    started = clock.monotonic()
    assert kling("wait", task_id).code == 0
    assert clock.monotonic() == started


def test_looks_are_spread_by_what_was_learned(
    kling: Program, service: LoopbackService, clock: VirtualClock
) -> None:
    """Looks start 2 s after the acceptance, 1 to 15 s apart with 10 % of jitter."""
    service.shop.rules = Rules(task_seconds=200)
    task_id = buy(kling, PHOTO)
    assert kling("wait", task_id).code == 0
    first, *pauses, _ = [pause for pause in clock.sleeps if pause > 0]
    assert first == 2
    assert all(0.9 <= pause <= 16.5 for pause in pauses)
    assert all(one != other for one, other in pairwise(pauses))
    assert 200 <= clock.monotonic() <= 207


@pytest.mark.parametrize("flag", [("--timeout", "1m"), ()])
def test_timeout(
    kling: Program,
    service: LoopbackService,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
    flag: tuple[str, ...],
) -> None:
    """When the time is over the exit code is 8, and no word says that anything failed (45)."""
    monkeypatch.setenv("KLING_TIMEOUT", "2m" if flag else "60")
    service.shop.rules = Rules(task_seconds=3600)
    task_id = buy(kling, PHOTO)
    run = kling("wait", task_id, *flag)
    assert (run.code, run.out) == (8, "")
    assert clock.monotonic() == pytest.approx(60)
    assert f"hint: kling wait {task_id}" in run.err
    assert "fail" not in run.err.lower()
    assert "try again" not in run.err


def test_no_limit(
    kling: Program,
    service: LoopbackService,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--timeout 0 waits as long as it takes, whatever the settings say."""
    monkeypatch.setenv("KLING_TIMEOUT", "1m")
    service.shop.rules = Rules(task_seconds=200)
    assert kling("wait", buy(kling, PHOTO), "--timeout", "0").code == 0
    assert clock.monotonic() >= 200


def test_many_tasks(kling: Program, service: LoopbackService) -> None:
    """Of many tasks each line ends with the id; without arguments all unfinished are waited for."""
    ids = {buy(kling, photo) for photo in (PHOTO, OTHER_PHOTO)}
    run = kling("wait")
    assert run.code == 0
    assert set(run.lines) == {f"{service.url}/videos/{name}.mp4\t{name}" for name in ids}
    assert kling("wait").err == "No task of this machine is unfinished.\n"


def test_one_deadline_for_all(kling: Program, service: LoopbackService) -> None:
    """However many tasks there are, each is looked at once, also behind the deadline.

    Each of the 32 that wait at once keeps its connection, unless a look has failed on it.
    """
    names = [f"8{number}" for number in range(40)]
    run = kling("wait", *names, "--timeout", "3s", "--json")
    assert {record["task_id"] for record in run.records} == set(names)
    assert all(count >= 1 for count in service.requests.values())
    assert len(service.requests) == 40
    assert service.connections <= 32 + len(re.findall(r"looks? failed", run.err))


def test_the_costliest_end_decides(kling: Program, service: LoopbackService) -> None:
    """One failed task among good ones is the exit code, and the good URL is printed."""
    good = buy(kling, PHOTO)
    assert kling("wait", good).code == 0
    service.shop.rules = Rules(failure="Risk control")
    bad = buy(kling, OTHER_PHOTO)
    run = kling("wait", good, bad)
    assert run.code == 5
    assert run.lines == [f"{service.url}/videos/{good}.mp4\t{good}"]
    assert f"error: {bad}: Task {bad} failed at the service: Risk control." in run.err


def test_talk_is_changes_and_heartbeats(kling: Program, service: LoopbackService) -> None:
    """Off a terminal a line is written per change of state, and one each minute between."""
    service.shop.rules = Rules(task_seconds=310)
    task_id = buy(kling, PHOTO)
    run = kling("wait", task_id)
    about = f"{task_id}: "
    first, *beats, last = run.err.splitlines()
    assert (first, last) == (f"{about}processing", f"{about}succeed")
    assert 4 <= len(beats) <= 5
    assert all(beat.startswith(f"{about}still processing, ") for beat in beats)


def test_retry_after(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    """A pause that the service asks for is kept (fault 19)."""
    task_id = buy(kling, PHOTO)
    service.on_look(Reply(status=429, headers={"Retry-After": "77"}))
    assert kling("wait", task_id).code == 0
    assert 77.0 in clock.sleeps


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signal_ends_it_with_the_way_on(
    service: LoopbackService, number: signal.Signals, code: int
) -> None:
    """A stopped wait says that the task goes on and how to wait again (faults 89, 90)."""
    service.on_look(RUNNING)
    with Process("wait", "815", "--json") as process:
        process.wait_for("processing")
        process.kill(number)
        run = process.finish()
    assert (run.code, run.json["task_id"], run.json["exit_code"]) == (code, "815", code)
    assert "Task 815 goes on and is paid for." in run.err
    assert "kling wait 815" in run.err
