"""What commands cost, where it can be counted: modules, requests, connections, durable writes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.photos import make_photos
from support.run import PHOTO, Program, command, run_process
from support.service import LoopbackService
from support.shop import Rules

STRACE = shutil.which("strace")

HEAVY = {"PIL", "asyncio", "click", "httpx", "pydantic", "rich", "ssl"}
LIGHT = (
    ("effect", "squich", "photo.jpg"),
    ("frobnicate",),
    ("config", "list"),
    ("scenes",),
    ("tasks",),
    ("tasks", "--json"),
    ("completion", "bash"),
    ("help", "exit-codes"),
)
# The installed script does no more than this, and then ends the process.
_PROBE = """
import os, sys
before = set(sys.modules)
report = sys.argv.pop(1)
sys.argv[0] = "kling"
os._exit = sys.exit  # or nothing could be written below
try:
    from kling_cli.__main__ import main
    sys.exit(main())
finally:
    with open(report, "w", encoding="utf-8") as file:
        file.write("\\n".join(set(sys.modules) - before))
"""
_MEASURING = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")


def load(tmp_path: Path, *argv: str | Path) -> set[str]:
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
    return {name.split(".")[0] for name in modules} & HEAVY


def test_the_version_needs_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "--version") == {"kling_cli", "kling_cli.__main__"}


@pytest.mark.parametrize("argv", LIGHT, ids=" ".join)
def test_what_asks_nobody_is_light(tmp_path: Path, kling: Program, argv: tuple[str, ...]) -> None:
    kling("effect", "squish", PHOTO, "--sandbox")
    modules = load(tmp_path, *argv)
    assert "kling_cli.cli.app" in modules
    assert heavy(modules) == set()
    assert argv[0] in ("tasks", "effect") or "sqlite3" not in modules


def test_help_needs_no_more_than_the_command_line(tmp_path: Path) -> None:
    modules = load(tmp_path, "effect", "--help")
    assert heavy(modules) == {"rich"}
    assert not {"sqlite3", "kling_cli.effect", "kling_cli.journal"} & modules


def test_a_look_loads_no_pillow(tmp_path: Path, kling: Program, service: LoopbackService) -> None:
    kling("effect", "squish", PHOTO, "--no-wait")
    looks = len(service.visits)
    assert heavy(load(tmp_path, "status")) == {"httpx", "ssl"}
    assert len(service.visits) == looks + 1


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    "argv",
    [("effect", "squish", PHOTO, "--no-wait"), ("config", "check")],
    ids=lambda argv: argv[0],
)
def test_no_command_loads_what_is_not_ours(tmp_path: Path, argv: tuple[str | Path, ...]) -> None:
    modules = load(tmp_path, *argv)
    assert "kling_cli.context" in modules
    assert heavy(modules) <= {"PIL", "httpx", "ssl"}


def test_a_run_loads_few_modules_of_ours(tmp_path: Path) -> None:
    """Of the commands only its own is loaded, and nothing that saves, repairs or lists."""
    modules = load(tmp_path, "effect", "squish", PHOTO, "--sandbox")
    assert sum(name.split(".")[0] == "kling_cli" for name in modules) <= 36
    assert not {"tomllib", "httpcore"} & modules


def test_a_misspelt_scene_loads_no_run(tmp_path: Path) -> None:
    modules = load(tmp_path, "effect", "squich", "photo.jpg")
    assert not {"kling_cli.effect", "kling_cli.models", "json"} & modules


def test_the_sandbox_server_loads_no_client(tmp_path: Path, service: LoopbackService) -> None:
    """`kling sandbox` serves without the client's code; Python's own HTTP server brings ssl."""
    port = service.base_url.rsplit(":", 1)[1].split("/")[0]
    assert heavy(load(tmp_path, "sandbox", "--port", port)) <= {"ssl"}


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
def test_a_purchase_costs_a_few_requests_and_durable_writes(
    tmp_path: Path, service: LoopbackService
) -> None:
    """On disk it is claimed, sending, accepted and done; a look uses the upload's connection."""
    service.shop.rules = Rules(looks_until_done=0)
    photos = make_photos(tmp_path / "photos", 4)
    run_process(command("tasks"), os.environ)  # creates the journal
    counts = []
    for chosen in (photos[:1], photos[1:]):
        before, trace = (len(service.visits), service.connections), tmp_path / "trace"
        strace = (str(STRACE), "-f", "-e", "trace=fsync,fdatasync", "-o", str(trace))
        run_process([*strace, *command("effect", "squish", *chosen, "--jobs", "3")], os.environ)
        writes = len(re.findall(r"sync\(", trace.read_text(encoding="utf-8")))
        visits, connections = len(service.visits) - before[0], service.connections - before[1]
        counts.append((writes, visits, connections))
    # Of two purchases more, so that what a run costs by itself does not count.
    assert [more - one for one, more in zip(*counts, strict=True)] == [2 * 4, 2 * 2, 2 * 1]
    assert len(service.ledger) == 4
