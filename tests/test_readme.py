"""What README.md shows works as it stands there, and what it says is what the program does."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from ground.clock import VirtualClock
from ground.run import OTHER_PHOTO, PHOTO, Program, Run, run_installed

from kling_cli.errors import ExitCode
from kling_cli.settings.keys import KEYS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WIDEST = 99
CLIP = (ROOT / "kling_cli" / "sandbox" / "clip.mp4").as_uri()
_BLOCK = re.compile(r"^(?:<!-- (\w+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def find_blocks(*, mark: str, language: str = "sh") -> dict[str, str]:
    """Find the code blocks below a mark, by the heading that they stand under."""
    blocks: dict[str, str] = {}
    for found in _BLOCK.finditer(README):
        if (found[1] or "", found[2]) == (mark, language):
            heading = README.rindex("\n## ", 0, found.start())
            title = README[heading:].split("\n", 2)[1].removeprefix("## ")
            name = title if title not in blocks else f"{title}, again"
            blocks[name] = found[3]
    return blocks


def find_section(title: str) -> str:
    """Find the text below a heading."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


EXAMPLES = find_blocks(mark="example")
(WORKFLOW,) = find_blocks(mark="", language="yaml").values()
STEP = textwrap.dedent(WORKFLOW.split("run: |\n")[1])
(SETUP,) = find_blocks(mark="setup").values()
(TESTS,) = find_blocks(mark="tests").values()


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A directory with the photographs that the examples name."""
    desk = tmp_path / "desk"
    desk.mkdir()
    for name, photo in (("photo", PHOTO), ("left", PHOTO), ("right", OTHER_PHOTO)):
        shutil.copyfile(photo, desk / f"{name}.jpg")
    return desk


def buy_before(desk: Path, *argv: str) -> str:
    """Buy at the sandbox, a minute ago, what an example would have to wait for; tell its id."""
    photos = [str(desk / word) if word.endswith(".jpg") else word for word in argv]
    long_ago = VirtualClock(start=time.time() - 60)
    run = Program(clock=long_ago)("effect", *photos, "--sandbox", "--json")
    task_id: str = run.json["task_id"]
    return task_id


def run_script(
    script: str, desk: Path, *, stdin: str = "", environ: Mapping[str, str] | None = None
) -> Run:
    """Run a script as a newcomer would paste it, at the sandbox instead of the service."""
    for tool in ("jq", "curl"):
        if re.search(rf"\b{tool} ", script) and shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        input=stdin.encode(),
        capture_output=True,
        cwd=desk,
        env={**os.environ, "PATH": path, "KLING_BASE_URL": "sandbox", **(environ or {})},
        timeout=110,
        check=False,
    )
    return Run(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


def test_every_example_is_run_here() -> None:
    """No shell block stands in the README that these tests do not know."""
    assert list(EXAMPLES) == [
        "With a token",
        "In a terminal",
        "In a script",
        "In a script, again",
        "With jq",
    ]
    assert find_blocks(mark="") == {}


def test_the_example_with_a_token(desk: Path) -> None:
    """The token is read, the service takes it, and the first real use prints one URL."""
    buy_before(desk, "squish", "photo.jpg")
    run = run_script(EXAMPLES["With a token"], desk, stdin="sandbox\n")
    assert run.code == 0, run.err
    checked, url = run.lines
    assert checked.startswith("ok\tsandbox\t")
    assert url == CLIP


def test_the_example_in_a_terminal(desk: Path) -> None:
    """What is new is bought, what was bought before is told again, and both lists are printed."""
    buy_before(desk, "hug", "left.jpg", "right.jpg", "--duration", "10")
    buy_before(desk, "squish", "right.jpg")
    run = run_script(EXAMPLES["In a terminal"], desk)
    assert run.code == 0, run.err
    assert run.lines[:3] == [CLIP] * 3
    assert sorted(run.lines[3:5]) == [f"{CLIP}\tleft.jpg", f"{CLIP}\tright.jpg"]
    assert run.lines[5:7] == [CLIP] * 2
    tasks = [line.split("\t") for line in run.lines[7:11]]
    assert [(task[1], task[2], task[4]) for task in tasks] == [
        ("succeed", "squish", "photo.jpg"),  # bought with --new
        ("succeed", "squish", "photo.jpg"),  # also for left.jpg, the same picture
        ("succeed", "squish", f"{desk}/right.jpg"),
        ("succeed", "hug", f"{desk}/left.jpg {desk}/right.jpg"),
    ]
    assert len({task[0] for task in tasks}) == len(tasks)
    assert [line.split("\t")[:2] for line in run.lines[11:]] == [["squish", "1"], ["hug", "2"]]


def test_the_example_in_a_script(desk: Path) -> None:
    """The script goes on from a task id to the saved video."""
    run = run_script(EXAMPLES["In a script"], desk)
    assert run.code == 0, run.err
    task_id, status, message = run.out.rstrip("\n").split("\t")
    assert task_id.isdecimal()
    # On a slow machine the sandbox may be done before the script looks.
    assert (status, message) in {("submitted", ""), ("processing", ""), ("succeed", CLIP)}
    assert (desk / "clip.mp4").read_bytes()[4:8] == b"ftyp"


def test_the_example_of_trouble(desk: Path) -> None:
    """The chosen trouble comes, also to who has bought the same video before."""
    buy_before(desk, "squish", "photo.jpg")
    run = run_script(EXAMPLES["In a script, again"], desk)
    assert (run.code, run.lines) == (0, ["the service could not make it; nothing was charged"])
    assert "risk control" in run.err


@pytest.mark.parametrize(
    ("token", "code", "said"),
    [
        ("sandbox", ExitCode.OK, ""),
        ("sandbox-1301", ExitCode.REFUSED, ""),
        ("sandbox-no-lookup", ExitCode.UNKNOWN, "::error::Run this job again"),
    ],
)
def test_the_step_of_a_workflow(desk: Path, token: str, code: ExitCode, said: str) -> None:
    """The step hands the URL on, asks for a rerun where one helps, and fails where kling does."""
    output = desk / "output"
    output.touch()
    if code is ExitCode.OK:
        buy_before(desk, "squish", "photo.jpg")
    step = STEP.replace("--timeout 20m", "--timeout 1s")
    assert step != STEP
    run = run_script(step, desk, environ={"KLING_TOKEN": token, "GITHUB_OUTPUT": str(output)})
    assert run.code == code, run.err
    assert run.out.startswith(said)
    assert bool(run.out) == bool(said)
    assert output.read_text() == (f"url={CLIP}\n" if code is ExitCode.OK else "")


def test_the_example_with_jq(desk: Path) -> None:
    """Each filter finds what it is after."""
    buy_before(desk, "squish", "photo.jpg")
    run = run_script(EXAMPLES["With jq"], desk)
    assert run.code == 0, run.err
    assert run.lines[:2] == [CLIP, "true"]
    assert run.lines[2].split("\t")[1] == "squish"
    assert "hug" in run.lines[3:]


def test_the_setup_installs_an_extra_that_exists() -> None:
    """The first command makes an environment, installs the test tools, and uses what it made."""
    make, install, _use = SETUP.strip().split(" && ")
    assert make == "python3 -m venv .venv"
    program, verb, _quiet, editable, what = shlex.split(install)
    assert (program, verb, editable) == (".venv/bin/pip", "install", "--editable")
    extra = what.removeprefix(".[").removesuffix("]")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra in project["optional-dependencies"]


def test_the_setup_ends_with_one_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that a newcomer sees on standard output is a URL, and nothing else."""
    program, *argv = shlex.split(SETUP.strip().split(" && ")[-1])
    assert program == ".venv/bin/kling"
    monkeypatch.chdir(ROOT)
    run = run_installed(*argv)
    assert (run.code, run.out) == (0, f"{CLIP}\n")
    assert "sandbox" in run.err


