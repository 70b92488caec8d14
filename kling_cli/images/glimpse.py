"""The beginning of a picture on the web: its type, sides and size from as few bytes as will do."""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kling_cli.images.formats import (
    HEADER_BYTES,
    JPEG,
    PNG,
    WITHOUT_SIZE,
    Header,
    read_header,
    recognise,
)

# Enough for most headers; where it is not, twice as much is read, and so on.
_FIRST_BYTES = 1 << 12
_PARTIAL_CONTENT = 206
_TOTAL = re.compile(r"bytes [0-9]+-[0-9]+/([0-9]{1,15})")
_LENGTH = re.compile(r"[0-9]{1,15}")

ASKING_FOR_IT: Mapping[str, str] = {
    "Accept": "image/jpeg, image/png, */*;q=0.5",
    # A server that gives all the same is cut off.
    "Range": f"bytes=0-{HEADER_BYTES - 1}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """What the beginning tells; `header` is None where there is not a single byte.

    `size` is that of the whole picture in bytes, None where the server does not tell and counting
    them takes too long; `at_least`: there are more.
    """

    header: Header | None
    size: int | None
    at_least: bool = False


def read_glimpse(
    status: int,
    headers: Mapping[str, str],
    pieces: Iterator[bytes],
    *,
    most: int,
    count_until: float,
) -> Glimpse:
    """Read the beginning of an answer; where the server tells no size, count up to `most` bytes.

    Args:
        status: 206 if this is a part of the picture, any other 2xx if it is the whole.
        headers: those of the answer.
        pieces: its content, not decoded.
        most: counting stops behind so many bytes.
        count_until: counting stops at this time of the monotonic clock, in seconds. A slow line
            here is no proof that the service's line is slow.
    """
    is_part = status == _PARTIAL_CONTENT
    total = _read_total(headers, is_part=is_part)
    content = bytearray()
    header, is_over, wanted = None, False, _FIRST_BYTES
    while header is None and not is_over and len(content) < HEADER_BYTES:
        is_over = _read_on(content, pieces, wanted)
        header = read_header(bytes(content))
        wanted *= 2
    is_whole = is_over and (not is_part or len(content) == total)
    if not content:
        return Glimpse(header=None, size=0)
    if header is None:
        header = Header(format=recognise(bytes(content)), damage=WITHOUT_SIZE if is_whole else "")
    if total is None and header.format in {JPEG, PNG} and not is_part:
        total = _count(len(content), pieces, most=most, until=count_until)
    return Glimpse(header=header, size=total, at_least=total is not None and total > most)


def _read_total(headers: Mapping[str, str], *, is_part: bool) -> int | None:
    if is_part:
        match = _TOTAL.fullmatch(headers.get("Content-Range", ""))
        return int(match[1]) if match else None
    match = _LENGTH.fullmatch(headers.get("Content-Length", ""))
    return int(match[0]) if match else None


def _read_on(content: bytearray, pieces: Iterator[bytes], wanted: int) -> bool:
    """Read until there are so many bytes; tell whether the answer ended before."""
    for piece in pieces:
        content += piece
        if len(content) >= wanted:
            return False
    return True


def _count(size: int, pieces: Iterator[bytes], *, most: int, until: float) -> int | None:
    for piece in pieces:
        size += len(piece)
        if size > most:
            break
        if time.monotonic() > until:
            return None
    return size
