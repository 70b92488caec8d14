"""What one run of a command works with."""

import dataclasses
import io
from pathlib import Path

import pytest
from ground.clock import VirtualClock
from ground.run import PHOTO, Program
from ground.service import LoopbackService

from kling_cli.errors import LocalError, SetupError
from kling_cli.purchase import Purchase, Stage
from kling_cli.session import Flags, Session
from kling_cli.task import Task, TaskStatus, Video
from kling_cli.world import World

TOKEN = "sk-test-0123456789abcdef"  # noqa: S105 - of no service
NOWHERE = "/proc/nowhere"


def make_session(*, environ: dict[str, str], **settings: str) -> Session:
    """Open a session in an environment of its own."""
    world = World(
        stdin=io.StringIO(),
        stdout=io.StringIO(),
        stderr=io.StringIO(),
        environ=environ,
        clock=VirtualClock(),
    )
    return Session(world, Flags(settings=tuple(settings.items())))


def read_talk(session: Session) -> str:
    """Read what the session has said."""
    assert isinstance(session.world.stderr, io.StringIO)
    return session.world.stderr.getvalue()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with directories and a token."""
    return {
        "KLING_CONFIG_DIR": str(tmp_path / "config"),
        "KLING_STATE_DIR": str(tmp_path / "state"),
        "KLING_TOKEN": TOKEN,
    }


def test_nothing_is_made_before_it_is_used(environ: dict[str, str], tmp_path: Path) -> None:
    """A session that is only opened and closed touches neither settings nor journal."""
    make_session(environ=environ).close()
    assert not list(tmp_path.iterdir())


def test_a_journal_is_closed_with_its_session(environ: dict[str, str], tmp_path: Path) -> None:
    """At the end of a run its journal is whole in one file."""
    session = make_session(environ=environ)
    assert session.journal.is_durable
    session.close()
    assert [each.name for each in (tmp_path / "state").iterdir()] == ["journal.sqlite3"]


def test_without_a_place_the_journal_is_in_memory(environ: dict[str, str]) -> None:
    """Fault 77: where nothing can be written the run goes on, with one warning and its reason."""
    session = make_session(environ=environ | {"KLING_STATE_DIR": NOWHERE})
    assert not session.journal.is_durable
    assert read_talk(session).startswith(f"kling: warning: No journal can be kept: {NOWHERE}: ")
    session.close()


def test_without_a_home_the_journal_is_in_memory(environ: dict[str, str]) -> None:
    """Fault 111: where no directory is known the warning names the variable that can tell one."""
    session = make_session(environ=environ)
    session.settings = dataclasses.replace(session.settings, state_directory=None)
    assert not session.journal.is_durable
    assert read_talk(session) == (
        "kling: warning: No journal can be kept: there is no directory for it; "
        "KLING_STATE_DIR can name one.\n"
    )
    session.close()


def test_a_damaged_journal_stops_the_run(environ: dict[str, str], tmp_path: Path) -> None:
    """Fault 79: a journal that cannot be read is not replaced by one in memory."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "journal.sqlite3").write_bytes(b"garbage " * 1000)
    with pytest.raises(LocalError):
        _ = make_session(environ=environ).journal


def test_warnings_about_settings_are_said_once(environ: dict[str, str]) -> None:
    """What is doubtful about settings is said when they are loaded, and not again."""
    session = make_session(environ=environ | {"KLING_TOKEN": " "})
    _ = session.settings, session.settings
    assert read_talk(session).count("KLING_TOKEN is empty") == 1


def test_the_sandbox_says_that_it_is_one(environ: dict[str, str]) -> None:
    """Whoever works with the sandbox is told so on standard error."""
    session = make_session(environ=environ, base_url="sandbox")
    assert session.token.reveal() == "sandbox"
    assert session.is_local
    assert read_talk(session) == (
        "kling: This is the sandbox: no effect is made, nothing is charged.\n"
    )
    session.prepare()
    session.close()


@pytest.mark.parametrize(
    ("base_url", "is_local"),
    [("http://127.0.0.1:9", True), ("https://[::1]/x", True), ("https://api.example.com", False)],
)
def test_a_service_on_this_machine_is_local(
    environ: dict[str, str],
    base_url: str,
    is_local: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Fault 63: only a service on this machine may be sent a picture that only this machine has."""
    assert make_session(environ=environ, base_url=base_url).is_local is is_local


def test_what_is_usual_is_learned(environ: dict[str, str]) -> None:
    """After a finished task the screen knows how long one takes; before, it claims nothing."""
    session = make_session(environ=environ, base_url="https://h.example")
    _ = session.schedule
    assert session.screen.usual is None
    session.close()

    session = make_session(environ=environ, base_url="https://h.example")
    now = session.world.clock.time()
    wanted = Purchase(
        external_task_id="kling-1",
        fingerprint="f",
        base_url="https://h.example",
        effect_scene="squish",
        stage=Stage.CLAIMED,
        created_at=now - 240,
    )
    task = Task(
        task_id="t", status=TaskStatus.SUCCEED, videos=(Video(url="https://v"),), updated_at=now
    )
    session.journal.record(session.journal.claim(wanted), task, warn=pytest.fail)
    _ = session.schedule
    assert session.screen.usual is not None
    assert 60 < session.screen.usual < 300
    session.close()


def test_a_sandbox_without_a_place_is_refused(environ: dict[str, str]) -> None:
    """Fault 111: the sandbox needs a place for its tasks, and says so where there is none."""
    session = make_session(environ=environ, base_url="sandbox")
    session.settings = dataclasses.replace(session.settings, state_directory=None)
    with pytest.raises(SetupError) as caught:
        _ = session.sandbox
    assert caught.value.code == "state_directory_unknown"
    assert "KLING_STATE_DIR" in caught.value.hint


def test_without_a_journal_the_purchase_goes_on(
    kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 77: where nothing can be kept, the id is told before the send, and then the URL."""
    monkeypatch.setenv("KLING_STATE_DIR", NOWHERE)
    run = kling("effect", "squish", PHOTO, "--json")
    (bought,) = service.ledger
    assert run.code == 0
    assert run.json["videos"]
    names = [line for line in run.err.splitlines() if str(bought.external_task_id) in line]
    assert "warning: " in names[0]
    assert "submitted" in names[-1]


def test_a_picture_s_host_gets_no_token(kling: Program, service: LoopbackService) -> None:
    """Fault 64: a picture given by URL is looked at without the token."""
    url = service.publish("/photo.jpg", PHOTO.read_bytes())
    assert kling("effect", "squish", url).code == 0
    looks = [visit for visit in service.visits if visit.path == "/photo.jpg"]
    assert looks
    assert [visit.token for visit in looks] == [None] * len(looks)
