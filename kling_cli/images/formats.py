"""What a file is, and how large its picture, told by its bytes alone: a name is no proof."""

import codecs
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kling_cli.images import png

JPEG = "JPEG"
PNG = "PNG"
UNKNOWN = "unknown"
WITHOUT_SIZE = "it does not say how large it is"

# As many first bytes as any header here needs: what stands before a JPEG's size (EXIF, colour
# profile, previews) has no limit of its own, and real files stay far below this.
HEADER_BYTES = 1 << 20

START_OF_SCAN = 0xDA
END_OF_IMAGE = 0xD9
STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_APP1 = 0xE1
_FRAME = struct.Struct(">BHHB")
_CMYK_CHANNELS = 4
_EXIF = b"Exif\0\0"
_WITHOUT_LENGTH = frozenset({0x01, 0xD8})
# A marker is 0xFF and a code. In pixel data 0xFF is followed by 0 or by a restart code; before a
# marker it may be repeated; whatever stands between two segments is skipped, as decoders do.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# Files made to waste time: no real picture has as many segments, or as much between them.
_MOST_SEGMENTS = 10_000
_MOST_BETWEEN = 1 << 16

_BEGINNINGS = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG", PNG),
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF or camera raw"),
    (b"MM\0*", "TIFF or camera raw"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF-", "PDF"),
    (b"\0\0\1\0", "ICO"),
    (b"8BPS", "Photoshop"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\x1aE\xdf\xa3", "WebM video"),
    (b"PK\3\4", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
)
_ORIENTATION = 0x0112
_TURNED = frozenset({3, 5, 6, 7, 8})
_TEXT_SEEN = 4096
_CONTROLS = frozenset(range(32)) - set(b"\t\n\r\f\x1b")


class Segment(NamedTuple):
    """A part of a JPEG: its marker's code, and where its body lies."""

    code: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the first bytes say: the type, the sides in pixels as stored, traits worth a note.

    Of a file that is neither JPEG nor PNG nothing but the type is known. `damage` says what is
    wrong with the header itself.
    """

    format: str
    width: int | None = None
    height: int | None = None
    traits: frozenset[str] = frozenset()
    damage: str = ""

    @property
    def pixels(self) -> int:
        """Width times height, 0 where they are not known."""
        return (self.width or 0) * (self.height or 0)


def recognise(content: bytes) -> str:
    """Name the type of a file by its first bytes, `unknown` where none fits."""
    for beginning, name in _BEGINNINGS:
        if content.startswith(beginning):
            return name
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WebP"
    if content.startswith(b"BM") and content[6:10] == b"\0\0\0\0":
        return "BMP"
    if content[4:8] == b"ftyp":
        return _recognise_brand(content[8 : min(64, int.from_bytes(content[:4]))])
    return _recognise_text(content[:_TEXT_SEEN])


def read_header(content: bytes) -> Header | None:
    """Read the header of a picture from its first bytes, or None where more of them are needed."""
    name = recognise(content)
    if name == JPEG:
        return _read_jpeg(content)
    if name == PNG:
        return _read_png(content)
    return Header(format=name)


def walk_jpeg(content: bytes) -> Iterator[Segment]:
    """Walk a JPEG's segments, pixel data left out, to the end marker or until the bytes run out."""
    position, spare, in_scan = 2, _MOST_BETWEEN, False
    for _ in range(_MOST_SEGMENTS):
        marker = _MARKER.search(content, position, len(content) if in_scan else position + spare)
        if marker is None:
            return
        start, code = marker.end(), content[marker.end() - 1]
        spare -= 0 if in_scan else marker.start() - position
        in_scan = code == START_OF_SCAN
        length = 0
        if code == END_OF_IMAGE:
            yield Segment(code, start, start)
            return
        if code not in _WITHOUT_LENGTH:
            length = max(2, int.from_bytes(content[start : start + 2]))
            if start + length > len(content):
                return
            yield Segment(code, start + 2, start + length)
        position = start + length


def is_in_one_scan(content: bytes) -> bool:
    """Tell whether a JPEG's pixels come row by row: not progressive, all colours in one scan."""
    channels = 0
    for code, start, end in walk_jpeg(content):
        if code in PROGRESSIVE:
            return False
        if code in STARTS_OF_FRAME:
            channels = content[start + 5]
        elif code == START_OF_SCAN:
            return start < end and content[start] == channels
    return False


def reaches_end(content: bytes) -> bool:
    """Tell whether a JPEG goes on through its pixels to its end marker."""
    return {code for code, _, _ in walk_jpeg(content)} >= {START_OF_SCAN, END_OF_IMAGE}


def _read_jpeg(content: bytes) -> Header | None:
    traits = set[str]()
    for code, start, end in walk_jpeg(content):
        if code == _APP1 and content.startswith(_EXIF, start):
            traits |= _read_orientation(content[start + len(_EXIF) : end])
        elif code in STARTS_OF_FRAME and end - start >= _FRAME.size:
            _, height, width, channels = _FRAME.unpack_from(content, start)
            if channels == _CMYK_CHANNELS:
                traits.add("cmyk")
            if width and height:
                return Header(format=JPEG, width=width, height=height, traits=frozenset(traits))
            return Header(format=JPEG, damage=WITHOUT_SIZE)
        elif code in STARTS_OF_FRAME | {START_OF_SCAN, END_OF_IMAGE}:
            return Header(format=JPEG, damage=WITHOUT_SIZE)
    return None


def _read_png(content: bytes) -> Header | None:
    if not content.startswith(png.SIGNATURE[: len(content)]):
        return Header(format=PNG, damage="its first bytes were changed, as by a transfer as text")
    if len(content) < png.HEADER_BYTES:
        return None
    layout = png.read_layout(content)
    if layout is None:
        return Header(format=PNG, damage=png.INVALID)
    traits = {"16-bit"} if layout.is_deep else set[str]()
    if layout.has_alpha:
        traits.add("alpha")
    for name, start, end in png.walk(content):
        if name == b"tRNS":
            traits.add("alpha")
        elif name == b"acTL":
            traits.add("animated")
        elif name == b"eXIf":
            traits |= _read_orientation(content[start:end])
        elif name == b"IDAT":
            break
    return Header(format=PNG, width=layout.width, height=layout.height, traits=frozenset(traits))


def _read_orientation(exif: bytes) -> set[str]:
    order = "<" if exif.startswith(b"II") else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(entries):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return {"turned"} if value in _TURNED else set()
    except struct.error:
        pass
    return set()


def _recognise_brand(brands: bytes) -> str:
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    if any(brand in brands for brand in (b"heic", b"heix", b"hevc", b"heif", b"mif1", b"msf1")):
        return "HEIC"
    return "QuickTime video" if brands.startswith(b"qt") else "MP4 video"


def _recognise_text(content: bytes) -> str:
    text = content.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in text and text.startswith(b"<"):
        return "SVG"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in text:
        return "HTML"
    if not text or _CONTROLS & set(text):
        return UNKNOWN
    try:
        # Step by step, because a character may be cut where the sample ends.
        codecs.getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        return UNKNOWN
    return "plain text"
