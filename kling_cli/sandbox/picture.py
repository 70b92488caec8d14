"""What a picture is, told from its first bytes: JPEG or PNG, and its sides."""

from dataclasses import dataclass
from typing import Literal

_PNG = b"\x89PNG\r\n\x1a\n"
# Bytes up to the end of the height.
_PNG_HEADER = 24
_JPEG = b"\xff\xd8\xff"
# The markers that carry the sides: every start of frame, without the tables that share its range.
_STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers that stand alone, without a segment behind them: fill bytes, TEM, restarts.
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FILL = 0xFF
_START_OF_SCAN = 0xDA

SHORTEST_SIDE = 300
# 1:2.5 to 2.5:1, as whole numbers: exactly 2.5 passes.
_LONGER, _SHORTER = 5, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The format and the sides in pixels; sides of 0 where the bytes do not tell them."""

    format: Literal["JPEG", "PNG"]
    width: int = 0
    height: int = 0

    @property
    def is_acceptable(self) -> bool:
        """Whether the service makes a video of a picture with these sides."""
        shorter, longer = sorted((self.width, self.height))
        return shorter >= SHORTEST_SIDE and longer * _SHORTER <= shorter * _LONGER


def read_header(content: bytes) -> Header | None:
    """Read what the bytes of a picture say of it; None when they are neither JPEG nor PNG."""
    if content.startswith(_PNG):
        return _read_png(content)
    if content.startswith(_JPEG):
        return _read_jpeg(content)
    return None


def _read_png(content: bytes) -> Header:
    # The first chunk: four bytes of length, IHDR, width, height.
    if content[12:16] != b"IHDR" or len(content) < _PNG_HEADER:
        return Header(format="PNG")
    width, height = (int.from_bytes(content[start : start + 4], "big") for start in (16, 20))
    return Header(format="PNG", width=width, height=height)


def _read_jpeg(content: bytes) -> Header:
    place = 2
    while place + 4 <= len(content) and content[place] == _FILL:
        marker = content[place + 1]
        if marker == _FILL:
            place += 1
        elif marker in _STANDALONE:
            place += 2
        elif marker in _STARTS_OF_FRAME and place + 9 <= len(content):
            height = int.from_bytes(content[place + 5 : place + 7], "big")
            width = int.from_bytes(content[place + 7 : place + 9], "big")
            return Header(format="JPEG", width=width, height=height)
        elif marker == _START_OF_SCAN:
            break
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return Header(format="JPEG")
