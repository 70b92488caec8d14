"""Pictures of every kind, good and bad, each with its expected result."""

import io
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from PIL import ExifTags, Image
from support.run import PHOTO

try:
    import pillow_heif
except ImportError:
    HAS_HEIC = False
else:
    HAS_HEIC = True
    pillow_heif.register_heif_opener()

needs_heic = pytest.mark.skipif(not HAS_HEIC, reason="pillow-heif is not installed")
LARGEST = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """A file: its name, perhaps as bytes, its content, and the code of its refusal, if it is bad.

    `note` is a part of the note on a good one, which --fix repairs, too. For a bad one,
    `is_fixable` tells whether its header promises a repair, `fix_code` how that fails anyway.
    """

    name: str | bytes
    content: bytes
    code: str | None = None
    note: str | None = None
    is_fixable: bool = False
    fix_code: str | None = None


def save(
    kind: str, mode: str = "RGB", size: tuple[int, int] = (320, 300), **options: object
) -> bytes:
    """Write a picture of one colour with Pillow."""
    return write(Image.new(mode, size, 7), kind, **options)


def write(image: Image.Image, kind: str, **options: object) -> bytes:
    """Write this picture with Pillow."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def film(width: int = 320) -> dict[str, Any]:
    """Build the options that save a second frame."""
    return {"save_all": True, "append_images": [Image.new("RGB", (width, 300))]}


def turn(orientation: int) -> bytes:
    """Build the EXIF block of a rotated picture."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def locate(orientation: int = 1) -> bytes:
    """Build an EXIF block with a location."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "PRIVATE"
    exif[ExifTags.Base.Orientation] = orientation
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef] = "N"
    gps[ExifTags.GPS.GPSProcessingMethod] = b"PRIVATE"
    return exif.tobytes()


def chunk(name: bytes, body: bytes) -> bytes:
    """Build a chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def build_png(width: int, height: int, pixels: bytes, *, layout: bytes = b"\x08\2\0\0\0") -> bytes:
    """Build a PNG with these sides in its header, and possibly too few pixels."""
    header = struct.pack(">II", width, height) + layout
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in parts)


