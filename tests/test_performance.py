"""The requests of a run: told as they are done, settled on a signal."""

import contextlib
import io
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ground.fault_server import FaultServer
from ground.process import Process
from ground.run import OTHER_PHOTO, PHOTO, Program
from ground.service import LoopbackService
from ground.shop import Rules
from ground.steps import hold, read_request

from kling_cli.errors import InputError, Interrupted, KlingError, LocalError, RefusedError
from kling_cli.outcome import Outcome
from kling_cli.performance import Job, Telling, perform
from kling_cli.purchase import Purchase, Stage
from kling_cli.session import Flags, Session
from kling_cli.signals import listen
from kling_cli.task import Video
from kling_cli.world import World

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
TOKEN = {"KLING_TOKEN": "sk-test-0123456789abcdef"}
PATIENCE = 5.0


def list_journal(tmp_path: Path) -> list[tuple[str, str | None, Stage]]:
    """Read external id, task id and stage of what the journal holds, mere claims too."""
    path = tmp_path / "state" / "journal.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT external_task_id, task_id, stage FROM purchases")
        return [(name, task_id, Stage(stage)) for name, task_id, stage in rows]


def wait_for_journal(tmp_path: Path) -> None:
    """Wait until a run has made its journal."""
    give_up = time.monotonic() + 4 * PATIENCE
    while time.monotonic() < give_up:
        with contextlib.suppress(sqlite3.OperationalError):
            list_journal(tmp_path)
            return
        time.sleep(0.02)
    pytest.fail("there is no journal")


@pytest.fixture
def slow_service() -> Iterator[LoopbackService]:
    """A service on which a task takes an hour."""
    with LoopbackService(Rules(task_seconds=3600)) as service:
        yield service


# Signals to the installed program


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_during_the_wait_names_the_task(
    tmp_path: Path, slow_service: LoopbackService, number: int, code: int
) -> None:
    """Faults 89 and 90: who stops a wait is told the task, and how to go on with it."""
    argv = ("effect", "squish", PHOTO, "--base-url", slow_service.base_url)
    with Process(*argv, environ=TOKEN) as process:
        process.wait_for("submitted")
        process.kill(number)
        run = process.finish()
    (bought,) = slow_service.ledger
    assert (run.code, run.out) == (code, "")
    assert f"error: Stopped. Task {bought.task_id} goes on and is paid for.\n" in run.err
    assert f"hint: kling wait {bought.task_id}\n" in run.err
    assert run.err.count("error:") == 1
    ((_name, task_id, stage),) = list_journal(tmp_path)
    assert task_id == bought.task_id
    assert stage in (Stage.SUBMITTED, Stage.PROCESSING)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_during_the_post_is_not_sure(tmp_path: Path, number: int, code: int) -> None:
    """Fault 88: who stops a request on its way learns that it may be bought, and where to look."""
    with FaultServer((read_request, hold)) as server:
        argv = ("effect", "squish", PHOTO, "--base-url", server.base_url, "--json")
        with Process(*argv, environ=TOKEN) as process:
            while process.is_running and not server.requests:
                time.sleep(0.01)
            server.wait_until_held()
            process.kill(number)
            run = process.finish()
    ((name, _task_id, stage),) = list_journal(tmp_path)
    assert stage is Stage.UNKNOWN
    assert run.code == run.json["exit_code"] == code
    assert run.json["error"]["code"] == "interrupted"
    assert run.json["error"]["charged"] == "maybe"
    assert run.json["external_task_id"] == name
    assert run.json["task_status"] == "unknown"
    assert f"error: Stopped. The request may have been accepted, as {name}.\n" in run.err
    assert "never sends again" in run.err
    assert name in run.json["error"]["hint"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_signal_before_anything_was_sent(tmp_path: Path, form: str) -> None:
    """Fault 87: while the picture is still being read, a signal costs nothing and says so."""
    argv = (
        "effect",
        "squish",
        "-",
        "--base-url",
        "http://127.0.0.1:9",
        *(["--json"] * (form == "json")),
    )
    with Process(*argv, environ=TOKEN) as process:
        wait_for_journal(tmp_path)
        process.kill(signal.SIGTERM)
        run = process.finish()
    assert run.code == 143
    assert run.err == "kling: error: Stopped. Nothing was sent.\n"
    if form == "json":
        assert (run.json["exit_code"], run.json["error"]["charged"]) == (143, "no")
    else:
        assert run.out == ""
    assert list_journal(tmp_path) == []


def test_a_signal_in_a_batch_tells_of_every_input(slow_service: LoopbackService) -> None:
    """Fault 90: in a batch each input has its JSON object, also those that were not begun."""
    photos = (PHOTO, OTHER_PHOTO, PHOTO)
    environ = {**TOKEN, "KLING_JOBS": "1"}
    argv = ("effect", "squish", *photos, "--base-url", slow_service.base_url, "--json")
    with Process(*argv, environ=environ) as process:
        process.wait_for("submitted")
        process.kill(signal.SIGINT)
        run = process.finish()
    assert run.code == 130
    assert [record["exit_code"] for record in run.records] == [130] * 3
    assert [record["error"]["charged"] for record in run.records] == ["yes", "no", "no"]
    assert "kling: 2 more not begun; nothing was sent for them.\n" in run.err


def test_the_second_signal_does_not_wait(slow_service: LoopbackService) -> None:
    """Fault 89: where the end takes its time, a second signal ends the run at once."""
    slow_service.shop.rules = Rules(looks_until_done=0)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b"x" * 65536):
            pass
    os.set_blocking(writer, True)
    argv = ("effect", "squish", PHOTO, "--base-url", slow_service.base_url)
    with Process(*argv, environ=TOKEN, stdout=writer) as process:
        process.wait_for("succeed")
        time.sleep(0.3)
        process.kill(signal.SIGINT)
        time.sleep(0.3)
        assert process.is_running
        process.kill(signal.SIGTERM)
        assert process.finish().code == 143
    os.close(reader)
    os.close(writer)


