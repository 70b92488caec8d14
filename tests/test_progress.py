"""Standard error: one live line on a terminal, plain lines elsewhere."""

import io
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import pyte
import pytest
from ground.clock import VirtualClock
from ground.run import OTHER_PHOTO, PHOTO, Program, run_installed
from ground.service import LoopbackService
from ground.shop import Rules
from ground.terminal import Terminal

from kling_cli.errors import InputError
from kling_cli.progress import Manner, Screen
from kling_cli.purchase import Purchase, Stage
from kling_cli.task import Task, TaskStatus
from kling_cli.voice import Voice

SANDBOX_LINE = "kling: This is the sandbox: no effect is made, nothing is charged."
PURCHASE = Purchase(
    external_task_id="kling-1",
    fingerprint="f",
    base_url="b",
    effect_scene="squish",
    stage=Stage.SUBMITTED,
    task_id="t-1",
)
SPINNER = re.compile(r"[⠀-⣿] ")


def make_stream(encoding: str = "utf-8") -> io.TextIOWrapper:
    """Make a stream in memory."""
    return io.TextIOWrapper(io.BytesIO(), encoding, errors="backslashreplace")


def read(screen_stream: io.TextIOWrapper) -> bytes:
    """Read what a stream holds."""
    screen_stream.flush()
    assert isinstance(screen_stream.buffer, io.BytesIO)
    return screen_stream.buffer.getvalue()


def show(screen_stream: io.TextIOWrapper) -> list[str]:
    """Show what a terminal of 80 columns would."""
    terminal = pyte.Screen(80, 24)
    pyte.ByteStream(terminal).feed(read(screen_stream).replace(b"\n", b"\r\n"))
    return "\n".join(line.rstrip() for line in terminal.display).rstrip("\n").split("\n")


def wait_for(stream: io.TextIOWrapper, text: str) -> list[str]:
    """Wait until a terminal would show a text."""
    give_up = time.monotonic() + 5
    while text not in "\n".join(lines := show(stream)):
        assert time.monotonic() < give_up, lines
        time.sleep(0.02)
    return lines


def see(status: str) -> Task:
    """Make what a look saw."""
    return Task(task_id="t-1", status=TaskStatus(status))


# On a terminal, with the installed program


def test_one_line_lives_while_waiting() -> None:
    """Fault 92: the accepted task stays on the screen; below it one line moves, then goes."""
    with Terminal("effect", "squish", PHOTO.name, "--sandbox", directory=PHOTO.parent) as terminal:
        live = terminal.wait_for("processing")
        sandbox, accepted, *more = terminal.lines
        assert more == [live]
        assert re.fullmatch(r". squish astronaut\.jpg  processing  0:0\d", live)
        assert SPINNER.match(live)
        assert sandbox == SANDBOX_LINE
        assert re.match(
            r"kling: squish astronaut\.jpg: task \d+ \(kling-\w{26}\) submitted", accepted
        )
        assert not terminal.is_cursor_hidden
        terminal.kill(signal.SIGSTOP)
        terminal.resize(120)
        assert not terminal.is_cursor_hidden
        terminal.kill(signal.SIGCONT)
        assert terminal.finish() == 0
        assert terminal.lines[:2] == [sandbox, accepted]
        offer, url = terminal.lines[2:]
        assert offer == "kling: squish astronaut.jpg: open the video"
        assert f"\x1b]8;;{url}\x1b\\".encode() in terminal.raw
        assert re.fullmatch(r"file:///\S+\.mp4", url)
        assert not terminal.is_cursor_hidden


def test_a_batch_has_one_line_in_all() -> None:
    """With several inputs the one live line counts them, and stays below what is told meanwhile."""
    argv = ("effect", "squish", PHOTO.name, OTHER_PHOTO.name, "--sandbox")
    with Terminal(*argv, directory=PHOTO.parent) as terminal:
        live = terminal.wait_for("0 of 2 done, 2 running")
        assert terminal.lines[-1] == live
        assert len([line for line in terminal.lines if SPINNER.match(line)]) == 1
        terminal.kill(signal.SIGHUP)
        assert terminal.finish() == 129
        assert not any(SPINNER.match(line) for line in terminal.lines)
        stopped = [line for line in terminal.lines if line.startswith("kling: error: ")]
        assert len(stopped) == 2