def build_alpha_bmp(width: int, height: int) -> bytes:
    """Build a BMP with transparent red pixels, as some editors write it."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, 0, 0, 0, 0, 0) + masks
    pixels = bytes((0, 0, 255, 0)) * (width * height)
    start = 14 + 108
    return (
        b"BM"
        + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
        + header.ljust(108, b"\0")
        + pixels
    )


def write_heic(image: Image.Image, **options: object) -> bytes:
    """Write this picture as a phone does; empty if the library is missing."""
    return write(image, "HEIF", **options) if HAS_HEIC else b""


def resize_frame(content: bytes, width: int, height: int) -> bytes:
    """Change the size in the header of a JPEG."""
    frame = content.index(b"\xff\xc0") + 5
    return content[:frame] + struct.pack(">HH", height, width) + content[frame + 4 :]


@cache
def build_corpus() -> tuple[Sample, ...]:
    """Build every sample."""
    photo = PHOTO.read_bytes()
    deep = build_png(320, 300, bytes(300 * (1 + 320 * 6)), layout=b"\x10\2\0\0\0")
    good: dict[str | bytes, tuple[bytes, str | None]] = {
        "photo.jpg": (photo, None),
        "phone.mpo": (save("MPO", **film()) + bytes(5000), None),
        "progressive.jpg": (save("JPEG", progressive=True), None),
        "cmyk.jpg": (save("JPEG", "CMYK"), "CMYK"),
        "turned.jpg": (save("JPEG", exif=turn(6)), "EXIF orientation"),
        "place.jpg": (save("JPEG", exif=locate()), "the location"),
        "place-in-xmp.jpg": (save("JPEG", xmp=b"<x exif:GPSLatitude='1,2N'/>"), "the location"),
        "broken-exif.jpg": (save("JPEG", exif=b"Exif\0\0MM\0\1PRIVATE PRIVATE"), None),
        "profile.jpg": (save("JPEG", icc_profile=bytes(9000)), None),
        "longest.jpg": (save("JPEG", size=(750, 300)), None),
        "tallest.png": (save("PNG", size=(300, 750)), None),
        "ten-million.jpg": (photo.ljust(10_000_000, b"\0"), None),
        "full.jpg": (photo.ljust(LARGEST, b"\0"), "10,485,760 bytes"),
        "plain.png": (save("PNG"), None),
        "grey-alpha.png": (save("PNG", "LA"), "transparent"),
        "palette-alpha.png": (save("PNG", "P", transparency=0), "transparent"),
        "alpha.png": (save("PNG", "RGBA"), "transparent"),
        "deep.png": (save("PNG", "I;16"), "16 bits"),
        "deep-colours.png": (deep, "16 bits"),
        "animated.png": (save("PNG", **film()), "animated"),
        "turned.png": (save("PNG", exif=turn(8)), "EXIF orientation"),
        "wrong-ending.gif": (photo, None),
        "two words.jpg": (photo, None),
        "\x1b[31mtwo\nlines.jpg": (photo, None),
        "-rf.jpg": (photo, None),
        "\u202egpj \U0001f600.jpg": (photo, None),
        b"\xff\xfe.jpg": (photo, None),
        "'quoted' \"twice\" $HOME `id` [red]%s{0}[red].jpg": (photo, None),
    }
    large, small, long = "image_too_large", "image_too_small", "image_bad_aspect"
    other, several = "image_wrong_format", "image_rejected"
    fixable = {
        "narrow.jpg": (save("JPEG", size=(299, 400)), small),
        "dot.png": (save("PNG", "1", size=(1, 1)), small),
        "broken-exif-small.jpg": (save("JPEG", size=(99, 99), exif=b"Exif\0\0II*\0\5"), small),
        "long.png": (save("PNG", size=(751, 300)), long),
        "line.png": (save("PNG", "L", size=(4000, 1)), several),
        "heavy.jpg": (photo.ljust(LARGEST + 1, b"\0"), large),
        "a.gif": (save("GIF", "P"), other),
        "film.gif": (save("GIF", **film()), other),
        "a.bmp": (save("BMP"), other),
        "reserved.bmp": (save("BMP").replace(b"\0\0\0\0", b"\1\2\3\4", 1), other),
        "a.avif": (save("AVIF"), other),
        "two-colours.tif": (save("TIFF", "1", compression="group4"), other),
        "pages.tif": (save("TIFF", **film()), other),
        "heavy.bmp": (save("BMP", size=(1900, 1900)), several),
    }
    damaged, pixels = "image_damaged", "image_too_many_pixels"
    deceptive = {
        "cut.gif": save("GIF", "P")[:400],
        "cut.bmp": save("BMP")[:-999],
        "cut.tif": save("TIFF")[:-999],
        "cut.avif": save("AVIF")[:-9],
    }
    frame = photo.index(b"\xff\xc0") + 4
    hopeless = {
        "empty\nline.jpg": (b"", "image_empty"),
        "page.jpg": (b"<!doctype html><title>Not found</title>", other),
        "letter\x1b]0;title\x07.jpg": (b"Dear Sir or Madam,", other),
        "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', other),
        "paper.pdf": (save("PDF"), other),
        "print.eps": (save("EPS"), other),
        "icon.ico": (save("ICO"), other),
        "film.mp4": (b"\0\0\0\x18ftypisom\0\0\2\0isommp42", other),
        "float.tif": (save("TIFF", "F"), other),
        "cut.jpg": (photo[: len(photo) // 2], damaged),
        "one-less.jpg": (photo[:-1], damaged),
        "holes.jpg": (photo[: len(photo) // 2].ljust(len(photo), b"\0"), damaged),
        "beginning.jpg": (photo[:4], damaged),
        "sideless.jpg": (resize_frame(photo, 0, 512), damaged),
        "checksum.png": (save("PNG").replace(b"IDATx", b"IDATy"), damaged),
        "endless.png": (save("PNG")[:-12], damaged),
        "text-mode.png": (save("PNG").replace(b"\r\n", b"\n", 1), damaged),
        "long-and-cut.png": (save("PNG", size=(200, 900))[:-12], damaged),
        "cut.webp": (save("WEBP")[:-9], other),
        "lossless.jpg": (photo.replace(b"\xff\xc0", b"\xff\xc3", 1), "image_unreadable"),
        "twelve-bits.jpg": (photo[:frame] + b"\x0c" + photo[frame + 1 :], damaged),
        "bomb.png": (build_png(20_000, 20_000, b""), pixels),
        "great-bomb.png": (build_png(2**31 - 1, 2**31 - 1, b""), pixels),
        "bomb.jpg": (resize_frame(photo, 65_000, 65_000), pixels),
    }
    # More pixels than --fix accepts.
    wall = build_png(20_000, 3300, bytes(2501 * 3300), layout=b"\1\0\0\0\0")
    return (
        *(Sample(name, content, note=note) for name, (content, note) in good.items()),
        *(
            Sample(name, content, code, is_fixable=True)
            for name, (content, code) in fixable.items()
        ),
        *(
            Sample(name, content, other, is_fixable=True, fix_code=damaged)
            for name, content in deceptive.items()
        ),
        *(Sample(name, content, code) for name, (content, code) in hopeless.items()),
        Sample("wall.png", wall, long, fix_code=pixels),
    )
