"""The SQLite file under the journal: private, durable, shared; the only user of sqlite3.

A file that exists is always honoured: where it cannot be written it is read, and where it cannot be
read nothing is sent. It is never deleted or overwritten.
"""

import errno
import os
import shlex
import sqlite3
import threading
import time
import weakref
from collections.abc import Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from kling_cli.errors import LocalError
from kling_cli.text import clean

_APPLICATION = 0x6B6C6E67  # "klng": tells our file from any other database
_BUSY_SECONDS = 30.0
_BUSY_PAUSE_SECONDS = 0.05
# A run that only reads buys nothing, so another process need not be waited for.
_READ_SECONDS = 1.0
_CLOSE_SECONDS = 0.5
# More than SQLite's own files need at once.
_PROBE_BYTES = 128 * 1024
_NO_ROOM = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_NO_RIGHT = (
    os.strerror(errno.EACCES),
    os.strerror(errno.EPERM),
    "attempt to write a readonly database",  # SQLite's words for its own files beside ours
)


class UnwritableError(LocalError):
    """The journal cannot be written, and nothing was; a new purchase ends before it is sent."""

    def __init__(self, path: Path | None, reason: str) -> None:
        self.reason = clean(reason)
        way = "Make room on its disk" if reason in _NO_ROOM else "Make it writable"
        super().__init__(
            "journal_write_failed",
            f"The journal {clean(str(path))} cannot be written ({self.reason}). Nothing was sent.",
            hint=f"{_find_repair(path, reason) or way}, or name another directory in "
            "KLING_STATE_DIR. Then it is safe to run the same command again.",
        )


