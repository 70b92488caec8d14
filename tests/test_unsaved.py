"""Clips that could not be saved: nothing half done is left, nothing paid for is lost."""

import io
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from ground.process import Process
from ground.replies import RESET, Reply, refuse
from ground.run import OTHER_PHOTO, PHOTO, Program, command
from ground.service import VIDEO, LoopbackService
from ground.shop import Rules

from kling_cli.errors import LocalError
from kling_cli.keeping import open_keeper
from kling_cli.session import Flags, Session
from kling_cli.world import World

SQUISH = ("effect", "squish")
CLIP = "astronaut-squish.mp4"
HTML = {"Content-Type": "text/html"}
LONGER = {"Content-Type": "video/mp4", "Content-Length": str(len(VIDEO) + 9)}
# Each is what the video's host says, and what the error's code is.
FAULTS = [
    pytest.param((Reply(body=VIDEO, headers=LONGER), "download_failed"), id="cut off"),
    pytest.param((RESET, "download_failed"), id="reset"),
    pytest.param((Reply(status=502), "download_failed"), id="a gateway's fault"),
    pytest.param((Reply(body=b"<html>Hi</html>", headers=HTML), "download_not_a_video"), id="HTML"),
    pytest.param((Reply(json={"error": "gone"}), "download_not_a_video"), id="JSON"),
    pytest.param((refuse(403, 1, "expired"), "download_expired"), id="expired"),
    pytest.param((Reply(status=404), "download_expired"), id="deleted"),
]


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A directory that is there, and empty."""
    directory = tmp_path / "clips"
    directory.mkdir()
    return directory


def find_url(service: LoopbackService, number: int = 0) -> str:
    """Spell the URL of a video."""
    return f"{service.url}/videos/{service.ledger[number].task_id}.mp4"


def list_files(directory: Path) -> list[str]:
    """List what lies in a directory, hidden files too."""
    return sorted(path.name for path in directory.iterdir())


def break_journal(*statements: str) -> None:
    """Change the journal's file from outside."""
    path = Path(os.environ["KLING_STATE_DIR"]) / "journal.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", ["effect", "wait"])
def test_a_broken_download_leaves_nothing_and_loses_nothing(
    kling: Program, service: LoopbackService, clips: Path, fault: tuple[Reply, str], command: str
) -> None:
    """Fault 82: no file of any name, the URL on both streams, 11; a rerun completes it."""
    reply, code = fault
    path = clips / "c.mp4"
    argv: tuple[str | Path, ...] = (*SQUISH, PHOTO, "-o", path)
    if command == "wait":
        argv = ("wait", kling(*SQUISH, PHOTO, "--no-wait").out.strip(), "-o", path)
    service.on_video(reply, times=40)
    run = kling(*argv)
    url = find_url(service)
    assert (run.code, run.out, list_files(clips)) == (11, f"{url}\n", [])
    assert url in run.err
    result = kling(*argv, "--json").json
    assert (result["exit_code"], result["task_status"]) == (11, "succeed")
    assert (result["error"]["code"], result["error"]["charged"]) == (code, "yes")
    assert [(video["url"], video["file"]) for video in result["videos"]] == [(url, None)]
    assert list_files(clips) == []
    service.forget_scripts()
    again = kling(*argv)
    assert (again.code, again.out, path.read_bytes()) == (0, f"{path}\n", VIDEO)
    assert (list_files(clips), len(service.ledger)) == (["c.mp4"], 1)