@pytest.mark.parametrize(
    ("key", "number", "code"),
    [("\x03", None, 130), ("", signal.SIGTERM, 143)],
)
def test_a_signal_leaves_a_clean_screen(key: str, number: int | None, code: int) -> None:
    """Faults 89 and 90: whatever ends a wait, the live line is gone and the cursor is there."""
    with Terminal("effect", "squish", PHOTO.name, "--sandbox", directory=PHOTO.parent) as terminal:
        terminal.wait_for("submitted  0:")
        if number is None:
            terminal.type(key)
        else:
            terminal.kill(number)
        assert terminal.finish() == code
        assert not terminal.is_cursor_hidden
        assert not any(SPINNER.match(line) for line in terminal.lines)
        task = re.search(r"task (\d+)", terminal.lines[1])
        assert task is not None
        assert terminal.lines[-2:] == [
            f"kling: error: Stopped. Task {task[1]} goes on and is paid for.",
            f"kling: hint: kling wait {task[1]}",
        ]


@pytest.mark.parametrize(("columns", "variable"), [(1, "abc"), (20, "500"), (20, "1")])
def test_nothing_is_ever_wrapped(columns: int, variable: str) -> None:
    """Fault 116: however narrow the terminal, a result is whole, and the live line one line."""
    argv = ("effect", "squish", PHOTO.name, "--sandbox", "--no-wait")
    environ = {"COLUMNS": variable}
    with Terminal(*argv, directory=PHOTO.parent, environ=environ, columns=columns) as terminal:
        assert terminal.finish() == 0
        assert re.search(rb"\x1b\[2K\d{10,}\r\n$", terminal.raw)
        assert b"\x1b[2A" not in terminal.raw
        assert terminal.raw.count(b"\x1b[1A") == 1


@pytest.mark.parametrize(
    ("environ", "options"),
    [
        ({"TERM": "dumb"}, ()),
        ({"CI": "true"}, ()),
        ({"NO_PROGRESS": "1"}, ()),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, ("-v",)),
        ({}, ("-q",)),
    ],
)
def test_nothing_moves_where_nobody_wants_it(
    environ: dict[str, str], options: tuple[str, ...]
) -> None:
    """Fault 115: in such a terminal not one escape byte is written."""
    argv = ("effect", "squish", str(PHOTO), "--sandbox", "--no-wait", *options)
    with Terminal(*argv, environ=environ) as terminal:
        assert terminal.finish() == 0
        assert b"\x1b" not in terminal.raw


def test_a_pipe_is_never_animated() -> None:
    """Fault 115: no variable brings into a log what belongs on a terminal."""
    forced = dict.fromkeys(("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"), "1")
    run = run_installed(
        *("effect", "squish", PHOTO, "--sandbox", "--no-wait"),
        environ={**forced, "TERM": "xterm-256color"},
    )
    assert run.code == 0
    assert "\x1b" not in run.out + run.err


HOSTILE = "[bold]\x1b[2J\u202e[link=x]\n::error::[].jpg"
SPELT = r"[bold]\x1b[2J\u202e[link=x] ::error::[].jpg"


def test_a_file_s_name_is_literal_in_the_live_line(tmp_path: Path) -> None:
    """Faults 58, 101 and 102: a name full of tricks is spelt out, also where lines move."""
    shutil.copy(PHOTO, tmp_path / HOSTILE)
    argv = ("effect", "squish", HOSTILE, "--sandbox")
    with Terminal(*argv, directory=tmp_path, columns=140) as terminal:
        live = terminal.wait_for("submitted  0:")
        assert f"squish {SPELT}"[:50] in live
        assert f"kling: squish {SPELT}: task" in "".join(terminal.lines)
        assert b"\x1b[2J" not in terminal.raw
        terminal.kill(signal.SIGTERM)
        assert terminal.finish() == 143


