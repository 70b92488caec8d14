"""The pictures of README.md show what the program shows, and load nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from support.pages import ROOT, read_page

PICTURES = ROOT / "man" / "pictures"
# What no two runs have in common: ids, times, the spinner.
CHANGING = re.compile(r"\d{18}|kling-\w{26}|\d+:\d\d|(?<=about )\d+ \w+|[⠀-⣿]")


def read_lines(picture: Path) -> list[str]:
    """Read the lines of a picture; those of a batch come in any order."""
    lines: dict[str, str] = {}
    for text in ET.fromstring(picture.read_text(encoding="utf-8")).iter():
        if text.tag.endswith("}text"):
            lines[text.attrib["y"]] = lines.get(text.attrib["y"], "") + (text.text or "")
    return sorted(CHANGING.sub("", line.replace("\xa0", " ")).rstrip() for line in lines.values())


def test_the_pictures_are_of_the_program_as_it_is(tmp_path: Path) -> None:
    """Each picture of the README shows, word for word, what a real run shows now."""
    subprocess.run(
        [sys.executable, str(PICTURES / "draw.py"), str(tmp_path)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), "LC_ALL": "C.UTF-8"},
        timeout=100,
    )
    shown = re.findall(r"!\[[^]]+\]\(man/pictures/(.+)\)", read_page("README.md"))
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
