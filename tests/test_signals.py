"""The requests of a run: told as they are done, settled on a signal."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from support.fault_server import FaultServer
from support.process import Process
from support.purchases import list_stages
from support.run import OTHER_PHOTO, PHOTO
from support.service import LoopbackService
from support.shop import Rules
from support.steps import hold, read_request

from kling_cli.models import Stage

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
pytestmark = pytest.mark.usefixtures("token")


@pytest.fixture
def slow_service(service: LoopbackService) -> LoopbackService:
    service.shop.rules = Rules(task_seconds=3600)
    return service


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_during_the_wait_names_the_task(
    slow_service: LoopbackService, tmp_path: Path, number: int, code: int
) -> None:
    """Faults 89 and 90: who stops a wait is told the task, and how to go on with it."""
    with Process("effect", "squish", PHOTO, "-o", tmp_path / "my clip.mp4") as process:
        process.wait_for("submitted")
        process.kill(number)
        run = process.finish()
    (bought,) = slow_service.ledger
    assert (run.code, run.out) == (code, "")
    assert f"Stopped. Task {bought.task_id} is still running (already paid for).\n" in run.err
    assert f"hint: kling wait {bought.task_id} -o '{tmp_path}/my clip.mp4'\n" in run.err
    assert run.err.count("Stopped.") == 1
    assert list_stages()[0] in (Stage.SUBMITTED, Stage.PROCESSING)


def test_a_signal_during_the_post_is_not_sure() -> None:
    """Fault 88: who stops a request on its way learns that it may be bought, and where to look."""
    with FaultServer((read_request, hold)) as server:
        argv = ("effect", "squish", PHOTO, "--base-url", server.base_url, "--json")
        with Process(*argv) as process:
            while process.is_running and not server.requests:
                time.sleep(0.01)
            server.wait_until_held()
            process.kill(signal.SIGINT)
            run = process.finish()
    name = run.json["external_task_id"]
    error = run.json["error"]
    assert list_stages() == [Stage.UNKNOWN]
    assert run.code == run.json["exit_code"] == 130
    assert (error["code"], error["charged"]) == ("interrupted", "maybe")
    assert run.json["task_status"] == "unknown"
    assert f"Stopped. The request may have been accepted as {name}.\n" in run.err
    assert "never resends it" in run.err
    assert name in error["hint"]


def test_a_signal_before_anything_was_sent(tmp_path: Path) -> None:
    """Fault 87: while the pictures are still being listed, a signal costs nothing and says so."""
    names = tmp_path / "names"
    os.mkfifo(names)
    argv = ("effect", "squish", "--from", names, "--base-url", "http://127.0.0.1:9", "--json")
    # The second opens as soon as the program reads it.
    with Process(*argv) as process, names.open("wb"):
        process.kill(signal.SIGTERM)
        run = process.finish()
    assert (run.code, run.json["exit_code"], run.json["error"]["charged"]) == (143, 143, "no")
    assert run.err.endswith("Stopped. Nothing was sent.\n")
    assert not (tmp_path / "state").exists()


def test_a_signal_in_a_batch_tells_of_every_input(slow_service: LoopbackService) -> None:
    """Fault 90: in a batch each input has its JSON object, also those that were not begun."""
    photos = (PHOTO, OTHER_PHOTO, PHOTO)
    with Process("effect", "squish", *photos, "--jobs", "1", "--json") as process:
        process.wait_for("submitted")
        process.kill(signal.SIGINT)
        run = process.finish()
    assert run.code == 130
    assert [record["exit_code"] for record in run.records] == [130] * 3
    assert [record["error"]["charged"] for record in run.records] == ["yes", "no", "no"]
    assert "Stopped. 1 running at the service (already paid for), 2 not bought.\n" in run.err


def test_the_second_signal_does_not_wait(slow_service: LoopbackService) -> None:
    """Fault 89: where the end takes its time, a second signal ends the run at once."""
    slow_service.shop.rules = Rules(looks_until_done=0)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b"x" * 65536):
            pass
    os.set_blocking(writer, True)
    with Process("effect", "squish", PHOTO, stdout=writer) as process:
        process.wait_for("succeed")
        time.sleep(0.3)
        process.kill(signal.SIGINT)
        time.sleep(0.3)
        assert process.is_running
        process.kill(signal.SIGTERM)
        assert process.finish().code == 143
    os.close(reader)
    os.close(writer)