# Inside one process, where the moment can be chosen


class Performer:
    """A request that is what a test makes of it."""

    def __init__(self, act: Callable[[], Outcome], *, left: Purchase | None = None) -> None:
        self.act = act
        self.left = left
        self.was_abandoned = False

    def run(self) -> Outcome:
        """Do it."""
        return self.act()

    def abandon(self) -> Purchase | None:
        """Tell what the test says is left."""
        self.was_abandoned = True
        return self.left


def make_purchase(stage: Stage) -> Purchase:
    """Make what a signal may leave."""
    return Purchase(
        external_task_id="kling-1",
        fingerprint="f",
        base_url="sandbox",
        effect_scene="squish",
        stage=stage,
        task_id="t-1",
        videos=(Video(url="https://h/v.mp4"),),
    )


def make_job(performer: Performer, *, label: str = "a.jpg") -> Job:
    """Make a job of it."""
    return Job(label=label, title=label, start=lambda _kit: performer)


def make_session(*, out: io.TextIOBase | None = None, is_json: bool = True) -> Session:
    """Open a session on the sandbox with streams in memory."""
    world = World(stdin=io.StringIO(), stdout=out or io.StringIO(), stderr=io.StringIO())  # type: ignore[arg-type] # a text stream
    session = Session(world, Flags(json=is_json, settings=(("base_url", "sandbox"),)))
    SESSIONS.append(session)
    return session


SESSIONS: list[Session] = []


@pytest.fixture(autouse=True)
def _close_sessions() -> Iterator[None]:
    """Leave no session open."""
    yield
    while SESSIONS:
        SESSIONS.pop().close()


def tell_urls(outcome: Outcome, label: str) -> list[tuple[str, ...]]:
    """Tell the videos."""
    return [
        (video.url, label) for video in (outcome.purchase or make_purchase(Stage.FAILED)).videos
    ]


TELLING = Telling(rows=tell_urls)
DONE = Outcome(purchase=make_purchase(Stage.SUCCEED))


def read(session: Session) -> tuple[str, str]:
    """Read what a session's streams hold."""
    out, err = session.world.stdout, session.world.stderr
    assert isinstance(out, io.StringIO)
    assert isinstance(err, io.StringIO)
    return out.getvalue(), err.getvalue()


