"""What a person sees on a terminal, and that a log gets none of it."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.fault_server import FaultServer
from support.photos import make_photos
from support.replies import Reply, describe, refuse, wrap
from support.run import PHOTO, Program, command, run_installed
from support.service import VIDEO, LoopbackService
from support.shop import Purchase, Rules
from support.steps import read_request, send, trickle
from support.terminal import Terminal

SPINNER = re.compile(r"[⠀-⣿] ")
EACH_SIZE = pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 20)])
SANDBOX: tuple[str | Path, ...] = ("effect", "squish", PHOTO, "--sandbox")


def find_live(terminal: Terminal) -> list[str]:
    """Find the lines that move, without their first character: a spinner or the indented bar."""
    return [line[2:] for line in terminal.lines if SPINNER.match(line) or line.startswith("  ━")]


def assert_fits(terminal: Terminal, *, columns: int) -> None:
    """Assert that no line but a hint, whose command is copied, was longer than the screen."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.raw.decode())
    for line in re.split(r"[\r\n]+", text):
        assert len(line) <= columns or line.startswith("  hint: ")


@EACH_SIZE
def test_one_task_has_one_line(columns: int, rows: int) -> None:
    """Scene, picture, status and elapsed time; it is gone when the clip is there."""
    argv = ("effect", "squish", PHOTO.name, "--sandbox")
    with Terminal(*argv, columns=columns, rows=rows, directory=PHOTO.parent) as terminal:
        terminal.wait_for("processin")
        (line,) = find_live(terminal)
        assert re.fullmatch(r"squish  astronaut.jpg  processing?(  0:0\d|…)", line)
        assert terminal.finish() == 0
    assert find_live(terminal) == []
    text = " ".join(terminal.lines)
    assert text.startswith("This is the sandbox")
    assert re.search(r"astronaut.jpg  submitted  [\d ]+ ✓ astronaut.jpg  0:0\d file:///", text)


@EACH_SIZE
def test_a_batch_has_a_row_for_each_task_and_one_bar(
    service: LoopbackService, tmp_path: Path, columns: int, rows: int
) -> None:
    """The bar counts what is done, running, refused and failed; one summary line is left of all."""
    photos = [photo.name for photo in make_photos(tmp_path, 8)]
    (tmp_path / photos[3]).write_bytes(b"no picture")
    service.shop.rules = Rules(concurrency_limit=2, looks_until_done=0)
    service.on_create(refuse(400, 1201, "image is invalid"))
    argv = ("effect", "squish", *photos, "--yes", "--jobs", "4", "-o", "clips/")
    most = 0
    with Terminal(*argv, columns=columns, rows=rows, directory=tmp_path) as terminal:
        terminal.wait_for("/8 · ")
        while len(service.ledger) < 5:
            terminal.wait_for("/8 · ")
            most = max(most, len(find_live(terminal)))
            time.sleep(0.01)
        assert terminal.finish() == 6
    assert 2 <= most <= 5
    assert find_live(terminal) == []
    assert b"\x1b[?25l" not in terminal.raw, "the cursor is never hidden"
    last = " ".join(" ".join(terminal.lines[-2:]).split())
    for words in ("1 refused", "1 failed", "6 saved in clips/", " · 0:"):
        assert words in last
    if columns == 80:
        assert_fits(terminal, columns=columns)
    assert terminal.raw.count(b"-squish.mp4  p0") == 6
    assert terminal.raw.decode().count("✗ ") == 2


@EACH_SIZE
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_leaves_a_clean_screen(
    tmp_path: Path, *, columns: int, rows: int, number: int, code: int
) -> None:
    """Faults 89 and 90: one summary of what goes on, one hint, no row, and the cursor is back."""
    photos = [photo.name for photo in make_photos(tmp_path, 6)]
    argv = ("effect", "squish", *photos, "--sandbox", "--yes", "--jobs", "4")
    environ = {"KLING_TOKEN": "sandbox-slow"}
    with Terminal(
        *argv, columns=columns, rows=rows, environ=environ, directory=tmp_path
    ) as terminal:
        for photo in photos[:4]:
            terminal.wait_for(f"{photo}  submitted  ")
        if number == signal.SIGINT:
            terminal.type("\x03")
        else:
            terminal.kill(number)
        assert terminal.finish() == code
    assert find_live(terminal) == []
    text = " ".join(" ".join(terminal.lines).split())
    assert "Stopped. 4 running at the service, 2 not bought. hint: Run the same command" in text
    assert text.count("hint:") == 1
    assert not terminal.is_cursor_hidden


