"""The pictures of README.md show what the program shows, and need nobody else's host."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from ground.pages import ROOT, read_page

PICTURES = ROOT / "man" / "pictures"
_SHOWN = re.compile(r"!\[([^]]+)\]\(([^)]+)\)")
NAMED = {path: alt for alt, path in _SHOWN.findall(read_page("README.md"))}
NAMESPACE = "http://www.w3.org/2000/svg"
LARGEST = 40_000
# What the screens cannot be without.
WORDS = {
    "finished": ("-o clip.mp4", "submitted", "open the video"),
    "live": ("processing", "usually about"),
    "refused": ("--fix repairs it before sending.", "200 x 200 pixels", "WebP"),
    "batch": ("2 new tasks, 2 already made. Buy?", "2 of 4 done, 2 running", "costs nothing"),
}


def read_lines(picture: Path) -> list[str]:
    """Read the lines of a picture, from top to bottom."""
    lines: dict[float, str] = {}
    for text in ET.fromstring(picture.read_text(encoding="utf-8")).iter(f"{{{NAMESPACE}}}text"):  # noqa: S314 - drawn here
        height = float(text.attrib["y"])
        lines[height] = lines.get(height, "") + (text.text or "")
    return [lines[height].replace("\xa0", " ").rstrip() for height in sorted(lines)]


def forget_order(lines: list[str]) -> list[str]:
    """Sort the lines, which come as they come in a batch, without the ids that go along."""
    return sorted(re.sub(r"\d{18}|kling-\w{26}", "", line) for line in lines)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The pictures as they are drawn today, by their names."""
    place = tmp_path_factory.mktemp("pictures")
    subprocess.run(
        [sys.executable, str(PICTURES / "draw.py"), str(place)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        timeout=90,
    )
    return {path.stem: path for path in place.iterdir()}


def test_the_readme_shows_every_picture() -> None:
    """No picture is missing, and none lies there unseen."""
    pictures = {path.relative_to(ROOT).as_posix() for path in PICTURES.glob("*.svg")}
    assert set(NAMED) == pictures
    assert {Path(name).stem for name in NAMED} == set(WORDS)


@pytest.mark.parametrize("name", NAMED)
def test_the_picture_stands_alone(name: str) -> None:
    """It is small and well-formed, has words for who cannot see it, and loads nothing."""
    content = (ROOT / name).read_text(encoding="utf-8")
    assert len(content.encode()) < LARGEST
    root = ET.fromstring(content)  # noqa: S314 - drawn here
    assert root.tag == f"{{{NAMESPACE}}}svg"
    assert root.findtext(f"{{{NAMESPACE}}}title") == NAMED[name]
    assert re.findall(r"\w+://[^\"\s]+", content) == [NAMESPACE]
    assert not re.search(r"@import|@font-face|url\(|<image|<script|href", content)


@pytest.mark.parametrize("name", WORDS)
def test_the_picture_is_of_the_program_as_it_is(name: str, drawn: Mapping[str, Path]) -> None:
    """What is committed shows, word for word, what a real run shows now."""
    shown = read_lines(PICTURES / f"{name}.svg")
    assert forget_order(shown) == forget_order(read_lines(drawn[name])), (
        "run: PYTHONPATH=tests python man/pictures/draw.py"
    )
    assert all(word in "\n".join(shown) for word in WORDS[name])


@pytest.mark.parametrize("name", WORDS)
def test_the_picture_tells_nothing_of_this_machine(name: str) -> None:
    """No path, port or token of who drew it is in it."""
    content = (PICTURES / f"{name}.svg").read_text(encoding="utf-8")
    assert not re.search(r"/home|/root|/tmp|127\.0\.0\.1|sk-", content)
