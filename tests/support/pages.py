"""The pages for users: the code blocks in them, and a desk on which these can be run."""

import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from support.clock import VirtualClock
from support.run import OTHER_PHOTO, PHOTO, Program, Run, run_process
from support.shells import make_environ, require

ROOT = Path(__file__).parents[2]
# The sandbox's clip, in whichever state directory a test has.
CLIP = "file:///state/sandbox.mp4"
_BLOCK = re.compile(r"^<!-- ([\w ]+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read_page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def find_blocks(page: str) -> dict[str, str]:
    """Find the blocks of code on a page, each by the mark above it."""
    return dict(_BLOCK.findall(page))


def make_desk(directory: Path) -> Path:
    """Make a directory with the photographs that examples name; two of three are the same."""
    desk = directory / "desk"
    desk.mkdir()
    for name, photo in (("photo", PHOTO), ("left", PHOTO), ("right", OTHER_PHOTO)):
        shutil.copyfile(photo, desk / f"{name}.jpg")
    (desk / "photos.txt").write_text("photo.jpg\nleft.jpg\nright.jpg\n", encoding="utf-8")
    return desk


def buy_before(desk: Path, *argv: str) -> str:
    """Buy in the sandbox, a minute ago, what an example would have to wait for; return its id."""
    photos = [str(desk / word) if word.endswith(".jpg") else word for word in argv]
    long_ago = VirtualClock(start=time.time() - 60)
    run = Program(clock=long_ago)("effect", *photos, "--sandbox", "--json")
    task_id: str = run.json["task_id"]
    return task_id


def run_script(
    script: str, desk: Path, *, stdin: str = "", environ: Mapping[str, str] | None = None
) -> Run:
    """Run a script as a newcomer would paste it, with the sandbox instead of the service."""
    for tool in ("jq", "curl"):
        if re.search(rf"\b{tool} ", script):
            require(tool)
    line = ["bash", "-euo", "pipefail", "-c", script]
    variables = {**make_environ(), "KLING_BASE_URL": "sandbox", **(environ or {})}
    run = run_process(line, variables, stdin=stdin.encode(), directory=desk)
    return replace(run, out=name_clip(run.out))


def name_clip(text: str) -> str:
    return re.sub(r"file:///[^\s\"]*/sandbox\.mp4", CLIP, text)


def lint_script(script: str) -> str:
    """Return what shellcheck reports."""
    argv = [require("shellcheck"), "-s", "sh", "-"]
    done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
