"""`kling completion`: the scripts, as a shell is given them."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ground.clock import VirtualClock
from ground.run import Program, run_installed
from ground.shells import SCRIPTS, Ask, ask_bash, ask_fish, ask_zsh

from kling_cli.app import main
from kling_cli.commands.completion import SCRIPTS as NAMES
from kling_cli.world import World


@pytest.mark.parametrize(("shell", "name"), NAMES.items())
def test_it_prints_the_script(kling: Program, shell: str, name: str) -> None:
    """Standard output is the committed script, whole, and standard error is silent."""
    run = kling("completion", shell)
    assert (run.code, run.err) == (0, "")
    assert run.out == (SCRIPTS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("shell", "name"), NAMES.items())
def test_it_prints_the_script_as_json(kling: Program, shell: str, name: str) -> None:
    """`--json` gives one object with the whole script in it."""
    run = kling("completion", shell, "--json")
    assert run.json == {
        "schema": "kling/1",
        "shell": shell,
        "script": (SCRIPTS / name).read_text(encoding="utf-8"),
    }


def test_every_script_is_printed_by_its_shell() -> None:
    """No script lies there that no shell's name brings."""
    written = {path.name for path in SCRIPTS.iterdir() if path.is_file()} - {"generate.py"}
    assert set(NAMES.values()) == written


@pytest.mark.parametrize("shell", ["csh", "", "../kling_cli/scenes.tsv", "\x1b[31m"])
def test_another_shell_is_refused(kling: Program, shell: str) -> None:
    """A shell without a script is a wrong argument; the message names those that have one."""
    run = kling("completion", shell)
    assert (run.code, run.out) == (2, "")
    assert "There is no completion for '" in run.err
    assert "bash, zsh, fish, powershell" in run.err
    assert "\x1b" not in run.err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_the_titles_survive_any_code_page(encoding: str) -> None:
    """The script is UTF-8, as the shells read it, whatever the system's own encoding is."""
    run = run_installed("completion", "bash", environ={"PYTHONIOENCODING": encoding})
    assert run.out == (SCRIPTS / "kling.bash").read_text(encoding="utf-8")


def test_another_kind_of_stream_will_do() -> None:
    """A stream that has no encoding of its own is given the text as it is."""
    out = io.StringIO()
    world = World(stdin=io.StringIO(), stdout=out, stderr=io.StringIO(), clock=VirtualClock())
    assert main(["completion", "fish"], world) == 0
    assert out.getvalue() == (SCRIPTS / "kling.fish").read_text(encoding="utf-8")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_in_a_line() -> None:
    """A script that cannot be written is an error of one line, and not the script again."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        err = io.StringIO()
        world = World(stdin=io.StringIO(), stdout=full, stderr=err, clock=VirtualClock())
        assert main(["completion", "bash"], world) == 11
    assert len(err.getvalue().splitlines()) <= 2


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", 'eval "$(kling completion bash)"'),
        ("zsh", 'eval "$(kling completion zsh)"'),
        ("fish", "kling completion fish | source"),
    ],
)
def test_the_lines_of_its_help_work(shell: str, line: str, tmp_path: Path) -> None:
    """What the help shows for a shell's own settings file completes from then on."""
    assert line in run_installed("completion", "--help").out
    profile = tmp_path / "profile"
    profile.write_text(f"{line}\n")
    ask: Ask = {"bash": ask_bash, "zsh": ask_zsh, "fish": ask_fish}[shell]
    desk = tmp_path / "desk"
    desk.mkdir()
    assert list(ask("kling completion po", desk, script=profile)) == ["powershell"]


def test_it_loads_nothing_heavy() -> None:
    """A shell that starts with it does not wait for network, picture or journal code."""
    # Whoever measures coverage loads modules of its own.
    environ = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "kling_cli", "completion", "bash"],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "kling_cli.commands.completion" in loaded
    assert loaded & {"PIL", "asyncio", "httpx", "pydantic", "rich", "sqlite3", "ssl"} == set()