def test_the_check_runs_the_command_of_the_readme() -> None:
    """`.ci/run` finds exactly one test command, the one that newcomers are shown."""
    (filter_,) = re.findall(r"sed -n '([^']+)' README\.md", (ROOT / ".ci" / "run").read_text())
    found = subprocess.run(
        ["sed", "-n", filter_, str(ROOT / "README.md")], capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == [TESTS.strip().removeprefix(".venv/bin/")]


def test_the_exit_codes_are_the_programs_own() -> None:
    """The table says of every exit code what the program says of it, in the same words."""
    rows = [line for line in find_section("Exit codes").splitlines() if re.match(r"\| \d", line)]
    assert rows == [f"| {int(code)} | {code.meaning} | {code.again} |" for code in ExitCode]


def test_the_settings_are_the_programs_own(kling: Program) -> None:
    """Every setting that does something is there, with its variable, option and default."""
    text = find_section("Settings")
    usage = kling("effect", "--help").out
    # What no command saves yet, nobody can set the place for.
    keys = [key for key in KEYS if key.name != "output" or key.flag in usage]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{key.name}` | `{key.environment}` | {key.description} |" for key in keys]
    assert all(f"`{key.default_text}`" in text for key in keys if key.default_text)
    options = {key.flag for key in keys if key.flag and key.flag in usage}
    assert set(re.findall(r"`(--[a-z-]+)`", text)) == options


def test_every_option_that_is_named_exists(kling: Program) -> None:
    """The README promises no option that the program lacks."""
    commands = ("effect", "status", "wait", "tasks", "scenes", "sandbox", "config")
    known = "".join(kling(command, "--help").out for command in commands)
    shown = [line for line in README.splitlines() if not re.search("^curl |pip install", line)]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(shown)))
    # One is named because there is none.
    assert {name for name in named if not re.search(rf"{name}\b", known)} == {"--token"}


def test_every_file_that_is_linked_exists() -> None:
    """No link of the README leads nowhere."""
    linked = re.findall(r"\]\(([^)]+)\)", README)
    assert linked
    assert all((ROOT / link).is_file() for link in linked)


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_the_pages_are_narrow(name: str) -> None:
    """A page can be read as it stands, in a terminal; only the command to paste is one line."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > WIDEST and line != SETUP.strip()] == []


@pytest.mark.parametrize("script", [*EXAMPLES.values(), STEP], ids=[*EXAMPLES, "In CI"])
def test_the_examples_are_good_shell(script: str) -> None:
    """Whoever copies an example copies no mistake."""
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        ["shellcheck", "-s", "sh", "-"], input=script, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_check_is_good_shell() -> None:
    """`.ci/run` keeps to what the linter of shell scripts asks."""
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        ["shellcheck", str(ROOT / ".ci" / "run")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


PAGES = (
    "",
    "effect",
    "status",
    "wait",
    "tasks",
    "scenes",
    "config",
    "config list",
    "config get",
    "config set",
    "config unset",
    "config path",
    "config check",
)
_TASK_ID = "815336894036197446"
_NEEDS_SHELL = re.compile(r"[|;$<&]")


def find_examples(page: str) -> list[str]:
    """Find the command lines that a help page shows below its first paragraph."""
    block = page.split("\n\n")[2]
    lines = [line.strip() for line in block.splitlines() if line.startswith("    ")]
    return [re.split(r" {3,}", line)[0] for line in lines]


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_the_help_work(
    page: str, kling: Program, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line that a help page shows ends well where the photos and the task are there."""
    lines = find_examples(kling(*page.split(), "--help").out)
    assert lines
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
