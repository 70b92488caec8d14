"""Where a picture's bytes come from: a file or standard input, read once, up to a cap."""

import difflib
import errno
import os
import re
import select
import stat
import sys
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from kling_cli.errors import InputError
from kling_cli.text import clean

STANDARD_INPUT = "-"
_SCHEME = re.compile(r"\s*([a-z][a-z0-9+.-]+):(//)?", re.IGNORECASE)
_SCHEMES_WITHOUT_SLASHES = frozenset({"data", "file", "ftp", "http", "https"})

# Not every system has all of them. A pipe without a writer would hang without O_NONBLOCK.
_FLAGS = os.O_RDONLY | sum(
    getattr(os, flag, 0) for flag in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY")
)

_KINDS = (
    (stat.S_ISDIR, "it is a directory: name the pictures in it"),
    (stat.S_ISFIFO, "it is a pipe: save it as a file, or pass it on standard input as -"),
    (stat.S_ISCHR, "it is a device: name a file"),
    (stat.S_ISBLK, "it is a device: name a file"),
)
_SOCKET = "it is a socket: name a file"
_OTHER = "it is not a regular file: name a file"
_NAMES_SEEN = 1000
_SMALLEST_READ = 1 << 16
# So near that another picture of the same series is rarely taken for a slip of the finger.
_NEAR = 0.82


def is_url(source: str) -> bool:
    r"""Tell whether a picture is meant by its address and not by its path.

    `C:\photo.jpg` is a path, and so is `data:x` where there is such a file.
    """
    match = _SCHEME.match(source)
    if match is None:
        return False
    scheme, slashes = match.groups()
    if slashes:
        return True
    return scheme.lower() in _SCHEMES_WITHOUT_SLASHES and not os.path.lexists(source)


class Read(NamedTuple):
    """What was read: all bytes of the source, or its first ones where it is too large."""

    content: bytes
    size: int


def read_file(path: str, *, most: int, beginning: int) -> Read:
    """Read a regular file into one buffer; a device, pipe or socket is refused, so nothing hangs.

    Args:
        path: as the user or the shell gave it, with surrogates for undecodable bytes.
        most: bytes that a file may have to be read as a whole.
        beginning: bytes to read of a larger one.

    Raises:
        InputError: `image_not_found`, `image_not_a_file` or `image_unreadable`; its message is
            without the file's name.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        raise _explain(path, error) from None
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise InputError("image_not_a_file", _describe(state.st_mode))
        # The size is a promise: files below /proc say 0, others grow while they are read.
        wanted = beginning if state.st_size > most else most + 1
        promised = max(state.st_size, _SMALLEST_READ)
        content = _read_up_to(wanted, lambda left: os.read(descriptor, min(left, promised)))
    except OSError as error:
        raise InputError("image_unreadable", f"it cannot be read: {_reason(error)}") from None
    finally:
        os.close(descriptor)
    return Read(content, state.st_size if state.st_size > most else len(content))


def read_stream(stream: BinaryIO | None, *, most: int) -> Read:
    """Read standard input to its end, or one byte more than `most`.

    Raises:
        InputError: `image_unreadable`; it is closed, or reading failed.
    """
    stream = stream or getattr(sys.stdin, "buffer", None)
    try:
        if stream is None:
            raise InputError("image_unreadable", "it is closed: pass a picture to it")
        content = _read_up_to(most + 1, partial(_wait_and_read, stream, stream.read))
    except (OSError, ValueError) as error:
        raise InputError("image_unreadable", f"it cannot be read: {_reason(error)}") from None
    return Read(content, len(content))


def _read_up_to(most: int, read: Callable[[int], bytes]) -> bytes:
    pieces = list[bytes]()
    while most > 0 and (piece := read(most)):
        pieces.append(piece)
        most -= len(piece)
    # Of a single piece this is no copy: a large picture lies in memory once.
    return b"".join(pieces)


def _wait_and_read(stream: BinaryIO, read: Callable[[int], bytes | None], most: int) -> bytes:
    # A parent that set the pipe to non-blocking makes reads come back with nothing yet.
    while (piece := read(most)) is None:
        select.select([stream], [], [])
    return piece


def _explain(path: str, error: OSError | ValueError) -> InputError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        more = ", it is a link to nothing" if Path(path).is_symlink() else _suggest(path)
        return InputError("image_not_found", f"{_reason(error)}{more}")
    if isinstance(error, ValueError):
        return InputError("image_not_found", f"no file can have this name ({_reason(error)})")
    if error.errno in {errno.ENXIO, errno.EOPNOTSUPP}:
        return InputError("image_not_a_file", _SOCKET)
    return InputError("image_unreadable", f"it cannot be opened: {_reason(error)}")


def _reason(error: OSError | ValueError) -> str:
    return clean(getattr(error, "strerror", None) or str(error))


def _describe(mode: int) -> str:
    return next((words for is_kind, words in _KINDS if is_kind(mode)), _OTHER)


def _suggest(path: str) -> str:
    directory, wanted = os.path.split(path)
    try:
        with os.scandir(directory or os.curdir) as entries:
            names = {entry.name.casefold(): entry.name for entry in islice(entries, _NAMES_SEEN)}
    except OSError:
        return ""
    near = difflib.get_close_matches(wanted.casefold(), names, n=1, cutoff=_NEAR)
    return f"; did you mean {clean(str(Path(directory, names[near[0]])))}?" if near else ""
