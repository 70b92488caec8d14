"""What README.md shows works as it stands there, and what it says is what the program does."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from support.pages import (
    CLIP,
    ROOT,
    buy_before,
    find_blocks,
    lint_script,
    make_desk,
    name_examples,
    read_page,
    run_script,
)
from support.run import Program, Run, command

from kling_cli.errors import ExitCode
from kling_cli.settings import KEYS

README = read_page("README.md")
WIDEST = 99
BLOCKS = find_blocks(README)
EXAMPLES = name_examples(README)
(SETUP,) = (block.text for block in BLOCKS if block.mark == "setup")
(TESTS,) = (block.text for block in BLOCKS if block.mark == "tests")


def find_section(title: str) -> str:
    """Find the text below a heading."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A directory with the photographs that the examples name."""
    return make_desk(tmp_path)


def test_the_example_with_a_token(desk: Path) -> None:
    """The token is read, the service takes it, and the first real use prints one URL."""
    buy_before(desk, "squish", "photo.jpg")
    run = run_script(EXAMPLES["With a token"], desk, stdin="sandbox\n")
    assert run.code == 0, run.err
    *checked, url = run.lines
    assert "accepted\tyes" in [line.rstrip() for line in checked]
    assert url == CLIP


def test_the_example_in_a_terminal(desk: Path) -> None:
    """What is new is bought, what was bought before is told again, and both lists are printed."""
    buy_before(desk, "hug_pro", "left.jpg", "right.jpg")
    buy_before(desk, "squish", "photo.jpg")
    run = run_script(EXAMPLES["In a terminal"], desk)
    assert run.code == 0, run.err
    assert run.lines[:5] == [CLIP] * 5
    assert run.lines[5].startswith("reuse\tkling-")
    tasks = [line.split("\t") for line in run.lines[6:9]]
    assert [(task[1], task[2], task[4]) for task in tasks] == [
        ("succeed", "squish", "photo.jpg"),  # bought with --new
        ("succeed", "squish", f"{desk}/photo.jpg"),
        ("succeed", "hug_pro", f"{desk}/left.jpg {desk}/right.jpg"),
    ]
    assert len({task[0] for task in tasks}) == len(tasks)
    assert ["hug_pro", "2"] in [line.split("\t")[:2] for line in run.lines[9:]]


def is_video(path: Path) -> bool:
    """Tell whether a file begins as a video does."""
    return path.read_bytes()[4:8] == b"ftyp"


def test_the_example_of_saving(desk: Path) -> None:
    """The paths of what was saved are printed, the video's bytes go where they shall, once each."""
    buy_before(desk, "squish", "photo.jpg")
    run = run_script(EXAMPLES["Saving"], desk)
    assert run.code == 0, run.err
    assert run.lines == ["clip.mp4", "clips/photo-squish.mp4", "copy.mp4"]
    assert all(is_video(desk / name) for name in run.lines)
    assert "error" not in run.err


def test_the_example_of_many_photos(desk: Path) -> None:
    """Each line saves one clip for each photo, and what is there already is not made again."""
    for name in ("photo.jpg", "right.jpg"):
        buy_before(desk, "squish", name)
    run = run_script(EXAMPLES["Many photos"], desk)
    assert run.code == 0, run.err
    lines = [line.split("\t") for line in run.lines]
    assert sorted(name.removeprefix("./") for _, name in lines) == sorted(
        ["left.jpg", "right.jpg"] + 3 * ["left.jpg", "photo.jpg", "right.jpg"]
    )
    assert all(
        path == f"clips/{Path(name).stem}-squish.mp4" and is_video(desk / path)
        for path, name in lines
    )
    assert "submitted" not in run.err


def test_the_example_in_a_script(desk: Path) -> None:
    """The script goes on from a task id to the saved video."""
    run = run_script(EXAMPLES["In a script"], desk)
    assert run.code == 0, run.err
    looked, *others = run.lines
    task_id, status, message = looked.split("\t")
    assert task_id.isdecimal()
    # On a slow machine the sandbox may be done before the script looks.
    assert (status, message) in {("submitted", ""), ("processing", ""), ("succeed", CLIP)}
    assert others == [CLIP, "clip.mp4"]
    assert is_video(desk / "clip.mp4")


def test_the_example_of_trouble(desk: Path) -> None:
    """The chosen trouble comes, also to who has bought the same video before."""
    buy_before(desk, "squish", "photo.jpg")
    run = run_script(EXAMPLES["In a script, again"], desk)
    assert (run.code, run.lines) == (0, ["the service could not make it; nothing was charged"])
    assert "risk control" in run.err


def test_the_example_with_jq(desk: Path) -> None:
    """Each filter finds what it is after."""
    buy_before(desk, "squish", "photo.jpg")
    run = run_script(EXAMPLES["With jq"], desk)
    assert run.code == 0, run.err
    assert run.lines[:2] == [CLIP, "true"]
    assert run.lines[2].split("\t")[1] == "squish"
    assert "hug_pro" in run.lines[3:-3]
    assert run.lines[-3] == '"photo.jpg","succeed",0'
    assert sorted(run.lines[-2:]) == ["left.jpg\treuse", "right.jpg\tbuy"]


def test_the_example_of_a_callback(desk: Path) -> None:
    """The URL is taken, and no part of what is bought; its query is masked."""
    example = EXAMPLES["Callbacks"]
    shown = run_script(f"{example.rstrip()} --dry-run", desk)
    assert "https://example.com/kling?..." in shown.out
    first = run_script(example, desk)
    again = run_script(example.replace("0123", "4567"), desk)
    assert [run.code for run in (shown, first, again)] == [0, 0, 0]
    assert first.out == again.out
    assert "key=0123" not in shown.out + first.out + first.err


