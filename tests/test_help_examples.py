"""What the help pages show works as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
from support.pages import buy_before, make_desk, run_script
from support.run import Program

COMMANDS = ["effect", "status", "wait", "tasks", "scenes", "config", "help"]
CONFIG = [f"config {name}" for name in ["list", "get", "set", "unset", "path", "check"]]
_TASK_ID = "815336894036197446"
_NEEDS_SHELL = re.compile(r"[|;$<&]")


def find_examples(page: str) -> list[str]:
    prose = page.partition("╭")[0]
    lines = [line.strip() for line in prose.splitlines()[2:]]
    starts = ("kling ", "id=", '"$EDITOR"')
    return [re.split(r" {3,}", line)[0] for line in lines if line.startswith(starts)]


@pytest.mark.parametrize("page", ["", *COMMANDS, *CONFIG])
def test_the_examples_of_the_help_work(
    page: str, kling: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = find_examples(kling(*page.split(), "--help").out)
    assert lines
    desk = make_desk(tmp_path)
    task_id = buy_before(desk, "squish", "photo.jpg")
    (desk / "token.txt").write_text("sandbox\n")
    monkeypatch.chdir(desk)
    monkeypatch.setenv("KLING_BASE_URL", "sandbox")
    for example in lines:
        line = example.replace(_TASK_ID, task_id)
        if _NEEDS_SHELL.search(line):
            run = run_script(line, desk, environ={"EDITOR": "echo"})
        else:
            program, *argv = shlex.split(line, comments=True)
            assert program == "kling"
            run = kling(*argv, stdin=b"sandbox\n")
        assert run.code == 0, (line, run.err)
