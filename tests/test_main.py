"""The program's door."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.run import command, run_installed


@pytest.fixture(autouse=True)
def _buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


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