def test_a_download_that_breaks_once_goes_on(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """Fault 82: a cut line costs another try, not the clip."""
    service.on_video(Reply(body=VIDEO[:99], headers=LONGER))
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 0
    assert (clips / CLIP).read_bytes() == VIDEO


def test_a_broken_stream_is_told(kling: Program, service: LoopbackService) -> None:
    """Of -o - standard output holds no line: the URL is told on standard error, with 11."""
    service.on_video(refuse(403, 1, "expired"), times=9)
    run = kling(*SQUISH, PHOTO, "-o", "-")
    assert (run.code, run.out) == (11, "")
    assert find_url(service) in run.err
    service.forget_scripts()


def test_in_a_batch_one_broken_download_is_one(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """The others are saved; the run ends with 11."""
    service.on_video(Reply(status=404))
    run = kling(*SQUISH, PHOTO, OTHER_PHOTO, "-o", clips, "--jobs", "1")
    assert (run.code, list_files(clips)) == (11, ["hopper-squish.mp4"])
    assert run.lines == [
        f"{find_url(service)}\t{PHOTO}",
        f"{clips}/hopper-squish.mp4\t{OTHER_PHOTO}",
    ]


def test_a_place_that_was_taken_meanwhile_is_left_alone(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """A file that appears while the task runs is not replaced: 11, and the clip is not lost."""
    path = clips / CLIP

    def put_a_file_there(_sale: object) -> object:
        path.write_text("mine")
        return {"code": 1302, "message": "busy"}

    service.on_look(Reply(status=429, json=put_a_file_there))
    run = kling(*SQUISH, PHOTO, "-o", clips)
    assert (run.code, run.out, path.read_text()) == (11, f"{find_url(service)}\n", "mine")
    assert list_files(clips) == [CLIP]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["effect", "wait"])
def test_a_signal_in_a_download_leaves_no_part(
    kling: Program,
    service: LoopbackService,
    clips: Path,
    number: signal.Signals,
    command: str,
) -> None:
    """Ctrl-C while a clip is saved leaves nothing behind; the way on costs nothing."""
    service.shop.rules = Rules(looks_until_done=0)
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    service.on_video(Reply(body=VIDEO, delay=30))
    argv = (*SQUISH, PHOTO) if command == "effect" else ("wait", task_id)
    with Process(*argv, "-o", clips / "c.mp4") as process:
        give_up = time.monotonic() + 10
        while not any("/videos/8" in visit.path for visit in service.visits):
            assert time.monotonic() < give_up
            time.sleep(0.01)
        assert list_files(clips) == ["c.mp4.part"]
        process.kill(number)
        run = process.finish()
    assert (run.code, list_files(clips)) == (128 + number, [])
    assert f"Stopped. Task {task_id} has ended." in run.err
    assert f"kling wait {task_id}" in run.err
    assert kling(*argv, "-o", clips / "c.mp4").code == 0
    assert (list_files(clips), len(service.ledger)) == (["c.mp4"], 1)


def test_a_reader_that_leaves_ends_it_quietly(
    kling: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 85: `kling wait TASK -o - | head -c 1` ends with 141, without a word."""
    video = VIDEO + bytes(1 << 20)
    with LoopbackService(Rules(looks_until_done=0), video=video) as service:
        monkeypatch.setenv("KLING_BASE_URL", service.base_url)
        monkeypatch.setenv("KLING_TOKEN", "sk-test")
        task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
        child = subprocess.Popen(
            command("wait", task_id, "-o", "-", "-q"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.read(1)
        child.stdout.close()
        said = child.stderr.read()
        child.stderr.close()
        assert (child.wait(20), said) == (141, b"")


def test_a_full_standard_output_is_told(kling: Program, service: LoopbackService) -> None:
    """Fault 84: a stream that cannot be written ends with 11, and tells the URL on stderr."""
    service.shop.rules = Rules(looks_until_done=0)
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("wait", task_id, "-o", "-"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 11
    assert find_url(service) in done.stderr


# The journal behind it


_FAULT = "abs(-9223372036854775807 - 1)"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            (f"CREATE TRIGGER full BEFORE INSERT ON files BEGIN SELECT {_FAULT}; END",),
            id="fault 78: it is full",
        ),
        pytest.param(("DROP TABLE files",), id="it cannot be read"),
    ],
)
def test_a_journal_that_fails_does_not_keep_a_clip_from_being_saved(
    kling: Program, service: LoopbackService, clips: Path, fault: tuple[str, ...]
) -> None:
    """What was paid for is saved; only a rerun does not know the file, and leaves it alone."""
    assert kling(*SQUISH, PHOTO, "--no-wait").code == 0
    break_journal(*fault)
    run = kling(*SQUISH, PHOTO, "-o", clips)
    assert (run.code, (clips / CLIP).read_bytes()) == (0, VIDEO)
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 3
    assert kling(*SQUISH, PHOTO, "-o", clips, "--force").code == 0
    assert len(service.ledger) == 1


def test_without_any_journal_a_clip_is_saved(
    kling: Program, service: LoopbackService, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 77: where no journal can be kept, buying and saving go on with a warning."""
    monkeypatch.setenv("KLING_STATE_DIR", "/proc/nowhere")
    run = kling(*SQUISH, PHOTO, PHOTO, OTHER_PHOTO, "-o", clips)
    assert (run.code, list_files(clips)) == (0, [CLIP, "hopper-squish.mp4"])
    assert "No journal can be kept" in run.err
    assert len(service.ledger) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.7", "[::1]", "169.254.169.254"])
def test_a_clip_on_an_internal_host_is_not_fetched(
    kling: Program, service: LoopbackService, clips: Path, host: str
) -> None:
    """Fault 110: a service elsewhere cannot make us look into this network; its URL is told."""
    task_id = kling(*SQUISH, PHOTO).out and service.ledger[0].task_id
    before = len(service.visits)
    url = f"https://{host}/v.mp4"
    break_journal(
        "UPDATE purchases SET base_url = 'https://service.example/kling', "  # noqa: S608 - no foreign text
        f"videos = replace(videos, '{find_url(service)}', '{url}')"
    )
    argv = ("--base-url", "https://service.example/kling", "-o", clips / "c.mp4")
    run = kling("wait", task_id, *argv, "--json")
    assert (run.code, run.json["error"]["code"]) == (11, "download_private_address")
    assert (run.json["videos"][0]["url"], run.json["videos"][0]["file"]) == (url, None)
    assert url in run.err
    assert (list_files(clips), len(service.visits)) == ([], before)


def test_nothing_is_begun_once_the_run_is_over(
    service: LoopbackService, clips: Path, kling: Program
) -> None:
    """A thread that comes to save when a signal has ended the run leaves no .part behind."""
    kling(*SQUISH, PHOTO)
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(3)]
    world = World(stdin=streams[0], stdout=streams[1], stderr=streams[2], clock=kling.clock)
    session = Session(world, Flags())
    keeper = open_keeper(session, str(clips / "c.mp4"), tasks=1, force=False)
    keeper.abandon()
    (purchase,) = session.journal.list_purchases()
    with pytest.raises(LocalError, match="not saved"):
        keeper.keep(purchase, session.screen.begin("a"), path=clips / "c.mp4")
    session.close()
    assert (list_files(clips), len(service.ledger)) == ([], 1)
