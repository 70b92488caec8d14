"""The one place where an error becomes words and an exit code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.process import Process
from support.run import PHOTO, Program, Run, command, run_installed
from support.service import LoopbackService
from support.shop import Rules

from kling_cli import __version__

_CONFIG = ("list", "get", "set", "unset", "path", "check")
_SINGLE = "effect status wait tasks scenes sandbox completion help config"
COMMANDS = [(), *((name,) for name in _SINGLE.split()), *(("config", name) for name in _CONFIG)]
TOKEN = "sk-test-0123456789abcdef"


@pytest.fixture(autouse=True)
def _buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(
    kling: Program, monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...]
) -> None:
    """Fault 116: each command's help has its options and an example, and fits any terminal."""
    for columns in ("1", "40", "abc"):
        monkeypatch.setenv("COLUMNS", columns)
        assert max(map(len, kling(*path, "--help").lines)) <= 80
    monkeypatch.setenv("COLUMNS", "80")
    run = kling(*path, "-h")
    name = " ".join(("kling", *path))
    assert (run.code, run.err) == (0, "")
    assert f" Usage: {name} " in run.out
    assert max(map(len, run.lines)) <= 80
    assert re.search(r"--help +-h", run.out)
    _usage, *examples = (line.strip() for line in run.lines if name in line)
    assert any(line.startswith(name) or f"$({name}" in line for line in examples), run.out


@pytest.mark.parametrize("path", [(), ("config",)], ids=" ".join)
def test_no_summary_is_cut(kling: Program, path: tuple[str, ...]) -> None:
    _, *commands, _ = kling(*path, "--help").out.partition("─ Commands ─")[2].strip().splitlines()
    assert len(commands) >= 6
    for line in commands:
        assert re.fullmatch(r"│ [a-z]+ +[A-Z][^…]*[^.]\. +│", line), line


def test_the_bare_program_shows_how_to_start(kling: Program) -> None:
    run = kling()
    assert (run.code, run.out) == (2, "")
    for words in ("--sandbox", "kling config set token", "kling effect squish", "kling help"):
        assert words in run.err
    group = kling("config")
    assert (group.code, group.out) == (2, "")
    assert " Usage: kling config " in group.err


def test_the_version_has_its_option(kling: Program) -> None:
    run = kling("--version", "scenes")
    assert (run.code, run.out) == (0, f"kling {__version__}\n")


@pytest.mark.parametrize(
    ("argv", "words", "hint"),
    [
        (("efect",), "No such command 'efect'. Did you mean 'effect'?", "kling --help"),
        (("config", "lst"), "No such command 'lst'. Did you mean 'list'", "kling config --help"),
        (("config", "get", "tokn"), "Unknown setting", "Settings: token"),
        (("config", "set", "token", TOKEN), "not accepted as an argument", "kling config set"),
        (("wait", "--timeout"), "Option '--timeout' requires an argument", "kling --help"),
        (("scenes", "--jsn"), "No such option: --jsn (Possible options: --json)", "kling scenes"),
        (("effect",), "Missing argument 'SCENE'", "kling effect --help"),
        (("effect", "squish"), "Missing argument 'IMAGE...'", "kling effect --help"),
        (("sandbox", "--port", "x"), "'x' is not a valid int", "kling sandbox --help"),
        (("config", "path", "more"), "unexpected extra argument", "kling config path --help"),
        (("\x1b[31m",), r"\x1b[31m", "kling --help"),
    ],
)
def test_slips_are_put_right(kling: Program, argv: tuple[str, ...], words: str, hint: str) -> None:
    """A usage error is one clear line and a hint, with exit code 2, and an object under --json."""
    run = kling(*argv)
    assert run.code == 2
    problem, way = run.err.splitlines()
    assert problem.startswith("error: ")
    assert words in problem
    assert way.startswith(f"hint: {hint}")
    assert "\x1b" not in run.err
    record = kling(*argv, "--json").json
    assert (record["ok"], record["exit_code"], record["error"]["charged"]) == (False, 2, "no")


