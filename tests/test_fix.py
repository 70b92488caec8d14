"""`--fix` repairs what would be refused and what a note warns about, and names each repair."""

import hashlib
import io
import os
import random
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms
from support.pictures import (
    LARGEST,
    build_alpha_bmp,
    build_png,
    chunk,
    save,
    save_heic,
    turn,
    write,
)
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService

from kling_cli.errors import InputError
from kling_cli.images.preflight import prepare
from kling_cli.models import Picture

EFFECT = ("effect", "squish")
FIX = "--fix repairs it before sending."
SMALL = (200, 240)
ENLARGED = "enlarged from 200 x 240 to 300 x 360"


def fix(content: bytes) -> Picture:
    """Repair a picture."""
    (picture,) = prepare(["-"], stdin=io.BytesIO(content), fix=True)
    assert picture.content is not None
    assert picture.notes == ()
    return picture


def show(content: bytes | None) -> Image.Image:
    """Decode what is sent."""
    assert content is not None
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def is_near(image: Image.Image, place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    """Tell whether a pixel has nearly this colour; JPEG changes all of them a little."""
    point = image.getpixel(place)
    assert isinstance(point, tuple)
    return all(abs(a - b) < 16 for a, b in zip(point, colour, strict=True))


def make_noise(width: int, height: int) -> Image.Image:
    """Make a picture that no encoder makes small, the same each time."""
    noise = random.Random(1).randbytes(width * height * 3)
    return Image.frombytes("RGB", (width, height), noise)


def describe(orientation: int = 1) -> bytes:
    """Build the EXIF block of a camera that knows where it is."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "PRIVATE"
    exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSProcessingMethod] = b"PRIVATE"
    return exif.tobytes()


# Red on the left, green on the right.
HALVES = Image.new("RGB", (400, 300), (255, 0, 0))
HALVES.paste((0, 255, 0), (200, 0, 400, 300))
CLEAR = HALVES.copy()
CLEAR.putalpha(0)
DEEP = b"".join(b"\0" + b"\xff\xff\0\0\0\0" * 200 + b"\0\0\xff\xff\0\0" * 200 for _ in range(300))

PNG, BMP, TIFF, WEBP = (f"converted from {kind} to JPEG" for kind in ("PNG", "BMP", "TIFF", "WebP"))
PLACE = "location and other metadata removed"
DOUBTFUL = {
    "turned": (write(HALVES, "JPEG", exif=turn(6)), "turned upright; metadata removed"),
    "transparent": (write(CLEAR, "PNG"), f"{PNG}; flattened on white"),
    "CMYK": (write(HALVES.convert("CMYK"), "JPEG"), "converted from CMYK to RGB"),
    "16 bits": (
        build_png(400, 300, DEEP, layout=b"\x10\2\0\0\0"),
        f"{PNG}; reduced from 16 to 8 bits",
    ),
    "16 bits, grey": (
        write(Image.new("I;16", (400, 300), 0x8000), "PNG"),
        f"{PNG}; reduced from 16 to 8 bits",
    ),
    "animated": (
        write(HALVES, "PNG", save_all=True, append_images=[CLEAR.convert("RGB")]),
        f"{PNG}; reduced to its first picture",
    ),
    "GPS": (write(HALVES, "JPEG", exif=describe()), PLACE),
    "GPS in a PNG": (write(HALVES, "PNG", exif=describe()), f"{PNG}; {PLACE}"),
    "GPS, turned": (write(HALVES, "JPEG", exif=describe(6)), f"turned upright; {PLACE}"),
    "almost too large": (
        write(HALVES, "JPEG").ljust(LARGEST, b"\0"),
        "compressed from 10.5 MB to 6 kB (quality 95)",
    ),
}
# What is seen in the middle of the left, or of the upper half of a turned one.
SHOWN = {"transparent": (255, 255, 255), "16 bits, grey": (128, 128, 128)}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_what_a_note_warns_about_is_repaired(
    name: str, kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """It arrives upright, in RGB, with 8 bits and without a place; else as it is (53, 59)."""
    content, fixes = DOUBTFUL[name]
    path = tmp_path / "photo"
    path.write_bytes(content)
    as_it_is = kling(*EFFECT, path, "--json")
    assert (as_it_is.code, as_it_is.json["images"][0]["fixes"]) == (0, [])
    assert service.pictures == [content]
    run = kling(*EFFECT, path, "--fix", "--json")
    (image,) = run.json["images"]
    assert (run.code, "; ".join(image["fixes"])) == (0, fixes)
    assert all(line in run.err for line in image["fixes"])
    (arrived,) = service.pictures
    assert image["sha256"] == hashlib.sha256(arrived).hexdigest()
    picture = show(arrived)
    assert (picture.format, picture.mode) == ("JPEG", "RGB")
    assert picture.size == ((300, 400) if "turned" in name else (400, 300))
    assert picture.getexif() == {}
    assert b"PRIVATE" not in arrived
    assert is_near(picture, (100, 100), SHOWN.get(name, (254, 0, 0)))
    # With and without are two requests, and each is known again.
    assert len(service.ledger) == 2
    for argv in ((), ("--fix",)):
        assert kling(*EFFECT, path, "--json", *argv).json["reused"]
    assert path.read_bytes() == content


def test_what_needs_no_repair_is_one_request(kling: Program, service: LoopbackService) -> None:
    """A good picture is sent byte for byte, and with or without --fix bought once."""
    for argv in ((), ("--fix",)):
        run = kling(*EFFECT, PHOTO, "--json", *argv)
        assert (run.code, run.json["images"][0]["fixes"]) == (0, [])
    assert service.pictures == [PHOTO.read_bytes()]
    assert len(service.ledger) == 1


def test_a_picture_from_a_phone_is_converted(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """HEIC arrives as an upright JPEG without its place (fault 51)."""
    path = tmp_path / "phone.heic"
    path.write_bytes(save_heic(HALVES.transpose(Image.Transpose.ROTATE_90), exif=describe(6)))
    refused = kling(*EFFECT, path, "--json")
    assert (refused.code, refused.json["error"]["hint"]) == (3, FIX)
    run = kling(*EFFECT, path, "--fix", "--json")
    assert run.json["images"][0]["fixes"] == [
        "converted from HEIC to JPEG",
        "location and other metadata removed",
    ]
    (arrived,) = service.pictures
    assert show(arrived).size == (400, 300)
    assert b"PRIVATE" not in arrived


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "MPO", "motion photo", "with a profile"])
def test_a_place_is_removed_without_touching_the_pixels(kind: str) -> None:
    """The same pixels and colours are left, and nothing else of what a phone wrote (fault 59)."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options: dict[str, object] = {"exif": describe(), "xmp": b"<PRIVATE>", "comment": "PRIVATE"}
    if kind == "progressive":
        options["progressive"] = True
    if kind == "MPO":
        options |= {"save_all": True, "append_images": [Image.open(OTHER_PHOTO)]}
    if kind == "with a profile":
        options["icc_profile"] = profile
    content = write(Image.open(PHOTO), "MPO" if kind == "MPO" else "JPEG", **options)
    if kind == "motion photo":
        content += b"\0\0\0\x18ftypmp42 PRIVATE"
    assert b"PRIVATE" in content
    picture = fix(content)
    assert picture.fixes == ("location and other metadata removed",)
    assert picture.content is not None
    assert b"PRIVATE" not in picture.content
    assert b"Exif" not in picture.content
    shown = show(picture.content)
    assert shown.tobytes() == show(content).tobytes()
    assert shown.info.get("icc_profile") == options.get("icc_profile")


@pytest.mark.parametrize(
    ("content", "fixes", "sides"),
    [
        (save("JPEG", size=SMALL), ENLARGED, (300, 360)),
        (save("JPEG", "L", size=SMALL), ENLARGED, (300, 360)),
        (save("PNG", size=SMALL), f"{PNG}; {ENLARGED}", (300, 360)),
        (save("JPEG", size=(900, 300)), "cropped from 900 x 300 to 750 x 300", (750, 300)),
        (save("JPEG", size=(300, 900)), "cropped from 300 x 900 to 300 x 750", (300, 750)),
        (
            save("JPEG", size=(1200, 200)),
            "cropped and enlarged from 1200 x 200 to 750 x 300",
            (750, 300),
        ),
        (save("WEBP"), WEBP, (320, 300)),
        (
            save("WEBP", "RGBA", save_all=True, append_images=[Image.new("RGB", (320, 300))]),
            f"{WEBP}; reduced to its first picture; flattened on white",
            (320, 300),
        ),
        (save("BMP", "1"), BMP, (320, 300)),
        (build_alpha_bmp(320, 300), f"{BMP}; flattened on white", (320, 300)),
        (save("TIFF", "I;16B"), f"{TIFF}; reduced from 16 to 8 bits", (320, 300)),
        (save("TIFF", "CMYK"), f"{TIFF}; converted from CMYK to RGB", (320, 300)),
        (
            save("JPEG", size=SMALL, exif=turn(6), comment="private"),
            "turned upright; metadata removed; enlarged from 240 x 200 to 360 x 300",
            (360, 300),
        ),
        (
            PHOTO.read_bytes().ljust(14_200_000, b"\0"),
            "compressed from 14.2 MB to 94 kB (quality 95)",
            (512, 512),
        ),
    ],
    ids=range(14),
)
def test_what_would_be_refused_is_repaired(
    content: bytes,
    fixes: str,
    sides: tuple[int, int],
    kling: Program,
    service: LoopbackService,
) -> None:
    """Without --fix nothing is sent; with it one task is bought, and each repair is named."""
    refused = kling(*EFFECT, "-", "--json", stdin=content)
    assert (refused.code, refused.json["error"]["hint"]) == (3, FIX)
    assert service.visits == []
    run = kling(*EFFECT, "-", "--fix", "--json", stdin=content)
    assert run.code == 0, run.err
    assert "; ".join(run.json["images"][0]["fixes"]) == fixes
    assert show(service.pictures[0]).size == sides
    assert kling(*EFFECT, "-", "--fix", "--json", stdin=content).json["reused"]
    assert len(service.ledger) == 1


def test_a_large_picture_is_compressed_before_it_is_reduced() -> None:
    """It keeps its pixels as long as the quality allows, and a rule is never broken by it."""
    fits = fix(write(make_noise(2000, 1900), "PNG", compress_level=0))
    assert (fits.width, fits.height) == (2000, 1900)
    assert fits.fixes[1].startswith("compressed from 11.4 MB to ")
    reduced = fix(write(make_noise(7250, 2900), "PNG", compress_level=0))
    assert reduced.width is not None
    assert reduced.height is not None
    assert reduced.fixes[1].startswith("reduced to ")
    assert 2 * reduced.width <= 5 * reduced.height
    assert max(reduced.size or 0, fits.size or 0) <= 10_000_000


# Where the stored picture's top left, top right, bottom left and bottom right get to.
UPRIGHT = {1: "abcd", 2: "badc", 3: "dcba", 4: "cdab", 5: "acbd", 6: "cadb", 7: "dbca", 8: "bdac"}
COLOURS = {"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255), "d": (255, 255, 0)}
KINDS: Mapping[str, Mapping[str, object]] = {
    "JPEG": {},
    "PNG": {},
    "WEBP": {},
    "AVIF": {},
    "TIFF": {},
    "TIFF with LZW": {"compression": "tiff_lzw"},
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", KINDS)
def test_a_turned_picture_stands_upright(kind: str, orientation: int) -> None:
    """Whatever the EXIF orientation and the format, people do not lie on their side (fault 53)."""
    image = Image.new("RGB", (160, 120))
    for place, colour in zip(((0, 0), (80, 0), (0, 60), (80, 60)), COLOURS.values(), strict=True):
        image.paste(colour, (*place, place[0] + 80, place[1] + 60))
    content = write(image, kind.partition(" ")[0], exif=turn(orientation), **KINDS[kind])
    picture = fix(content)
    shown = show(picture.content)
    assert shown.size == ((400, 300) if orientation < 5 else (300, 400))
    assert ("turned upright" in picture.fixes) is (orientation != 1)
    for place, letter in zip(((1, 1), (3, 1), (1, 3), (3, 3)), UPRIGHT[orientation], strict=True):
        point = (shown.width * place[0] // 4, shown.height * place[1] // 4)
        assert is_near(shown, point, COLOURS[letter])


def test_the_colours_stay_as_they_look() -> None:
    """A colour profile is applied, and one that says nothing of these pixels is left out."""
    standard = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = standard.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    for old, new in ((b"rXYZ", b"????"), (b"bXYZ", b"rXYZ"), (b"????", b"bXYZ")):
        swapped = swapped.replace(old, new)
    red = Image.new("RGB", SMALL, (255, 0, 0))
    picture = fix(write(red, "PNG", icc_profile=swapped))
    assert picture.fixes[1] == "converted to sRGB"
    assert is_near(show(picture.content), (9, 9), (0, 0, 255))
    for image, profile in ((red, standard), (red, bytes(99)), (red.convert("L"), swapped)):
        plain = fix(write(image, "JPEG", icc_profile=profile))
        assert plain.fixes == (ENLARGED,)


def test_a_transparent_colour_becomes_white() -> None:
    """Transparency without an alpha channel is seen too."""
    grey = chunk(b"tRNS", struct.pack(">H", 7))
    content = save("PNG", "L")
    picture = fix(content[:33] + grey + content[33:])
    assert picture.fixes == ("converted from PNG to JPEG", "flattened on white")
    assert show(picture.content).getpixel((9, 9)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (save("TIFF", "F"), "image_wrong_format", "its content is TIFF"),
        (save("TIFF")[:-99], "image_damaged", "the file is damaged, image file is truncated"),
        (
            save("PNG", "LA", size=(5001, 5000)),
            "image_too_many_pixels",
            "5001 x 5000 pixels are more than --fix takes (25,000,000)",
        ),
        (save("GIF", "L", size=(5001, 5000)), "image_wrong_format", "its content is GIF"),
    ],
    ids=range(4),
)
def test_what_cannot_be_repaired_is_refused(
    content: bytes, code: str, words: str, kling: Program, service: LoopbackService
) -> None:
    """It is refused with what hinders the repair, and nothing is sent (faults 52, 60)."""
    run = kling(*EFFECT, "-", "--fix", "--json", stdin=content)
    assert (run.code, run.json["error"]["code"], run.json["error"]["hint"]) == (3, code, "")
    assert words in run.json["error"]["message"]
    assert service.visits == []


def test_one_picture_of_two_that_cannot_be_repaired_stops_both(tmp_path: Path) -> None:
    """The hint is there only if --fix would help all pictures of the task."""
    small, cut = tmp_path / "small.png", tmp_path / "cut.png"
    small.write_bytes(save("PNG", size=SMALL))
    cut.write_bytes(save("PNG")[:-5])
    with pytest.raises(InputError) as caught:
        prepare([str(small), str(cut)])
    assert caught.value.hint == ""
    with pytest.raises(InputError) as caught:
        prepare([str(small), str(cut)], fix=True)
    assert caught.value.code == "image_damaged"
    assert str(small) not in caught.value.message


MEASURE = """
import sys
from pathlib import Path
from kling_cli.images.preflight import prepare

(picture,) = prepare(sys.argv[1:], fix=True)
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1_000_000)
print(*picture.fixes, sep="; ")
print(picture.sha256)
"""


def measure(path: Path, **environ: str) -> list[str]:
    """Repair a file in a process of its own; return its peak in MB, the fixes, and the hash."""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", MEASURE, path],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("kind", "mode", "size", "options"),
    [
        ("PNG", "RGBA", (6250, 4000), {"compress_level": 1}),
        ("JPEG", "RGB", (6250, 4000), {"progressive": True, "subsampling": 0}),
        ("JPEG", "RGB", (12_000, 9000), {}),
        ("JPEG", "RGB", (5000, 5000), {}),
        ("TIFF", "RGB", (5000, 5000), {}),
        ("WEBP", "RGBA", (4000, 4000), {"lossless": True, "method": 0, "quality": 0}),
        ("AVIF", "RGB", (5000, 5000), {"speed": 10}),
        ("HEIF", "RGB", (5712, 4284), {"quality": 1, "enc_params": {"preset": "ultrafast"}}),
    ],
    ids=str,
)
def test_a_repair_takes_bounded_memory(
    kind: str, mode: str, size: tuple[int, int], options: dict[str, object], tmp_path: Path
) -> None:
    """At the limit of each format less than 400 MB are needed, also to turn it upright."""
    path = tmp_path / "large"
    image = Image.new(mode, size, (200, 99, 9, 128)[: len(mode)])
    path.write_bytes(
        save_heic(image, **options)
        if kind == "HEIF"
        else write(image, kind, exif=turn(6), **options)
    )
    peak, fixes, _ = measure(path)
    print(kind, size, peak)
    assert float(peak) < 400
    # Above 25 megapixels the sides are halved, JPEGs' while they are decoded.
    assert ("reduced to " in fixes) is (size[0] * size[1] > 25_000_000)


def test_the_same_picture_gives_the_same_bytes(tmp_path: Path) -> None:
    """A rerun, at another time, place and seed, knows the request again and buys nothing."""
    path = tmp_path / "film.webp"
    path.write_bytes(write(Image.open(PHOTO).convert("RGBA").crop((0, 0, 290, 290)), "WEBP"))
    hashes = {measure(path, PYTHONHASHSEED=seed, TZ=seed)[2] for seed in ("1", "2")}
    hashes |= {str(prepare([str(path)], fix=True)[0].sha256) for _ in range(2)}
    assert len(hashes) == 1


MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I;16B", "YCbCr"),
    "WEBP": ("L", "RGB", "RGBA"),
    "AVIF": ("L", "RGB", "RGBA"),
    "GIF": ("1", "L", "P", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
}
SIDES = st.one_of(st.integers(1, 40), st.integers(1, 700), st.sampled_from((299, 300, 301, 4000)))


@settings(max_examples=120, deadline=None, database=None)
@given(
    kind=st.sampled_from([(kind, mode) for kind, modes in MODES.items() for mode in modes]),
    size=st.tuples(SIDES, SIDES).filter(lambda sides: sides[0] * sides[1] < 900_000),
    orientation=st.integers(1, 8),
)
def test_every_sound_picture_can_be_repaired(
    kind: tuple[str, str], size: tuple[int, int], orientation: int
) -> None:
    """Whatever its format, pixels, sides and turn, what is sent keeps the rules (fault 54)."""
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
