"""The README, the guide and the Chinese page: their examples work, and what they say is true."""

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
    read_page,
    run_script,
)
from support.run import Program, command, run_process

from kling_cli.errors import ExitCode
from kling_cli.settings import KEYS

README, GUIDE, CHINESE = NAMES = ("README.md", "man/guide.md", "man/README.zh-CN.md")
PAGES = {name: read_page(name) for name in NAMES}
BLOCKS = {name: find_blocks(page) for name, page in PAGES.items()}
EXAMPLES = {
    f"{name}: {mark}": script
    for name, blocks in BLOCKS.items()
    for mark, script in blocks.items()
    if mark.startswith("example ")
}
# By its mark, what an example prints on standard output, whichever page it is on.
EXPECTED = {
    "start": rf"({CLIP}\n){{4}}",
    "more": rf"({CLIP}\n){{2}}reuse\t.*\n\d+\n(\d+\tsucceed\t.*\n){{2}}(hug.*\n)+",
    "save": r"clip\.mp4\nclips/photo-squish\.mp4\ncopy\.mp4\n",
    "many": r"(clips/(left|photo|right)-squish\.mp4\t(\./)?\2\.jpg\n){11}",
    "script": rf"\d+\t(submitted\t|processing\t|succeed\t{CLIP})\n{CLIP}\n",
    "failure": r"exit code 5\n",
    "failures": r"the task failed; nothing was charged\n",
    "json": rf'{CLIP}\n"photo\.jpg","succeed",0\n(\d+\t(squish|hug_pro)\n)+(.*\n)*hug_pro\n(.*\n)*',
    "callback": r"\d+\n",
    "sheet": r"(\d+\tsucceed\tsquish\t.*\n)+sheet\.html\n",
    "help": r"CODE (.*\n)+Settings\. (.*\n)+",
}
PICTURES = ROOT / "man" / "pictures"
# What no two runs have in common: ids, times, the spinner.
CHANGING = re.compile(r"\d{18}|kling-\w{26}|\d+:\d\d|(?<=about )\d+ \w+|[⠀-⣿]")


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_works(name: str, tmp_path: Path) -> None:
    """Pasted into a shell it prints what it says, saves what plays, and shows no secret."""
    desk, kind = make_desk(tmp_path), name.rpartition(" ")[2]
    buy_before(desk, "hug_pro", "left.jpg", "right.jpg")
    buy_before(desk, "squish", "photo.jpg")
    run = run_script(EXAMPLES[name], desk, stdin="sandbox\n")
    assert run.code == 0, run.err
    assert re.fullmatch(EXPECTED[kind], run.out), run.out
    assert ("error:" in run.err) == kind.startswith("failure"), run.err
    assert "key=0123" not in run.out + run.err
    assert all(clip.read_bytes()[4:8] == b"ftyp" for clip in desk.rglob("*.mp4"))
    assert lint_script(EXAMPLES[name]) == ""


def test_every_block_is_run_by_a_test() -> None:
    """A block without a mark would be run by nobody; the Chinese page has the README's commands."""
    for name, page in PAGES.items():
        assert page.count("\n```") == 2 * len(BLOCKS[name]), name
    for mark, script in BLOCKS[CHINESE].items():
        assert re.sub(" +#.*", "", script) == re.sub(" +#.*", "", BLOCKS[README][mark])


def test_the_setup_ends_with_a_clip(tmp_path: Path) -> None:
    """The first command leaves a video that plays, and prints its name and nothing else; twice."""
    shutil.copytree(ROOT / "tests" / "photos", tmp_path / "tests" / "photos")
    program, *argv = shlex.split(BLOCKS[README]["setup"].strip().split(" && ")[-1])
    assert program == ".venv/bin/kling"
    for _ in range(2):
        run = run_process(command(*argv), os.environ, directory=tmp_path)
        assert (run.code, run.out) == (0, "clip.mp4\n"), run.err
        assert "sandbox" in run.err
    clip = ROOT / "kling_cli" / "sandbox" / "clip.mp4"
    assert (tmp_path / "clip.mp4").read_bytes() == clip.read_bytes()


def test_the_tables_are_the_programs_own() -> None:
    """Settings and exit codes are as the program has them, and the README fits on a few screens."""
    lines = PAGES[README].splitlines()
    assert len(lines) <= 200
    codes = [line for line in lines if re.match(r"\| \d", line)]
    assert codes == [f"| {int(code)} | {code.meaning} | {code.again} |" for code in ExitCode]
    settings = [line for line in lines if "| `KLING_" in line]
    assert settings == [f"| {key.name} | `{key.environment}` | {key.description} |" for key in KEYS]
    assert all(f"`{key.default}`" in PAGES[README] for key in KEYS if key.default)
    table = re.findall(r"^\| ([\d、]+) \|", PAGES[CHINESE], re.MULTILINE)
    assert {int(code) for row in table for code in row.split("、")} < {
        int(code) for code in ExitCode
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_option_and_link_leads_somewhere(name: str, kling: Program) -> None:
    commands = ("effect", "status", "wait", "tasks", "scenes", "sandbox", "config", "help")
    known = "".join(kling(*argv, "--help").out for argv in ((), *zip(commands, strict=True)))
    shown = "\n".join(line for line in PAGES[name].splitlines() if "pip install" not in line)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", shown))
    # One is named because there is none.
    assert {option for option in named if not re.search(rf"{option}\b", known)} <= {"--token"}
    headings = re.findall(r"^#+ (.+)$", PAGES[name], re.MULTILINE)
    for link in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        path, _, anchor = link.partition("#")
        assert (ROOT / name).parent.joinpath(path).exists(), link
        assert not anchor or anchor in [title.lower().replace(" ", "-") for title in headings]


def read_lines(picture: Path) -> list[str]:
    """Read the lines of a picture; those of a batch come in any order."""
    lines: dict[str, str] = {}
    for text in ET.fromstring(picture.read_text(encoding="utf-8")).iter():
        if text.tag.endswith("}text"):
            lines[text.attrib["y"]] = lines.get(text.attrib["y"], "") + (text.text or "")
    return sorted(CHANGING.sub("", line.replace("\xa0", " ")).rstrip() for line in lines.values())


def test_the_pictures_are_of_the_program_as_it_is(tmp_path: Path) -> None:
    """Each drawn picture shows, word for word, what a real run shows now, and loads nothing."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "LC_ALL": "C.UTF-8"}
    drawn = run_process([sys.executable, PICTURES / "draw.py", tmp_path], environ)
    assert drawn.code == 0, drawn.err
    shown = set(re.findall(r"pictures/(\w+\.svg)", PAGES[README]))
    assert shown == {path.name for path in tmp_path.iterdir()}
    assert shown == {path.name for path in PICTURES.glob("*.svg")}
    for name in shown:
        assert read_lines(PICTURES / name) == read_lines(tmp_path / name), (
            "run: PYTHONPATH=tests python man/pictures/draw.py"
        )
        content = (PICTURES / name).read_text(encoding="utf-8")
        assert not re.search(r"@import|@font-face|url\([^#]|<image|<script|href", content)
        assert not re.search(r"/home|/root|/tmp|127\.0\.0\.1|sk-", content)
