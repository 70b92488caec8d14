"""Each recipe of man/recipes.md runs, and prints what stands below it."""

import re
import shutil
import time
from pathlib import Path

import pytest
from ground.clock import VirtualClock
from ground.pages import Block, find_blocks, lint_script, make_desk, read_page, run_script
from ground.run import OTHER_PHOTO, PHOTO, Program, Run
from PIL import Image

from kling_cli.errors import ExitCode

BLOCKS = find_blocks(read_page("man/recipes.md"))
RECIPES = list(zip(BLOCKS[::2], BLOCKS[1::2], strict=True))
BATCH, *OTHERS = RECIPES
_TASK_ID = re.compile(r"\b\d{18}\b")
_SHOWN_TASK_ID = "815336894036197446"
_SHOWN_CLIP = "https://example.com/clip.mp4"


def run_recipe(script: str, kitchen: Path) -> Run:
    """Run a recipe, and give its output as the page would show it."""
    places = {name: str(kitchen.parent / name) for name in ("state", "config")}
    environ = {f"KLING_{name.upper()}_DIR": place for name, place in places.items()}
    clip = Path(places["state"], "clip.mp4").as_uri()
    # As a shell is without being asked: a pipe ends as its last program does.
    run = run_script(f"set +o pipefail\n{script}", kitchen, environ=environ)
    shown = _TASK_ID.sub(_SHOWN_TASK_ID, run.out.replace(clip, _SHOWN_CLIP))
    return Run(code=run.code, out=shown, err=run.err)


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the page's batch was run; one photo was made earlier, one failed."""
    place = tmp_path_factory.mktemp("kitchen")
    desk = make_desk(place)
    shutil.copyfile(PHOTO, desk / "anna.jpg")
    shutil.copyfile(OTHER_PHOTO, desk / "ben.jpg")
    for name, side in (("cleo", 400), ("small", 200)):
        Image.new("RGB", (side, side)).save(desk / f"{name}.jpg")
    kling = Program(clock=VirtualClock(start=time.time() - 60))
    squish = ("effect", "squish", "--sandbox", "--fix")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        patch.setenv("KLING_STATE_DIR", str(place / "state"))
        patch.setenv("KLING_TOKEN", "sandbox-failed")
        assert kling(*squish, "anna.jpg", "--new").code == ExitCode.TASK_FAILED
        patch.delenv("KLING_TOKEN")
        for name in ("ben", "small"):
            assert kling(*squish, f"{name}.jpg").code == ExitCode.OK
    script, shown = BATCH
    run = run_recipe(script.text, desk)
    assert (run.code, run.out) == (0, shown.text), run.err
    return desk


def test_each_recipe_stands_with_its_output() -> None:
    """Every block of the page is a recipe, or what it prints."""
    assert {(block.mark, block.language) for block, _ in RECIPES} == {("recipe", "sh")}
    assert {(block.mark, block.language) for _, block in RECIPES} == {("", "text")}
    assert len(RECIPES) >= 10


@pytest.mark.parametrize(("script", "shown"), OTHERS, ids=[one.heading for one, _ in OTHERS])
def test_the_recipe_prints_what_it_says(script: Block, shown: Block, kitchen: Path) -> None:
    """Whoever follows the page sees what stands there, and nothing has failed on the way."""
    run = run_recipe(script.text, kitchen)
    assert (run.code, sorted(run.lines)) == (0, sorted(shown.text.splitlines())), run.err


@pytest.mark.parametrize("script", [one for one, _ in RECIPES], ids=lambda block: block.heading)
def test_the_recipe_is_good_shell(script: Block) -> None:
    """Whoever copies a recipe copies no mistake."""
    assert lint_script(script.text) == ""
