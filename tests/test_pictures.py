"""No bad picture reaches the service, no good one is refused, all problems are named at once."""

import hashlib
import io
import os
import random
import resource
import socket
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest
from PIL import Image
from support.pictures import (
    LARGEST,
    Sample,
    build_corpus,
    build_png,
    resize_frame,
    save,
    turn,
    write,
)
from support.run import PHOTO, Program
from support.service import LoopbackService

from kling_cli.errors import InputError
from kling_cli.images.preflight import prepare
from kling_cli.models import Picture

CORPUS = build_corpus()
GOOD = [sample for sample in CORPUS if sample.code is None]
BAD = [sample for sample in CORPUS if sample.code is not None]
FIX = "--fix repairs it before sending."
EFFECT = ("effect", "squish")


def name_of(sample: Sample) -> str:
    """Name a test by its sample."""
    return ascii(sample.name)


def place(sample: Sample, directory: Path) -> str:
    """Write a sample as a file; return how a user standing there names it."""
    name = os.fsdecode(sample.name)
    (directory / name).write_bytes(sample.content)
    return name


def check(content: bytes, *, fix: bool = False) -> Picture:
    """Check one picture."""
    (picture,) = prepare(["-"], stdin=io.BytesIO(content), fix=fix)
    return picture


def refuse(content: bytes | BinaryIO) -> InputError:
    """Check one picture that has to be refused."""
    stream = io.BytesIO(content) if isinstance(content, bytes) else content
    with pytest.raises(InputError) as caught:
        prepare(["-"], stdin=stream)
    return caught.value


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in the folder of the pictures, so that they are named as a user names them."""
    path = tmp_path / "pictures"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.mark.parametrize("sample", GOOD, ids=name_of)
def test_a_good_picture_is_sent_as_it_is(
    sample: Sample, folder: Path, kling: Program, service: LoopbackService
) -> None:
    """Whatever its name, with a note where it may surprise (faults 53, 54, 55, 58, 59)."""
    run = kling(*EFFECT, "--json", "--", place(sample, folder))
    assert run.code == 0, run.err
    assert service.pictures == [sample.content]
    (image,) = run.json["images"]
    assert (image["sha256"], image["bytes"]) == (
        hashlib.sha256(sample.content).hexdigest(),
        len(sample.content),
    )
    assert image["fixes"] == []
    assert sample.note is None or sample.note in run.err
    assert "\x1b" not in run.out + run.err


@pytest.mark.parametrize("sample", BAD, ids=name_of)
def test_a_bad_picture_never_reaches_the_service(
    sample: Sample, folder: Path, kling: Program, service: LoopbackService
) -> None:
    """It is refused with the right code before any connection (faults 51, 52, 54, 55, 56, 60)."""
    run = kling(*EFFECT, "--json", "--", place(sample, folder))
    error = run.json["error"]
    assert (run.code, error["code"], error["charged"]) == (3, sample.code, "no")
    assert error["hint"] == (FIX if sample.is_fixable else ""), error["message"]
    assert run.err.replace("\n", "").isprintable()
    assert service.visits == []


@pytest.mark.parametrize("sample", CORPUS, ids=name_of)
def test_a_repair_keeps_what_the_hint_promises(
    sample: Sample, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """--fix makes a picture that passes without a note, and leaves alone what has neither."""
    name = place(sample, folder)
    code = sample.fix_code or (None if sample.is_fixable else sample.code)
    if code is not None:
        with pytest.raises(InputError) as caught:
            prepare([name], fix=True)
        assert (caught.value.code, caught.value.hint) == (code, "")
        return
    (picture,) = prepare([name], fix=True)
    assert (picture.source, picture.kind, picture.notes) == (name, "file", ())
    assert picture.content is not None
    if sample.code or sample.note:
        assert picture.format == "JPEG"
        assert picture.fixes
        assert picture.content != sample.content
    else:
        assert (picture.fixes, picture.content) == ((), sample.content)
    again = check(picture.content)
    assert (again.width, again.height, again.size) == (picture.width, picture.height, picture.size)
    assert (folder / name).read_bytes() == sample.content
    assert capfd.readouterr() == ("", "")


# The service's decoder may be as patient as Pillow, which fills what is missing; ours is not.
MISSED_BY_PILLOW = {b"one-less.jpg", b"holes.jpg"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sample", CORPUS, ids=name_of)
def test_pillow_agrees_about_damage(sample: Sample) -> None:
    """What is good decodes in full; what is called damaged does not (faults 52, 53)."""
    if sample.code not in (None, "image_damaged") or sample.name in MISSED_BY_PILLOW:
        return
    is_sound = True
    try:
        Image.open(io.BytesIO(sample.content)).verify()
        Image.open(io.BytesIO(sample.content)).load()
    except Exception:
        is_sound = False
    assert is_sound is (sample.code is None)


def test_what_is_no_file_never_reaches_the_service(
    folder: Path, kling: Program, service: LoopbackService
) -> None:
    """It is refused at once, in the system's own words, and nothing hangs (faults 49, 50)."""
    (folder / "link").symlink_to("nothing")
    (folder / "loop").symlink_to("loop")
    (folder / "notes").mkdir()
    (folder / "notes" / "to-do.txt").touch()
    os.mkfifo(folder / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket")
    expected = {
        "missing.jpg": ("image_not_found", "No such file or directory"),
        "missing/a.jpg": ("image_not_found", "No such file or directory"),
        "link": ("image_not_found", "No such file or directory"),
        "": ("image_not_found", "'': No such file or directory"),
        "loop": ("image_unreadable", "Too many levels of symbolic links"),
        "notes": ("image_not_a_file", "a directory without JPEG or PNG files"),
        "pipe": ("image_not_a_file", "it is no regular file"),
        "socket": ("image_unreadable", "No such device or address"),
        "/dev/zero": ("image_not_a_file", "it is no regular file"),
        "/proc/self/mem": ("image_unreadable", "Input/output error"),
        "/proc/self/status": ("image_wrong_format", "plain text"),
    }
    with listener:
        for name, (code, words) in expected.items():
            run = kling(*EFFECT, "--json", "--", name)
            assert (run.code, run.json["error"]["code"]) == (3, code), name
            assert words in run.err
    assert service.visits == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(folder: Path, kling: Program) -> None:
    """The system's own reason is shown (fault 49)."""
    (folder / "secret.jpg").write_bytes(PHOTO.read_bytes())
    (folder / "secret.jpg").chmod(0)
    run = kling(*EFFECT, "secret.jpg", "--sandbox", "--json")
    assert run.json["error"]["code"] == "image_unreadable"
    assert "Permission denied" in run.err


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
        "left.png: 12,000,000 bytes, the limit is 10,485,760 (10 MiB): save it smaller; "
        "900 x 200 pixels, each side needs at least 300: use a larger picture; "
        "900 x 200 pixels are 4.5:1, the service takes 1:2.5 to 2.5:1: crop it.\n"
        "right.webp: its content is WebP, the service takes JPEG and PNG: convert it; "
        "300 x 751 pixels are 1:2.51, the service takes 1:2.5 to 2.5:1: crop it."
    )
    assert run.json["error"]["hint"] == FIX
    # What is too large even for --fix is not read.
    os.truncate("left.png", 1 << 33)
    run = kling("effect", "hug", "left.png", "right.webp", "--json")
    assert run.json["error"]["message"].startswith("left.png: 8,589,934,592 bytes, the limit is")
    assert run.json["error"]["hint"] == ""
    assert service.visits == []


