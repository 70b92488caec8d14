"""The structure of a PNG file: its chunks, and whether they and the pixels are all there."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_BYTES = 33
INVALID = "its header is not valid"

_LAST = b"IEND"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_WITH_ALPHA = frozenset({4, 6})
_DEEPEST = 16
# Interlaced (Adam7), the pixels come in passes: first column, first row, step right, step down.
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
# A file made to waste time: real ones have a few thousand.
_MOST_CHUNKS = 200_000
# Beyond this the checksums alone vouch for the pixels; inflating them could take many seconds.
_MOST_INFLATED = 256 * 1024 * 1024
# Small steps, so that memory does not grow with the picture.
_DEFLATED_AT_ONCE = 1 << 14
_INFLATED_AT_ONCE = 1 << 18


class Chunk(NamedTuple):
    """A chunk: its four-letter name, and where its body lies; the checksum follows."""

    name: bytes
    start: int
    end: int


class Layout(NamedTuple):
    """What the first chunk says of the pixels; width and height in pixels, depth in bits."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @property
    def has_alpha(self) -> bool:
        """Whether each pixel has its own transparency."""
        return self.colour in _WITH_ALPHA

    @property
    def is_deep(self) -> bool:
        """Whether each colour of a pixel has 16 bits."""
        return self.depth == _DEEPEST

    @property
    def inflated_size(self) -> int:
        """How many bytes the pixels take when inflated, with a filter byte before each row."""
        bits = self.depth * _CHANNELS[self.colour]
        total = 0
        for column, row, right, down in _PASSES if self.interlaced else ((0, 0, 1, 1),):
            pixels = (self.width - column + right - 1) // right
            rows = (self.height - row + down - 1) // down
            total += rows * (1 + (pixels * bits + 7) // 8) if pixels else 0
        return total


def read_layout(content: bytes) -> Layout | None:
    """Read the first chunk, or None where it is not what the format allows there."""
    name, width, height, depth, colour, method, rows, interlaced = struct.unpack_from(
        ">4sIIBBBBB", content, 12
    )
    allowed = depth in _DEPTHS.get(colour, ()) and (method, rows) == (0, 0) and interlaced <= 1
    if name != b"IHDR" or not allowed or not (width and height):
        return None
    return Layout(width, height, depth, colour, bool(interlaced))


def walk(content: bytes) -> Iterator[Chunk]:
    """Walk the chunks, each complete with its checksum, to IEND or until the bytes run out."""
    start = len(SIGNATURE) + 8
    for _ in range(_MOST_CHUNKS):
        end = start + int.from_bytes(content[start - 8 : start - 4])
        if max(start, end + 4) > len(content):
            return
        yield Chunk(content[start - 4 : start], start, end)
        if content.startswith(_LAST, start - 4):
            return
        start = end + 12


def find_damage(content: bytes) -> str:
    """Say what is damaged in a whole PNG file, or nothing where all is well."""
    layout = read_layout(content)
    if layout is None:
        return INVALID
    return _check_chunks(content) or _check_pixels(content, layout)


def _check_chunks(content: bytes) -> str:
    view = memoryview(content)
    for name, start, end in walk(content):
        if zlib.crc32(view[start - 4 : end]) != int.from_bytes(content[end : end + 4]):
            return f"the checksum at byte {end:,} is wrong"
        if name == _LAST:
            return ""
    return "it ends early"


def _check_pixels(content: bytes, layout: Layout) -> str:
    missing = min(layout.inflated_size, _MOST_INFLATED)
    inflater = zlib.decompressobj()
    try:
        for piece in _pieces(content):
            deflated = piece
            # What follows the last pixel is of no use to any decoder, so it is no damage.
            while missing > 0 and not inflater.eof:
                inflated = len(inflater.decompress(deflated, _INFLATED_AT_ONCE))
                missing -= inflated
                deflated = inflater.unconsumed_tail
                if not deflated and inflated < _INFLATED_AT_ONCE:
                    break
    except zlib.error:
        return "its pixels cannot be read"
    return "some of its pixels are missing" if missing > 0 else ""


def _pieces(content: bytes) -> Iterator[bytes]:
    for name, start, end in walk(content):
        if name == b"IDAT":
            for offset in range(start, end, _DEFLATED_AT_ONCE):
                yield content[offset : min(offset + _DEFLATED_AT_ONCE, end)]
