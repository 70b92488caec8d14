"""The one place where an error becomes words and an exit code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.process import Process
from support.run import OTHER_PHOTO, PHOTO, Program, Run, command, run_installed
from support.service import LoopbackService
from support.shop import Rules

from kling_cli import __version__

COMMANDS = [
    (),
    ("effect",),
    ("status",),
    ("wait",),
    ("tasks",),
    ("scenes",),
    ("sandbox",),
    ("completion",),
    ("help",),
    ("config",),
    ("config", "list"),
    ("config", "get"),
    ("config", "set"),
    ("config", "unset"),
    ("config", "path"),
    ("config", "check"),
]
TOKEN = "sk-test-0123456789abcdef"


@pytest.fixture(autouse=True)
def _buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let streams be buffered, as they are for users."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_explains_itself(kling: Program, path: tuple[str, ...], option: str) -> None:
    """Each command's help fits a terminal of 80 columns, names its options and shows an example."""
    run = kling(*path, option)
    name = " ".join(("kling", *path))
    assert (run.code, run.err) == (0, "")
    assert f" Usage: {name} " in run.out
    assert max(map(len, run.lines)) <= 80
    assert re.search(r"--help +-h", run.out)
    _usage, *examples = (line.strip() for line in run.lines if name in line)
    assert any(line.startswith(name) or f"$({name}" in line for line in examples), run.out


@pytest.mark.parametrize("path", [(), ("config",)], ids=" ".join)
def test_no_summary_is_cut(kling: Program, path: tuple[str, ...]) -> None:
    """In the list of commands each says what it does, in full."""
    _, *commands, _ = kling(*path, "--help").out.partition("─ Commands ─")[2].strip().splitlines()
    assert len(commands) >= 6
    for line in commands:
        assert re.fullmatch(r"│ [a-z]+ +[A-Z][^…]*[^.]\. +│", line), line


@pytest.mark.parametrize("columns", ["1", "40", "abc"])
def test_help_fits_however_wide_the_terminal_is(
    kling: Program, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """Fault 116: help is readable at any width that the environment claims, up to 80 columns."""
    monkeypatch.setenv("COLUMNS", columns)
    for path in COMMANDS:
        run = kling(*path, "--help")
        assert run.code == 0
        assert max(map(len, run.lines)) <= 80


def test_the_bare_program_shows_how_to_start(kling: Program) -> None:
    """Who types nothing but the name gets a few lines to try, and no wall of text."""
    run = kling()
    assert (run.code, run.out) == (2, "")
    assert len(run.err.splitlines()) <= 6
    for words in ("--sandbox", "kling config set token", "kling effect squish", "kling help"):
        assert words in run.err
    group = kling("config")
    assert (group.code, group.out) == (2, "")
    assert " Usage: kling config " in group.err


def test_the_version_has_its_option(kling: Program) -> None:
    """`--version` is answered also where other words stand with it."""
    run = kling("--version", "scenes")
    assert (run.code, run.out) == (0, f"kling {__version__}\n")


@pytest.mark.parametrize(
    ("argv", "words", "hint"),
    [
        (("efect",), "No such command 'efect'. Did you mean 'effect'?", "kling --help"),
        (("config", "lst"), "No such command 'lst'. Did you mean 'list'", "kling config --help"),
        (("config", "get", "tokn"), "Unknown setting", "Settings: token"),
        (("help", "efect"), "Did you mean effect?", "Topics: effect"),
        (("scenes", "--jsn"), "No such option: --jsn (Possible options: --json)", "kling scenes"),
        (("effect",), "Missing argument 'SCENE'", "kling effect --help"),
        (("effect", "squish"), "Missing argument 'IMAGE...'", "kling effect --help"),
        (("wait", "--timeout"), "Option '--timeout' requires an argument", "kling --help"),
        (("sandbox", "--port", "x"), "'x' is not a valid int", "kling sandbox --help"),
        (("tasks", "more"), "unexpected extra argument", "kling tasks --help"),
        (("\x1b[31m",), r"\x1b[31m", "kling --help"),
    ],
)
def test_a_wrong_command_is_put_right(
    kling: Program, argv: tuple[str, ...], words: str, hint: str
) -> None:
    """A usage error is one clear line and a hint, on standard error, with exit code 2."""
    run = kling(*argv)
    assert (run.code, run.out) == (2, "")
    problem, way = run.err.splitlines()
    assert problem.startswith("error: ")
    assert words in problem
    assert way.startswith(f"hint: {hint}")
    assert "\x1b" not in run.err


@pytest.mark.parametrize(
    "argv",
    [
        ("efect", "--json"),
        ("--json", "wait", "--timeout"),
        ("effect", "--json"),
        ("config", "lst", "--json"),
        ("wait", "--timeout", "soon", "--json"),
        ("config", "set", "token", TOKEN, "--json"),
    ],
)
def test_a_wrong_command_has_its_object(kling: Program, argv: tuple[str, ...]) -> None:
    """Under --json a usage error, too, prints one object."""
    run = kling(*argv)
    assert run.code == run.json["exit_code"] == 2
    assert run.json["ok"] is False
    assert run.json["error"]["message"] in run.err
    assert run.json["error"]["charged"] == "no"


@pytest.mark.parametrize("argv", [("--token", TOKEN), (f"--token={TOKEN}",)])
def test_a_token_is_no_option(kling: Program, argv: tuple[str, ...]) -> None:
    """Fault 76: who gives the token as an option learns why not; it is not repeated."""
    run = kling("effect", "squish", PHOTO, *argv, "--json", "-v")
    assert run.code == 2
    assert "There is no --token" in run.err
    assert "KLING_TOKEN" in run.err
    assert TOKEN not in run.out + run.err


def test_a_usage_error_in_the_sandbox_says_so(kling: Program) -> None:
    """A failure before any task tells whether it was the sandbox that was asked for."""
    assert kling("status", "--sandbox", "--json", "a b").json["sandbox"] is True
    assert kling("status", "--json", "a b").json["sandbox"] is False


BUG = """
import sys
import typer
from kling_cli.cli import app

def crash(verbose: bool = typer.Option(False, "-v"), json: bool = typer.Option(False)) -> None:
    secret = "sk-very-secret"
    raise ERROR

app.app.command("crash")(crash)
sys.exit(app.main(sys.argv[1:]))
"""


def crash(error: str, *argv: str) -> Run:
    """Run a command that has a fault of ours in it."""
    script = BUG.replace("ERROR", error)
    done = subprocess.run(
        [sys.executable, "-c", script, "crash", *argv], capture_output=True, check=False
    )
    return Run(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


def test_a_fault_of_ours_is_one_line() -> None:
    """What nobody foresaw ends with exit code 1 and one line: no traceback, no value."""
    run = crash("ValueError(secret)")
    assert (run.code, run.out) == (1, "")
    error, hint = run.err.splitlines()
    assert error == "error: Internal error: ValueError. Please report it."
    assert "kling tasks lists what was bought" in hint
    assert "-v shows where it happened" in hint


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ("ValueError(secret)", 1, "Internal error: ValueError at "),
        ("OSError(24, 'Too many open files', secret)", 11, "Too many open files at "),
        ("OSError(secret)", 11, "failed: OSError at "),
    ],
)
def test_a_fault_shows_places_and_no_values(error: str, code: int, words: str) -> None:
    """Fault 76: -v shows where a fault arose, and even then no value that may be a secret."""
    run = crash(error, "-v", "--json")
    assert run.code == run.json["exit_code"] == code
    assert run.json["error"]["charged"] == "maybe"
    assert words in run.err
    assert re.search(r"<string>:\d+ < ", run.err)
    assert "sk-very-secret" not in run.out + run.err


