"""Draw the pictures of the README from real runs: PYTHONPATH=tests python man/pictures/draw.py.

Each shows the screen of a terminal in which the installed program uses the loopback service.
Pass a directory to draw into another one.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby, repeat
from pathlib import Path

import pyte
from PIL import Image
from rich.console import Console
from rich.style import Style
from rich.text import Text
from support.run import command
from support.service import LoopbackService
from support.shop import Rules
from support.terminal import Terminal

COLUMNS = 112
NAMES = ("photo.jpg", "anna.jpg", "ben.jpg", "cleo.jpg", "dan.jpg", "poster.webp")
PHOTOS = {
    **{name: (320, 320 + number) for number, name in enumerate(NAMES)},
    "small.jpg": (200, 200),
    "banner.jpg": (1280, 320),
}
# For each picture: the command line, the answer to its question, and the text to wait for.
PICTURES = {
    "finished": ("effect squish photo.jpg -o clip.mp4", "", ()),
    "refused": ("effect squish small.jpg banner.jpg poster.webp", "", ()),
    "batch": (
        "effect squish anna.jpg ben.jpg cleo.jpg dan.jpg -o clips/",
        "y\n",
        ("cleo.jpg  processing", "dan.jpg  processing", "2/4 · 2 running"),
    ),
}


def play(name: str, place: Path, service: LoopbackService) -> Text:
    """Run the command of a picture until its text is on the screen."""
    line, answer, awaited = PICTURES[name]
    service.shop.rules = Rules(looks_until_done=0)
    if name == "batch":
        earlier = command("effect", "squish", "anna.jpg", "ben.jpg", "-o", "clips/")
        subprocess.run(earlier, cwd=place, capture_output=True, check=True)
    if awaited:
        service.shop.rules = Rules(task_seconds=3600)
    with Terminal(*line.split(), directory=place, columns=COLUMNS) as terminal:
        if answer:
            terminal.wait_for("?")
            terminal.type(answer)
        for text in awaited:
            terminal.wait_for(text)
        if not awaited:
            terminal.finish()
        return Text.assemble(("$ ", "green"), (f"kling {line}\n", "bold"), read(terminal.screen))


def read(screen: pyte.Screen) -> Text:
    """Read a screen with its colours."""
    text = Text()
    for row in range(screen.lines):
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        for style, alike in groupby(cells, key=find_style):
            text.append("".join(cell.data for cell in alike), style)
        text.rstrip()
        text.append("\n")
    text.rstrip()
    return text


def find_style(cell: pyte.screens.Char) -> Style:
    """Find the style of a character; pyte has its own names for colours."""
    named = cell.fg.replace("brown", "yellow").replace("bright", "bright_")
    if re.fullmatch("[0-9a-f]{6}", named):
        named = f"#{named}"
    return Style(color=None if named == "default" else named, bold=cell.bold)


def draw(name: str, directory: Path) -> None:
    """Draw one picture, with its own photos, journal and service."""
    with tempfile.TemporaryDirectory() as place, LoopbackService() as service:
        for photo, size in PHOTOS.items():
            Image.new("RGB", size, "teal").save(Path(place) / photo)
        os.environ |= {
            "KLING_CONFIG_DIR": f"{place}/config",
            "KLING_STATE_DIR": f"{place}/state",
            "KLING_BASE_URL": service.base_url,
            "KLING_TOKEN": "sk-of-a-picture",
        }
        text = play(name, Path(place), service)
    console = Console(record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True)
    console.print(text)
    picture = console.export_svg(title="kling", unique_id=name)
    # Load no font from another host; the reader's own font has the right width.
    picture = re.sub(r"@font-face {.*?}\s*", "", picture, flags=re.DOTALL)
    (directory / f"{name}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent
    with ProcessPoolExecutor() as pool:
        list(pool.map(draw, PICTURES, repeat(target)))