def test_a_command_substitution_gets_the_url_alone(tmp_path: Path) -> None:
    """url=$(kling effect ...): the rows are on the terminal, the URL is in the pipe."""
    screen, terminal = os.openpty()
    run = subprocess.run(
        command(*SANDBOX),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm"},
        check=True,
    )
    assert run.stdout.decode() == (tmp_path / "state" / "sandbox.mp4").as_uri() + "\n"
    assert "submitted" in os.read(screen, 4096).decode()
    os.close(screen)
    os.close(terminal)


@EACH_SIZE
def test_lists_are_tables(tmp_path: Path, columns: int, rows: int) -> None:
    """A plan, tasks, scenes and settings have a header, and cells that are cut, not wrapped."""
    photos = [photo.name for photo in make_photos(tmp_path, 2)]
    run_installed("effect", "squish", tmp_path / photos[0], "--sandbox", "-o", tmp_path / "c.mp4")
    for argv, words in (
        (("effect", "squish", *photos, "--dry-run", "--sandbox"), r"^PLAN +PICTU.*\n(reuse|buy) "),
        (("tasks", "--sandbox"), r"^TASK +STAT.*\n\d{10}"),
        (("scenes", "hug", "--all"), r"^SCENE +TAKES +NOTE\n.*\nhug_pro +2 ph"),
        (("config", "check", "--sandbox"), r"\nbase_url +sandbox +--"),
    ):
        with Terminal(*argv, columns=columns, rows=rows, directory=tmp_path) as terminal:
            assert terminal.finish() == 0
        assert re.search(words, "\n".join(terminal.lines), re.MULTILINE), terminal.lines
        assert_fits(terminal, columns=columns)


def test_the_check_of_many_pictures_is_shown_and_taken_away(
    service: LoopbackService, tmp_path: Path
) -> None:
    """Fault 87: Ctrl-C while pictures are checked leaves a clean screen; nothing was sent."""
    links = [tmp_path / f"{number:04}.jpg" for number in range(1500)]
    for link in links:
        link.symlink_to(PHOTO)
    with Terminal("effect", "squish", *links, "--no-wait") as terminal:
        assert re.search(r"checking pictures  \d+/1500  0:0\d", terminal.wait_for("/1500"))
        terminal.type("\x03")
        assert terminal.finish() == 130
    assert find_live(terminal) == []
    assert "Stopped. Nothing was sent." in terminal.lines
    assert not terminal.is_cursor_hidden
    assert service.visits == []


@pytest.mark.usefixtures("today")
@EACH_SIZE
def test_a_download_shows_size_and_speed(
    kling: Program, service: LoopbackService, tmp_path: Path, *, columns: int, rows: int
) -> None:
    """While a clip is saved its row says how much of how much is there, and how fast it comes."""
    video = VIDEO + bytes(2_000_000 - len(VIDEO))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {len(video)}\r\n\r\n"
    script = (read_request, send(head.encode()), trickle(video, interval=0.05, size=50_000))
    task_id = kling("effect", "squish", PHOTO, "--no-wait").out.strip()
    with FaultServer(script) as server:

        def end(sale: Purchase | None) -> object:
            assert sale is not None
            videos = [{"id": "v", "url": f"{server.url}/v.mp4", "duration": "5"}]
            return wrap({**describe(sale, "succeed"), "task_result": {"videos": videos}})

        service.on_look(Reply(json=end))
        argv = ("wait", task_id, "-o", "c.mp4")
        with Terminal(*argv, columns=columns, rows=rows, directory=tmp_path) as terminal:
            line = terminal.wait_for("  downloading ")
            assert re.search(r"  downloading ([01]\.\d/2\.0 MB|\d…)", line)
            if columns == 80:
                assert re.search(r"\d MB \d\.\d MB/s  0:0\d", terminal.wait_for(" MB/s"))
            assert terminal.finish() == 0
    assert terminal.lines[-1] == "c.mp4"
    assert (tmp_path / "c.mp4").read_bytes() == video


