"""`--fix` makes a picture that passes, changes as little as possible, and tells all of it."""

import io
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fixing import fix, make_noise, show, write
from ground.pictures import save, turn
from ground.run import OTHER_PHOTO, PHOTO
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from kling_cli.errors import InputError
from kling_cli.images.preflight import prepare, prepare_all
from kling_cli.images.rules import MOST_BYTES

ENLARGED = "enlarged from 200 x 240 to 300 x 360"
SMALL = (200, 240)


def refuse(content: bytes) -> InputError:
    """Ask for a repair that has to be refused."""
    with pytest.raises(InputError) as caught:
        prepare("-", standard_input=io.BytesIO(content), fix=True)
    assert caught.value.hint == ""
    return caught.value


@pytest.mark.parametrize("path", [PHOTO, OTHER_PHOTO], ids=["astronaut", "hopper"])
def test_what_passes_is_left_as_it_is(path: Path) -> None:
    """A good picture is not touched by --fix: the same bytes, nothing told."""
    assert prepare(str(path), fix=True) == prepare(str(path))
    assert fix(path.read_bytes()).fixes == ()


@pytest.mark.parametrize(
    ("content", "fixes", "sides"),
    [
        (save("JPEG", size=SMALL), (ENLARGED,), (300, 360)),
        (save("JPEG", "L", size=SMALL), (ENLARGED,), (300, 360)),
        (save("JPEG", "CMYK", size=SMALL), ("converted from CMYK to RGB", ENLARGED), (300, 360)),
        (save("PNG", size=SMALL), ("converted from PNG to JPEG", ENLARGED), (300, 360)),
        (save("JPEG", size=(900, 300)), ("cropped from 900 x 300 to 750 x 300",), (750, 300)),
        (
            save("JPEG", size=(4000, 1)),
            ("cropped and enlarged from 4000 x 1 to 750 x 300",),
            (750, 300),
        ),
        (
            save("PNG", "I;16", size=SMALL),
            ("converted from PNG to JPEG", "reduced from 16 to 8 bits", ENLARGED),
            (300, 360),
        ),
        (save("WEBP"), ("converted from WebP to JPEG",), (320, 300)),
        (
            save("WEBP", "RGBA", lossless=True),
            ("converted from WebP to JPEG", "flattened on white"),
            (320, 300),
        ),
        (
            save("WEBP", "RGBA", save_all=True, append_images=[Image.new("RGB", (320, 300))]),
            ("converted from WebP to JPEG", "reduced to its first picture", "flattened on white"),
            (320, 300),
        ),
        (save("GIF", "P"), ("converted from GIF to JPEG",), (320, 300)),
        (save("BMP"), ("converted from BMP to JPEG",), (320, 300)),
        (save("BMP", "1"), ("converted from BMP to JPEG",), (320, 300)),
        (save("AVIF"), ("converted from AVIF to JPEG",), (320, 300)),
        (save("TIFF"), ("converted from TIFF to JPEG",), (320, 300)),
        (
            save("TIFF", "I;16B"),
            ("converted from TIFF to JPEG", "reduced from 16 to 8 bits"),
            (320, 300),
        ),
        (
            save("TIFF", "CMYK"),
            ("converted from TIFF to JPEG", "converted from CMYK to RGB"),
            (320, 300),
        ),
        (
            save("TIFF", tiffinfo={306: "2026:11:22 03:48:13"}),
            ("converted from TIFF to JPEG", "metadata removed"),
            (320, 300),
        ),
        (
            save("JPEG", size=SMALL, exif=turn(6), comment="private"),
            ("turned upright", "enlarged from 240 x 200 to 360 x 300", "metadata removed"),
            (360, 300),
        ),
        (
            save("PNG", size=SMALL, exif=b"Exif\0\0nonsense"),
            ("converted from PNG to JPEG", ENLARGED, "metadata removed"),
            (300, 360),
        ),
        (
            save("JPEG", size=SMALL, xmp=b"<x/>"),
            (ENLARGED, "metadata removed"),
            (300, 360),
        ),
        (
            PHOTO.read_bytes().ljust(14_200_000, b"\0"),
            ("compressed from 14.2 MB to 94 kB (quality 95)",),
            (512, 512),
        ),
    ],
    ids=range(22),
)
def test_all_that_was_done_is_told(
    content: bytes, fixes: tuple[str, ...], sides: tuple[int, int]
) -> None:
    """Each repair is named in plain words, in the order in which it was made."""
    picture = fix(content)
    assert picture.fixes == fixes
    assert (picture.format, picture.width, picture.height) == ("JPEG", *sides)
    assert picture.notes == ()


