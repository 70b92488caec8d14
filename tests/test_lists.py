"""Pictures from a list: what may stand in it, and what is no list."""

import os
from pathlib import Path

import pytest
from support.photos import make_photos
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService

SQUISH = ("effect", "squish")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return make_photos(tmp_path / "photos", 2)


def list_sources(kling: Program, content: bytes) -> list[str]:
    run = kling(*SQUISH, "--from", "-", "--json", "--jobs", "1", stdin=content)
    assert run.code == 0, run.err
    return [one["images"][0]["source"] for one in run.records]


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(b"%s\n%s\n", id="a line each"),
        pytest.param(b"%s\n%s", id="without a last line feed"),
        pytest.param(b"%s\r\n%s\r\n", id="CRLF"),
        pytest.param(b"\n%s\n\n  \n%s\n\r\n", id="blank lines"),
        pytest.param(b"# the best ones\n%s\n# %%s is none\n%s\n", id="comments"),
        pytest.param(b"\xef\xbb\xbf%s\r\n%s\r\n", id="written by a Windows editor"),
        pytest.param(b"%s\0%s\0", id="find -print0"),
        pytest.param(b"%s\0%s", id="joined with NUL"),
    ],
)
@pytest.mark.usefixtures("service")
def test_a_list_names_its_pictures(kling: Program, photos: list[Path], shape: bytes) -> None:
    content = shape % tuple(map(os.fsencode, photos))
    assert list_sources(kling, content) == list(map(str, photos))


@pytest.mark.usefixtures("service")
def test_a_name_may_hold_any_byte(kling: Program, tmp_path: Path) -> None:
    """With -print0 not even a line feed or a byte that is no UTF-8 gets lost."""
    paths = [os.fsencode(tmp_path / "x")[:-1] + name for name in (b" a\nb \r", b"\xfc.jpg", b" ")]
    for path in paths:
        Path(os.fsdecode(path)).write_bytes(PHOTO.read_bytes())
    assert len(list_sources(kling, b"\0".join(paths))) == 3
    assert kling("tasks").code == 0


@pytest.mark.usefixtures("service")
def test_a_list_follows_the_arguments(kling: Program, tmp_path: Path, photos: list[Path]) -> None:
    """Arguments come first, then the list; an address and standard input may stand in it."""
    url, listed = "https://pictures.example/a.jpg", tmp_path / "list"
    listed.write_text(f"{photos[1]}\n{url}\n-\n", encoding="utf-8")
    argv = ("--from", listed, photos[0], "--no-check-url", "--jobs", "1", "--json")
    run = kling(*SQUISH, *argv, stdin=PHOTO.read_bytes())
    sources = [one["images"][0]["source"] for one in run.records]
    assert (run.code, sources) == (0, [str(photos[0]), str(photos[1]), url, "-"])


@pytest.mark.parametrize("content", [b"", b"\n \r\n\n", b"\0", b"\xef\xbb\xbf"])
def test_an_empty_list_is_fine(kling: Program, service: LoopbackService, content: bytes) -> None:
    """Like xargs -r: a search that found nothing is no error, and says so."""
    run = kling(*SQUISH, "--from", "-", "--json", "-o", "clips/", stdin=content)
    assert (run.code, run.out, service.visits) == (0, "", [])
    assert run.err == "The list contains no pictures. Nothing to do.\n"


def test_a_pair_from_a_list(kling: Program, service: LoopbackService, photos: list[Path]) -> None:
    two = "\n".join(map(str, photos)).encode()
    run = kling("effect", "hug", "--from", "-", stdin=two)
    assert (run.code, len(service.ledger)) == (0, 1)
    three = kling("effect", "hug", "--from", "-", photos[0], stdin=two)
    assert (three.code, len(service.ledger)) == (2, 1)


@pytest.mark.parametrize("name", ["", "missing.txt", "."])
def test_an_unreadable_list_is_named(kling: Program, service: LoopbackService, name: str) -> None:
    """Nothing is sent, also where other pictures are named: half a batch helps nobody."""
    run = kling(*SQUISH, PHOTO, "--from", name, "--json")
    assert (run.code, run.json["error"]["code"], service.visits) == (3, "list_unreadable", [])
    assert f"Cannot read --from {name or chr(39) * 2}: " in run.err


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
    run = kling(*SQUISH, *argv, stdin=content)
    assert (run.code, service.visits) == (2, [])
    assert "Standard input (-) can be read only once." in run.err


@pytest.mark.usefixtures("service")
def test_a_name_is_shown_as_it_is(kling: Program, tmp_path: Path) -> None:
    """A blank at the beginning of a name stays there, behind what no log takes for a command."""
    (photo,) = make_photos(tmp_path, 1)
    run = kling(*SQUISH, photo.rename(tmp_path / " a.jpg"), OTHER_PHOTO, "--no-wait")
    assert f"\t{tmp_path}/ a.jpg\n" in run.out
    assert f"{tmp_path}/ a.jpg: submitted" in run.err
