"""Real shells complete kling's words by the scripts that are shipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from support.run import OTHER_PHOTO, PHOTO, Program, run_installed
from support.shells import SCRIPTS, SHELLS, ask_fish, list_words, type_keys

from kling_cli.cli.app import make_app

every_shell = pytest.mark.parametrize("shell", SHELLS)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    desk = tmp_path / "desk"
    (desk / "clips").mkdir(parents=True)
    for name in ("photo.jpg", "my photo.jpg"):
        (desk / name).touch()
    return desk


@every_shell
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("kling eff", ["effect"]),
        ("kling config uns", ["unset"]),
        ("kling config get ti", ["timeout"]),
        ("kling completion p", ["powershell"]),
        ("kling effect squ", ["squeeze_scream", "squish"]),
        ("kling effect --timeout 5m let", ["let's_ride"]),
        ("kling effect 捏", ["捏捏乐"]),
        ("kling scenes hug_p", ["hug_pro"]),
        ("kling effect squish ph", ["photo.jpg"]),
        ("kling effect hug --mode ", ["pro", "std"]),
        ("kling effect --timeout 5m hug photo.jpg --mode p", ["pro"]),
        ("kling effect squish photo.jpg my", ["my photo.jpg"]),
        ("kling effect squish photo.jpg -o my", ["my photo.jpg"]),
        ("kling effect squish photo.jpg --output=my", ["my photo.jpg"]),
    ],
)
def test_what_is_offered(shell: str, line: str, words: list[str], desk: Path) -> None:
    offered = [word.removeprefix("--output=") for word in list_words(shell, line, desk)]
    assert sorted(offered) == words


@every_shell
def test_every_option_is_offered(shell: str, desk: Path) -> None:
    effect = typer.main.get_command(make_app()).commands["effect"]  # type: ignore[attr-defined] # a group
    options = {name for param in effect.params for name in param.opts if name[0] == "-"}
    offered = set(list_words(shell, "kling effect --new -", desk))
    assert offered == (options | {"--help", "-h"}) - {"--new"}


@every_shell
def test_the_tasks_of_this_machine_are_offered(shell: str, kling: Program, desk: Path) -> None:
    for photo in (PHOTO, OTHER_PHOTO):
        kling("effect", "squish", photo, "--sandbox", "--no-wait")
    first, second = (line.split("\t")[0] for line in kling("tasks", "--sandbox").lines)
    assert sorted(list_words(shell, "kling wait ", desk)) == sorted((first, second))
    assert list_words(shell, f"kling status {first} ", desk) == [second]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("kling effect squi\t", "kling effect squish "),
        ("kling effect let\t", r"kling effect let\'s_ride "),
        ("kling effect squish my\t", r"kling effect squish my\ photo.jpg "),
        ("kling effect squish photo.jpg -o cl\t", "kling effect squish photo.jpg -o clips/"),
        # The second Tab runs a script that zsh has loaded by now.
        ("kling eff\tsqui\t-o cl\t", "kling effect squish -o clips/"),
    ],
)
def test_the_tab_key(shell: str, typed: str, completed: str, desk: Path) -> None:
    assert type_keys(shell, typed, desk) == completed


def test_scenes_and_tasks_are_described(kling: Program, desk: Path) -> None:
    task_id = kling("effect", "squish", PHOTO, "--sandbox", "--no-wait").out.strip()
    assert ask_fish("kling effect squis", desk) == ["squish\t捏捏乐"]
    assert ask_fish("kling wait ", desk) == [f"{task_id}\tsquish, submitted"]


def ask_program(line: str, **environ: str) -> list[str]:
    """List what the program itself offers for a line, where a shell might add files."""
    asked = {
        "_KLING_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": line,
    }
    return run_installed(environ={**asked, **environ}).lines


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hug photo.jpg --mode ", "std pro"),
        ("hug --duration=1", "10"),
        ("--mode pro hug --model ", "kling-v1 kling-v1-5 kling-v1-6"),
        ("squish photo.jpg --mode ", ""),
        ("no_such_scene --mode ", ""),
        ("--mode ", ""),
    ],
)
def test_a_value_fits_the_scene(line: str, words: str) -> None:
    """Model, duration and mode are those that the typed scene takes, and none where it has none."""
    assert " ".join(ask_program(f"kling effect {line}")) == words


def test_a_narrow_terminal_breaks_no_description() -> None:
    """Each option stays on one line, or fish would offer the rest of its description as a word."""
    lines = ask_program("kling effect -", COLUMNS="30")
    assert len(lines) > 20
    assert all(line.startswith("-") for line in lines)


LINES = {
    "bash": 'complete -r kling; eval "$(kling completion bash)"',
    "zsh": 'compdef -d kling; eval "$(kling completion zsh)"',
    "fish": "complete -e kling; kling completion fish | source",
}


@every_shell
def test_the_lines_of_the_help_work(shell: str, kling: Program, desk: Path) -> None:
    assert LINES[shell].partition("; ")[2] in kling("completion", "--help").out
    words = list_words(shell, "kling completion po", desk, profile=LINES[shell])
    assert words == ["powershell"]


NAMES = {"bash": "kling.bash", "zsh": "_kling", "fish": "kling.fish", "powershell": "kling.ps1"}


@pytest.mark.parametrize("shell", NAMES)
def test_the_program_prints_the_script(shell: str, kling: Program) -> None:
    run = kling("completion", shell)
    script = (SCRIPTS / NAMES[shell]).read_text(encoding="utf-8")
    assert (run.code, run.out, run.err) == (0, script, "")


def test_another_shell_is_refused(kling: Program) -> None:
    run = kling("completion", "\x1bcsh")
    assert (run.code, run.out) == (2, "")
    assert "'bash', 'zsh', 'fish', 'powershell'" in run.err
    assert "\x1b" not in run.err


@pytest.mark.parametrize("journal", ["damaged", "absent"])
def test_a_tab_is_quiet_and_light(journal: str, tmp_path: Path) -> None:
    """Whatever the journal is, a Tab says nothing, makes nothing, and loads no network code."""
    path = tmp_path / "state" / "journal.sqlite3"
    if journal == "damaged":
        path.parent.mkdir()
        path.write_text("no journal", encoding="utf-8")
    words = {"COMP_WORDS": "kling\nwait\n", "COMP_CWORD": "2"}
    probe = (
        "import sys\nsys.argv = ['kling']\nfrom kling_cli.__main__ import main\n"
        "try: main()\nfinally: print(*{'httpx', 'ssl', 'PIL', 'rich', 'pydantic'} & {*sys.modules})"
    )
    argv = [sys.executable, "-c", probe]
    environ = {**os.environ, **words, "_KLING_COMPLETE": "complete_bash"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environ, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
    assert path.exists() == (journal != "absent")