# Where the stored picture's top left, top right, bottom left and bottom right get to.
UPRIGHT = {1: "abcd", 2: "badc", 3: "dcba", 4: "cdab", 5: "acbd", 6: "cadb", 7: "dbca", 8: "bdac"}
COLOURS = {"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255), "d": (255, 255, 0)}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {}),
        ("AVIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
    ids=["jpeg", "png", "webp", "avif", "tiff", "tiff-lzw"],
)
def test_a_turned_picture_stands_upright(
    kind: str, options: dict[str, object], orientation: int
) -> None:
    """Whatever the EXIF orientation and the format, people do not lie on their side."""
    image = Image.new("RGB", (160, 120))
    for place, colour in zip(((0, 0), (80, 0), (0, 60), (80, 60)), COLOURS.values(), strict=True):
        image.paste(colour, (*place, place[0] + 80, place[1] + 60))
    picture = fix(write(image, kind, exif=turn(orientation), **options))
    shown = show(picture)
    assert shown.size == ((400, 300) if orientation < 5 else (300, 400))
    assert ("turned upright" in picture.fixes) is (orientation != 1)
    for place, letter in zip(((1, 1), (3, 1), (1, 3), (3, 3)), UPRIGHT[orientation], strict=True):
        point = shown.getpixel((shown.width * place[0] // 4, shown.height * place[1] // 4))
        assert isinstance(point, tuple)
        assert all(abs(a - b) < 16 for a, b in zip(point, COLOURS[letter], strict=True))


def test_no_word_of_the_place_or_the_owner_is_left() -> None:
    """GPS data, camera, comments and previews stay at home."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "PRIVATE"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSProcessingMethod] = b"PRIVATE"
    image = Image.new("RGB", SMALL)
    for content in (
        write(image, "JPEG", exif=exif, comment="PRIVATE", xmp=b"<x:PRIVATE/>"),
        write(image, "PNG", exif=exif),
        write(image, "WEBP", exif=exif, xmp=b"<x:PRIVATE/>"),
        write(image, "TIFF", exif=exif, tiffinfo={315: "PRIVATE"}),
        write(image, "GIF", comment="PRIVATE"),
    ):
        assert b"PRIVATE" in content
        picture = fix(content)
        assert picture.content is not None
        assert b"PRIVATE" not in picture.content
        assert b"Exif" not in picture.content
        assert picture.fixes[-1] == "metadata removed"


MEASURE = """
import sys
from pathlib import Path
from kling_cli.images.preflight import prepare, prepare_all

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

prepare(sys.argv[1])
before = peak()
picture = prepare(sys.argv[2], fix=True)
print((peak() - before) // 1024)
print(*picture.fixes, sep="; ")
print(picture.sha256)
"""


def measure(path: Path, **environ: str) -> list[str]:
    """Repair a file in a process of its own; tell how many MB that took, the fixes, the hash."""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", MEASURE, PHOTO, path],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_huge_photograph_takes_bounded_memory(tmp_path: Path) -> None:
    """108 megapixels are reduced while they are decoded: 27 of them are ever in memory."""
    path = tmp_path / "huge.jpg"
    path.write_bytes(save("JPEG", size=(12_000, 9000)).ljust(MOST_BYTES + 1, b"\0"))
    grown, fixes, _ = measure(path)
    assert int(grown) < 240
    assert fixes.startswith("reduced to 6000 x 4500; compressed from 10.5 MB to ")


def test_the_same_picture_gives_the_same_bytes(tmp_path: Path) -> None:
    """A rerun, at another time, place and seed, knows the request again and buys nothing."""
    path = tmp_path / "film.webp"
    path.write_bytes(write(Image.open(PHOTO).convert("RGBA").crop((0, 0, 290, 290)), "WEBP"))
    hashes = {measure(path, PYTHONHASHSEED=seed, TZ=seed)[2] for seed in ("1", "2")}
    hashes |= {str(prepare(str(path), fix=True).sha256) for _ in range(2)}
    assert len(hashes) == 1


def test_the_original_is_never_touched(tmp_path: Path) -> None:
    """The repaired picture exists in memory only."""
    path = tmp_path / "small.gif"
    path.write_bytes(save("GIF", size=SMALL))
    path.chmod(0o400)
    before = path.stat()
    prepare(str(path), fix=True)
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (
        before.st_mtime_ns,
        before.st_size,
        before.st_ino,
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.gif"]


def test_many_workers_repair_at_once() -> None:
    """Threads neither disturb each other nor the warnings of the rest of the program."""
    contents = [save(kind, size=SMALL) for kind in ("JPEG", "PNG", "WEBP", "GIF")] * 6
    one_by_one = [fix(content) for content in contents]
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as workers:
        pictures = list(workers.map(fix, contents))
    assert pictures == one_by_one
    assert list(warnings.filters) == before


# libtiff fills the hole in this fax, and tells of it on standard error alone.
FAX = write(make_noise(320, 300).convert("1"), "TIFF", compression="group4")
HOLED = FAX[:2000] + b"\xff" * 99 + FAX[2099:]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (HOLED, "image_rejected", "the file is damaged, Fax4Decode"),
        (save("TIFF", "F"), "image_wrong_format", "its kind of pixels (F) cannot be converted"),
        (save("TIFF", tiffinfo={254: 1}), "image_wrong_format", "it is a camera's raw file"),
        (save("TIFF")[:-99], "image_rejected", "the file is damaged"),
        (save("WEBP")[:-99], "image_rejected", "the file is damaged"),
        (b"GIF89a" + bytes(50), "image_rejected", "it cannot be read as GIF"),
        (save("AVIF")[:99], "image_rejected", "it cannot be read as AVIF"),
        (
            save("GIF", "L", size=(8001, 8000)),
            "image_rejected",
            "8001 x 8000 pixels are more than --fix takes (64,000,000)",
        ),
    ],
    ids=range(8),
)
def test_what_cannot_be_saved_is_refused(content: bytes, code: str, words: str) -> None:
    """A refused repair names all problems of the picture, with the one that hinders it."""
    error = refuse(content)
    assert error.code == code
    assert words in error.message
    assert error.message.startswith("standard input: ")


def test_one_picture_of_two_that_cannot_be_repaired_stops_both(tmp_path: Path) -> None:
    """The hint is there only if --fix would help all pictures of the task."""
    small, cut = tmp_path / "small.png", tmp_path / "cut.png"
    small.write_bytes(save("PNG", size=SMALL))
    cut.write_bytes(save("PNG")[:-5])
    with pytest.raises(InputError) as caught:
        prepare_all((str(small), str(cut)))
    assert caught.value.hint == ""
    with pytest.raises(InputError) as caught:
        prepare_all((str(small), str(cut)), fix=True)
    assert caught.value.code == "image_damaged"
    assert str(small) not in caught.value.message
    first, second = prepare_all((str(small), str(PHOTO)), fix=True)
    assert (len(first.fixes), second.fixes) == (2, ())


MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "YCbCr"),
    "WEBP": ("L", "RGB", "RGBA"),
    "AVIF": ("L", "RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
}
KINDS = st.sampled_from([(kind, mode) for kind, modes in MODES.items() for mode in modes])
SIDES = st.one_of(st.integers(1, 40), st.integers(1, 700), st.sampled_from((299, 300, 301, 4000)))


@settings(max_examples=120, deadline=None, database=None)
@given(
    kind=KINDS,
    size=st.tuples(SIDES, SIDES).filter(lambda sides: sides[0] * sides[1] < 900_000),
    orientation=st.integers(1, 8),
)
def test_every_repaired_picture_passes(
    kind: tuple[str, str], size: tuple[int, int], orientation: int
) -> None:
    """Whatever its format, pixels, sides and turn, a sound picture is repaired (fault 54)."""
    name, mode = kind
    image = make_noise(*size)
    image = Image.new(mode, size, 7) if mode in {"I;16", "I;16B", "PA"} else image.convert(mode)
    options: dict[str, object] = {} if name in {"GIF", "BMP"} else {"exif": turn(orientation)}
    if name == "AVIF":
        options["speed"] = 10
    picture = fix(write(image, name, **options))
    assert picture.format in {"JPEG", name}
    assert picture.width is not None
    assert picture.height is not None
    short, long = sorted((picture.width, picture.height))
    assert short >= 300
    assert 2 * long <= 5 * short