def test_the_body_of_a_callback() -> None:
    """What the README shows is JSON, with a status of the program, and ids as strings."""
    (block,) = (block for block in BLOCKS if block.mark == "callback")
    body = json.loads(block.text)
    assert body["task_status"] == "succeed"
    told = find_section("Callbacks")
    assert all(f"`{status}`" in told for status in ("submitted", "processing", "succeed", "failed"))
    assert f"`kling status {body['task_id']}`" in told
    (video,) = body["task_result"]["videos"]
    assert set(video) == {"id", "url", "duration"}


def test_the_example_of_completion_and_manual(desk: Path, kling: Program) -> None:
    """Bash takes the script, and each topic is explained."""
    run = run_script(EXAMPLES["Completion and manual"], desk)
    assert (run.code, run.err) == (0, "")
    topics = ((), ("exit-codes",), ("environment",))
    assert run.out == "".join(kling("help", *topic).out for topic in topics)


def test_the_setup_installs_an_extra_that_exists() -> None:
    """The first command makes an environment, installs the test tools, and uses what it made."""
    make, install, _use = SETUP.strip().split(" && ")
    assert make == "python3 -m venv .venv"
    program, verb, _quiet, editable, what = shlex.split(install)
    assert (program, verb, editable) == (".venv/bin/pip", "install", "--editable")
    extra = what.removeprefix(".[").removesuffix("]")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra in project["optional-dependencies"]


def run_setup(directory: Path) -> Run:
    """Use what the first command has installed, in a directory with the test photos."""
    program, *argv = shlex.split(SETUP.strip().split(" && ")[-1])
    assert program == ".venv/bin/kling"
    done = subprocess.run(
        command(*argv), capture_output=True, text=True, cwd=directory, timeout=60, check=False
    )
    return Run(code=done.returncode, out=done.stdout, err=done.stderr)


def test_the_setup_ends_with_a_clip(tmp_path: Path) -> None:
    """The first command leaves a video that plays, and prints its name and nothing else; twice."""
    shutil.copytree(ROOT / "tests" / "photos", tmp_path / "tests" / "photos")
    first = run_setup(tmp_path)
    assert (first.code, first.out) == (0, "clip.mp4\n"), first.err
    assert "sandbox" in first.err
    clip = ROOT / "kling_cli" / "sandbox" / "clip.mp4"
    assert (tmp_path / "clip.mp4").read_bytes() == clip.read_bytes()
    again = run_setup(tmp_path)
    assert (again.code, again.out) == (0, "clip.mp4\n"), again.err


def test_the_clip_of_the_setup_is_nobodys_change() -> None:
    """What the first command saves into the repository never gets into a commit."""
    *_, output, force = shlex.split(SETUP)
    assert force == "--force"
    assert f"/{output}" in read_page(".gitignore").splitlines()


def test_the_check_runs_the_commands_of_the_readme() -> None:
    """The check finds the two commands that newcomers are shown, and nothing else."""
    script = 'eval "$(sed -n "/^show_command()/,/^}/p" .ci/suite)"; show_command "$0"'
    for mark, text in (("setup", SETUP), ("tests", TESTS)):
        found = subprocess.run(
            ["bash", "-c", script, mark], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert found.stdout == text


def test_the_exit_codes_are_the_programs_own() -> None:
    """The table says of every exit code what the program says of it, in the same words."""
    rows = [line for line in find_section("Exit codes").splitlines() if re.match(r"\| \d", line)]
    assert rows == [f"| {int(code)} | {code.meaning} | {code.again} |" for code in ExitCode]


def test_the_settings_are_the_programs_own(kling: Program) -> None:
    """Every setting that does something is there, with its variable, option and default."""
    text = find_section("Settings")
    usage = kling("effect", "--help").out
    rows = [line for line in text.splitlines() if "| `KLING_" in line]
    assert rows == [f"| {key.name} | `{key.environment}` | {key.description} |" for key in KEYS]
    assert all(f"`{key.default_text}`" in text for key in KEYS if key.default_text)
    options = {key.flag for key in KEYS if key.flag and key.flag in usage}
    assert set(re.findall(r"`(--[a-z-]+)`", text)) == options


def test_every_option_that_is_named_exists(kling: Program) -> None:
    """The README promises no option that the program lacks."""
    commands = (
        "effect",
        "status",
        "wait",
        "tasks",
        "scenes",
        "sandbox",
        "config",
        "completion",
        "help",
    )
    known = "".join(kling(*argv, "--help").out for argv in ((), *zip(commands, strict=True)))
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
    lines = read_page(name).splitlines()
    assert [line for line in lines if len(line) > WIDEST and line != SETUP.strip()] == []


@pytest.mark.parametrize("script", EXAMPLES.values(), ids=EXAMPLES)
def test_the_examples_are_good_shell(script: str) -> None:
    """Whoever copies an example copies no mistake."""
    assert lint_script(script) == ""


def test_the_check_is_good_shell() -> None:
    """The scripts of the check keep to what the linter of shell scripts asks."""
    if shutil.which("shellcheck") is None:
        pytest.skip(reason="shellcheck is not installed")
    done = subprocess.run(
        ["shellcheck", ".ci/run", ".ci/suite"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (0, "")
