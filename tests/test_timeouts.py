"""`--timeout` ends a run when it says; what is being bought is never cut by it."""

import time
from pathlib import Path

import pytest
from support.clock import VirtualClock
from support.fault_server import FaultServer
from support.replies import Reply, accept
from support.run import PHOTO, Program, Run
from support.steps import (
    Step,
    answer,
    buy,
    close,
    hold,
    read_body,
    read_head,
    read_request,
    sleep,
    trickle,
)

from kling_cli.clock import Clock

pytestmark = pytest.mark.usefixtures("token")
TOKEN = "sk-test-0123456789abcdef"
ACCEPTED = answer(Reply(json=accept))
# One byte now and then, so that no single read takes long.
TRICKLE = trickle(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000, interval=0.05)
SILENT: dict[str, Step] = {"silence": hold, "a byte now and then": TRICKLE}


def time_run(server: FaultServer, *argv: object) -> tuple[Run, float]:
    started = time.monotonic()
    run = Program(clock=Clock())(*map(str, argv), "--base-url", server.base_url)
    return run, time.monotonic() - started


@pytest.mark.parametrize("silence", SILENT.values(), ids=SILENT.keys())
def test_a_look_under_way_is_cut_at_the_timeout(silence: Step) -> None:
    """Fault 15: the run ends with 8 at its timeout, and so does a wait for what it has left."""
    looks = (read_request, buy, ACCEPTED, read_request, silence), (read_request, silence)
    with FaultServer(*looks) as server:
        run, seconds = time_run(server, "effect", "squish", PHOTO, "--timeout", "3s")
        again, seconds_again = time_run(server, "wait", "--timeout", "1s")
        task_id = server.ledger[0].task_id
    assert (run.code, again.code) == (8, 8)
    assert 3 <= seconds < 6
    assert seconds_again < 4
    assert f"Task {task_id} is still running (already paid for)." in run.err
    assert f"kling wait {task_id}" in run.err
    assert "error: " in run.err.splitlines()[-2]


def test_a_connection_that_is_never_made_holds_no_wait() -> None:
    with FaultServer((hold,)) as server:
        secure = server.base_url.replace("http:", "https:")
        started = time.monotonic()
        run = Program(clock=Clock())("wait", "8", "--timeout", "1s", "--base-url", secure)
    assert run.code == 10
    assert "Task 8 may or may not exist." in run.err
    assert time.monotonic() - started < 4


def test_the_look_ups_of_a_lost_submission_end_at_the_timeout() -> None:
    with FaultServer((read_request, buy, close), (read_request, hold)) as server:
        run, seconds = time_run(server, "effect", "squish", PHOTO, "--timeout", "3s")
        name = server.ledger[0].external_task_id
    assert run.code == 9
    assert seconds < 6
    assert f"kling wait {name}" in run.err


class SleepyClock(VirtualClock):
    def sleep(self, seconds: float) -> None:
        super().sleep(seconds + 3600 if seconds else 0)


def test_a_machine_that_slept_past_the_timeout_looks_once_more() -> None:
    """Fault 13: what was made meanwhile is delivered; the last look has time of its own."""
    done = {"task_id": "1", "task_status": "succeed", "url": "https://v.example/1.mp4"}
    running = {"task_id": "1", "task_status": "processing"}
    looks: list[Step] = [read_request, answer(Reply(json={"code": 0, "data": running}))]
    looks += [read_request, answer(Reply(json={"code": 0, "data": done}, delay=0.5))]
    with FaultServer(looks) as server:
        run = Program(clock=SleepyClock())(
            "wait", "1", "--timeout", "20m", "--base-url", server.base_url
        )
    assert (run.code, run.lines) == (0, ["https://v.example/1.mp4"])


def test_a_submission_outlasts_the_timeout() -> None:
    slow = (read_head, sleep(0.7), read_body(), sleep(0.8), buy, ACCEPTED)
    with FaultServer((*slow, read_request, hold)) as server:
        run, _ = time_run(server, "effect", "squish", PHOTO, "--timeout", "1s")
        assert len(server.ledger) == 1
    assert run.code == 8
    assert f"kling wait {server.ledger[0].task_id}" in run.err


def test_an_upload_may_take_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 15: the time for the answer counts from the last byte of the request, not the first."""
    monkeypatch.setattr("kling_cli.api.transport._ANSWER_SECONDS", 2)
    # The system's buffers are full in each pause; no single write takes the time.
    slow = (read_head, sleep(1.2), read_body(4_000_000), sleep(1.2), read_body())
    photo = tmp_path / "large.jpg"
    photo.write_bytes(PHOTO.read_bytes() + bytes(7_000_000))
    with FaultServer((*slow, buy, ACCEPTED)) as server:
        run, _ = time_run(server, "effect", "squish", photo, "--no-wait")
    assert run.lines == [server.ledger[0].task_id]
