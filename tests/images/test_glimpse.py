"""A picture's type, sides and size are told from the beginning of an answer."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from kling_cli.images.formats import HEADER_BYTES, WITHOUT_SIZE, Header
from kling_cli.images.glimpse import Glimpse, read_glimpse

PHOTO = (Path(__file__).parents[1] / "photos" / "astronaut.jpg").read_bytes()
MOST = 10_000_000
COMMENT = b"\xff\xfe\xff\xff" + bytes(0xFFFD)
KNOWN = Header(format="JPEG", width=512, height=512)


class Pieces:
    """Content in pieces, which remembers how much of it was taken."""

    def __init__(self, content: bytes, *, size: int = 1 << 14) -> None:
        self.taken = 0
        self._pieces = (content[i : i + size] for i in range(0, len(content), size))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self.taken += len(piece)
        return piece


def bury(comments: int) -> bytes:
    """Put so many comments of 64 KiB before the size of the photograph."""
    return PHOTO[:2] + COMMENT * comments + PHOTO[2:]


def look(
    pieces: Iterator[bytes], *, status: int = 200, count_until: float = math.inf, **headers: str
) -> Glimpse:
    """Read the beginning of an answer with these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_glimpse(status, named, pieces, most=MOST, count_until=count_until)


def test_no_more_is_read_than_needed() -> None:
    """Where the server tells the size, the first piece of a huge picture will do."""
    pieces = Pieces(PHOTO + bytes(MOST))
    assert look(pieces, Content_Length="9000000") == Glimpse(header=KNOWN, size=9_000_000)
    assert pieces.taken == 1 << 14


@pytest.mark.parametrize("comments", [1, 3, 14])
def test_a_buried_size_is_dug_out(comments: int) -> None:
    """Big EXIF data before the size are read through, a picture is not refused for them."""
    pieces = Pieces(bury(comments) + bytes(MOST))
    assert look(pieces, Content_Length="5000000").header == KNOWN
    assert pieces.taken <= HEADER_BYTES


def test_a_size_buried_too_deep_stays_unknown() -> None:
    """Behind 1 MiB nobody looks, and the picture is not called damaged for it."""
    pieces = Pieces(bury(40))
    glimpse = look(pieces, Content_Length=str(len(bury(40))))
    assert glimpse.header == Header(format="JPEG")
    assert pieces.taken <= HEADER_BYTES + (1 << 14)


def test_a_whole_file_without_sides_is_damaged() -> None:
    """A picture that ends before its size says so."""
    content = bury(2)[:100_000]
    damaged = Header(format="JPEG", damage=WITHOUT_SIZE)
    assert look(Pieces(content)).header == damaged
    whole = f"bytes 0-99999/{len(content)}"
    assert look(Pieces(content), status=206, Content_Range=whole).header == damaged


@pytest.mark.parametrize(
    ("content_range", "size"),
    [("bytes 0-1048575/9000000", 9_000_000), ("bytes 0-1048575/*", None), ("", None)],
)
def test_the_size_of_a_part_is_that_of_the_whole(content_range: str, size: int | None) -> None:
    """A part tells the whole's size in its range, and its own length is not taken for it."""
    length = str(HEADER_BYTES)
    glimpse = look(Pieces(PHOTO), status=206, Content_Range=content_range, Content_Length=length)
    assert glimpse == Glimpse(header=KNOWN, size=size)


def test_a_part_that_ends_before_the_sides_is_not_called_damaged() -> None:
    """Only what is there as a whole can be damaged."""
    glimpse = look(Pieces(bury(2)[:100_000]), status=206, Content_Range="bytes 0-99999/*")
    assert glimpse.header == Header(format="JPEG")


def test_without_a_size_the_bytes_are_counted() -> None:
    """A server that tells no size is no reason to refuse."""
    assert look(Pieces(PHOTO)) == Glimpse(header=KNOWN, size=len(PHOTO))
    long = PHOTO + bytes(1_000_000)
    assert look(Pieces(long), Content_Length="nonsense").size == len(long)


def test_counting_ends_above_the_limit() -> None:
    """An endless picture is read up to the limit and no further."""
    endless = itertools.chain([PHOTO], itertools.repeat(bytes(1 << 16)))
    glimpse = look(endless)
    assert glimpse.at_least
    assert glimpse.size is not None
    assert MOST < glimpse.size <= MOST + (1 << 16)


def test_counting_ends_when_it_takes_too_long() -> None:
    """On a slow line the size stays unknown, and the picture is not refused for it."""
    endless = itertools.chain([PHOTO], itertools.repeat(bytes(1)))
    assert look(endless, count_until=0) == Glimpse(header=KNOWN, size=None)


def test_what_is_no_picture_is_not_counted() -> None:
    """An endless web page is recognised by its beginning."""
    endless = itertools.chain([b"<!doctype html>"], itertools.repeat(bytes(1 << 10)))
    assert look(endless) == Glimpse(header=Header(format="HTML"), size=None)


def test_nothing_at_all_is_told() -> None:
    """An empty answer has no header."""
    assert look(Pieces(b"")) == Glimpse(header=None, size=0)
