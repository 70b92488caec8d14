"""A small private file, replaced in one step and 0600 from its creation."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from kling_cli.errors import LocalError, SetupError
from kling_cli.text import clean

_MOST_LINKS = 40


def replace(path: Path, content: bytes) -> None:
    """Write a file so that every reader, and every crash, finds the old or the new one whole.

    A directory that is missing is made, 0700. A symbolic link stays, its target is replaced.

    Raises:
        SetupError: the file is a link that anybody may have put there.
        LocalError: the system refused; the old file is as it was.
    """
    try:
        target = _follow(path)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_beside(target, content)
        _sync_directory(target.parent)
    except OSError as error:
        raise LocalError(
            "config_write_failed",
            f"{clean(str(path))} could not be written: {error.strerror}. Nothing was changed.",
            hint="KLING_CONFIG_DIR names another directory for it.",
        ) from None


def _follow(path: Path) -> Path:
    target = path
    for _ in range(_MOST_LINKS):
        if not target.is_symlink():
            return target
        if target.parent.stat().st_mode & stat.S_IWOTH:
            # Anybody may have put the link there, to have the token written where they like.
            raise SetupError(
                "config_unsafe",
                f"{clean(str(target))} is a link in a directory that every user can write to; "
                "nothing is written through it.",
                hint="KLING_CONFIG_DIR names another directory for it.",
            )
        target = target.parent / target.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _write_beside(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        # After the rename there is nothing left to remove; after any failure there may be.
        with suppress(OSError):
            temporary.unlink()


def _sync_directory(directory: Path) -> None:
    # Not every system opens or syncs directories; the file itself is whole without it.
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
