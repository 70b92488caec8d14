"""A result URL becomes a file, or goes to standard output: a whole clip, or an error."""

import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kling_cli.clock import Clock
from kling_cli.errors import LocalError
from kling_cli.images.addresses import Resolve, look_up
from kling_cli.saving.fetching import LIMITS, Access, Limits, fetch
from kling_cli.saving.part import Part, name_part
from kling_cli.saving.pipe import Pipe
from kling_cli.saving.receiving import Tell
from kling_cli.transport.exchange import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A clip that lies where it was wanted: `size` in bytes, `sha256` in hexadecimal digits."""

    path: Path
    size: int
    sha256: str


def save(  # noqa: PLR0913 - whom to ask, where to save, whom to tell; the last two are for tests
    video_url: str,
    path: Path,
    *,
    transport: Transport,
    clock: Clock,
    allow_private: bool,
    allow_file: bool,
    force: bool,
    before_naming: Callable[[Saved], None],
    tell: Tell = lambda _done, _total: None,
    limits: Limits = LIMITS,
    resolve: Resolve = look_up,
) -> Saved:
    """Download a clip to a file, which has its name only when all of it is there.

    Args:
        video_url: as the service told it.
        path: the file; beside it a `.part` lies meanwhile.
        transport: one to the network, which no token goes through.
        clock: for the pauses between tries.
        allow_private: the service itself is on this machine, and so may be its clips.
        allow_file: the service is the sandbox, whose clip is a `file:` URL.
        force: whether to replace a file of that name.
        before_naming: told of the clip when only its name is missing, so that a later run knows
            the file as this one's; an error that it raises comes out of here, and no file is left.
        tell: told the bytes that are there and the bytes there will be, None where nobody knows;
            at most ten times a second.
        limits: how much, and how long to wait for it.
        resolve: finds the addresses of a host.

    Raises:
        LocalError: `download_failed`, `download_expired`, `download_not_a_video`,
            `download_too_large`, `download_private_address`, `output_failed`, `output_busy` or
            `output_exists`; the URL is in no message.
    """
    access = Access(
        transport=transport,
        clock=clock,
        resolve=None if allow_private else resolve,
        allow_file=allow_file,
    )
    with Part(path, force=force) as part:
        fetch(video_url, part, access=access, limits=limits, tell=tell)
        part.sync()
        saved = Saved(path=path, size=part.size, sha256=part.sha256)
        before_naming(saved)
        part.name()
    return saved


def stream(  # noqa: PLR0913 - as above
    video_url: str,
    file: BinaryIO,
    *,
    transport: Transport,
    clock: Clock,
    allow_private: bool,
    allow_file: bool,
    tell: Tell = lambda _done, _total: None,
    limits: Limits = LIMITS,
    resolve: Resolve = look_up,
) -> None:
    """Download a clip to a stream; a reader sees one whole clip even where the download broke.

    Not a byte is written before it is known that a clip comes. The arguments are those of `save`.

    Raises:
        BrokenPipeError: the reader has closed it.
        LocalError: as from `save`; what was written by then is not the whole clip.
    """
    access = Access(
        transport=transport,
        clock=clock,
        resolve=None if allow_private else resolve,
        allow_file=allow_file,
    )
    pipe = Pipe(file)
    fetch(video_url, pipe, access=access, limits=limits, tell=tell)
    pipe.flush()


def is_same(path: Path, *, size: int, sha256: str) -> bool:
    """Tell whether a file is, byte for byte, one that was saved before; a link never is."""
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or state.st_size != size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except (OSError, ValueError):
        return False


def clear(path: Path) -> None:
    """Remove the `.part` that a killed run may have left beside a clip that is there already.

    Whatever is not such a rest, and one that another run writes at this moment, stays.
    """
    if os.path.lexists(name_part(path)):
        with suppress(LocalError), Part(path, force=False):
            pass