def test_a_usage_error_in_the_sandbox_says_so(kling: Program) -> None:
    assert kling("status", "--sandbox", "--json", "a b").json["sandbox"] is True
    assert kling("status", "--json", "a b").json["sandbox"] is False


BUG = """
import sys
import typer
from kling_cli.cli import app

def crash(verbose: bool = typer.Option(False, "-v"), json: bool = typer.Option(False)) -> None:
    secret = "sk-very-secret"
    raise ERROR

made = app.make_app()
made.command("crash")(crash)
app.make_app = lambda _only: made
sys.exit(app.main(sys.argv[1:]))
"""


def crash(error: str, *argv: str) -> Run:
    script = BUG.replace("ERROR", error)
    done = subprocess.run(
        [sys.executable, "-c", script, "crash", *argv], capture_output=True, check=False
    )
    return Run(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ("ValueError(secret)", 1, "Internal error: ValueError"),
        ("OSError(24, 'Too many open files', secret)", 11, "Too many open files"),
        ("OSError(secret)", 11, "error: OSError"),
    ],
)
def test_a_fault_of_ours_is_one_line(error: str, code: int, words: str) -> None:
    """Fault 76: no traceback, and no value that may be a secret; -v shows where it arose."""
    run = crash(error)
    assert (run.code, run.out, len(run.err.splitlines())) == (code, "", 2)
    assert words in run.err
    assert "kling tasks lists what was bought" in run.err
    run = crash(error, "-v", "--json")
    assert run.code == run.json["exit_code"] == code
    assert run.json["error"]["charged"] == "maybe"
    assert re.search(rf"{words} at <string>:\d+ < ", run.err)
    assert "sk-very-secret" not in run.out + run.err


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
    assert "at no cost" in done.stderr.decode()
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
def test_closed_streams(service: LoopbackService, redirection: str, code: int, posts: int) -> None:
    """Fault 86: without standard output nothing is sent; without the others all goes its way."""
    shell = ["sh", "-c", f'exec "$0" "$@" {redirection}']
    argv = [*shell, *command("effect", "squish", PHOTO, "--no-wait")]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert (done.returncode, service.count("POST")) == (code, posts)
    assert posts or b"Nothing was sent" in done.stderr
    assert done.stdout.decode() == "".join(f"{sold.task_id}\n" for sold in service.ledger)


def test_the_module_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kling_cli", "effekt"], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"Did you mean 'effect'?" in done.stderr


@pytest.mark.parametrize(
    ("argv", "redirection", "code"),
    [
        ("--version", ">/dev/full", 11),
        ("--help", ">/dev/full", 11),
        ("scenes", ">&-", 11),
        ("scenes", "2>/dev/full", 0),
        ("scenes", "2>&-", 0),
        ("efect", "2>&-", 2),
        ("", "2>&-", 2),
    ],
)
def test_streams_that_cannot_be_used(argv: str, redirection: str, code: int) -> None:
    """Faults 84 and 86: whatever becomes of a stream, the exit code tells it, and no traceback."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" {argv} {redirection}', *command()],
        capture_output=True,
        check=False,
    )
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    if code == 11:
        assert done.stderr.startswith(b"error: ")


@pytest.mark.parametrize("argv", ["--version", "--help", "scenes", "effect --help"])
def test_a_reader_that_leaves_is_no_trouble(argv: str) -> None:
    """Fault 85: when the reader has gone, the program ends quietly with the shell's own code."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command(*argv.split()), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_ctrl_c_while_the_program_is_being_loaded(tmp_path: Path) -> None:
    """Fault 87: who is quicker than the program itself gets one line, not a traceback."""
    (tmp_path / "typer.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    run = run_installed("scenes", environ={"PYTHONPATH": path})
    assert (run.code, run.out) == (130, "")
    assert run.err == "Stopped. Nothing was sent.\n"
