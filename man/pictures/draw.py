"""Draw the pictures of the README from real runs: PYTHONPATH=tests python man/pictures/draw.py.

Each picture is the screen of a pseudo-terminal in which the installed program runs against a played
service. What differs from run to run (ids, times, the spinner) is replaced by something fixed. An
argument names another directory to draw into.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import count, cycle
from pathlib import Path

from ground.run import command
from ground.service import LoopbackService
from ground.shop import Rules
from ground.terminal import Terminal
from PIL import Image
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

HERE = Path(__file__).parent
_COLUMNS = 112
_PROMPT = "$ "
_AT_ONCE, _NEVER = Rules(looks_until_done=0), Rules(task_seconds=3600)
_SIDE = 320
_SPEED, _QUICK = "60", Rules(task_seconds=1)
_COLOURS = {"anna": "tan", "ben": "teal", "cleo": "plum", "dan": "navy"}
_WHITE = {
    "photo.jpg": (_SIDE, _SIDE),
    "poster.webp": (_SIDE, _SIDE),
    "small.jpg": (200, 200),
    "banner.jpg": (1280, _SIDE),
}
_SWITCHES = ("CI", "GITHUB_ACTIONS", "NO_COLOR", "NO_PROGRESS", "FORCE_COLOR", "COLUMNS", "LINES")

_ID = re.compile(r"\b(?:\d{18}|(kling-[a-z2-7]{26}))\b")
_FIRST_TASK_ID = 815_336_894_036_197_446
_EXTERNAL_IDS = ("kling-nr6dai5lbu5wae62e4uzit2yki", "kling-7j3qgt4raohrf5hrwbrtanxttx")
_SPINNER = re.compile(r"^[⠀-⣿] ")
_USUAL = re.compile(r"(?<=usually about )\d+ \w+")
_ELAPSED = re.compile(r"(?<=  )\d+:\d\d\b")

_DARK, _LIGHT = (31, 35, 40), (246, 248, 250)
_THEME = TerminalTheme(_LIGHT, _DARK, [_DARK] * 8)
_PROMPT_STYLE, _TYPED_STYLE = Style(color="#1a7f37", bold=True), Style(bold=True)
# The screen knows no links; a terminal that does underlines them.
_LINKED, _LINK_STYLE = ("open the video",), Style(color="#0969da", underline=True)
# No font of another host: each reader's own is as wide as `textLength` makes it.
_TEMPLATE = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>TITLE</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
}}
{styles}
</style>
<rect width="{width}" height="{height}" rx="10" fill="#f6f8fa" stroke="#d1d9e0" stroke-width="2"/>
<g class="{unique_id}-matrix" transform="translate(21 22)">
{matrix}
</g>
</svg>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One picture: its file's name, what it shows, the command line, and how that is played."""

    name: str
    title: str
    argv: tuple[str, ...]
    play: Callable[["Stage", tuple[str, ...]], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a scene is played on: a directory of pictures, a service, and the variables."""

    directory: Path
    service: LoopbackService
    environ: Mapping[str, str]

    def open(self, argv: tuple[str, ...]) -> Terminal:
        """Open a terminal in which the program runs."""
        return Terminal(*argv, directory=self.directory, environ=self.environ, columns=_COLUMNS)

    def prepare(self, *argv: str) -> None:
        """Run a command that the picture does not show."""
        subprocess.run(
            argv,
            check=True,
            capture_output=True,
            cwd=self.directory,
            env={**os.environ, **self.environ},
        )


def show_to_the_end(stage: Stage, argv: tuple[str, ...]) -> list[str]:
    """Show what stands on the screen when the program has ended."""
    with stage.open(argv) as terminal:
        terminal.finish()
        return [*terminal.lines, _PROMPT]


def show_while_waiting(stage: Stage, argv: tuple[str, ...]) -> list[str]:
    """Show the live line of one task."""
    # What it learns from one task whose clock runs fast, it tells of the next.
    stage.service.shop.rules = _QUICK
    stage.prepare(sys.executable, "-m", "ground.quick", _SPEED, "effect", "squish", "anna.jpg")
    stage.service.shop.rules = _NEVER
    with stage.open(argv) as terminal:
        terminal.wait_for("processing")
        return terminal.lines


def show_a_batch(stage: Stage, argv: tuple[str, ...]) -> list[str]:
    """Show how a batch goes on of which one half is made already."""
    stage.prepare(*command("effect", "squish", "anna.jpg", "ben.jpg", "-o", "clips/"))
    stage.service.shop.rules = _NEVER
    with stage.open(argv) as terminal:
        terminal.wait_for("Buy?")
        terminal.type("y\n")
        for name in ("cleo", "dan"):
            terminal.wait_for(f"{name}.jpg: task")
        terminal.wait_for("2 of 4 done, 2 running")
        return terminal.lines


SCENES = (
    Scene(
        name="finished",
        title="A photo is sent, waited for and saved as clip.mp4",
        argv=("effect", "squish", "photo.jpg", "-o", "clip.mp4"),
        play=show_to_the_end,
    ),
    Scene(
        name="live",
        title="One line tells the task's status and the time",
        argv=("effect", "squish", "photo.jpg"),
        play=show_while_waiting,
    ),
    Scene(
        name="refused",
        title="Three pictures are refused before anything is sent; --fix repairs them",
        argv=("effect", "squish", "small.jpg", "banner.jpg", "poster.webp"),
        play=show_to_the_end,
    ),
    Scene(
        name="batch",
        title="Two of four photos are done already, two are running",
        argv=("effect", "squish", "anna.jpg", "ben.jpg", "cleo.jpg", "dan.jpg", "-o", "clips/"),
        play=show_a_batch,
    ),
)


@contextmanager
def set_stage() -> Generator[Stage]:
    """Make a place for one scene, with pictures and a service of its own."""
    with tempfile.TemporaryDirectory() as place, LoopbackService(_AT_ONCE) as service:
        directory = Path(place) / "photos"
        directory.mkdir()
        for name, colour in _COLOURS.items():
            Image.new("RGB", (_SIDE, _SIDE), colour).save(directory / f"{name}.jpg")
        for name, size in _WHITE.items():
            Image.new("RGB", size, "white").save(directory / name)
        yield Stage(
            directory=directory,
            service=service,
            environ={
                "HOME": place,
                "KLING_CONFIG_DIR": f"{place}/config",
                "KLING_STATE_DIR": f"{place}/state",
                "KLING_BASE_URL": service.base_url,
                "KLING_TOKEN": "sk-of-a-picture",
                "LC_ALL": "C.UTF-8",
                "PYTHONPATH": str(HERE.parents[1] / "tests"),
            },
        )


def settle(lines: list[str]) -> list[str]:
    """Replace what no two runs have in common."""
    task_ids, external_ids = count(_FIRST_TASK_ID), cycle(_EXTERNAL_IDS)
    known: dict[str, str] = {}

    def rename(found: re.Match[str]) -> str:
        if found[0] not in known:
            known[found[0]] = next(external_ids) if found[1] else str(next(task_ids))
        return known[found[0]]

    named = [_ID.sub(rename, line) for line in lines]
    timed = [_USUAL.sub("2 min", _ELAPSED.sub("0:42", line)) for line in named]
    return [_SPINNER.sub("⠹ ", line) for line in timed]


def draw(scene: Scene) -> str:
    """Play a scene and draw its screen."""
    with set_stage() as stage:
        lines = settle(scene.play(stage, scene.argv))
    typed = " ".join(("kling", *scene.argv))
    screen = [Text.assemble((_PROMPT, _PROMPT_STYLE), (typed, _TYPED_STYLE))]
    screen += [Text(line, _PROMPT_STYLE if line == _PROMPT else "") for line in lines]
    for line in screen:
        line.highlight_words(_LINKED, _LINK_STYLE)
    console = Console(
        record=True,
        file=io.StringIO(),
        width=_COLUMNS + 2,
        force_terminal=True,
        color_system="truecolor",
        _environ={},
    )
    for line in screen:
        console.print(line, soft_wrap=True)
    picture = console.export_svg(
        theme=_THEME,
        code_format=_TEMPLATE.replace("TITLE", escape(scene.title)),
        font_aspect_ratio=0.6,
        unique_id=scene.name,
    )
    return re.sub(rf' clip-path="url\(#{scene.name}-line-\d+\)"', "", picture)


def main() -> None:
    """Draw every picture."""
    place = Path(sys.argv[1]) if sys.argv[1:] else HERE
    for name in list(os.environ):
        if name.startswith("KLING_") or name in _SWITCHES or name.upper().endswith("_PROXY"):
            del os.environ[name]
    with ThreadPoolExecutor() as painters:
        for scene, picture in zip(SCENES, painters.map(draw, SCENES), strict=True):
            (place / f"{scene.name}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