def test_a_file_s_name_is_literal_in_plain_lines(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """Faults 58 and 103: elsewhere, too, and it never begins a line of its own."""
    shutil.copy(PHOTO, tmp_path / HOSTILE)
    run = kling("effect", "squish", tmp_path / HOSTILE)
    assert run.code == 0
    assert len(service.ledger) == 1
    assert SPELT in run.err
    assert all(line.startswith("kling: ") for line in run.err.splitlines())
    assert all(line.isprintable() for line in run.err.splitlines())


# Without a terminal


def test_each_change_has_a_line(kling: Program, service: LoopbackService) -> None:
    """In a log each change of state has one line, and nothing repeats itself within a minute."""
    run = kling("effect", "squish", PHOTO)
    (bought,) = service.ledger
    title = f"kling: squish {PHOTO}"
    assert run.err.splitlines() == [
        f"{title}: task {bought.task_id} ({bought.external_task_id}) submitted",
        f"{title}: processing",
        f"{title}: succeed",
    ]


def test_a_long_wait_shows_signs_of_life(kling: Program, service: LoopbackService) -> None:
    """A log hears each minute that the task still runs, and not more often."""
    service.shop.rules = Rules(task_seconds=600)
    run = kling("effect", "squish", PHOTO)
    beats = run.err.count("still processing")
    assert 6 <= beats <= 9
    assert run.code == 0


def test_quiet_leaves_errors_alone(kling: Program, service: LoopbackService) -> None:
    """Under --quiet standard error holds nothing but errors."""
    assert kling("effect", "squish", PHOTO, "-q").err == ""
    service.shop.rules = Rules(failure="no face")
    run = kling("effect", "squish", OTHER_PHOTO, "-q")
    assert run.code == 5
    assert run.err.startswith("kling: error: ")


def test_verbose_tells_of_exchanges(kling: Program, service: LoopbackService) -> None:
    """Under --verbose each exchange has a line, and the token none."""
    run = kling("effect", "squish", PHOTO, "-v")
    assert "POST" in run.err
    assert service.visits[0].token is not None
    assert service.visits[0].token not in run.err


def test_an_error_tells_what_why_and_how() -> None:
    """An error has one line for each problem, the request id where it is not said, and a hint."""
    stream = make_stream()
    screen = Screen(stream, clock=VirtualClock(), manner=Manner(is_quiet=True))
    error = InputError("bad", "One.\nTwo.", hint="Mend it.", request_id="r\x1b-1")
    screen.fail(error, label="a\x07.jpg")
    screen.fail(InputError("bad", "Request r-2 failed.", request_id="r-2"))
    assert read(stream).decode().splitlines() == [
        r"kling: error: a\x07.jpg: One.",
        r"kling: error: a\x07.jpg: Two.",
        r"kling: request id: r\x1b-1",
        "kling: hint: Mend it.",
        "kling: error: Request r-2 failed.",
    ]


def test_failed_looks_are_told_once_a_minute() -> None:
    """Fault 11: the first failed look is told at once, those after it once a minute."""
    stream, clock = make_stream(), VirtualClock()
    voice = Screen(stream, clock=clock).begin("squish a.jpg")
    for count in range(1, 14):
        voice.miss(count, "Connection reset.")
        clock.advance(10)
    assert read(stream).decode().splitlines() == [
        "kling: squish a.jpg: still waiting (1 look failed: Connection reset.)",
        "kling: squish a.jpg: still waiting (7 looks failed: Connection reset.)",
        "kling: squish a.jpg: still waiting (13 looks failed: Connection reset.)",
    ]


def test_warnings_are_said_and_kept() -> None:
    """What a script may want to know is said on the screen and kept for the result."""
    stream = make_stream()
    voice = Screen(stream, clock=VirtualClock()).begin("a")
    voice.note("By the way.")
    voice.warn("Look out.")
    voice.hold("The service is busy.", seconds=7)
    assert voice.warnings == ["Look out."]
    assert read(stream).decode().splitlines() == [
        "kling: a: By the way.",
        "kling: a: warning: Look out.",
        "kling: a: The service is busy. Next try in 7 s.",
    ]


class DeadStream(io.StringIO):
    """A terminal that was closed."""

    is_dead = True

    def write(self, text: str) -> int:
        """Fail as a closed terminal does."""
        if self.is_dead:
            raise OSError(5, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("is_live", [False, True])
def test_a_run_survives_its_terminal(is_live: bool) -> None:  # noqa: FBT001 - a parameter
    """Fault 86: where nobody can be told anything any more, the run goes on all the same."""
    screen = Screen(DeadStream(), clock=VirtualClock(), manner=Manner(is_live=is_live))
    voice = screen.begin("a")
    voice.accept(PURCHASE)
    with screen.aside():
        pass
    screen.fail(InputError("x", "y"))
    screen.end(voice, succeeded=True)
    screen.close()


# The live line, in memory


def make_live(
    *, encoding: str = "utf-8", total: int = 1
) -> tuple[Screen, io.TextIOWrapper, VirtualClock]:
    """Make a screen on a terminal in memory."""
    stream, clock = make_stream(encoding), VirtualClock()
    screen = Screen(stream, clock=clock, manner=Manner(is_live=True))
    screen.total = total
    return screen, stream, clock


def test_the_live_line_tells_what_is_usual() -> None:
    """The live line tells scene, state, elapsed time and what earlier tasks have taken."""
    screen, stream, clock = make_live()
    screen.usual = 118.0
    voice = screen.begin("squish a.jpg")
    wait_for(stream, "starting")
    voice.accept(PURCHASE)
    clock.advance(83)
    voice.look(see("processing"))
    voice.look(see("processing"))
    lines = wait_for(stream, "squish a.jpg  processing  1:23  usually about 2 min")
    assert lines[0] == "kling: squish a.jpg: task t-1 (kling-1) submitted"
    assert len(lines) == 2
    screen.end(voice, succeeded=True)
    assert show(stream) == lines[:1]


def test_a_batch_is_counted() -> None:
    """The live line of a batch counts what is done, what has failed, and what still goes on."""
    screen, stream, clock = make_live(total=9)
    voices = [screen.begin(name) for name in "abcd"]
    voices[0].hold("Busy.", seconds=2)
    voices[1].accept(PURCHASE)
    wait_for(stream, "0 of 9 done, 3 running, 1 waiting to try again  0:00")
    voices[2].queue()
    wait_for(stream, "0 of 9 done, 2 running, 1 waiting for a slot, 1 waiting to try again  0:00")
    screen.end(voices[2], succeeded=True)
    screen.end(voices[3], succeeded=False)
    clock.advance(60)
    wait_for(stream, "1 of 9 done, 1 running, 1 waiting to try again, 1 failed  1:00")
    screen.close()


def test_a_result_stands_above_the_live_line() -> None:
    """While a result is written, the live line is out of its way; then it is there again."""
    screen, stream, _clock = make_live(total=2)
    voice = screen.begin("a")
    wait_for(stream, "1 running")
    with screen.aside():
        assert show(stream) == [""]
        stream.write("https://h/v.mp4\n")
    lines = wait_for(stream, "1 running")
    assert lines[0] == "https://h/v.mp4"
    screen.end(voice, succeeded=True)
    with screen.aside():
        pass
    assert show(stream) == ["https://h/v.mp4"]


def test_a_locale_without_the_signs_gets_plain_ones() -> None:
    """Fault 114: where the locale has no such characters, the spinner is made of ASCII."""
    screen, stream, _clock = make_live(encoding="ascii")
    screen.begin("squish \u634f.jpg")
    line = wait_for(stream, "starting")[-1]
    assert re.fullmatch(r"[-\\|/] squish \\u634f\.jpg  starting  0:00", line)
    screen.close()


def test_the_last_word_is_the_last() -> None:
    """When the run has ended, requests that still go on neither talk nor bring the line back."""
    screen, stream, _clock = make_live()
    voice = screen.begin("a")
    wait_for(stream, "starting")
    screen.close()
    voice.note("too late")
    voice.look(see("processing"))
    screen.animate()
    screen.say("The end.")
    assert show(stream) == ["kling: The end."]
    assert b"\x1b[?25l" not in read(stream).rpartition(b"\x1b[?25h")[2]


def test_drawing_and_talking_do_not_wait_for_each_other() -> None:
    """A line that is written while the live line is being drawn does not bring all to a halt."""

    class SlowClock(VirtualClock):
        """A clock whose reading takes a moment, and with it the drawing."""

        def monotonic(self) -> float:
            if threading.current_thread() is not threading.main_thread():
                time.sleep(0.05)
            return super().monotonic()

    stream = make_stream()
    screen = Screen(stream, clock=SlowClock(), manner=Manner(is_live=True))
    screen.begin("a")

    def talk() -> None:
        for number in range(40):
            screen.say(str(number))
            time.sleep(0.01)

    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    talker.join(timeout=10)
    assert not talker.is_alive()
    screen.close()


def test_a_voice_is_what_the_steps_talk_to() -> None:
    """The talk of a request begins where nothing is known of it yet."""
    voice = Screen(make_stream(), clock=VirtualClock()).begin("a")
    assert isinstance(voice, Voice)
    assert (voice.state, voice.warnings, os.linesep) == ("starting", [], "\n")
