"""`--timeout` ends a run when it says; what is being bought is never cut by it."""

import time
from contextlib import closing
from dataclasses import dataclass

import pytest
from ground.clock import VirtualClock
from ground.fault_server import FaultServer
from ground.pages import read_page
from ground.replies import Reply, accept
from ground.run import PHOTO, Program, Run
from ground.steps import (
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

from kling_cli.api.service import Service
from kling_cli.clock import SystemClock
from kling_cli.purchase import Declined, Event
from kling_cli.scenes import find
from kling_cli.secret import Token
from kling_cli.task import Picture, Request, Task
from kling_cli.transport.exchange import Transport

TOKEN = "sk-test-0123456789abcdef"  # noqa: S105 - of no service
ACCEPTED = answer(Reply(json=accept))
# One byte now and then, so that no single read takes long.
TRICKLE = trickle(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000, interval=0.05)
SILENT: dict[str, Step] = {"silence": hold, "a byte now and then": TRICKLE}


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A run, the seconds that it took, and the methods of what the service was sent."""

    run: Run
    seconds: float
    methods: list[str]


def time_run(server: FaultServer, *argv: object) -> Timed:
    """Run a command line at the server, on the machine's own clock."""
    kling = Program(clock=SystemClock())
    started = time.monotonic()
    run = kling(*map(str, argv), "--base-url", server.base_url)
    seconds = time.monotonic() - started
    methods = [request.method for request in server.requests if request.head]
    return Timed(run=run, seconds=seconds, methods=methods)


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_TOKEN", TOKEN)


# --- a look that hangs --------------------------------------------------------------------------


@pytest.mark.parametrize("silence", SILENT.values(), ids=SILENT.keys())
def test_a_look_under_way_is_cut_at_the_timeout(silence: Step) -> None:
    """Fault 15: the run ends with 8 at its timeout, and says how to go on."""
    with FaultServer((read_request, buy, ACCEPTED, read_request, silence)) as server:
        timed = time_run(server, "effect", "squish", PHOTO, "--timeout", "3s")
        task_id = server.ledger[0].task_id
    assert timed.run.code == 8
    assert 3 <= timed.seconds < 4.5
    assert timed.methods == ["POST", "GET"], "what is cut at the timeout is not repeated behind it"
    assert f"Task {task_id} is not done yet; it goes on and is paid for." in timed.run.err
    assert f"kling wait {task_id}" in timed.run.err
    assert "error: " in timed.run.err.splitlines()[-2]


def test_the_last_look_is_a_short_one() -> None:
    """A look that begins when the time is over already cannot hold the run for long."""
    with FaultServer((read_request, buy, ACCEPTED, read_request, hold)) as server:
        timed = time_run(server, "effect", "squish", PHOTO, "--timeout", "2s", "--json")
        task_id = server.ledger[0].task_id
    assert timed.seconds < 6
    assert (timed.run.code, timed.methods) == (8, ["POST", "GET"])
    assert timed.run.json["task_id"] == task_id
    assert timed.run.json["error"]["hint"] == f"kling wait {task_id}"


def test_kling_wait_ends_at_its_timeout() -> None:
    """Fault 15: a task of the journal is waited for no longer than was asked for."""
    with FaultServer(
        (read_request, buy, ACCEPTED), (read_request, hold), (read_request, hold)
    ) as server:
        task_id = time_run(server, "effect", "squish", PHOTO, "--no-wait").run.lines[0]
        named = time_run(server, "wait", task_id, "--timeout", "3s")
        every = time_run(server, "wait", "--timeout", "3s")
    for timed in (named, every):
        assert timed.run.code == 8
        assert timed.seconds < 4.5
        assert f"kling wait {task_id}" in timed.run.err


def test_a_task_that_was_never_seen_is_waited_for_no_longer() -> None:
    """Of an id from elsewhere nothing is claimed, but the wait ends in time as well."""
    with FaultServer((read_request, hold)) as server:
        timed = time_run(server, "wait", "815336894036197446", "--timeout", "1s")
    assert timed.run.code == 10
    assert timed.seconds < 2.5
    assert "Whether task 815336894036197446 exists is not known." in timed.run.err


def test_a_connection_that_is_never_made_holds_no_wait() -> None:
    """Connecting counts as part of the look: a handshake without an end is cut as well."""
    with FaultServer((hold,)) as server:
        secure = server.base_url.replace("http:", "https:")
        started = time.monotonic()
        run = Program(clock=SystemClock())("wait", "8", "--timeout", "1s", "--base-url", secure)
    assert run.code == 10
    assert time.monotonic() - started < 3


def test_the_look_ups_of_a_lost_submission_end_at_the_timeout() -> None:
    """Whether it was accepted stays open, and is said in time: one POST, code 9."""
    with FaultServer((read_request, buy, close), (read_request, hold)) as server:
        timed = time_run(server, "effect", "squish", PHOTO, "--timeout", "3s")
        name = server.ledger[0].external_task_id
    assert timed.run.code == 9
    assert timed.seconds < 4.5
    assert timed.methods == ["POST", "GET"]
    assert f"kling wait {name}" in timed.run.err


def test_the_look_up_before_the_send_ends_at_the_timeout() -> None:
    """Under the user's own id nothing is sent before the service has said what it knows."""
    argv = ("effect", "squish", PHOTO, "--external-task-id", "order-66", "--timeout", "1s")
    with FaultServer((read_request, hold), (read_request, hold)) as server:
        for _ in range(2):
            timed = time_run(server, *argv)
            assert timed.run.code == 10
            assert timed.seconds < 2.5
            assert "Nothing was sent." in timed.run.err
        assert set(timed.methods) == {"GET"}


def test_a_look_that_fails_early_is_repeated_before_the_send() -> None:
    """A blip is no verdict where there is time left: the look is repeated, then it is sent."""
    unknown = answer(Reply(status=404, json={"code": 1203, "message": "task not found"}))
    with FaultServer(
        (read_request, close), (read_request, unknown), (read_request, buy, ACCEPTED)
    ) as server:
        timed = time_run(
            server, "effect", "squish", PHOTO, "--external-task-id", "order-66", "--no-wait"
        )
    assert (timed.run.code, timed.methods) == (0, ["GET", "GET", "POST"])


class SleepyClock(VirtualClock):
    """A clock on which the machine is suspended for an hour in each pause."""

    def sleep(self, seconds: float) -> None:
        """Sleep far too long."""
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


# --- a submission is never cut by it ------------------------------------------------------------


def test_a_submission_outlasts_the_timeout() -> None:
    """A slow upload and a slow answer are waited for: the task is known, and bought once."""
    slow = (read_head, sleep(0.7), read_body(), sleep(0.8), buy, ACCEPTED)
    with FaultServer((*slow, read_request, hold)) as server:
        timed = time_run(server, "effect", "squish", PHOTO, "--timeout", "1s")
        task_id = server.ledger[0].task_id
    assert (timed.run.code, timed.methods) == (8, ["POST", "GET"])
    assert f"kling wait {task_id}" in timed.run.err
    assert len(server.ledger) == 1


def submit(server: FaultServer, *, answer_seconds: float) -> Task | Declined:
    """Submit a picture that no buffer of the system takes in whole, and wait for the answer."""
    picture = Picture(source="photo.jpg", kind="file", content=bytes(7_500_000))
    request = Request(
        base_url=server.base_url,
        scene=find("squish"),
        pictures=(picture,),
        model="kling-v1-6",
        duration="5",
    )
    service = Service(
        Transport(environ={}),
        base_url=server.base_url,
        token=Token(TOKEN, source="a test"),
        answer_seconds=answer_seconds,
    )
    with closing(service):
        return service.submit(request, "kling-own-1", before_first_byte=lambda: None)


def test_an_upload_takes_as_long_as_it_takes() -> None:
    """Fault 15: the time for the answer counts from the last byte of the request, not the first."""
    # Nothing is read at first, so that the system's buffers are full until then.
    with FaultServer((read_head, sleep(2.5), read_body(), buy, ACCEPTED)) as server:
        task = submit(server, answer_seconds=2)
    assert isinstance(task, Task)
    assert task.task_id == server.ledger[0].task_id


@pytest.mark.parametrize("silence", SILENT.values(), ids=SILENT.keys())
def test_a_submission_without_an_answer_is_given_up(silence: Step) -> None:
    """Fault 15: behind its last byte a request has so many seconds, and then it is ambiguous."""
    started = time.monotonic()
    with FaultServer((read_request, buy, silence)) as server:
        declined = submit(server, answer_seconds=0.3)
        seconds = time.monotonic() - started
    assert isinstance(declined, Declined)
    assert (declined.event, declined.error.charged) == (Event.AMBIGUOUS, "maybe")
    assert seconds < 4


# --- what the user is told about it -------------------------------------------------------------


@pytest.mark.parametrize("command", ["effect", "wait"])
def test_the_help_tells_what_is_cut(kling: Program, command: str) -> None:
    """Both facts stand beside the option."""
    told = " ".join(kling(command, "--help").out.replace("│", " ").split())
    assert "0 is no limit. A look under way is cut then; a submission is not" in told
    assert "120 s" in told


def test_the_readme_tells_what_is_cut() -> None:
    """Both facts stand beside the setting."""
    settings = " ".join(read_page("README.md").partition("## Settings")[2].split())
    assert "A look under way is cut" in settings
    assert "120 s after its last byte" in settings
