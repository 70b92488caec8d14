"""The surroundings of a run."""

import io
import os
import subprocess
import sys

import pytest

from kling_cli.clock import SystemClock
from kling_cli.world import World, can_animate, can_colour


class Stream(io.StringIO):
    """A stream that is a terminal, or is not."""

    def __init__(self, *, is_terminal: bool = True) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Tell which."""
        return self._is_terminal


def test_a_world_is_that_of_the_process_where_nothing_is_told() -> None:
    """Environment and clock are the machine's unless somebody gives others."""
    world = World(stdin=io.StringIO(), stdout=io.StringIO(), stderr=io.StringIO())
    assert world.environ is os.environ
    assert isinstance(world.clock, SystemClock)


@pytest.mark.parametrize(
    ("environ", "animates"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "screen-256color", "CI": "", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "FORCE_COLOR": "1"}, True),
        ({}, False),
        ({"TERM": ""}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "unknown"}, False),
        ({"TERM": "xterm", "CI": "true"}, False),
        ({"TERM": "xterm", "NO_PROGRESS": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
    ],
)
def test_only_a_watched_terminal_is_animated(environ: dict[str, str], animates: bool) -> None:  # noqa: FBT001 - a parameter
    """Fault 115: the terminal and the user's variables decide whether something moves."""
    assert can_animate(Stream(), environ) is animates
    assert not can_animate(Stream(is_terminal=False), environ)
    assert not can_animate(Stream(is_terminal=False), {**environ, "FORCE_COLOR": "1"})


@pytest.mark.parametrize(
    ("environ", "on_terminal", "elsewhere"),
    [
        ({"TERM": "xterm"}, True, False),
        ({"TERM": "xterm", "CI": "true"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, False),
        ({"TERM": "xterm", "CLICOLOR": "0"}, False, False),
        ({"TERM": "xterm", "CLICOLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"TERM": "dumb", "FORCE_COLOR": "3"}, True, True),
        ({"TERM": "xterm", "FORCE_COLOR": "0"}, True, False),
        ({"CLICOLOR_FORCE": "1", "CLICOLOR": "0"}, True, True),
        ({"TERM": "xterm", "CLICOLOR_FORCE": "0"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_who_is_asked_for_colours(
    environ: dict[str, str],
    on_terminal: bool,  # noqa: FBT001 - an expected value
    elsewhere: bool,  # noqa: FBT001 - an expected value
) -> None:
    """Fault 115: NO_COLOR forbids, FORCE_COLOR asks, CLICOLOR tells; else a terminal decides."""
    assert can_colour(Stream(), environ) is on_terminal
    assert can_colour(Stream(is_terminal=False), environ) is elsewhere


SCRIPT = """
import os
from kling_cli.world import open_world
with open_world() as world:
    world.stderr.write(f"{world.stdout.writable()} {world.stdin.readline()!r}\\n")
    world.stderr.write(f"{os.open(os.devnull, os.O_RDONLY) > 2}\\n")
    if world.stdout.writable():
        world.stdout.write("\\u2713\\n")
"""


@pytest.mark.parametrize(
    ("closed", "out", "err"),
    [
        ("", "\\u2713\n", "True 'word\\n'\nTrue\n"),
        ("<&-", "\\u2713\n", "True ''\nTrue\n"),
        (">&-", "", "False 'word\\n'\nTrue\n"),
    ],
)
def test_closed_streams_are_plugged(closed: str, out: str, err: str) -> None:
    """Faults 86 and 114: whatever is closed, no file of ours is opened in a stream's place."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, SCRIPT],
        input=b"word\n",
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (done.stdout.decode(), done.stderr.decode()) == (out, err)


def test_what_is_no_text_is_no_fault() -> None:
    """Fault 70: bytes on standard input that no locale has are handed on, to be judged."""
    script = (
        "from kling_cli.world import open_world\n"
        "with open_world() as world: print(ascii(world.stdin.readline()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=b"a\xff\n", capture_output=True, check=False
    )
    assert done.stdout.decode() == "'a\\udcff\\n'\n"


def test_a_long_run_looks_for_garbage_again() -> None:
    """The program starts without looking for any, and a batch would then never stop growing."""
    script = (
        "import gc; from kling_cli.world import settle; before = gc.get_freeze_count();"
        "settle(); print(gc.get_freeze_count() == before);"
        "gc.disable(); settle(); print(gc.isenabled(), gc.get_freeze_count() > before)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.stdout == b"True\nTrue True\n"


def test_a_stream_without_a_descriptor_will_do() -> None:
    """Whoever runs the program in a process of their own may have replaced standard error."""
    script = (
        "import io, sys; sys.stderr = io.StringIO(); from kling_cli.world import open_world\n"
        "with open_world() as world: print(world.stderr is sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.stdout == b"True\n"
