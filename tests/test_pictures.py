"""No bad picture reaches the service, no good one is refused, all problems are named at once."""

import hashlib
import io
import os
import random
import resource
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from support.pictures import (
    Sample,
    build_corpus,
    save,
)
from support.run import PHOTO, Program
from support.service import LoopbackService

from kling_cli.errors import InputError
from kling_cli.images.preflight import prepare

CORPUS = build_corpus()
FIX = "Use --fix to repair it before sending."
EFFECT = ("effect", "squish")


def name_of(sample: Sample) -> str:
    """Name a test by its sample."""
    return ascii(sample.name)


def place(sample: Sample, directory: Path) -> str:
    """Write a sample as a file; return how a user standing there names it."""
    name = os.fsdecode(sample.name)
    (directory / name).write_bytes(sample.content)
    return name


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in the folder of the pictures, so that they are named as a user names them."""
    path = tmp_path / "pictures"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.mark.parametrize("sample", CORPUS, ids=name_of)
def test_a_good_picture_is_sent_as_it_is_and_a_bad_one_is_not(
    sample: Sample, folder: Path, kling: Program, service: LoopbackService
) -> None:
    """A good one whatever its name, perhaps with a note; for a bad one nobody is connected to.

    Faults 51, 52, 53, 54, 55, 56, 58, 59, 60.
    """
    run = kling(*EFFECT, "--json", "--", place(sample, folder))
    assert run.err.replace("\n", "").isprintable()
    if sample.code:
        error = run.json["error"]
        assert (run.code, error["code"], error["charged"]) == (3, sample.code, "no")
        assert error["hint"] == (FIX if sample.is_fixable else ""), error["message"]
        assert service.visits == []
        return
    assert run.code == 0, run.err
    assert service.pictures == [sample.content]
    (image,) = run.json["images"]
    assert image["sha256"] == hashlib.sha256(sample.content).hexdigest()
    assert (image["bytes"], image["fixes"]) == (len(sample.content), [])
    assert sample.note is None or sample.note in run.err


@pytest.mark.parametrize("sample", CORPUS, ids=name_of)
def test_a_repair_keeps_what_the_hint_promises(
    sample: Sample, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """--fix makes a picture that passes without a note, and leaves alone what has neither."""
    name = place(sample, folder)
    code = sample.fix_code or (None if sample.is_fixable else sample.code)
    if code is not None:
        with pytest.raises(InputError) as caught:
            prepare(name, fix=True)
        assert (caught.value.code, caught.value.hint) == (code, "")
        return
    picture = prepare(name, fix=True)
    assert (picture.source, picture.kind, picture.notes) == (name, "file", ())
    assert picture.content is not None
    if sample.code or sample.note:
        assert picture.format == "JPEG"
        assert picture.fixes
        assert picture.content != sample.content
    else:
        assert (picture.fixes, picture.content) == ((), sample.content)
    assert (folder / name).read_bytes() == sample.content
    assert capfd.readouterr() == ("", "")


def test_what_is_no_file_never_reaches_the_service(
    folder: Path, kling: Program, service: LoopbackService
) -> None:
    """It is refused at once, in the system's own words, and nothing hangs (faults 49, 50)."""
    (folder / "photo.jpg").touch()
    (folder / "loop").symlink_to("loop")
    (folder / "notes").mkdir()
    (folder / "notes" / "to-do.txt").touch()
    os.mkfifo(folder / "pipe")
    expected = {
        "missing.jpg": ("image_not_found", "No such file or directory"),
        "": ("image_not_found", "'': No such file or directory"),
        "loop": ("image_unreadable", "Too many levels of symbolic links"),
        "notes": ("image_not_a_file", "a directory without JPEG or PNG files"),
        "pipe": ("image_not_a_file", "it is a special file"),
        "/dev/zero": ("image_not_a_file", "it is a special file"),
        "/proc/self/mem": ("image_unreadable", "Input/output error"),
        "/proc/self/status": ("image_wrong_format", "plain text"),
    }
    for name, (code, words) in expected.items():
        run = kling(*EFFECT, "--json", "--", name)
        assert (run.code, run.json["error"]["code"]) == (3, code), name
        assert words in run.err
    assert service.visits == []


