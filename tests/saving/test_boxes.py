"""The end of a clip is told by its boxes where nothing else tells it."""

import pytest
from downloads import CLIP
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.saving.boxes import Boxes, is_clip

FTYP = b"\0\0\0\x10ftypisom\0\0\0\0"
MOOV = b"\0\0\0\x0cmoov\0\0\0\0"
LONG = b"\0\0\0\x01mdat" + (20).to_bytes(8) + b"1234"


def is_whole(content: bytes, *, size: int = 1 << 16) -> bool:
    """Feed a file in pieces of this size."""
    boxes = Boxes()
    for start in range(0, len(content), size):
        boxes.feed(content[start : start + size])
    return boxes.is_whole


@given(st.integers(1, 3000))
def test_a_clip_is_whole_in_any_pieces(size: int) -> None:
    """How the line cuts a clip does not matter."""
    assert is_whole(CLIP, size=size)
    assert is_whole(FTYP + LONG + MOOV, size=size)


@given(st.integers(0, len(CLIP) - 1))
def test_a_clip_that_is_cut_is_not_whole(end: int) -> None:
    """Wherever it is cut, but between two boxes behind the index."""
    assert is_whole(CLIP[:end]) == (end in {1900, 1908})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        FTYP,
        FTYP + LONG,
        FTYP + MOOV + LONG[:-1],
        FTYP + MOOV + LONG[:12],
        FTYP + MOOV + b"\0\0\0\0mdat1234",
        FTYP + MOOV + b"\0\0\0\x07mdat",
        FTYP + MOOV + b"\0\0\0\x01mdat" + (15).to_bytes(8) + b"1234",
    ],
)
def test_what_may_be_cut_is_not_whole(content: bytes) -> None:
    """Without an index, or with a box of unknown or impossible size, nobody can tell."""
    assert not is_whole(content)
    assert not is_whole(content, size=1)


@pytest.mark.parametrize("beginning", [b"<!doctype html>", b'{"code": 1}', b"ftypisom", b"\0" * 8])
def test_what_is_no_clip_is_known_by_its_first_bytes(beginning: bytes) -> None:
    """Only an MP4 file begins as one."""
    assert not is_clip(beginning)
    assert is_clip(CLIP[:8])