class Database:
    """One SQLite file, shared by the threads of a run and by other processes.

    Args:
        path: made 0600 in a directory made 0700; None keeps everything in memory.
        migrations: the statements that lead from each version to the next; the first make the
            tables of a new file. A file of a version beyond them is refused.

    Attributes:
        fault: why the file is only read, from memory; None where it can be written.

    Raises:
        UnwritableError: there is no file, and none can be made.
        LocalError: the file cannot be read, is damaged, of a newer version, or not ours.
    """

    def __init__(self, path: Path | None, *, migrations: tuple[str, ...]) -> None:
        self.fault: str | None = None
        self._path = path
        self._migrations = migrations
        self._lock = threading.RLock()
        self._is_open = False
        try:
            if path is not None:
                _create(path)
            self._open(":memory:" if path is None else path)
        except UnwritableError as error:
            if path is None or _is_absent(path):
                raise
            self.fault = error.reason
            self._open(":memory:")
        self._is_open = True
        if path is None:
            # Nothing in it can be lost, and it lasts as long as anybody reads it.
            weakref.finalize(self, self._connection.close)

    def close(self) -> None:
        """Close the file, unless another thread is still waiting for its turn to write."""
        if self._lock.acquire(timeout=_CLOSE_SECONDS):
            self._connection.close()
            self._lock.release()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Make what the block does one durable step, or none."""
        if self.fault is not None:
            raise UnwritableError(self._path, self.fault)
        with self._lock, self._named_errors(), self._connection:  # which commits, or rolls back
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement and return all of its rows."""
        with self._lock, self._named_errors():
            return self._connection.execute(statement, values).fetchall()

    def _open(self, place: str | Path) -> None:
        with self._named_errors():
            self._connection = sqlite3.connect(
                place, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                if self.fault is not None and self._path is not None:
                    self._read_in(self._path)
                self._migrate()
            except BaseException:
                self._connection.close()
                raise

    def _read_in(self, path: Path) -> None:
        """Copy a file that cannot be written into memory."""
        try:
            _copy_into(self._connection, path)
        except (OSError, sqlite3.OperationalError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            hint = "It knows what was bought, so nothing is sent before it can be read."
            hint = _find_repair(path, reason) or hint
            fault = f"cannot be read ({clean(reason)})"
            raise self.refuse("journal_unreadable", fault, hint=hint) from None

    def _migrate(self) -> None:
        """Bring the tables to the newest version, in one transaction."""
        connection = self._connection
        connection.execute("PRAGMA synchronous = FULL")  # to survive a power loss
        connection.execute("BEGIN")  # one snapshot: another process may just be creating it
        found = self._find_version()
        connection.execute("COMMIT")
        if found == len(self._migrations):
            return
        self._switch_to_write_ahead()
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            found = self._find_version()  # another process may have been quicker
            for statement in ";".join(self._migrations[found:]).split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {len(self._migrations)}")

    def _find_version(self) -> int:
        """Find the version of our file, 0 for a new, empty one, and refuse all else."""
        application = self._read("PRAGMA application_id")
        version = self._read("PRAGMA user_version")
        tables = self._read("SELECT count(*) FROM sqlite_master")
        if application != _APPLICATION and not tables:
            return 0
        if application != _APPLICATION or not tables:
            raise self.refuse("journal_damaged", "is no journal of kling, or damaged")
        if version > len(self._migrations):
            raise self.refuse("journal_newer", "was written by a newer version of kling")
        return version

    def _switch_to_write_ahead(self) -> None:
        """Let readers and one writer go on side by side; the file keeps this mode."""
        if self._path is None or self.fault is not None:
            return
        give_up = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                mode = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                # This one statement does not wait for other processes that are just doing the same.
                if not _is_busy(error) or time.monotonic() > give_up:
                    raise
            time.sleep(_BUSY_PAUSE_SECONDS)
        if mode != "wal":
            raise UnwritableError(self._path, "the file system cannot share a journal safely")

    def _read(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    @contextmanager
    def _named_errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                hint = "Run the same command again when that program has ended: it is safe."
                raise self.refuse("journal_busy", "is held by a program", hint=hint) from None
            raise UnwritableError(self._path, _find_reason(self._path, error)) from None
        except sqlite3.Error:
            raise self.refuse("journal_damaged", "is damaged") from None

    def refuse(self, code: str, fault: str, *, hint: str = "") -> LocalError:
        """Make the error that names the file, and the way out."""
        shown = clean(str(self._path))
        # Once it is open nobody here knows what was sent; there the caller says it.
        sent = "" if self._is_open else " Nothing was sent."
        return LocalError(
            code,
            f"The journal {shown} {fault}. It was left as it is.{sent}",
            hint=hint
            or "It knows what was bought. To begin a new one all the same, set it aside: "
            f"mv {shown} {shown}.old",
            charged="maybe" if self._is_open else "no",
        )


def _is_busy(error: sqlite3.OperationalError) -> bool:
    # The low byte is the error; what stands above it only says where it arose.
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _create(path: Path) -> None:
    """Make the file its owner's alone from its first moment; SQLite's other files follow it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(path, "a+b", opener=partial(os.open, mode=0o600)) as file:
            _try_lock(file)
    except OSError as error:
        raise UnwritableError(path, error.strerror or "unknown reason") from None


def _try_lock(file: IO[bytes]) -> None:
    """Lock a byte for a moment: to SQLite, locks that always fail look like a busy program."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1)


def _is_absent(path: Path) -> bool:
    """Tell whether there is certainly no such file: one that nobody may look at can be there."""
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


def _find_reason(path: Path | None, error: sqlite3.OperationalError) -> str:
    """Ask the system why nothing can be written: SQLite calls a full disk an I/O error, too."""
    import tempfile

    try:
        if path is not None:
            with tempfile.TemporaryFile(dir=path.parent) as probe:
                probe.write(bytes(_PROBE_BYTES))
    except OSError as failure:
        return failure.strerror or str(error)
    is_full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return os.strerror(errno.ENOSPC) if is_full else str(error)


def _find_repair(path: Path | None, reason: str) -> str:
    """Find the command that makes a journal its user's own again; empty where none would."""
    if path is None or reason not in _NO_RIGHT:
        return ""
    directory = shlex.quote(str(path.parent))
    return clean(f'sudo chown -R "$(id -un)" {directory} && chmod -R u+rwX {directory}')


def _copy_into(memory: sqlite3.Connection, path: Path) -> None:
    """Copy a file that cannot be written into memory, with what its write-ahead log holds.

    Raises:
        OSError, sqlite3.Error: it cannot be read.
    """
    import shutil
    import tempfile

    path.open("rb").close()  # its error names the reason, which SQLite's does not
    log = Path(f"{path}-wal")
    if _is_absent(log) or not log.stat().st_size:
        # Without a log nobody is writing. To read as usual could leave files that nobody may write.
        _backup(path, "mode=ro&immutable=1", memory)
        return
    try:
        _backup(path, "mode=ro", memory)
    except sqlite3.OperationalError:
        # An immutable read would ignore the log, and miss what a killed run has written.
        with tempfile.TemporaryDirectory(prefix="kling-") as private:
            twin = Path(private, path.name)
            shutil.copyfile(path, twin)
            shutil.copyfile(log, f"{twin}-wal")
            _backup(twin, "mode=rw", memory)


def _backup(path: Path, options: str, memory: sqlite3.Connection) -> None:
    place = f"{path.absolute().as_uri()}?{options}"
    with closing(sqlite3.connect(place, uri=True, timeout=_READ_SECONDS)) as source:
        # A lock that cannot be had is an error here; `backup` would wait for it for ever.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(memory)