def test_a_dropped_prompt_is_a_stop() -> None:
    """Who ends a question with Ctrl-D has stopped the program."""
    run = crash("EOFError")
    assert (run.code, run.out) == (130, "")
    assert "Stopped. Nothing was sent.\n" in run.err


def test_a_full_output_costs_nothing(service: LoopbackService) -> None:
    """Fault 84: a URL that found no room stands on standard error; the rerun prints it free."""
    service.shop.rules = Rules(looks_until_done=0)
    argv = command("effect", "squish", PHOTO)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, check=False)
    (bought,) = service.ledger
    url = f"{service.url}/videos/{bought.task_id}.mp4"
    assert done.returncode == 11
    assert url in done.stderr.decode()
    assert "costs nothing" in done.stderr.decode()
    again = run_installed("effect", "squish", PHOTO)
    assert (again.code, again.out) == (0, f"{url}\n")
    assert len(service.ledger) == service.count("POST") == 1


def test_a_reader_that_left_costs_nothing(service: LoopbackService) -> None:
    """Fault 85: when the reader has gone the end is quiet, and the journal keeps the task."""
    service.shop.rules = Rules(looks_until_done=0)
    reader, writer = os.pipe()
    with Process("effect", "squish", PHOTO, stdout=writer) as process:
        os.close(writer)
        process.wait_for("submitted")
        os.close(reader)
        run = process.finish()
    assert run.code == 141
    assert "error" not in run.err
    assert run_installed("effect", "squish", PHOTO).code == 0
    assert len(service.ledger) == 1


@pytest.mark.parametrize(
    ("redirection", "code", "posts"), [(">&-", 11, 0), ("2>&-", 0, 1), ("<&-", 0, 1)]
)
def test_streams_closed_from_the_start(
    service: LoopbackService, redirection: str, code: int, posts: int
) -> None:
    """Fault 86: without standard output nothing is sent; without the others all goes its way."""
    argv = command("effect", "squish", PHOTO, "--no-wait")
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {redirection}', *argv], capture_output=True, check=False
    )
    assert done.returncode == code
    assert service.count("POST") == posts
    if posts:
        assert done.stdout.decode() == f"{service.ledger[0].task_id}\n"
    else:
        assert b"Nothing was sent" in done.stderr


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", rb"caf\xe9 \u634f\u2713.jpg"),
        ("cp936", "caf\u00e9 \u634f".encode("cp936") + rb"\u2713.jpg"),
    ],
)
def test_no_locale_stops_a_run(
    service: LoopbackService, tmp_path: Path, encoding: str, shown: bytes
) -> None:
    """Fault 114: what a locale cannot say is spelt out, on both streams, and the run goes on."""
    photo = tmp_path / "caf\u00e9 \u634f\u2713.jpg"
    photo.write_bytes(PHOTO.read_bytes())
    run = subprocess.run(
        command("effect", "squish", photo, OTHER_PHOTO, "--no-wait"),
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C"},
        check=False,
    )
    assert run.returncode == 0
    assert len(service.ledger) == 2
    assert shown in run.stdout
    assert shown in run.stderr
