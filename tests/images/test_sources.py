"""A picture's bytes are read once, from regular files and standard input alone."""

import io
import os
import socket
import sys
import threading
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from kling_cli.errors import InputError
from kling_cli.images.sources import Read, read_file, read_stream

MOST = 1000


def refuse(path: Path | str) -> InputError:
    """Read a path that has to be refused."""
    with pytest.raises(InputError) as caught:
        read_file(str(path), most=MOST, beginning=10)
    return caught.value


@pytest.mark.parametrize("size", [1, MOST - 1, MOST])
def test_a_file_up_to_the_cap_is_read_as_a_whole(tmp_path: Path, size: int) -> None:
    """A file of up to the allowed size is in memory once, unchanged."""
    path = tmp_path / "file"
    content = os.urandom(size)
    path.write_bytes(content)
    assert read_file(str(path), most=MOST, beginning=10) == Read(content, size)


def test_of_a_larger_file_only_the_beginning_is_read(tmp_path: Path) -> None:
    """A sparse file of many gigabytes costs as little as its first bytes (fault 55)."""
    path = tmp_path / "sparse"
    path.write_bytes(b"beginning, and more")
    os.truncate(path, 1 << 34)
    assert read_file(str(path), most=MOST, beginning=9) == Read(b"beginning", 1 << 34)


@pytest.mark.parametrize(
    "name",
    ["with space", "with\nnewline", "with\x1bescape", "-leading", "\u202ebidi", "\udcff\udc80"],
)
def test_every_name_that_the_system_allows_works(tmp_path: Path, name: str) -> None:
    """A file is found whatever its name is made of (fault 58)."""
    path = tmp_path / name
    path.write_bytes(b"content")
    assert read_file(str(path), most=MOST, beginning=10).content == b"content"


def test_a_missing_file_is_told_with_its_near_miss(tmp_path: Path) -> None:
    """A slip in the name is answered with the name that is there (fault 49)."""
    (tmp_path / "Photo.JPEG").touch()
    error = refuse(tmp_path / "photo.jpg")
    assert error.code == "image_not_found"
    assert error.message == f"No such file or directory; did you mean {tmp_path}/Photo.JPEG?"


def test_a_near_miss_in_the_working_directory_is_named_as_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suggestion for a bare name is a bare name."""
    monkeypatch.chdir(tmp_path)
    Path("photo.jpeg").touch()
    assert refuse("photo.jpg").message == "No such file or directory; did you mean photo.jpeg?"


def test_a_missing_file_without_a_near_miss_is_just_told(tmp_path: Path) -> None:
    """No far-fetched name is suggested."""
    (tmp_path / "invoice.pdf").touch()
    assert refuse(tmp_path / "photo.jpg").message == "No such file or directory"


def test_a_file_in_a_missing_directory_is_told(tmp_path: Path) -> None:
    """A directory that does not exist is no reason to fail otherwise."""
    assert refuse(tmp_path / "no" / "photo.jpg").code == "image_not_found"


def test_a_dangling_link_is_told_as_one(tmp_path: Path) -> None:
    """The user learns that the link is there and its target is not (fault 49)."""
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nothing")
    error = refuse(tmp_path / "link.jpg")
    assert error.code == "image_not_found"
    assert "it is a link to nothing" in error.message
    assert "did you mean" not in error.message


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_an_impossible_name_is_refused(name: str) -> None:
    """A name that no system call takes is a missing file, not a crash (fault 58)."""
    assert refuse(name).code == "image_not_found"


def test_a_loop_of_links_is_refused_with_the_reason(tmp_path: Path) -> None:
    """What the system will not open is told in the system's words (fault 49)."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    error = refuse(tmp_path / "loop")
    assert error.code == "image_unreadable"
    assert "symbolic links" in error.message


def test_a_read_error_is_refused_with_the_reason() -> None:
    """A file that opens but cannot be read is refused in the system's words (fault 50)."""
    error = refuse("/proc/self/mem")
    assert error.code == "image_unreadable"
    assert error.message == "it cannot be read: Input/output error"


def test_directory_pipe_socket_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    """Nothing but a regular file is read, so nothing can hang (fault 50)."""
    fifo, listener = tmp_path / "fifo", tmp_path / "socket"
    os.mkfifo(fifo)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(listener))
        told = {
            path: refuse(path).message.partition(":")[0]
            for path in (tmp_path, fifo, listener, Path("/dev/zero"))
        }
    assert list(told.values()) == [
        "it is a directory",
        "it is a pipe",
        "it is a socket",
        "it is a device",
    ]


def test_a_socket_behind_a_descriptor_is_refused() -> None:
    """A path that leads to an open socket is refused too."""
    left, right = socket.socketpair()
    with left, right:
        assert refuse(f"/dev/fd/{left.fileno()}").code == "image_not_a_file"


def test_a_file_without_a_size_is_read_up_to_the_cap() -> None:
    """What the kernel makes up below /proc says nothing of its size and is capped (fault 50)."""
    assert read_file("/proc/self/smaps", most=MOST, beginning=10).size == MOST + 1


def test_standard_input_is_read_to_its_end() -> None:
    """A picture can come from a pipe."""
    assert read_stream(io.BytesIO(b"content"), most=MOST) == Read(b"content", 7)


def test_standard_input_is_read_up_to_the_cap() -> None:
    """An endless pipe ends one byte beyond the cap (fault 50)."""
    with Path("/dev/zero").open("rb") as endless:
        assert read_stream(endless, most=MOST).size == MOST + 1


def test_a_pipe_that_has_nothing_yet_is_waited_for() -> None:
    """A pipe that a parent made non-blocking is read as any other."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)

    def write_late() -> None:
        os.write(writing, b"content")
        os.close(writing)

    with os.fdopen(reading, "rb", buffering=0) as stream:
        writer = threading.Timer(0.05, write_late)
        writer.start()
        # What BinaryIO promises and FileIO keeps.
        assert read_stream(cast("BinaryIO", stream), most=MOST).content == b"content"
        writer.join()


def test_a_program_without_standard_input_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Started with standard input closed, Python has none, and that is told."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="it is closed: pass a picture to it"):
        read_stream(None, most=MOST)


def test_closed_standard_input_is_refused() -> None:
    """A stream that was closed meanwhile is refused in the system's words."""
    stream = io.BytesIO()
    stream.close()
    with pytest.raises(InputError, match="closed") as caught:
        read_stream(stream, most=MOST)
    assert caught.value.code == "image_unreadable"
