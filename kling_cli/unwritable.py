"""A journal that cannot be written: why, what mends it, and what it knows all the same."""

import errno
import os
import shlex
import sqlite3
from pathlib import Path

from kling_cli.errors import LocalError
from kling_cli.text import clean

# Who only reads buys nothing, so another process need not be waited for.
_PATIENCE_SECONDS = 1.0
# More than SQLite's own files need at once.
_PROBE_BYTES = 128 * 1024
_ROOM = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_RIGHTS = (
    os.strerror(errno.EACCES),
    os.strerror(errno.EPERM),
    "attempt to write a readonly database",  # SQLite, of its own files beside an intact one
)


class UnwritableError(LocalError):
    """The file cannot be written, and nothing has been; a new purchase ends before it is sent."""

    def __init__(self, path: Path | None, reason: str) -> None:
        self.reason = clean(reason)
        way = "Make room on its disk" if reason in _ROOM else "Make it writable"
        super().__init__(
            "journal_write_failed",
            f"The journal {clean(str(path))} cannot be written ({self.reason}). Nothing was sent.",
            hint=f"{find_mending(path, reason) or way}, or name another directory in "
            "KLING_STATE_DIR. The same command is then safe.",
        )


def find_reason(path: Path | None, error: sqlite3.OperationalError) -> str:
    """Ask the system why nothing can be written: SQLite calls a full disk an I/O error, too."""
    import tempfile  # noqa: PLC0415 - few runs need it

    try:
        if path is not None:
            with tempfile.TemporaryFile(dir=path.parent) as probe:
                probe.write(bytes(_PROBE_BYTES))
    except OSError as failure:
        return failure.strerror or str(error)
    is_full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return os.strerror(errno.ENOSPC) if is_full else str(error)


def find_mending(path: Path | None, reason: str) -> str:
    """Find the command that makes a journal its user's own again; empty where none would."""
    if path is None or reason not in _RIGHTS:
        return ""
    directory = shlex.quote(str(path.parent))
    return clean(f'sudo chown -R "$(id -un)" {directory} && chmod -R u+rwX {directory}')


def is_absent(path: Path) -> bool:
    """Tell whether there is certainly no such file: one that nobody may look at can be there."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def try_lock(descriptor: int) -> None:
    """Lock a byte for a moment: to SQLite, locks that always fail look like a busy program.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        import fcntl  # noqa: PLC0415 - Windows has none
    except ImportError:
        return
    fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1)


def read_into(memory: sqlite3.Connection, path: Path) -> None:
    """Copy a file that cannot be written into memory, with what its write-ahead log holds.

    Raises:
        OSError, sqlite3.Error: it cannot be read.
    """
    import shutil  # noqa: PLC0415 - few runs need it
    import tempfile  # noqa: PLC0415 - likewise

    path.open("rb").close()  # its error names the reason, which SQLite's does not
    log = Path(f"{path}-wal")
    if is_absent(log) or not log.stat().st_size:
        # Without a log nobody is writing. To read as usual could leave files that nobody may write.
        _copy(path, "mode=ro&immutable=1", memory)
        return
    try:
        _copy(path, "mode=ro", memory)
    except sqlite3.OperationalError:
        # An immutable read would ignore the log, and miss what a killed run has written.
        with tempfile.TemporaryDirectory(prefix="kling-") as private:
            twin = Path(private, path.name)
            shutil.copyfile(path, twin)
            shutil.copyfile(log, f"{twin}-wal")
            _copy(twin, "mode=rw", memory)


def _copy(path: Path, options: str, memory: sqlite3.Connection) -> None:
    place = f"{path.absolute().as_uri()}?{options}"
    source = sqlite3.connect(place, uri=True, timeout=_PATIENCE_SECONDS)
    try:
        # A lock that cannot be had is an error here; `backup` would wait for it for ever.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(memory)
    finally:
        source.close()
