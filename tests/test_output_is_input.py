"""A video never takes the place of what the run reads, whatever --force says."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.photos import make_photos
from support.purchases import show
from support.run import OTHER_PHOTO, PHOTO, Program, command
from support.service import VIDEO, LoopbackService

SQUISH = ("effect", "squish")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return Path(shutil.copy(PHOTO, tmp_path / "me.jpg"))


def name_same(photo: Path) -> Path:
    return photo.parent / "." / ".." / photo.parent.name / photo.name


def link_softly(photo: Path) -> Path:
    link = photo.with_name("soft.mp4")
    link.symlink_to(photo.name)
    return link


def link_hard(photo: Path) -> Path:
    link = photo.with_name("hard.mp4")
    os.link(photo, link)
    return link


@pytest.mark.parametrize(
    ("name", "more"),
    [
        (name_same, "--force"),
        (link_softly, "--force --new"),
        (link_hard, "--force --dry-run"),
        (link_hard, ""),
    ],
)
def test_the_photo_itself_is_no_output(
    kling: Program, service: LoopbackService, photo: Path, name: Callable[[Path], Path], more: str
) -> None:
    output = name(photo)
    run = kling(*SQUISH, photo, "-o", output, "--json", *more.split())
    error = run.json["error"]
    assert (run.code, error["code"], error["charged"]) == (3, "output_is_an_input", "no")
    assert output.name in error["message"]
    assert "--force replaces" not in run.err  # it would not
    assert photo.read_bytes() == output.read_bytes() == PHOTO.read_bytes()
    assert service.visits == []


@pytest.mark.parametrize(
    ("argv", "output"),
    [
        (("squish", "soft.mp4"), "me.jpg"),  # the input is a link, the output its target
        (("hug", OTHER_PHOTO, "me.jpg"), "me.jpg"),
        (("squish", "--from", "list.txt"), "list.txt"),
    ],
)
def test_every_input_is_kept(
    kling: Program,
    service: LoopbackService,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str | Path, ...],
    output: str,
) -> None:
    monkeypatch.chdir(photo.parent)
    link_softly(photo)
    names = photo.with_name("list.txt")
    names.write_text("me.jpg\n")
    run = kling("effect", *argv, "-o", output, "--force", "--json")
    assert (run.code, run.json["error"]["code"]) == (3, "output_is_an_input")
    assert (photo.read_bytes(), names.read_text()) == (PHOTO.read_bytes(), "me.jpg\n")
    assert service.visits == []


def test_an_output_directory_is_kept(kling: Program, service: LoopbackService, photo: Path) -> None:
    """The photo whose video would replace another input is refused; the others are made."""
    other, second = make_photos(photo.parent / "clips", 2)
    other = other.rename(other.with_name("me-squish.mp4"))
    content = other.read_bytes()
    run = kling(*SQUISH, photo, other, second, "-o", other.parent, "--force", "--json")
    codes = {one["images"][0]["source"]: one["exit_code"] for one in run.records}
    assert (run.code, codes) == (3, {str(photo): 3, str(other): 0, str(second): 0})
    assert (other.read_bytes(), len(service.ledger)) == (content, 2)
    assert (other.parent / "me-squish-squish.mp4").read_bytes() == VIDEO


def test_what_standard_input_reads_is_kept(service: LoopbackService, photo: Path) -> None:
    """A file that the shell opens with `<` is an input under its name."""
    line = command(*SQUISH, "-", "-o", photo, "--force", "--json")
    with photo.open("rb") as stdin:
        done = subprocess.run(line, stdin=stdin, capture_output=True, timeout=60, check=False)
    assert (done.returncode, b"output_is_an_input" in done.stdout) == (3, True)
    assert (photo.read_bytes(), service.visits) == (PHOTO.read_bytes(), [])


def test_second_videos_replace_none(kling: Program, service: LoopbackService, photo: Path) -> None:
    """A further video of the same task gets a number in its name, which may be the photo's name."""
    photo = photo.rename(photo.with_name("c.2.mp4"))

    url = service.publish("/v.mp4", VIDEO, media_type="video/mp4")
    videos = [{"id": name, "url": f"{url}?{name}"} for name in "ab"]
    service.on_look(show("succeed", task_result={"videos": videos}))
    run = kling(*SQUISH, photo, "-o", photo.with_name("c.mp4"), "--force")
    assert (run.code, photo.read_bytes()) == (11, PHOTO.read_bytes())
    assert url in run.err


def test_our_own_clip_as_an_input(kling: Program, service: LoopbackService, photo: Path) -> None:
    """`kling effect squish * -o .`, run again, names its own clip as input, and keeps it."""
    clip = photo.with_name("me-squish.mp4")
    assert kling(*SQUISH, photo, "-o", f"{photo.parent}/").code == 0
    run = kling(*SQUISH, photo, clip, "-o", f"{photo.parent}/", "--force", "--json")
    codes = {one["images"][0]["source"]: one["exit_code"] for one in run.records}
    assert codes == {str(photo): 0, str(clip): 3}
    assert (clip.read_bytes(), len(service.ledger)) == (VIDEO, 1)