def test_a_pipe_is_read_up_to_a_cap(kling: Program, service: LoopbackService) -> None:
    """Of an endless one no more is said than was read, and no repair is offered (faults 50, 55)."""
    large = refuse(PHOTO.read_bytes().ljust(2 * LARGEST, b"\0"))
    assert (large.code, large.hint) == ("image_too_large", FIX)
    assert ": 20,971,520 bytes, the limit is 10,485,760" in large.message
    with Path("/dev/zero").open("rb") as endless:
        error = refuse(endless)
    assert (error.code, error.hint) == ("image_too_large", "")
    run = kling(*EFFECT, "-", stdin=PHOTO.read_bytes())
    assert (run.code, service.pictures) == (0, [PHOTO.read_bytes()])


def test_a_file_that_changes_later_is_sent_as_it_was_checked(folder: Path) -> None:
    """Checks, hash and upload see the same bytes (fault 57)."""
    path = folder / "photo.jpg"
    path.write_bytes(PHOTO.read_bytes())
    (picture,) = prepare([str(path)])
    path.write_bytes(b"changed")
    assert picture.content == PHOTO.read_bytes()
    assert picture.sha256 == hashlib.sha256(PHOTO.read_bytes()).hexdigest()


def test_a_phone_s_heic_is_refused_with_both_ways_out(
    folder: Path, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra it is named, with the extra and JPEG as ways out (fault 51)."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    sample = next(sample for sample in CORPUS if sample.name == b"phone.heic")
    for fix in ((), ("--fix",)):
        run = kling(*EFFECT, place(sample, folder), "--json", *fix)
        assert (run.code, run.json["error"]["code"]) == (3, "image_wrong_format")
        assert run.json["error"]["hint"] == ""
        for words in ("its content is HEIC", 'install "kling-cli[heic]"', "save it as JPEG"):
            assert words in run.err
    assert service.visits == []


MEASURE = """
import sys
from pathlib import Path
from kling_cli.errors import InputError
from kling_cli.images.preflight import prepare

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

prepare(sys.argv[1:2])
before = peak()
for source in sys.argv[2:]:
    try:
        prepare([source])
    except InputError:
        pass
    print(source, (peak() - before) * 1024 / 1_000_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_checking_takes_little_memory(folder: Path) -> None:
    """Bombs and large pictures cost far less than their pixels, in silence (fault 56).

    24 MB for a photo of 9.9 MB, 120 MB for a progressive one of 16 megapixels.
    """
    noise = Image.effect_noise((3600, 3000), 60).convert("RGB")
    soft = Image.merge("RGB", [Image.effect_noise((4618, 3464), 9)] * 3)
    contents = {
        "bomb.png": build_png(20_000, 20_000, b""),
        "bomb.jpg": resize_frame(PHOTO.read_bytes(), 15_000, 16_000),
        "exif.jpg": save("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\5\0"),
        "baseline.jpg": save("JPEG", size=(12_000, 9000)),
        "deep.png": save("PNG", "I;16", size=(6000, 4000)),
        "far-progressive.jpg": save("JPEG", size=(6000, 4000), progressive=True),
        "photo.jpg": write(noise, "JPEG", quality=90).ljust(9_900_000, b"\0"),
        "progressive.jpg": write(soft, "JPEG", progressive=True, subsampling=0, quality=60),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    run = subprocess.run(
        [sys.executable, "-W", "always", "-c", MEASURE, PHOTO, *contents],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    grown = {name: float(peak) for name, peak in map(str.split, run.stdout.splitlines())}
    print(grown)
    assert grown["photo.jpg"] <= 24
    assert grown["progressive.jpg"] <= 120


def test_workers_leave_the_warnings_as_they_were() -> None:
    """Pictures prepared by many workers at once do not silence the rest of the program."""
    contents = [save("JPEG", exif=turn(6)), save("GIF"), save("WEBP"), PHOTO.read_bytes()] * 6
    one_by_one = [check(content, fix=True) for content in contents]
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as workers:
        assert list(workers.map(lambda content: check(content, fix=True), contents)) == one_by_one
    assert list(warnings.filters) == before


# The small ones: a mutation of padding finds nothing.
SEEDS = [
    sample.content for sample in CORPUS if b"." in sample.name and 8 < len(sample.content) < 400_000
]
MOST_SECONDS = 2.0
MOST_KILOBYTES = 300 * 1024


def mutate(content: bytes, choose: random.Random) -> bytes:
    """Change, cut out, double or add a few pieces, more of them in the header than behind it."""
    mutated = bytearray(content)
    for _ in range(choose.randrange(1, 6)):
        reach = choose.choice((64, 1024, len(mutated)))
        place = choose.randrange(min(reach, len(mutated)) + 1)
        piece = choose.choice(
            (
                bytes([choose.randrange(256)]),
                choose.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80")),
                choose.randbytes(choose.randrange(1, 9)),
                bytes(mutated[place : place + choose.randrange(64)]),
            )
        )
        taken = choose.choice((0, len(piece), len(piece), len(piece), choose.randrange(64)))
        mutated[place : place + taken] = piece
    return bytes(mutated)


def survive(content: bytes) -> None:
    """Check and repair the bytes; anything but a picture or our own error fails."""
    for fix in (False, True):
        started = time.thread_time()
        try:
            picture = check(content, fix=fix)
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
