"""What each command loads: start-up time is what is imported, and a test can name that."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from support.run import PHOTO, Program
from support.service import LoopbackService

HEAVY = {"PIL", "asyncio", "click", "httpx", "pydantic", "rich", "ssl"}
NEVER = {"click", "pydantic"}
LIGHT = (
    ("effect",),
    ("effect", "squish"),
    ("effect", "squich", "photo.jpg"),
    ("frobnicate",),
    ("config", "list"),
    ("config", "get", "timeout"),
    ("config", "path"),
    ("scenes",),
    ("scenes", "squish", "--json"),
    ("scenes", "sqish"),
    ("tasks",),
    ("tasks", "--json"),
    ("completion", "bash"),
    ("help", "exit-codes"),
    ("help", "environment"),
    ("help", "efect"),
)
# The installed script does no more than this, and then ends the process.
_PROBE = """
import sys
before = set(sys.modules)
report = sys.argv.pop(1)
sys.argv[0] = "kling"
try:
    from kling_cli.__main__ import main
    sys.exit(main())
finally:
    with open(report, "w", encoding="utf-8") as file:
        file.write("\\n".join(set(sys.modules) - before))
"""
_MEASURING = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")


def load(tmp_path: Path, *argv: str | Path) -> set[str]:
    """Run a command line in a fresh process, and tell the modules that this has loaded."""
    report = tmp_path / "modules"
    # Whoever measures coverage loads modules of its own.
    environ = {name: value for name, value in os.environ.items() if name not in _MEASURING}
    subprocess.run(
        [sys.executable, "-c", _PROBE, report, *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environ,
        timeout=60,
        check=False,
    )
    return set(report.read_text(encoding="utf-8").split())


def heavy(modules: set[str]) -> set[str]:
    """Choose those that take long to load."""
    return {name.split(".")[0] for name in modules} & HEAVY


def test_the_version_needs_nothing(tmp_path: Path) -> None:
    """`kling --version` is answered before Typer or anything else is loaded."""
    assert load(tmp_path, "--version") == {"kling_cli", "kling_cli.__main__"}


@pytest.mark.parametrize("argv", LIGHT, ids=" ".join)
def test_what_asks_nobody_is_light(tmp_path: Path, kling: Program, argv: tuple[str, ...]) -> None:
    """Topics, usage errors, settings, scenes, the journal: none loads network or picture code."""
    kling("effect", "squish", PHOTO, "--sandbox")
    modules = load(tmp_path, *argv)
    assert "kling_cli.cli.app" in modules
    assert heavy(modules) == set()
    assert argv[0] in ("tasks", "effect") or "sqlite3" not in modules


@pytest.mark.parametrize("argv", [("--help",), ("effect", "--help"), ("config", "--help")])
def test_help_needs_no_more_than_the_command_line(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """Help loads Typer's panels, and nothing of what the commands work with."""
    modules = load(tmp_path, *argv)
    assert heavy(modules) == {"rich"}
    assert not {"sqlite3", "kling_cli.effect", "kling_cli.journal"} & modules


def test_a_look_needs_no_picture_code(
    tmp_path: Path, kling: Program, service: LoopbackService
) -> None:
    """`kling status` loads neither Pillow nor, as nobody watches standard error, rich."""
    kling("effect", "squish", PHOTO, "--no-wait")
    looks = len(service.visits)
    assert heavy(load(tmp_path, "status")) == {"httpx", "ssl"}
    assert len(service.visits) == looks + 1


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    "argv",
    [
        ("effect", "squish", PHOTO, "--new", "--no-wait"),
        ("wait", "--timeout", "1s"),
        ("config", "check"),
        ("config", "set", "timeout", "5m"),
        ("config", "unset", "timeout"),
    ],
    ids=lambda argv: " ".join(argv[:2]),
)
def test_no_command_loads_what_is_not_ours(
    tmp_path: Path, kling: Program, argv: tuple[str | Path, ...]
) -> None:
    """Whatever a command does, neither pydantic nor click comes with it, nor rich into a log."""
    kling("effect", "squish", PHOTO, "--no-wait")
    modules = load(tmp_path, *argv)
    assert "kling_cli.context" in modules
    assert heavy(modules) <= {"PIL", "httpx", "ssl"}


def test_the_sandbox_server_loads_no_client(tmp_path: Path, service: LoopbackService) -> None:
    """`kling sandbox` serves without the client's code; Python's own HTTP server brings ssl."""
    port = service.base_url.rsplit(":", 1)[1].split("/")[0]
    assert heavy(load(tmp_path, "sandbox", "--port", port)) <= {"ssl"}


def test_typer_is_one_that_starts_quickly() -> None:
    """The bounds of Typer's version hold here: from 0.29 on it would load pydantic."""
    found = re.match(r"(\d+)\.(\d+)", version("typer"))
    assert found is not None
    assert (0, 26) <= (int(found[1]), int(found[2])) < (0, 29)
    probe = "import sys, typer; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    modules = {name.split(".")[0] for name in done.stdout.split()}
    assert modules & (NEVER | {"rich", "asyncio", "ssl"}) == set()
