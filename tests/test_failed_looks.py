"""A failed look is never a verdict: whatever comes instead of an answer, the wait goes on."""

import pytest
from support.clock import VirtualClock
from support.fault_server import FaultServer
from support.replies import DONE, DROP, RESET, UNREADABLE, Reply, wrap
from support.run import Program
from support.service import LoopbackService
from support.steps import Step, answer, hold, read_request, trickle

pytestmark = pytest.mark.usefixtures("token")
ID = "8153"
URL = "https://v2.example.com/clip.mp4"
RUNNING = Reply(json=wrap({"task_id": ID, "task_status": "processing"}))
GOOD = Reply(json=DONE)
STATUSES = (201, 206, 304, 408, 425, 429, 500, 503, 504, 520, 400, 409)
PAGE = Reply(status=502, body=b"<!DOCTYPE html><html><title>Just a moment...</title></html>")
FAULTS: dict[str, Reply] = {
    "fault 11: reset": RESET,
    "fault 11: closed without a reply": DROP,
    **{f"faults 24 and 31: bare {status}": Reply(status=status) for status in STATUSES},
    "fault 24: a page": PAGE,
    "fault 24: a gateway cannot fetch": Reply(
        status=500, json={"code": "fail_to_fetch_task", "message": "{}", "data": None}
    ),
    **UNREADABLE,
    "fault 41: another task": Reply(json=wrap({"task_id": "1", "task_status": "failed"})),
    "fault 41: several tasks": Reply(json=wrap([DONE["data"], DONE["data"]])),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_ends_no_wait(kling: Program, service: LoopbackService, name: str) -> None:
    """After any one bad answer the next good one brings the video."""
    service.on_look(FAULTS[name])
    service.on_look(GOOD)
    run = kling("wait", ID)
    assert (run.code, run.out) == (0, f"{URL}\n")
    assert "still running (1 check failed: " in run.err
    assert "error:" not in run.err
    assert all(line.isprintable() for line in run.err.splitlines())


ENDLESS = ("fault 11: reset", "fault 24: a page", "fault 41: another task")


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_fault_ends_the_wait(
    kling: Program, clock: VirtualClock, service: LoopbackService, name: str
) -> None:
    """Five minutes of one fault end with 10: the task goes on, and how to go on (fault 12)."""
    service.on_look(RUNNING)
    service.on_look(FAULTS[name], times=400)
    run = kling("wait", ID, "--json")
    service.forget_scripts()
    error = run.json["error"]
    assert (run.code, error["charged"]) == (10, "yes")
    assert "No usable response for 5 minutes. " in error["message"]
    assert f"Task {ID} is still running (already paid for)." in error["message"]
    assert f"kling wait {ID}" in error["hint"]
    assert "try again" not in run.err
    assert 300 <= clock.monotonic() <= 330
    assert len(run.err.splitlines()) < 12, "each minute a line is enough"


def test_not_found_is_seen_through_faults(kling: Program, service: LoopbackService) -> None:
    for reply in (None, DROP, None, PAGE, None, None, None):
        service.on_look(reply or Reply(status=404, json={"code": 1203, "message": "no task"}))
    assert kling("wait", ID).code == 6


def test_refused_token_ends_the_wait(kling: Program, service: LoopbackService) -> None:
    """A token refused while waiting ends the wait with the way to set another (fault 30)."""
    service.on_look(RUNNING)
    service.on_look(Reply(status=401, json={"code": 1002, "message": "authorization invalid"}))
    run = kling("wait", ID)
    assert run.code == 4
    assert f"Task {ID} is still running (already paid for)." in run.err
    assert "kling config set token" in run.err
    assert f"Then: kling wait {ID}" in run.err


@pytest.mark.parametrize("script", [hold, trickle(GOOD.frame(), interval=0.02)])
def test_answer_without_end(kling: Program, script: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline of a look is for the whole of it: silence and trickle end alike (fault 15)."""
    monkeypatch.setattr("kling_cli.api.client._LOOK_SECONDS", 0.2)
    with FaultServer([read_request, script], [read_request, answer(GOOD)]) as server:
        run = kling("wait", ID, "--base-url", server.base_url)
    assert run.out == f"{URL}\n"
    assert "did not respond in time" in run.err
