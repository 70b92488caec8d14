"""What a person sees on a terminal, and that a log gets none of it."""

import re
import signal
import time
from pathlib import Path

import pytest
from support.fault_server import FaultServer
from support.photos import make_photos
from support.replies import Reply, describe, refuse, wrap
from support.run import PHOTO, Program, run_installed
from support.service import VIDEO, LoopbackService
from support.shop import Purchase, Rules
from support.steps import read_request, send, trickle
from support.terminal import Terminal

SPINNER = re.compile(r"[⠀-⣿] ")
SANDBOX: tuple[str | Path, ...] = ("effect", "squish", PHOTO, "--sandbox")


def find_live(terminal: Terminal) -> list[str]:
    """Find the lines that move, without their first character: a spinner or the indented bar."""
    return [line[2:] for line in terminal.lines if SPINNER.match(line) or line.startswith("  ━")]


def test_one_task_has_one_line() -> None:
    """Scene, picture, status and elapsed time; it is gone when the URL is printed, once."""
    with Terminal(*SANDBOX, columns=130) as terminal:
        terminal.wait_for("processing  0:0")
        (line,) = find_live(terminal)
        assert re.fullmatch(rf"squish  {re.escape(str(PHOTO))}  processing  0:0\d", line)
        assert terminal.finish() == 0
    assert find_live(terminal) == []
    notice, accepted, done, url = terminal.lines
    assert notice.startswith("This is the sandbox")
    assert re.fullmatch(rf"{re.escape(str(PHOTO))}  submitted  \d+", accepted)
    assert re.fullmatch(rf"✓ {re.escape(str(PHOTO))}  0:0\d", done)
    assert url.startswith("file:///")


def test_a_batch_has_a_row_for_each_task_and_one_bar(
    service: LoopbackService, tmp_path: Path
) -> None:
    """The bar counts what is done, running and failed; one summary line is left of all."""
    photos = make_photos(tmp_path / "photos", 4)
    service.shop.rules = Rules(concurrency_limit=2, looks_until_done=0)
    service.on_create(refuse(400, 1201, "image is invalid"))
    most = 0
    argv: tuple[str | Path, ...] = (
        "effect",
        "squish",
        *photos,
        "--yes",
        "--jobs",
        "4",
        "-o",
        f"{tmp_path}/clips/",
    )
    with Terminal(*argv, columns=300) as terminal:
        terminal.wait_for("/4 · ")
        while len(service.ledger) < 3:
            terminal.wait_for("/4 · ")
            most = max(most, len(find_live(terminal)))
            assert not terminal.is_cursor_hidden
            time.sleep(0.01)
        terminal.wait_for(" · 1 failed · 0:")
        assert terminal.finish() == 6
    assert 2 <= most <= 5
    assert find_live(terminal) == []
    assert re.fullmatch(
        rf"3 saved in {tmp_path}/clips/, 1 failed · 0:\d\d|1 failed, 3 saved in .* · 0:\d\d",
        terminal.lines[-1],
    )
    assert len([line for line in terminal.lines if line.startswith(f"{tmp_path}/clips/")]) == 3
    assert len([line for line in terminal.lines if line.startswith("✗ ")]) == 1
    assert not terminal.is_cursor_hidden


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_leaves_a_clean_screen(tmp_path: Path, number: int, code: int) -> None:
    """Faults 89 and 90: one summary of what goes on, one hint, no row, and the cursor is back."""
    photos = make_photos(tmp_path / "photos", 6)
    argv: tuple[str | Path, ...] = (
        "effect",
        "squish",
        *photos,
        "--sandbox",
        "--yes",
        "--jobs",
        "4",
    )
    with Terminal(*argv, environ={"KLING_TOKEN": "sandbox-slow"}, columns=200) as terminal:
        for photo in photos[:4]:
            terminal.wait_for(f"{photo}  submitted  ")
        if number == signal.SIGINT:
            terminal.type("\x03")
        else:
            terminal.kill(number)
        assert terminal.finish() == code
    assert find_live(terminal) == []
    assert terminal.lines[-2:] == [
        "Stopped. 4 running at the service, 2 not sent.",
        "  hint: Run the same command again: it goes on, and buys nothing twice.",
    ]
    assert not terminal.is_cursor_hidden


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


def test_a_download_shows_size_and_speed(
    kling: Program, service: LoopbackService, tmp_path: Path
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
        with Terminal("wait", task_id, "-o", tmp_path / "c.mp4") as terminal:
            line = terminal.wait_for(" MB/s")
            assert re.search(r"  downloading [01]\.\d/2\.0 MB \d\.\d MB/s  0:0\d", line)
            assert terminal.finish() == 0
    assert terminal.lines[-1] == f"{tmp_path}/c.mp4"
    assert (tmp_path / "c.mp4").read_bytes() == video


def test_a_resize_is_followed() -> None:
    """Faults 92 and 116: rows fit a terminal that gets narrow; the URL stays in one piece."""
    with Terminal(*SANDBOX, columns=120) as terminal:
        terminal.wait_for("submitted")
        terminal.resize(30)
        terminal.wait_for("…")
        assert terminal.finish() == 0
    assert re.search(rb"file:///[^\s\x1b]+/sandbox/clip\.mp4\r\n", terminal.raw)


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


def test_help_has_colour_on_a_terminal() -> None:
    """Help shows its options in panels, with colour where a person reads it."""
    with Terminal("effect", "--help", columns=100) as terminal:
        assert terminal.finish() == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", terminal.raw.decode())
    assert len(text) < len(terminal.raw.decode())
    for words in ("Input ─", "Effect ─", "Buying ─", "Result ─", "Service ─", "[default: 4]"):
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
