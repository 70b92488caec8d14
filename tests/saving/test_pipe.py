"""A clip on standard output: what cannot be written is told, and a closed pipe stays quiet."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pytest
from downloads import CLIP, Saver, judge, open_saver

from kling_cli.errors import LocalError


@pytest.fixture
def saver(tmp_path: Path) -> Saver:
    """Somebody who saves clips into an empty directory."""
    return open_saver(tmp_path)


@pytest.fixture
def url(saver: Saver, tmp_path: Path) -> str:
    """A clip of the sandbox."""
    saver.allow_file = True
    source = tmp_path / "a.mp4"
    source.write_bytes(CLIP)
    return source.as_uri()


@contextmanager
def leave(file: BinaryIO) -> Iterator[BinaryIO]:
    """Close a stream whose last bytes cannot be written."""
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_full_disk_behind_the_stream_is_told(saver: Saver, url: str, buffering: int) -> None:
    """A clip that could not be written does not count as delivered (fault 84)."""
    full = Path("/dev/full").open("wb", buffering=buffering)  # noqa: SIM115 - by `leave`
    with leave(full), pytest.raises(LocalError) as caught:
        saver.stream(url, full)
    assert "No space left on device" in judge(caught.value, "output_failed").message


def test_what_only_the_flush_tells_is_told(saver: Saver, url: str) -> None:
    """Also the last bytes that a buffer has held back count (fault 84)."""
    full = Path("/dev/full").open("wb", buffering=1 << 20)  # noqa: SIM115 - by `leave`
    with leave(full), pytest.raises(LocalError) as caught:
        saver.stream(url, full)
    judge(caught.value, "output_failed")


@pytest.mark.parametrize("buffering", [0, -1, 1 << 20])
def test_a_reader_that_left_is_no_error_of_ours(saver: Saver, url: str, buffering: int) -> None:
    """A closed pipe comes out as it is, for the exit code of its own (fault 85)."""
    ours, theirs = os.pipe()
    os.close(ours)
    pipe = os.fdopen(theirs, "wb", buffering=buffering)
    with leave(pipe), pytest.raises(BrokenPipeError):
        saver.stream(url, pipe)


class Trickle(io.RawIOBase):
    """A raw stream that takes a thousand bytes at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.content = b""

    def writable(self) -> bool:
        """Take bytes."""
        return True

    def write(self, piece: object) -> int:
        """Take some of them."""
        assert isinstance(piece, memoryview)
        part = bytes(piece[:1000])
        self.content += part
        return len(part)


def test_a_stream_may_take_a_part_at_a_time(saver: Saver, url: str) -> None:
    """Also an unbuffered standard output gets every byte."""
    trickle = Trickle()
    saver.stream(url, trickle)  # type: ignore[arg-type]  # as sys.stdout.buffer under python -u
    assert trickle.content == CLIP
