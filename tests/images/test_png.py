"""The structure of PNG files."""

import io
import struct
import zlib

import pytest
from PIL import Image

from kling_cli.images import png


def chunk(name: bytes, body: bytes = b"") -> bytes:
    """Build a chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def build(
    pixels: bytes, *parts: bytes, width: int = 8, height: int = 8, layout: bytes = b""
) -> bytes:
    """Build a grayscale PNG by hand: its pixels are given deflated, in one piece."""
    header = struct.pack(">II", width, height) + (layout or bytes([8, 0, 0, 0, 0]))
    parts = parts or (chunk(b"IDAT", pixels), chunk(b"IEND"))
    return png.SIGNATURE + chunk(b"IHDR", header) + b"".join(parts)


PIXELS = bytes(8 * 9)
SOUND = build(zlib.compress(PIXELS))


def save(mode: str, size: tuple[int, int]) -> bytes:
    """Let Pillow write a PNG."""
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (300, 301)])
def test_the_inflated_size_is_that_of_a_real_file(mode: str, size: tuple[int, int]) -> None:
    """What a PNG's header promises is what its writer deflated, for every kind of pixel."""
    content = save(mode, size)
    layout = png.read_layout(content)
    pixels = b"".join(content[s:e] for name, s, e in png.walk(content) if name == b"IDAT")
    assert layout is not None
    assert layout.inflated_size == len(zlib.decompress(pixels))
    assert png.find_damage(content) == ""


@pytest.mark.parametrize(
    ("width", "height", "size"), [(8, 8, 79), (1, 1, 2), (5, 1, 9), (3, 4, 19), (16, 16, 286)]
)
def test_an_interlaced_file_has_its_passes_counted(width: int, height: int, size: int) -> None:
    """An interlaced PNG is whole when all its seven passes are there, and not before."""
    layout = bytes([8, 0, 0, 0, 1])
    whole = build(zlib.compress(bytes(size)), width=width, height=height, layout=layout)
    short = build(zlib.compress(bytes(size - 1)), width=width, height=height, layout=layout)
    assert png.find_damage(whole) == ""
    assert png.find_damage(short) == "some of its pixels are missing"


@pytest.mark.parametrize(
    "content",
    [
        build(
            b"",
            chunk(b"IDAT", zlib.compress(PIXELS)[:9]),
            chunk(b"IDAT", zlib.compress(PIXELS)[9:]),
            chunk(b"IEND"),
        ),
        build(
            b"",
            chunk(b"tEXt", b"a\0b"),
            chunk(b"IDAT", zlib.compress(PIXELS)),
            chunk(b"tIME", bytes(7)),
            chunk(b"IEND"),
        ),
        build(zlib.compress(PIXELS + b"more")),
        build(zlib.compress(PIXELS) + b"more"),
        SOUND + b"more",
    ],
    ids=["split", "other chunks", "more pixels", "more data", "trailer"],
)
def test_an_unusual_file_is_sound(content: bytes) -> None:
    """What decoders take without a word is no damage: a false refusal is a fault too."""
    assert png.find_damage(content) == ""


@pytest.mark.parametrize(
    ("content", "damage"),
    [
        (SOUND[:-12], "it ends early"),
        (SOUND[:-1], "it ends early"),
        (SOUND[:40], "it ends early"),
        (SOUND[:-30] + b"?" + SOUND[-29:], "the checksum at byte"),
        (SOUND[:-2] + b"ab", "the checksum at byte"),
        (build(b"not deflated"), "its pixels cannot be read"),
        (build(zlib.compress(PIXELS)[:-9]), "some of its pixels are missing"),
        (build(zlib.compress(PIXELS[1:])), "some of its pixels are missing"),
        (build(b"", chunk(b"IEND")), "some of its pixels are missing"),
        (build(b"", layout=bytes([7, 0, 0, 0, 0])), png.INVALID),
        (build(b"", layout=bytes([8, 1, 0, 0, 0])), png.INVALID),
        (build(b"", layout=bytes([8, 0, 1, 0, 0])), png.INVALID),
        (build(b"", layout=bytes([8, 0, 0, 1, 0])), png.INVALID),
        (build(b"", layout=bytes([8, 0, 0, 0, 2])), png.INVALID),
        (build(b"", width=0), png.INVALID),
        (SOUND.replace(b"IHDR", b"CgBI"), png.INVALID),
    ],
    ids=range(16),
)
def test_damage_is_found(content: bytes, damage: str) -> None:
    """Each kind of damage is found and told apart (fault 52)."""
    assert png.find_damage(content).startswith(damage)


def test_a_very_well_packed_picture_is_sound() -> None:
    """Pixels that inflate a thousandfold are followed step by step to their end."""
    side = 3000
    pixels = zlib.compress(bytes(side * (side + 1)), 9)
    assert png.find_damage(build(pixels, width=side, height=side)) == ""


def test_a_file_of_nothing_but_chunks_ends_the_search() -> None:
    """A file made of a huge number of chunks costs no more than a moment (fault 56)."""
    assert png.find_damage(build(b"", chunk(b"teXt") * 250_000)) == "it ends early"
