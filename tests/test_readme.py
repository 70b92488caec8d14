"""What README.md shows works as it stands there, and what it says is what the program does."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

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
from support.run import Program, command, run_process

from kling_cli.errors import ExitCode
from kling_cli.settings import KEYS

README = read_page("README.md")
PICTURES = ROOT / "man" / "pictures"
# What no two runs have in common: ids, times, the spinner.
CHANGING = re.compile(r"\d{18}|kling-\w{26}|\d+:\d\d|(?<=about )\d+ \w+|[⠀-⣿]")
BLOCKS = find_blocks(README)
EXAMPLES = name_examples(README)
(SETUP,) = (block.text for block in BLOCKS if block.mark == "setup")


def find_section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    return make_desk(tmp_path)


def test_the_example_with_a_token(desk: Path) -> None:
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
    return path.read_bytes()[4:8] == b"ftyp"


def test_the_example_of_saving(desk: Path) -> None:
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


def test_the_example_of_completion_and_manual(desk: Path, kling: Program) -> None:
    run = run_script(EXAMPLES["Completion and manual"], desk)
    assert (run.code, run.err) == (0, "")
    topics = ((), ("exit-codes",), ("environment",))
    assert run.out == "".join(kling("help", *topic).out for topic in topics)


def test_the_setup_ends_with_a_clip(tmp_path: Path) -> None:
    """The first command leaves a video that plays, and prints its name and nothing else; twice."""
    shutil.copytree(ROOT / "tests" / "photos", tmp_path / "tests" / "photos")
    program, *argv = shlex.split(SETUP.strip().split(" && ")[-1])
    assert program == ".venv/bin/kling"
    for _ in range(2):
        run = run_process(command(*argv), os.environ, directory=tmp_path)
        assert (run.code, run.out) == (0, "clip.mp4\n"), run.err
        assert "sandbox" in run.err
    clip = ROOT / "kling_cli" / "sandbox" / "clip.mp4"
    assert (tmp_path / "clip.mp4").read_bytes() == clip.read_bytes()


def test_the_exit_codes_are_the_programs_own() -> None:
    rows = [line for line in find_section("Exit codes").splitlines() if re.match(r"\| \d", line)]
    assert rows == [f"| {int(code)} | {code.meaning} | {code.again} |" for code in ExitCode]


def test_the_settings_are_the_programs_own(kling: Program) -> None:
    text = find_section("Settings")
    usage = kling("effect", "--help").out
    rows = [line for line in text.splitlines() if "| `KLING_" in line]
    assert rows == [f"| {key.name} | `{key.environment}` | {key.description} |" for key in KEYS]
    assert all(f"`{key.default}`" in text for key in KEYS if key.default)
    options = {key.flag for key in KEYS if key.flag and key.flag in usage}
    assert set(re.findall(r"`(--[a-z-]+)`", text)) == options


def test_every_option_that_is_named_exists(kling: Program) -> None:
    commands = ("effect", "status", "wait", "tasks", "scenes", "sandbox", "config", "help")
    known = "".join(kling(*argv, "--help").out for argv in ((), *zip(commands, strict=True)))
    shown = [line for line in README.splitlines() if not re.search("^curl |pip install", line)]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(shown)))
    # One is named because there is none.
    assert {name for name in named if not re.search(rf"{name}\b", known)} == {"--token"}


def test_every_file_that_is_linked_exists() -> None:
    linked = re.findall(r"\]\(([^)]+)\)", README)
    assert linked
    assert all((ROOT / link).is_file() for link in linked)


@pytest.mark.parametrize("script", EXAMPLES.values(), ids=EXAMPLES)
def test_the_examples_are_good_shell(script: str) -> None:
    assert lint_script(script) == ""


def read_lines(picture: Path) -> list[str]:
    """Read the lines of a picture; those of a batch come in any order."""
    lines: dict[str, str] = {}
    for text in ET.fromstring(picture.read_text(encoding="utf-8")).iter():
        if text.tag.endswith("}text"):
            lines[text.attrib["y"]] = lines.get(text.attrib["y"], "") + (text.text or "")
    return sorted(CHANGING.sub("", line.replace("\xa0", " ")).rstrip() for line in lines.values())


def test_the_pictures_are_of_the_program_as_it_is(tmp_path: Path) -> None:
    """Each picture of the README shows, word for word, what a real run shows now."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "LC_ALL": "C.UTF-8"}
    drawn = run_process([sys.executable, PICTURES / "draw.py", tmp_path], environ)
    assert drawn.code == 0, drawn.err
    shown = re.findall(r"!\[[^]]+\]\(man/pictures/(.+)\)", README)
    assert sorted(shown) == sorted(path.name for path in tmp_path.iterdir())
    for name in shown:
        assert read_lines(PICTURES / name) == read_lines(tmp_path / name), (
            "run: PYTHONPATH=tests python man/pictures/draw.py"
        )


def test_the_pictures_stand_alone() -> None:
    """A picture loads nothing from elsewhere, and says nothing of who drew it."""
    for picture in PICTURES.glob("*.svg"):
        content = picture.read_text(encoding="utf-8")
        assert not re.search(r"@import|@font-face|url\([^#]|<image|<script|href", content)
        assert not re.search(r"/home|/root|/tmp|127\.0\.0\.1|sk-", content)
