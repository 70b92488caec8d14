"""A file that has its name only when it is whole: until then it is `<name>.part`."""

import errno
import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kling_cli.errors import LocalError
from kling_cli.saving.failure import fail, show, show_reason

SUFFIX = ".part"
# Another run can take the place of a stale file just when we do; soon one of us has it.
_MOST_RACES = 10

# Not every system has all of them.
_EXTRA = sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _EXTRA
_OPEN = os.O_WRONLY | _EXTRA


def name_part(path: Path) -> Path:
    """Name what a file is called until it is whole."""
    return path.with_name(path.name + SUFFIX)


class Part:
    """The file while it comes, as a context manager; without `name` nothing is left of it.

    Args:
        path: the final name.
        force: whether a file of that name is replaced.

    Raises:
        LocalError: `output_busy`, `output_failed`; and from `name` also `output_exists`.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()
        self._force = force
        self._part = name_part(path)
        self._descriptor = -1
        self._state: os.stat_result | None = None
        self._mode = 0
        self._is_locked = False

    @property
    def sha256(self) -> str:
        """The hash of what was written."""
        return self._digest.hexdigest()

    def __enter__(self) -> Self:
        try:
            self._make()
        except OSError as error:
            self._discard()
            raise self._fail(error) from None
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._discard()

    def rewind(self) -> None:
        """Begin anew."""
        try:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        except OSError as error:
            raise self._fail(error) from None
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Write the next bytes."""
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise self._fail(error) from None
        self.size += len(piece)
        self._digest.update(piece)

    def sync(self) -> None:
        """Have the bytes on the disk before any name promises them."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._fail(error) from None

    def name(self) -> None:
        """Give the file its name and the mode of any other new file."""
        _set_mode(self._descriptor, self._mode)
        if not self._is_locked:
            self._close()
        try:
            self._rename()
        except FileExistsError:
            raise fail(
                "output_exists",
                f"{show(self.path)} appeared while the video was downloaded; it is as it was.",
                hint="--force replaces it, -o DIR/ saves beside it; either costs nothing.",
            ) from None
        except OSError as error:
            raise self._fail(error) from None
        _sync_directory(self.path.parent)

    def _make(self) -> None:
        for _ in range(_MOST_RACES):
            try:
                # The mode that the user's umask leaves is that of the finished file.
                self._descriptor = os.open(self._part, _MAKE, 0o666)
            except FileExistsError:
                self._remove_stale()
                continue
            self._state = os.fstat(self._descriptor)
            self._mode = stat.S_IMODE(self._state.st_mode)
            _set_mode(self._descriptor, 0o600)
            self._is_locked = self._lock(self._descriptor)
            if _lies_at(self._part, self._state):
                return
            self._discard()
        raise self._say_busy()

    def _remove_stale(self) -> None:
        """Remove what a killed run has left: it may be linked to a finished file by now."""
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(self._part.lstat().st_mode):
                raise fail(
                    "output_failed",
                    f"{show(self._part)} is in the way: it is no file that a run has left.",
                    hint="Remove it; the same command then costs nothing.",
                )
            descriptor = os.open(self._part, _OPEN)
            try:
                self._lock(descriptor)
                if _lies_at(self._part, os.fstat(descriptor)):
                    self._part.unlink()
            finally:
                os.close(descriptor)

    def _lock(self, descriptor: int) -> bool:
        try:
            import fcntl  # noqa: PLC0415 - Windows has none
        except ImportError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._say_busy() from None
        except OSError:
            return False  # some file systems have no locks
        return True

    def _rename(self) -> None:
        if self._force:
            self._part.replace(self.path)
            return
        try:
            # Unlike a rename, a link never replaces anything.
            os.link(self._part, self.path, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:
            # Some file systems have no links.
            if os.path.lexists(self.path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
            self._part.rename(self.path)

    def _discard(self) -> None:
        # While it is locked nobody else can put a file of theirs in its place.
        if not self._is_locked:
            self._close()
        with suppress(OSError):
            if self._state is not None and _lies_at(self._part, self._state):
                self._part.unlink()
        self._state = None
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            # What was to be kept is on the disk already.
            with suppress(OSError):
                os.close(descriptor)

    def _fail(self, error: OSError) -> LocalError:
        text = f"{show(self.path)} could not be written: {show_reason(error)}."
        return fail("output_failed", text)

    def _say_busy(self) -> LocalError:
        return fail("output_busy", f"Another run is saving {show(self.path)} at this moment.")


def _lies_at(path: Path, state: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), state)
    except FileNotFoundError:
        return False


def _set_mode(descriptor: int, mode: int) -> None:
    # Neither Windows nor every file system has modes.
    with suppress(AttributeError, OSError):
        os.fchmod(descriptor, mode)


def _sync_directory(directory: Path) -> None:
    # Not every system opens or syncs directories; the file itself is whole without it.
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
