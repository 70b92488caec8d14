"""Pictures from a list: what may stand in it, and what is no list."""

import os
import subprocess
from pathlib import Path

import pytest
from support.photos import make_photos
from support.run import PHOTO, Program, command, run_installed
from support.service import LoopbackService

SQUISH = ("effect", "squish")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three photos, one with a name that is hard to pass on."""
    photos = make_photos(tmp_path / "photos", 3)
    return [*photos[:2], photos[2].rename(photos[2].with_name(" a\tb ü\r.jpg"))]


def list_sources(kling: Program, content: bytes, *argv: str | Path) -> list[str]:
    """Buy what a list names, and tell the sources in their order."""
    run = kling(*SQUISH, "--from", "-", "--json", "--jobs", "1", *argv, stdin=content)
    assert run.code == 0, run.err
    return [one["images"][0]["source"] for one in run.records]


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(b"%s\n%s\n", id="a line each"),
        pytest.param(b"%s\n%s", id="without a last line feed"),
        pytest.param(b"%s\r\n%s\r\n", id="CRLF"),
        pytest.param(b"\n%s\n\n  \n%s\n\r\n", id="blank lines"),
        pytest.param(b"\xef\xbb\xbf%s\r\n%s\r\n", id="written by a Windows editor"),
        pytest.param(b"%s\0%s\0", id="find -print0"),
        pytest.param(b"%s\0%s", id="joined with NUL"),
    ],
)
@pytest.mark.usefixtures("service")
def test_a_list_names_its_pictures(kling: Program, photos: list[Path], shape: bytes) -> None:
    """One path a line, in any usual spelling of a line, in their order."""
    first, second, _ = photos
    content = shape % (os.fsencode(first), os.fsencode(second))
    assert list_sources(kling, content) == [str(first), str(second)]


@pytest.mark.usefixtures("service")
def test_a_name_may_hold_any_byte(kling: Program, tmp_path: Path) -> None:
    """With -print0 not even a line feed or a byte that is no UTF-8 gets lost."""
    names = [b" a\nb \r", b"latin-\xfc.jpg", b" "]
    (photo, *_) = make_photos(tmp_path / "photos", 1)
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(photo.read_bytes())
    paths = [os.fsencode(tmp_path) + b"/" + name for name in names]
    told = list_sources(kling, b"\0".join(paths))
    assert len(told) == 3
    assert kling("tasks").code == 0


@pytest.mark.usefixtures("service")
def test_a_list_is_a_file_too_and_goes_behind_the_arguments(
    kling: Program, tmp_path: Path, photos: list[Path]
) -> None:
    """Arguments come first, then the list; an address may stand in it."""
    listed = tmp_path / "list"
    listed.write_text(f"{photos[1]}\nhttps://pictures.example/a.jpg\n", encoding="utf-8")
    argv = ("--from", listed, photos[0], "--no-check-url", "--jobs", "1", "--json")
    run = kling(*SQUISH, *argv)
    assert run.code == 0
    assert [one["images"][0]["source"] for one in run.records] == [
        str(photos[0]),
        str(photos[1]),
        "https://pictures.example/a.jpg",
    ]


def test_a_list_can_come_from_a_pipe(service: LoopbackService, photos: list[Path]) -> None:
    """A list that `find ... -print0 writes is bought, each of it."""
    stdin = b"\0".join(os.fsencode(photo) for photo in photos) + b"\0"
    run = run_installed(*SQUISH, "--from", "-", "--no-wait", stdin=stdin)
    assert (run.code, len(run.lines), len(service.ledger)) == (0, 3, 3)


@pytest.mark.parametrize("content", [b"", b"\n \r\n\n", b"\0", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("more", [(), ("--json",), ("-o", "clips/"), ("--external-task-id", "x")])
def test_an_empty_list_is_nothing_to_do(
    kling: Program, service: LoopbackService, content: bytes, more: tuple[str, ...]
) -> None:
    """Like xargs -r: a search that found nothing is no error, and says so."""
    run = kling(*SQUISH, "--from", "-", *more, stdin=content)
    assert (run.code, run.out, service.visits) == (0, "", [])
    assert run.err == "The list contains no pictures: nothing to do.\n"


def test_a_pair_needs_its_two_pictures_from_a_list_too(
    kling: Program, service: LoopbackService, photos: list[Path]
) -> None:
    """A list may hold the two pictures of a scene for two, and no other number."""
    two = "\n".join(map(str, photos[:2])).encode()
    run = kling("effect", "hug", "--from", "-", stdin=two)
    assert (run.code, len(service.ledger)) == (0, 1)
    three = kling("effect", "hug", "--from", "-", photos[0], stdin=two)
    assert (three.code, len(service.ledger)) == (2, 1)


@pytest.mark.parametrize("name", ["", "missing.txt", "."])
def test_an_unreadable_list_is_named(kling: Program, service: LoopbackService, name: str) -> None:
    """Nothing is sent, also where other pictures are named: half a batch helps nobody."""
    run = kling(*SQUISH, PHOTO, "--from", name, "--json")
    assert (run.code, run.json["error"]["code"], service.visits) == (3, "list_unreadable", [])
    assert f"--from {name or chr(39) * 2} cannot be read: " in run.err


def test_standard_input_that_cannot_be_read_is_named(service: LoopbackService) -> None:
    """A list on a standard input that was opened for writing is no list."""
    with Path(os.environ["HOME"]).parent.joinpath("written").open("wb") as closed:
        run = run_installed_with(closed.fileno())
    assert (run, service.visits) == (3, [])


def run_installed_with(descriptor: int) -> int:
    """Run the installed program with this standard input; give its exit code."""
    argv = command(*SQUISH, "--from", "-")
    done = subprocess.run(argv, stdin=descriptor, capture_output=True, text=True, check=False)
    assert "--from standard input cannot be read: " in done.stderr
    return done.returncode


@pytest.mark.parametrize(
    ("argv", "content"),
    [
        pytest.param(("-", "--from", "-"), b"", id="picture and list"),
        pytest.param(("--from", "-"), b"-\n", id="the list names itself"),
        pytest.param(("-", "-"), b"", id="two pictures"),
    ],
)
def test_standard_input_is_read_once(
    kling: Program, service: LoopbackService, argv: tuple[str, ...], content: bytes
) -> None:
    """What would need it twice is a usage error, and nothing is sent."""
    run = kling(*SQUISH, *argv, stdin=content)
    assert (run.code, service.visits) == (2, [])
    assert "Standard input (-) can be read only once." in run.err


def test_a_list_may_name_standard_input(
    kling: Program, service: LoopbackService, tmp_path: Path, photos: list[Path]
) -> None:
    """A list from a file leaves standard input to one picture."""
    listed = tmp_path / "list"
    listed.write_text(f"-\n{photos[0]}\n", encoding="utf-8")
    run = kling(*SQUISH, "--from", listed, stdin=PHOTO.read_bytes())
    assert (run.code, len(service.ledger)) == (0, 2)
