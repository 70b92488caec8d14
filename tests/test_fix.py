"""`--fix` repairs what would be refused and what a note warns about, and names each repair."""

import hashlib
import io
import random
import re
from pathlib import Path

import pytest
from PIL import Image, ImageCms
from support.pictures import (
    LARGEST,
    build_alpha_bmp,
    build_png,
    film,
    locate,
    needs_heic,
    save,
    turn,
    write,
    write_heic,
)
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService

from kling_cli.images.preflight import prepare
from kling_cli.models import Picture

EFFECT = ("effect", "squish")
FIX = "Use --fix to repair it before sending."
SMALL = (200, 240)


def fix(content: bytes) -> Picture:
    """Repair a picture."""
    picture = prepare("-", stdin=io.BytesIO(content), fix=True)
    assert picture.notes == ()
    return picture


def show(content: bytes | None) -> Image.Image:
    """Decode what is sent."""
    image = Image.open(io.BytesIO(content or b""))
    image.load()
    return image


def is_near(image: Image.Image, place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    """Tell whether a pixel has nearly this colour; JPEG changes all of them a little."""
    point = image.getpixel(place)
    assert isinstance(point, tuple)
    return all(abs(a - b) < 16 for a, b in zip(point, colour, strict=True))


# Red on the left, green on the right.
HALVES = Image.new("RGB", (400, 300), (255, 0, 0))
HALVES.paste((0, 255, 0), (200, 0, 400, 300))
CLEAR = HALVES.copy()
CLEAR.putalpha(0)
DEEP = b"".join(b"\0" + b"\xff\xff\0\0\0\0" * 200 + b"\0\0\xff\xff\0\0" * 200 for _ in range(300))
DEEP_GREY = Image.new("I;16", (400, 300), 0x8000)
HEIC = write_heic(HALVES.transpose(Image.Transpose.ROTATE_90), exif=locate(6))

PLACE = "location and other metadata removed"
JPEGS = {
    "turned": (write(HALVES, "JPEG", exif=turn(6)), "turned upright"),
    "CMYK": (write(HALVES.convert("CMYK"), "JPEG"), "converted from CMYK to RGB"),
    "GPS": (write(HALVES, "JPEG", exif=locate()), PLACE),
    "GPS, turned": (write(HALVES, "JPEG", exif=locate(6)), f"turned upright; {PLACE}"),
    "almost too large": (
        write(HALVES, "JPEG").ljust(LARGEST, b"\0"),
        "compressed from 10,485,760 to ... bytes (quality 95)",
    ),
    "too small": (
        write(HALVES.resize((240, 200)), "JPEG", exif=turn(6), comment="PRIVATE"),
        "turned upright; enlarged from 200 x 240 to 300 x 360",
    ),
    "too long": (
        write(HALVES.resize((900, 300)), "JPEG"),
        "cropped from 900 x 300 to 750 x 300",
    ),
}
OTHERS = {
    "PNG, transparent": (write(CLEAR, "PNG"), "flattened on white"),
    "PNG, 16 bits": (
        build_png(400, 300, DEEP, layout=b"\x10\2\0\0\0"),
        "reduced from 16 to 8 bits",
    ),
    "PNG, grey, 16 bits": (write(DEEP_GREY, "PNG"), "reduced from 16 to 8 bits"),
    "PNG, animated": (write(HALVES, "PNG", **film(400)), "reduced to its first picture"),
    "PNG, GPS": (write(HALVES, "PNG", exif=locate()), PLACE),
    "PNG, too long, too small": (
        write(HALVES.resize((200, 1200)), "PNG"),
        "cropped and enlarged from 200 x 1200 to 300 x 750",
    ),
    "WebP, transparent": (
        write(CLEAR, "WEBP", **film(400)),
        "reduced to its first picture; flattened on white",
    ),
    "GIF, transparent": (write(CLEAR, "GIF"), "flattened on white"),
    "BMP, transparent": (build_alpha_bmp(400, 300), "flattened on white"),
    "TIFF, grey, 16 bits": (
        write(Image.new("I;16B", (400, 300), 0x8000), "TIFF"),
        "reduced from 16 to 8 bits",
    ),
    "TIFF, CMYK": (write(HALVES.convert("CMYK"), "TIFF"), "converted from CMYK to RGB"),
    "HEIC": (HEIC, PLACE),
}
CASES = JPEGS | {
    name: (content, f"converted from {name.partition(',')[0]} to JPEG; {fixes}")
    for name, (content, fixes) in OTHERS.items()
}
SIDES = {
    "turned": (300, 400),
    "GPS, turned": (300, 400),
    "too small": (300, 360),
    "too long": (750, 300),
    "PNG, too long, too small": (300, 750),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_heic if name == "HEIC" else ()) for name in CASES]
)
def test_what_would_surprise_or_be_refused_is_repaired(
    name: str, kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """It arrives upright, in RGB, 8 bits, without a place; else as it is (faults 51, 53, 59)."""
    content, fixes = CASES[name]
    path = tmp_path / "photo"
    path.write_bytes(content)
    as_it_is = kling(*EFFECT, path, "--json")
    if as_it_is.code == 0:
        assert as_it_is.json["images"][0]["fixes"] == []
        assert service.pictures == [content]
    else:
        assert (as_it_is.code, as_it_is.json["error"]["hint"]) == (3, FIX)
        assert service.visits == []
    run = kling(*EFFECT, path, "--fix", "--json")
    (image,) = run.json["images"]
    assert run.code == 0, run.err
    assert re.sub("to [0-9,]+ bytes", "to ... bytes", "; ".join(image["fixes"])) == fixes
    assert all(line in run.err for line in image["fixes"])
    (arrived,) = service.pictures
    assert image["sha256"] == hashlib.sha256(arrived).hexdigest()
    picture = show(arrived)
    assert (picture.format, picture.mode) == ("JPEG", "RGB")
    assert picture.size == SIDES.get(name, (400, 300))
    assert len(picture.getexif()) == 0
    assert b"PRIVATE" not in arrived
    colour = (255, 255, 255) if "transparent" in name else (254, 0, 0)
    assert is_near(picture, (100, 100), (128, 128, 128) if "grey" in name else colour)
    # With and without are two requests, and each is known again.
    assert kling(*EFFECT, path, "--json", "--fix").json["reused"]
    if as_it_is.code == 0:
        assert kling(*EFFECT, path, "--json").json["reused"]
    assert len(service.ledger) == (2 if as_it_is.code == 0 else 1)
    assert path.read_bytes() == content


def test_what_needs_no_repair_is_one_request(kling: Program, service: LoopbackService) -> None:
    """A good picture is sent byte for byte, and with or without --fix bought once."""
    for argv in ((), ("--fix",)):
        run = kling(*EFFECT, PHOTO, "--json", *argv)
        assert (run.code, run.json["images"][0]["fixes"]) == (0, [])
    assert service.pictures == [PHOTO.read_bytes()]
    assert len(service.ledger) == 1


@pytest.mark.parametrize("kind", ["JPEG", "progressive", "MPO", "motion photo", "with a profile"])
def test_a_place_is_removed_without_touching_the_pixels(kind: str) -> None:
    """The same pixels and colours are left, and nothing else of what a phone wrote (fault 59)."""
    options: dict[str, object] = {"exif": locate(), "xmp": b"<PRIVATE>", "comment": "PRIVATE"}
    if kind == "progressive":
        options["progressive"] = True
    if kind == "MPO":
        options |= {"save_all": True, "append_images": [Image.open(OTHER_PHOTO)]}
    if kind == "with a profile":
        options["icc_profile"] = STANDARD
    content = write(Image.open(PHOTO), "MPO" if kind == "MPO" else "JPEG", **options)
    if kind == "motion photo":
        content += b"\0\0\0\x18ftypmp42 PRIVATE"
    picture = fix(content)
    assert picture.fixes == (PLACE,)
    assert b"PRIVATE" not in (picture.content or b"PRIVATE")
    shown = show(picture.content)
    assert shown.tobytes() == show(content).tobytes()
    assert (len(shown.getexif()), shown.info.get("icc_profile")) == (0, options.get("icc_profile"))


def test_a_large_picture_is_compressed_before_it_is_reduced() -> None:
    """It keeps its pixels as long as the quality allows, and a rule is never broken by it."""
    noise = Image.frombytes("RGB", (5500, 2200), random.Random(1).randbytes(36_300_000))
    fits = fix(write(noise.crop((0, 0, 2000, 1900)), "PNG", compress_level=0))
    assert (fits.width, fits.height) == (2000, 1900)
    assert fits.fixes[1].startswith("compressed from 11,")
    reduced = fix(write(noise, "PNG", compress_level=0))
    assert reduced.fixes[1].startswith("reduced to ")
    assert 2 * (reduced.width or 0) <= 5 * (reduced.height or 0)
    assert max(reduced.size or 0, fits.size or 0) <= 10_000_000


# Where the stored picture's top left, top right, bottom left and bottom right get to.
UPRIGHT = {1: "abcd", 2: "badc", 3: "dcba", 4: "cdab", 5: "acbd", 6: "cadb", 7: "dbca", 8: "bdac"}
COLOURS = {"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255), "d": (255, 255, 0)}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "TIFF with LZW"])
def test_a_turned_picture_stands_upright(kind: str, orientation: int) -> None:
    """Whatever the EXIF orientation and the format, people do not lie on their side (fault 53)."""
    image = Image.new("RGB", (160, 120))
    for place, colour in zip(((0, 0), (80, 0), (0, 60), (80, 60)), COLOURS.values(), strict=True):
        image.paste(colour, (*place, place[0] + 80, place[1] + 60))
    packed = {"compression": "tiff_lzw"} if "LZW" in kind else {}
    picture = fix(write(image, kind.partition(" ")[0], exif=turn(orientation), **packed))
    shown = show(picture.content)
    assert shown.size == ((400, 300) if orientation < 5 else (300, 400))
    assert ("turned upright" in picture.fixes) is (orientation != 1)
    for place, letter in zip(((1, 1), (3, 1), (1, 3), (3, 3)), UPRIGHT[orientation], strict=True):
        point = (shown.width * place[0] // 4, shown.height * place[1] // 4)
        assert is_near(shown, point, COLOURS[letter])


STANDARD = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_the_colours_stay_as_they_look() -> None:
    """A colour profile is applied, and one that says nothing of these pixels is left out."""
    swapped = STANDARD.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    for old, new in ((b"rXYZ", b"????"), (b"bXYZ", b"rXYZ"), (b"????", b"bXYZ")):
        swapped = swapped.replace(old, new)
    red = Image.new("RGB", SMALL, (255, 0, 0))
    picture = fix(write(red, "PNG", icc_profile=swapped))
    assert picture.fixes[1] == "converted to sRGB"
    assert is_near(show(picture.content), (9, 9), (0, 0, 255))
    for image, profile in ((red, STANDARD), (red, bytes(99)), (red.convert("L"), swapped)):
        plain = fix(write(image, "JPEG", icc_profile=profile))
        assert plain.fixes == ("enlarged from 200 x 240 to 300 x 360",)


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (save("TIFF", "F"), "image_wrong_format", "its format is TIFF"),
        (save("TIFF")[:-99], "image_damaged", "the file is damaged (image file is truncated"),
        (
            save("PNG", "LA", size=(8001, 5000)),
            "image_too_many_pixels",
            "8001 x 5000 pixels, but --fix takes at most 40,000,000",
        ),
        (save("JPEG", "CMYK", size=(5001, 5000), progressive=True), "image_too_many_pixels", ""),
        (
            save("JPEG").replace(b"\xff\xc0", b"\xff\xc3"),
            "image_unreadable",
            "it cannot be read (this kind of JPEG cannot be checked): save it as a plain JPEG",
        ),
        pytest.param(HEIC[:-9], "image_unreadable", "it cannot be read", marks=needs_heic),
        pytest.param(
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            "image_unreadable",
            "pillow-heif does not support this kind of HEIC",
            marks=needs_heic,
        ),
    ],
    ids=range(7),
)
def test_what_cannot_be_repaired_is_refused(
    content: bytes, code: str, words: str, kling: Program, service: LoopbackService
) -> None:
    """It is refused with what hinders the repair, and nothing is sent (faults 52, 60)."""
    run = kling(*EFFECT, "-", "--fix", "--json", stdin=content)
    assert (run.code, run.json["error"]["code"], run.json["error"]["hint"]) == (3, code, "")
    assert words in run.json["error"]["message"]
    assert service.visits == []