def test_a_directory_stands_for_its_pictures(
    folder: Path, kling: Program, service: LoopbackService
) -> None:
    """Its JPEG and PNG files are bought, by name, and nothing else in it (fault 49)."""
    holiday = folder / "holiday"
    holiday.mkdir()
    for name in ("b.PNG", "a.jpg", "c.jpeg"):
        (holiday / name).write_bytes(save("PNG", size=(300 + ord(name[0]), 300)))
    (holiday / "notes.txt").touch()
    (holiday / "._a.jpg").touch()
    (holiday / "more.jpg").mkdir()
    run = kling(
        *EFFECT, "holiday", "--from", "-", "--json", "--jobs", "1", stdin=b"holiday/a.jpg\n"
    )
    names = [record["images"][0]["source"] for record in run.records]
    assert names == ["holiday/a.jpg", "holiday/b.PNG", "holiday/c.jpeg", "holiday/a.jpg"]
    assert run.code == 0
    assert len(service.ledger) == 3


def test_all_problems_of_all_pictures_come_at_once(
    folder: Path, kling: Program, service: LoopbackService
) -> None:
    """A line for each bad picture, with each value and its limit (faults 51, 54, 55)."""
    (folder / "left.png").write_bytes(save("PNG", size=(900, 200)))
    os.truncate("left.png", 12_000_000)
    (folder / "right.webp").write_bytes(save("WEBP", size=(300, 751)))
    run = kling("effect", "hug", "left.png", "right.webp", "--json")
    assert run.json["error"]["code"] == "image_rejected"
    assert run.json["error"]["message"] == (
        "left.png: 12,000,000 bytes, but the limit is 10,485,760 (10 MiB): make it smaller; "
        "900 x 200 pixels, but each side must be at least 300: use a larger picture; "
        "900 x 200 pixels, aspect ratio 4.5:1, but the limits are 1:2.5 and 2.5:1: crop it.\n"
        "right.webp: its format is WebP, but the service accepts only JPEG and PNG: convert it; "
        "300 x 751 pixels, aspect ratio 1:2.51, but the limits are 1:2.5 and 2.5:1: crop it."
    )
    assert run.json["error"]["hint"] == FIX
    assert service.visits == []


def test_a_pipe_is_read_up_to_a_cap(kling: Program, service: LoopbackService) -> None:
    """Of an endless one no more is said than was read, and no repair is offered (faults 50, 55)."""
    with Path("/dev/zero").open("rb") as endless, pytest.raises(InputError) as caught:
        prepare("-", stdin=endless)
    assert (caught.value.code, caught.value.hint) == ("image_too_large", "")
    run = kling(*EFFECT, "-", stdin=PHOTO.read_bytes())
    assert (run.code, service.pictures) == (0, [PHOTO.read_bytes()])


def test_a_phone_s_heic_is_refused_with_both_ways_out(
    folder: Path, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra it is named, with the extra and JPEG as ways out (fault 51)."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    for fix in ((), ("--fix",)):
        run = kling(*EFFECT, "phone.heic", "--json", *fix)
        assert (run.code, run.json["error"]["code"]) == (3, "image_wrong_format")
        assert run.json["error"]["hint"] == ""
        for words in ("its format is HEIC", 'install "kling-cli[heic]"', "save it as JPEG"):
            assert words in run.err
    assert service.visits == []


# The small ones: a mutation of padding finds nothing.
SEEDS = [sample.content for sample in CORPUS if 8 < len(sample.content) < 400_000]
MOST_SECONDS = 2.0
MOST_KILOBYTES = 300 * 1024


def mutate(content: bytes, choose: random.Random) -> bytes:
    """Change, insert or cut out a few pieces, more of them in the header than behind it."""
    mutated = bytearray(content)
    for _ in range(choose.randrange(1, 6)):
        reach = choose.choice((64, 1024, len(mutated)))
        place = choose.randrange(min(reach, len(mutated)) + 1)
        piece = choose.choice((b"\xff\xff\xff\xff", b"\0", choose.randbytes(2)))
        mutated[place : place + choose.choice((0, len(piece), 32))] = piece
    return bytes(mutated)


def survive(content: bytes) -> None:
    """Check and repair the bytes; anything but a picture or our own error fails."""
    for fix in (False, True):
        started = time.thread_time()
        try:
            picture = prepare("-", stdin=io.BytesIO(content), fix=fix)
        except InputError as error:
            assert error.code.startswith("image_"), error.code  # noqa: PT017 - either end is right
            assert error.message.isprintable(), error.message  # noqa: PT017 - likewise
        else:
            assert fix or picture.content == content
        assert time.thread_time() - started < MOST_SECONDS


def test_mutated_pictures_are_survived(request: pytest.FixtureRequest) -> None:
    """No bytes lead to a traceback, a hang, or much memory (fault 60).

    With --every-call it is a long run; without, a short one.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    choose = random.Random(request.config.getoption("randomly_seed"))
    for _ in range(20_000 if request.config.getoption("--every-call") else 500):
        survive(mutate(choose.choice(SEEDS), choose))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < MOST_KILOBYTES
