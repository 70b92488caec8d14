"""`kling wait`: until each task has ended, by the journal and the service together."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from support import tls
from support.clock import VirtualClock
from support.fault_server import FaultServer
from support.purchases import DAY, show
from support.replies import DROP, Reply, describe, wrap
from support.run import PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules
from support.steps import answer, read_request

URL = "https://v2.example.com/clip.mp4"
MISSING = Reply(status=404, json={"code": 1203, "message": "task not found"})


def buy(kling: Program, *arguments: str | Path) -> str:
    run = kling("effect", "squish", *(arguments or (PHOTO,)), "--no-wait")
    assert run.code == 0, run.err
    return run.out.strip()


def buy_in_doubt(kling: Program, service: LoopbackService) -> str:
    service.shop.rules = replace(service.shop.rules, lookup_by_external_id=False)
    service.on_create(DROP, purchase=True)
    assert kling("effect", "squish", PHOTO).code == 9
    return str(service.ledger[0].external_task_id)


def test_first_look_is_soon(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    task_id = buy(kling)
    clock.advance(60)
    service.shop.rules = Rules(looks_until_done=0)
    started = clock.monotonic()
    assert kling("wait", task_id).code == 0
    assert clock.monotonic() == started


def test_looks_are_spread(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    """From 2 s after the acceptance, 1 to 15 s apart with 10 % of jitter, on one connection."""
    service.shop.rules = Rules(task_seconds=200)
    task_id = buy(kling)
    connections = service.connections
    assert kling("wait", task_id).code == 0
    first, *pauses, _ = [pause for pause in clock.sleeps if pause > 0]
    assert first == 2
    assert all(0.9 <= pause <= 16.5 for pause in pauses)
    assert all(one != other for one, other in pairwise(pauses))
    assert 200 <= clock.monotonic() <= 207
    assert service.connections == connections + 1


@pytest.mark.parametrize(
    ("variable", "flag", "code"),
    [("2m", ("--timeout", "1m"), 8), ("60", (), 8), ("60", ("--timeout", "0"), 0)],
)
def test_timeout(
    kling: Program, service: LoopbackService, variable: str, flag: tuple[str, ...], code: int
) -> None:
    """Fault 45: when the time is over no word says that anything failed; 0 is no limit."""
    service.shop.rules = Rules(task_seconds=200)
    task_id = buy(kling)
    run = kling("wait", task_id, *flag, KLING_TIMEOUT=variable)
    assert run.code == code
    assert (kling.clock.monotonic() == pytest.approx(60)) == (code == 8)
    assert (f"hint: kling wait {task_id}" in run.err) == (code == 8)
    assert "fail" not in run.err.lower()
    assert "try again" not in run.err


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


def test_talk_is_changes_and_heartbeats(kling: Program, service: LoopbackService) -> None:
    service.shop.rules = Rules(task_seconds=310)
    task_id = buy(kling)
    run = kling("wait", task_id)
    first, *beats, last = run.err.splitlines()
    assert (first, last) == (f"{task_id}: processing", f"{task_id}: succeed")
    assert 4 <= len(beats) <= 5
    assert all(beat.startswith(f"{task_id}: still processing, ") for beat in beats)


def test_retry_after(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    """Fault 19: a pause that the service asks for is kept."""
    task_id = buy(kling)
    service.on_look(Reply(status=429, headers={"Retry-After": "77"}))
    assert kling("wait", task_id).code == 0
    assert 77.0 in clock.sleeps


def test_missing_task_is_lag(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    """Fault 28: within 120 s of its acceptance a task that is not found counts as running."""
    task_id = buy(kling)
    service.on_look(MISSING, times=2)
    run = kling("status", task_id)
    assert (run.code, run.out) == (8, f"{task_id}\tsubmitted\t\n")
    clock.advance(121)
    run = kling("status", task_id, "--json")
    assert (run.code, run.json["error"]["code"]) == (9, "task_not_found")
    assert service.ledger[0].external_task_id in run.json["error"]["message"]
    assert kling("status", task_id).code == 8, "it must stay in the journal"


def test_missing_for_good(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    """Fault 29: an own task not found five times in a row after 120 s ends the wait with 9."""
    task_id = buy(kling)
    service.on_look(MISSING, times=99)
    run = kling("wait", task_id, "--json")
    error = run.json["error"]
    assert (run.code, error["code"], error["charged"]) == (9, "task_not_found", "maybe")
    assert clock.monotonic() > 120
    assert "checks again" in error["hint"]
    service.forget_scripts()


@pytest.mark.usefixtures("service")
def test_slip_in_a_typed_id_is_told_soon(kling: Program, clock: VirtualClock) -> None:
    """Fault 29: an id that nobody knows is refused (6) after seconds, not minutes."""
    run = kling("wait", "169264493753799999", "--json")
    assert (run.code, run.json["error"]["code"]) == (6, "task_not_found")
    assert clock.monotonic() < 10


def test_a_late_video(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    """Fault 38: after `result_missing` the next look still finds the video; it is paid for."""
    task_id = buy(kling)
    service.on_look(show("succeed"), times=2)
    assert kling("status", task_id).code == 8, "a success without a video is not done"
    clock.advance(61)
    run = kling("status", task_id, "--json")
    error = run.json["error"]
    assert (run.code, error["code"], error["charged"]) == (6, "result_missing", "yes")
    assert error["request_id"] == "request-0"
    clock.advance(10)
    service.on_look(show("processing"))
    assert kling("status", task_id).code == 6, "a status that goes backwards is not believed"
    run = kling("wait", task_id)
    assert run.code == 0
    assert run.out.startswith("http")


def test_video_that_never_comes_is_told_after_a_minute(
    kling: Program, service: LoopbackService, clock: VirtualClock
) -> None:
    """Fault 38: `wait` gives a success a minute to name its video, then exits 6."""
    task_id = buy(kling)
    clock.advance(120)
    service.on_look(show("succeed"), times=99)
    started = clock.monotonic()
    run = kling("wait", task_id, "--json")
    assert (run.code, run.json["error"]["code"]) == (6, "result_missing")
    assert run.json["task_id"] == task_id
    assert 60 <= clock.monotonic() - started <= 77
    service.forget_scripts()
    assert kling("wait", task_id).lines[0].startswith("http")


def test_unknown_word_is_told_once(kling: Program, service: LoopbackService) -> None:
    """Fault 37: an unknown status counts as running, with one warning for it, cleaned."""
    task_id = buy(kling)
    service.on_look(show("moderating\x1b[31m"), times=3)
    run = kling("wait", task_id, "--json")
    assert run.code == 0
    (warning,) = run.json["warnings"]
    assert "moderating" in warning
    assert run.err.count("Unknown task status") == 1
    assert "\x1b" not in run.err


def test_terminal_status_is_final(kling: Program, service: LoopbackService) -> None:
    """Fault 48: what has failed once stays failed, whatever the service says later."""
    task_id = buy(kling)
    service.on_look(show("failed", task_status_msg="Risk control"))
    for command in ("status", "wait", "status"):
        assert kling(command, task_id).code == 5
    assert service.count("GET") == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [("failed", "task_failed"), ("cancelled", "task_cancelled"), ("expired", "task_expired")],
)
def test_ends_have_codes(kling: Program, service: LoopbackService, status: str, code: str) -> None:
    """Faults 42, 43 and 44: each end is 5 with its code, and the reason or that there is none."""
    task_id = buy(kling)
    service.on_look(show(status))
    run = kling("wait", task_id, "--json")
    error = run.json["error"]
    assert (run.code, error["code"], error["charged"]) == (5, code, "no")
    assert "no reason was given" in error["message"]
    assert "buys a new one" in error["hint"]
    assert error["request_id"] == "request-0"


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("command", ["status", "wait"])
def test_old_results_are_gone(kling: Program, clock: VirtualClock, command: str) -> None:
    """Fault 47: a result older than 30 days is told as deleted, not handed out as a dead URL."""
    task_id = buy(kling)
    assert kling("wait", task_id).code == 0
    clock.advance(30 * DAY + 10)
    run = kling(command, task_id, "--json")
    assert (run.code, run.json["error"]["code"]) == (6, "result_expired")
    assert kling(command, task_id).out == ""


def test_two_videos_are_both_told(kling: Program, service: LoopbackService) -> None:
    """Fault 39: two videos are two lines, and a list in JSON."""
    task_id = buy(kling)
    videos = [{"id": str(number), "url": f"{URL}?{number}"} for number in (1, 2)]
    service.on_look(show("succeed", task_result={"videos": videos}))
    assert kling("wait", task_id).lines == [f"{URL}?1", f"{URL}?2"]
    assert kling("status", task_id).lines == [f"{task_id}\tsucceed\t{URL}?{n}" for n in (1, 2)]
    assert len(kling("status", task_id, "--json").json["videos"]) == 2


def test_plain_http_from_a_secure_service_is_warned_of(
    kling: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.write_authority(tmp_path)))
    monkeypatch.setenv("KLING_TOKEN", "sk-test-0123456789abcdef")
    done = wrap({"task_id": "815", "task_status": "succeed", "url": "http://example.com/v.mp4"})
    script = [read_request, answer(Reply(json=done, ending="close"))]
    with FaultServer(script, tls=tls.make_context()) as server:
        run = kling("wait", "815", "--base-url", server.base_url, "--json")
    assert run.code == 0
    (warning,) = run.json["warnings"]
    assert "http" in warning


@pytest.mark.parametrize("by", ["nothing", "the task id"])
def test_doubt_is_ended_by_a_wait(kling: Program, service: LoopbackService, by: str) -> None:
    name = buy_in_doubt(kling, service)
    assert kling("status").lines == [f"{name}\tunknown\t"]
    task_id = service.ledger[0].task_id
    if by == "nothing":
        service.shop.rules = Rules()
    assert kling("wait", *([task_id] if by == "the task id" else [])).code == 0
    assert kling("status", name).lines[0].startswith(f"{task_id}\tsucceed\t")
    assert kling("effect", "squish", PHOTO).code == 0
    assert len(service.ledger) == 1


def test_task_of_another_leaves_our_row_alone(kling: Program, service: LoopbackService) -> None:
    """A second task under our external id never takes our own task's place in the journal."""
    service.shop.rules = Rules(deduplicate="ignore", looks_until_done=0)
    mine = buy(kling)
    stranger = "1" + mine[1:]
    body = {**describe(service.ledger[0], "failed"), "task_id": stranger}
    service.on_look(Reply(json=wrap(body)))
    run = kling("status", stranger, "--json")
    assert (run.code, run.json["task_id"]) == (5, stranger)
    assert run.json["external_task_id"] == service.ledger[0].external_task_id
    listed = kling("tasks", "--json").json
    assert (listed["task_id"], listed["task_status"]) == (mine, "submitted")