def test_a_resize_is_followed() -> None:
    """Faults 92 and 116: rows fit a terminal that gets narrow; the URL stays in one piece."""
    with Terminal(*SANDBOX, columns=120) as terminal:
        terminal.wait_for("submitted")
        terminal.resize(30)
        terminal.wait_for("…")
        assert terminal.finish() == 0
    assert re.search(rb"file:///[^\s\x1b]+/state/sandbox\.mp4\r\n", terminal.raw)


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colour_gets_not_one_escape_byte(environ: dict[str, str]) -> None:
    """Fault 115: neither in a run, nor in help, nor in an error."""
    for argv, code in ((SANDBOX, 0), (("effect", "--help"), 0), (("effect", "squich", "x"), 2)):
        with Terminal(*argv, environ=environ) as terminal:
            assert terminal.finish() == code
        assert b"\x1b" not in terminal.raw


@pytest.mark.parametrize("name", ["CI", "NO_PROGRESS"])
def test_a_still_terminal_has_marks_and_no_rows(name: str) -> None:
    """Fault 115: colours stay, but nothing moves."""
    with Terminal(*SANDBOX, environ={name: "1"}) as terminal:
        assert terminal.finish() == 0
    assert not re.search(r"[⠀-⣿]|\x1b\[\d*[A-KJ]", terminal.raw.decode())
    assert any("  processing" in line for line in terminal.lines)


@pytest.mark.parametrize("name", ["FORCE_COLOR", "CLICOLOR_FORCE", "GITHUB_ACTIONS", "PY_COLORS"])
def test_a_log_gets_not_one_escape_byte(name: str) -> None:
    """Fault 115: whatever asks for colour, a pipe gets plain lines in our own words."""
    for argv in (SANDBOX, ("effect", "--help"), ("effect", "squich", "x"), ("config",)):
        run = run_installed(*argv, environ={name: "true", "TTY_COMPATIBLE": "1"})
        assert "\x1b" not in run.out + run.err


@EACH_SIZE
def test_help_has_colour_on_a_terminal(columns: int, rows: int) -> None:
    """Help shows its options in panels that fit, with colour where a person reads it."""
    environ = {"COLUMNS": str(columns)}
    with Terminal("effect", "--help", environ=environ, columns=columns, rows=rows) as terminal:
        assert terminal.finish() == 0
    assert_fits(terminal, columns=columns)
    text = re.sub(r"\x1b\[[0-9;]*m", "", terminal.raw.decode())
    assert len(text) < len(terminal.raw.decode())
    for words in (
        "Input ─",
        "Effect ─",
        "Buying ─",
        "Result ─",
        "Service ─",
        "kling effect squish",
    ):
        assert f" {words}" in text


def test_ascii_where_the_encoding_lacks_marks() -> None:
    """Fault 114: a terminal that cannot show the marks gets plain letters."""
    environ = {"PYTHONIOENCODING": "ascii", "KLING_TOKEN": "sandbox-failed"}
    with Terminal(*SANDBOX, environ=environ) as terminal:
        assert terminal.finish() == 5
    assert terminal.raw.isascii()
    assert any(line.startswith("x Task ") for line in terminal.lines)


def test_quiet_leaves_errors_only() -> None:
    """-q shows no row, no note and no colour of a run that goes well."""
    with Terminal(*SANDBOX, "-q", columns=300) as terminal:
        assert terminal.finish() == 0
    assert b"\x1b" not in terminal.raw
    assert len(terminal.lines) == 1


@pytest.mark.parametrize("value", [None, "false", "true"])
def test_an_error_is_annotated_in_a_workflow_alone(
    kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """Fault 103: GitHub gets the message as one annotation, escaped, and no other command."""
    if value:
        monkeypatch.setenv("GITHUB_ACTIONS", value)
    service.shop.rules = Rules(failure="100% blocked\n::add-mask::x")
    run = kling("effect", "squish", PHOTO)
    commands = [line for line in run.err.splitlines() if line.startswith("::")]
    assert len(commands) == (value == "true")
    for line in commands:
        assert line.startswith("::error title=kling task_failed::Task ")
        assert "100%25 blocked" in line
