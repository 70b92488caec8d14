"""A failed look is never a verdict: whatever comes instead of an answer, the wait goes on."""

import json
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from support.clock import VirtualClock
from support.fault_server import FaultServer
from support.loopback import Loopback
from support.replies import DROP, RESET, Reply
from support.run import Program
from support.service import LoopbackService
from support.steps import Step, answer, hold, read_request, trickle

ID = "815336894036197446"
URL = "https://v2.example.com/clip.mp4"
TASK = {"task_id": ID, "task_status": "succeed", "url": URL}
DONE = Reply(json={"code": 0, "data": TASK})
RUNNING = Reply(json={"code": 0, "data": {"task_id": ID, "task_status": "processing"}})
BODY = json.dumps({"code": 0, "data": TASK})
PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>"

STATUSES = (201, 204, 206, 304, 408, 425, 429, 500, 503, 504, 520, 400, 409)
FAULTS: dict[str, Reply] = {
    "reset (11)": RESET,
    "closed without a reply (11)": DROP,
    **{f"bare {status} (24, 31)": Reply(status=status) for status in STATUSES},
    "gateway cannot fetch (24)": Reply(
        status=500, json={"code": "fail_to_fetch_task", "message": "{}", "data": None}
    ),
    "HTML (32)": Reply(body=PAGE, headers={"Content-Type": "text/html"}),
    "HTML of an error (24)": Reply(status=502, body=PAGE),
    "empty (33)": Reply(),
    "cut short (33)": Reply(body=BODY[:40].encode(), headers={"Content-Length": "400"}),
    "chunk cut (33)": Reply(body=b"40\r\n{", headers={"Transfer-Encoding": "chunked"}),
    "null (34)": Reply(body=b"null"),
    "byte-order mark (34)": Reply(body=b"\xef\xbb\xbf" + BODY.encode()),
    "UTF-16 (34)": Reply(body=BODY.encode("utf-16")),
    "bad UTF-8 (34)": Reply(
        body=BODY.replace("clip", "cl\udcffip").encode("utf-8", "surrogateescape")
    ),
    "NaN (34)": Reply(body=BODY.replace("0", "NaN", 1).encode()),
    "key given twice (34)": Reply(body=BODY.replace("{", '{"code": 0,', 1).encode()),
    "deep (34)": Reply(body=b"[" * 200_000),
    "huge number (34)": Reply(body=BODY.replace("0", "1" * 5000, 1).encode()),
    "unknown code (35)": Reply(json={"code": 4711, "message": "?", "data": None}),
    "id with a path (36)": Reply(json={"code": 0, "data": {**TASK, "task_id": "../x"}}),
    "long id (36)": Reply(json={"code": 0, "data": {**TASK, "task_id": "1" * 10_000}}),
    "another task (41)": Reply(json={"code": 0, "data": {**TASK, "task_id": "1"}}),
    "several tasks (41)": Reply(json={"code": 0, "data": [TASK, TASK]}),
    "above 1 MiB (104)": Reply(json={"code": 0, "data": TASK, "more": "x" * 1_100_000}),
    "content encoding (105)": Reply(body=BODY.encode(), headers={"Content-Encoding": "gzip"}),
    "long header (106)": Reply(body=BODY.encode(), headers={"X-Long": "x" * 300_000}),
}


@contextmanager
def answer_always(*replies: Reply) -> Generator[str]:
    complaints: list[str] = []
    left = list(replies)
    loopback = Loopback(
        answer=lambda _visit, _body: (left.pop(0) if len(left) > 1 else left[0], None),
        complain=complaints.append,
    )
    loopback.open()
    try:
        yield f"http://127.0.0.1:{loopback.port}"
    finally:
        loopback.close()
    assert complaints == []


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_TOKEN", "sk-test-0123456789abcdef")


@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_ends_no_wait(kling: Program, service: LoopbackService, name: str) -> None:
    """After any one bad answer the next good one brings the video (number of the fault in ())."""
    service.on_look(FAULTS[name])
    service.on_look(DONE)
    run = kling("wait", ID)
    assert (run.code, run.out) == (0, f"{URL}\n")
    assert "still running (1 check failed: " in run.err
    assert "error:" not in run.err
    assert all(line.isprintable() for line in run.err.splitlines())


ENDLESS = ("reset (11)", "HTML (32)", "bare 500 (24, 31)", "another task (41)")


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_fault_ends_the_wait(kling: Program, clock: VirtualClock, name: str) -> None:
    """Five minutes of one fault end with 10: the task goes on, and how to go on is told (12)."""
    with answer_always(RUNNING, FAULTS[name]) as base_url:
        run = kling("wait", ID, "--base-url", base_url, "--json")
    assert run.code == 10
    error = run.json["error"]
    assert "No usable response for 5 minutes. " in error["message"]
    assert f"Task {ID} goes on and is paid for." in error["message"]
    assert f"kling wait {ID}" in error["hint"]
    assert error["charged"] == "yes"
    assert "try again" not in run.err
    assert 300 <= clock.monotonic() <= 330
    assert len(run.err.splitlines()) < 12, "each minute a line is enough"


def test_nobody_there_ends_after_five_minutes(kling: Program, clock: VirtualClock) -> None:
    """A service that is down from the first look on is waited for as long (fault 12)."""
    with answer_always(DONE) as base_url:
        pass
    run = kling("wait", ID, "--base-url", base_url)
    assert run.code == 10
    assert "refused the connection" in run.err
    assert f"kling wait {ID}" in run.err
    assert "paid for" not in run.err, "nobody knows that"
    assert clock.monotonic() >= 300


def test_not_found_at_last_is_seen_through_faults(kling: Program) -> None:
    missing = Reply(status=404, json={"code": 1203, "message": "task not found"})
    with answer_always(missing, DROP, missing, PAGE_502, missing) as base_url:
        assert kling("wait", ID, "--base-url", base_url).code == 6


PAGE_502 = FAULTS["HTML of an error (24)"]


def test_refused_token_ends_the_wait(kling: Program) -> None:
    """A token refused while waiting ends the wait with the way to set another (fault 30)."""
    refused = Reply(status=401, json={"code": 1002, "message": "authorization invalid"})
    with answer_always(RUNNING, refused) as base_url:
        run = kling("wait", ID, "--base-url", base_url)
    assert run.code == 4
    assert f"Task {ID} goes on and is paid for." in run.err
    assert "kling config set token" in run.err
    assert f"Then: kling wait {ID}" in run.err
    assert "sk-test" not in run.err


@pytest.mark.parametrize("script", [hold, trickle(DONE.frame(), interval=0.02)])
def test_answer_without_end(kling: Program, script: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline of a look is for the whole of it: silence and trickle end alike (fault 15)."""
    monkeypatch.setattr("kling_cli.api.client._LOOK_SECONDS", 0.2)
    with FaultServer([read_request, script], [read_request, answer(DONE)]) as server:
        run = kling("wait", ID, "--base-url", server.base_url)
    assert run.out == f"{URL}\n"
    assert "no complete response in time" in run.err