def stop() -> Outcome:
    """Have the run stopped while this request is under way."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    raise AssertionError


@pytest.mark.parametrize(
    ("left", "message", "hint", "charged"),
    [
        (None, "Stopped. Nothing was sent.", "", "no"),
        (
            make_purchase(Stage.UNKNOWN),
            "Stopped. The request may have been accepted, as kling-1.",
            "The same command looks and never sends again; so does kling wait kling-1",
            "maybe",
        ),
        (
            make_purchase(Stage.PROCESSING),
            "Stopped. Task t-1 goes on and is paid for.",
            "kling wait t-1",
            "yes",
        ),
        (make_purchase(Stage.SUCCEED), "Stopped. Task t-1 has ended.", "kling wait t-1", "yes"),
    ],
)
def test_a_stopped_request_tells_what_is_left(
    left: Purchase | None, message: str, hint: str, charged: str
) -> None:
    """Whatever a signal leaves, its line says whether it is bought and how to go on."""
    session = make_session()
    with pytest.raises(Interrupted) as caught, listen():
        perform(session, [make_job(Performer(stop, left=left))], workers=1, telling=TELLING)
    assert caught.value.is_told
    out, err = read(session)
    assert f"kling: error: {message}\n" in err
    assert f"kling: hint: {hint}\n" in err or not hint
    assert err.count("error:") == 1
    error = json.loads(out)["error"]
    assert (error["message"], error["hint"], error["charged"]) == (message, hint, charged)


def test_what_was_done_is_told_before_the_end() -> None:
    """A signal that comes while one result is being printed takes away neither it nor the next."""
    second_is_done = threading.Event()

    class Slow(io.StringIO):
        """Standard output that takes its time over the first result."""

        def write(self, text: str) -> int:
            if not self.getvalue():
                second_is_done.wait(PATIENCE)
                os.kill(os.getpid(), signal.SIGTERM)
            return super().write(text)

    first_is_begun = threading.Event()

    def do_first() -> Outcome:
        first_is_begun.set()
        return DONE

    def do_second() -> Outcome:
        first_is_begun.wait(PATIENCE)
        threading.Timer(0.2, second_is_done.set).start()
        return DONE

    session = make_session(out=Slow(), is_json=False)
    jobs = [
        make_job(Performer(do_first), label="first"),
        make_job(Performer(do_second), label="second"),
    ]
    with pytest.raises(Interrupted) as caught, listen():
        perform(session, jobs, workers=2, telling=TELLING)
    out, err = read(session)
    assert out == "https://h/v.mp4\tfirst\nhttps://h/v.mp4\tsecond\n"
    assert "Stopped" not in err
    assert caught.value.is_told


def test_what_was_not_made_when_the_signal_came_is_never_done() -> None:
    """A picture that is still being read when the user is told "nothing was sent" is not sent."""
    release, made, done = threading.Event(), threading.Event(), threading.Event()

    def run() -> Outcome:
        done.set()
        return DONE

    def start(_kit: object) -> Performer:
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(PATIENCE)
        made.set()
        return Performer(run)

    session = make_session()
    job = Job(label="a.jpg", title="a.jpg", start=start)
    with pytest.raises(Interrupted), listen():
        perform(session, [job], workers=1, telling=TELLING)
    release.set()
    assert made.wait(PATIENCE)
    assert not done.wait(0.2)
    assert "Nothing was sent" in read(session)[1]


def test_a_dead_output_stops_what_is_under_way() -> None:
    """Fault 84: where no result can be told, nothing more begins, and what is unsent stays so."""

    class Full(io.StringIO):
        """Standard output on a full disk."""

        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

    def take_long() -> Outcome:
        time.sleep(PATIENCE)
        return DONE

    under_way = Performer(take_long)
    session = make_session(out=Full())
    with pytest.raises(LocalError):
        perform(
            session,
            [make_job(Performer(lambda: DONE)), make_job(under_way)],
            workers=2,
            telling=TELLING,
        )
    assert under_way.was_abandoned


def test_a_dead_output_does_not_hide_what_a_signal_left() -> None:
    """Where standard output is gone, standard error still tells what is bought."""

    class Gone(io.StringIO):
        """Standard output whose reader has gone."""

        def write(self, _text: str) -> int:
            raise BrokenPipeError

    session = make_session(out=Gone())
    left = make_purchase(Stage.PROCESSING)
    jobs = [make_job(Performer(stop, left=left)), make_job(Performer(stop))]
    with pytest.raises(Interrupted), listen():
        perform(session, jobs, workers=1, telling=TELLING)
    err = session.world.stderr
    assert isinstance(err, io.StringIO)
    assert "a.jpg: Stopped. Task t-1 goes on" in err.getvalue()
    assert "1 more not begun" in err.getvalue()


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RefusedError("refused", "It is refused."), 6, "bad.jpg: It is refused."),
        (InputError("bad", "bad.jpg is bad."), 3, "bad.jpg is bad."),
    ],
)
def test_an_error_of_one_is_no_error_of_the_others(
    error: KlingError, code: int, words: str
) -> None:
    """A request that fails is told by its name, once, and the others are delivered."""

    def refuse() -> Outcome:
        raise error

    session = make_session(is_json=False)
    jobs = [
        make_job(Performer(refuse), label="bad.jpg"),
        make_job(Performer(lambda: DONE), label="ok.jpg"),
    ]
    telling = Telling(rows=lambda outcome, name: () if outcome.error else tell_urls(outcome, name))
    assert perform(session, jobs, workers=1, telling=telling) == code
    out, err = read(session)
    assert out == "https://h/v.mp4\tok.jpg\n"
    assert f"kling: error: {words}\n" in err


def test_an_error_that_its_row_tells_is_told_once() -> None:
    """Where the row itself tells how a task stands, standard error does not repeat it."""
    session = make_session(is_json=False)
    outcome = Outcome(
        purchase=make_purchase(Stage.FAILED), error=InputError("x", "told by its row")
    )
    telling = Telling(rows=tell_urls, is_told=lambda error: error.code == "x")
    perform(session, [make_job(Performer(lambda: outcome))], workers=1, telling=telling)
    assert "told by its row" not in read(session)[1]


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_batch_names_each_input(
    kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    """With several inputs a tab and the input's name follow each URL; with one, nothing does."""
    monkeypatch.setenv("KLING_JOBS", str(jobs))
    run = kling("effect", "squish", PHOTO, OTHER_PHOTO)
    assert run.code == 0
    bought = {each.task_id for each in service.ledger}
    assert {line.split("\t")[1] for line in run.lines} == {str(PHOTO), str(OTHER_PHOTO)}
    assert {Path(line.split("\t")[0]).stem for line in run.lines} == bought
    assert "\t" not in kling("effect", "squish", PHOTO).out
