"""The journal of what this machine bought; it survives every crash. The only user of sqlite3.

A row is written before anything is sent and again before its outcome is shown. Rows change only
inside one short, durable transaction, and only along the transitions of `purchase.py`, so that
exactly one of two processes wins each step.

An existing file is always used. If it is not writable, it is only read; if it is not readable,
nothing is sent. It is never deleted or overwritten.
"""

import errno
import json
import os
import shlex
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from kling_cli.errors import LocalError, UsageError
from kling_cli.models import Cost, Purchase, Stage, Task, Video
from kling_cli.purchase import TRANSITIONS, Event, observe
from kling_cli.text import clean

_FILE = "journal.sqlite3"
_dump = partial(json.dumps, default=asdict)
# Each one leads to the next version.
_MIGRATIONS = (
    """
    CREATE TABLE IF NOT EXISTS purchases (
        external_task_id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL,
        base_url TEXT NOT NULL, effect_scene TEXT NOT NULL,
        stage TEXT NOT NULL, sender TEXT, task_id TEXT, message TEXT NOT NULL,
        images TEXT NOT NULL, videos TEXT NOT NULL,
        created_at REAL NOT NULL, updated_at REAL NOT NULL, finished_at REAL,
        is_current INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS files (
        path BLOB PRIMARY KEY, task TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX IF NOT EXISTS one_current ON purchases (fingerprint) WHERE is_current;
    CREATE INDEX IF NOT EXISTS by_task_id ON purchases (task_id)
    """,
    "ALTER TABLE purchases ADD COLUMN tag TEXT",
    "ALTER TABLE purchases ADD COLUMN cost TEXT",
)

_APPLICATION = 0x6B6C6E67  # "klng": identifies our file
_READ_VERSION = (
    "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)"
    " FROM pragma_application_id, pragma_user_version"
)
_BUSY_SECONDS = 30.0
_BUSY_PAUSE_SECONDS = 0.05
# A run that only reads buys nothing, so it does not wait long for other processes.
_READ_SECONDS = 1.0
_CLOSE_SECONDS = 0.5
# More than SQLite's own files need at once.
_PROBE_BYTES = 128 * 1024
_NO_ROOM = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
_NO_RIGHT = (
    os.strerror(errno.EACCES),
    os.strerror(errno.EPERM),
    "attempt to write a readonly database",  # SQLite's message about its own files next to ours
)


class UnwritableError(LocalError):
    """The journal is not writable; a new purchase is refused before it is sent."""

    def __init__(self, path: Path | None, reason: str) -> None:
        self.reason = clean(reason)
        way = "Free some disk space" if reason in _NO_ROOM else "Make it writable"
        super().__init__(
            "journal_write_failed",
            f"The journal {clean(str(path))} cannot be written ({self.reason}). Nothing was sent.",
            hint=f"{_find_repair(path, reason) or way}, or set KLING_STATE_DIR to "
            "another directory. Then it is safe to run the same command again.",
        )


def open_journal(
    directory: Path | None, *, now: Callable[[], float], warn: Callable[[str], None]
) -> "Journal":
    """Open the journal of a state directory; in memory if there is none and none can be created.

    A LocalError says that it is unreadable, damaged, newer, or not a journal.
    """
    if directory is None:
        warn("No journal can be kept, because there is no home directory. Set KLING_STATE_DIR.")
        return Journal(None, now=now)
    path = directory / _FILE
    try:
        return Journal(path, now=now)
    except UnwritableError as error:
        if _is_absent(path):
            warn(f"No journal can be kept: {clean(str(directory))}: {error.reason}.")
            return Journal(None, now=now)
        journal = Journal(path, now=now, fault=error.reason)
        warn(
            f"The journal {clean(str(path))} cannot be written ({error.reason}). It is used "
            "read-only, and nothing new is bought."
        )
        return journal


class Journal:
    """The purchases of one machine; shared by the threads of a run and by other processes.

    Args:
        path: created as 0600 in a 0700 directory; None keeps the journal in memory for this run.
        now: seconds since the epoch.
        fault: why an existing file is not writable; it is then only read.

    Attributes:
        sender: identifies this run; only the sender may change a row that it is sending.
        claimed: the ids that this run has claimed; it buys each once, even with --new.
    """

    def __init__(
        self, path: Path | None, *, now: Callable[[], float], fault: str | None = None
    ) -> None:
        self.sender = os.urandom(8).hex()
        self.claimed: set[str] = set()
        self.fault = fault
        self._path = path
        self._now = now
        self._lock = threading.RLock()
        self._is_open = False
        shared = path if fault is None else None
        if shared is not None:
            _create(shared)
        with self._named_errors():
            self._connection = sqlite3.connect(
                shared or ":memory:",
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                if path is not None and shared is None:
                    self._read_in(path)
                self._migrate(is_shared=shared is not None)
            except BaseException:
                self._connection.close()
                raise
        self._is_open = True

    def close(self) -> None:
        """Close the file, unless another thread is still waiting for its turn to write."""
        if self._lock.acquire(timeout=_CLOSE_SECONDS):
            self._connection.close()
            self._lock.release()

    @property
    def is_kept(self) -> bool:
        """Whether the journal outlives this process."""
        return self._path is not None

    def claim(self, wanted: Purchase, *, replacing: str | None = None) -> Purchase:
        """Claim a request, or return the purchase that already has it.

        Args:
            wanted: the row to write, in stage `claimed`.
            replacing: the external task id of the purchase to replace. If another process has
                already replaced it, that process's purchase is returned.
        """
        try:
            with self._transaction():
                claimed = self.find_current(wanted.fingerprint) or wanted
                if claimed is wanted or claimed.external_task_id == replacing:
                    claimed = wanted
                    self._insert(wanted)
        except UnwritableError:
            claimed = self.find_current(wanted.fingerprint) or wanted
            if claimed.stage is Stage.CLAIMED or claimed.external_task_id == replacing:
                raise
        if claimed.stage is Stage.CLAIMED:
            self.claimed.add(claimed.external_task_id)
        return claimed

    def apply(self, external_task_id: str, event: Event, *, tag: str | None = None) -> bool:
        """Apply one transition, if the purchase is still in the stage in which it begins.

        Args:
            external_task_id: the purchase.
            event: what happened.
            tag: of the token that sends; None leaves the one that is there.

        Returns: whether the step was taken.
        """
        with self._transaction():
            row = self._find("external_task_id = ?", external_task_id)
            if row is None or (row.stage, event) not in TRANSITIONS:
                return False
            if row.stage is Stage.SENDING and row.sender != self.sender:
                return False
            stage = TRANSITIONS[row.stage, event]
            if stage is None:
                self._forget(row)
            else:
                self._execute(
                    "UPDATE purchases SET stage = ?, sender = ?, updated_at = ?, "
                    "tag = coalesce(?, tag) WHERE external_task_id = ?",
                    *(stage, self.sender, self._now(), tag, external_task_id),
                )
            return True

    def record(self, purchase: Purchase, task: Task, *, warn: Callable[[str], None]) -> Purchase:
        """Record a task as the service returned it.

        A full disk does not end the run: `warn` is then called for each task that was just
        accepted.
        """
        try:
            with self._transaction():
                row = self._find("external_task_id = ?", purchase.external_task_id)
                seen = observe(row or purchase, task, now=self._now())
                self._execute(
                    "UPDATE purchases SET stage = ?, task_id = ?, message = ?, videos = ?, "
                    "cost = ?, updated_at = ?, finished_at = ? WHERE external_task_id = ?",
                    *(seen.stage, seen.task_id, seen.message, _dump(seen.videos)),
                    *(_dump(seen.cost), seen.updated_at, seen.finished_at),
                    seen.external_task_id,
                )
        except LocalError:
            if purchase.task_id is None and self.fault is None:
                warn(f"The journal can no longer be written. Keep the task id {task.task_id}.")
            return observe(purchase, task, now=self._now())
        return seen

    def find(self, any_id: str) -> Purchase | None:
        """Find a purchase by its external task id or its task id."""
        return self._find("external_task_id = ? OR task_id = ?", any_id, any_id)

    def find_current(self, fingerprint: str) -> Purchase | None:
        """Find the current purchase of a request."""
        return self._find("fingerprint = ? AND is_current", fingerprint)

    def list_purchases(self, *, unfinished: bool = False) -> tuple[Purchase, ...]:
        """List the purchases, newest first, without claims that were never sent."""
        left_out = "'claimed', 'succeed', 'failed'" if unfinished else "'claimed'"
        condition = f"stage NOT IN ({left_out}) ORDER BY created_at DESC, rowid DESC"
        return tuple(self._select(condition))

    def list_durations(self, base_url: str) -> tuple[float, ...]:
        """List the durations of a service's last finished tasks in seconds, newest first."""
        rows = self._execute(
            "SELECT finished_at - created_at FROM purchases WHERE base_url = ? "
            "AND stage = 'succeed' ORDER BY created_at DESC LIMIT 100",
            base_url,
        )
        return tuple(seconds for (seconds,) in rows if seconds > 0)

    def keep_file(self, path: Path, *, task: str, size: int, sha256: str) -> None:
        """Record that a file is the video of a task, so that a later run recognises it.

        If the journal is not writable, the video is saved anyway.
        """
        with suppress(LocalError), self._transaction():
            self._execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                *(os.fsencode(path.absolute()), task, size, sha256),
            )

    def find_file(self, path: Path, *, task: str) -> tuple[int, str] | None:
        """Find the size and SHA-256 of a task's video when it was saved to a path."""
        rows = self._execute(
            "SELECT size, sha256 FROM files WHERE path = ? AND task = ?",
            *(os.fsencode(path.absolute()), task),
        )
        return rows[0] if rows else None

    def list_files(self) -> Mapping[str, list[Path]]:
        """List the files to which the videos of each task were saved, newest last."""
        files: defaultdict[str, list[Path]] = defaultdict(list)
        for path, task in self._execute("SELECT path, task FROM files ORDER BY rowid"):
            files[task].append(Path(os.fsdecode(path)))
        return files

    def _insert(self, wanted: Purchase) -> None:
        if self._find("external_task_id = ?", wanted.external_task_id) is not None:
            message = f"The id {wanted.external_task_id} belongs to another request. Use another."
            raise UsageError("external_task_id_in_use", message)
        request = wanted.fingerprint
        self._execute("UPDATE purchases SET is_current = 0 WHERE fingerprint = ?", request)
        values = wanted._asdict()  # each is a column of the same name
        values |= {name: _dump(values[name]) for name in ("images", "videos", "cost")}
        columns, marks = ", ".join(values), ", ?" * len(values)
        statement = f"INSERT INTO purchases (is_current, {columns}) VALUES (1{marks})"  # noqa: S608 - our own names
        self._execute(statement, *values.values())

    def _forget(self, row: Purchase) -> None:
        """Undo a claim; the previous purchase becomes current again."""
        self._execute("DELETE FROM purchases WHERE external_task_id = ?", row.external_task_id)
        self._execute(
            "UPDATE purchases SET is_current = 1 WHERE rowid = "
            "(SELECT max(rowid) FROM purchases WHERE fingerprint = ?)",
            row.fingerprint,
        )

    def _find(self, condition: str, *values: str) -> Purchase | None:
        return next(iter(self._select(condition, *values)), None)

    def _select(self, condition: str, *values: str) -> list[Purchase]:
        statement = f"SELECT {', '.join(Purchase._fields)} FROM purchases WHERE {condition}"  # noqa: S608 - our own words
        try:
            return [_load(row) for row in self._execute(statement, *values)]
        except (ValueError, TypeError):
            raise self._refuse("journal_damaged", "is damaged") from None

    @contextmanager
    def _transaction(self) -> Generator[None]:
        """Run the block as one durable transaction."""
        if self.fault is not None:
            raise UnwritableError(self._path, self.fault)
        with self._lock, self._named_errors(), self._connection:  # commits, or rolls back
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def _execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement and return all of its rows."""
        with self._lock, self._named_errors():
            return self._connection.execute(statement, values).fetchall()

    def _read_in(self, path: Path) -> None:
        """Copy a file that is not writable into memory, including its write-ahead log."""
        import shutil
        import tempfile

        try:
            path.open("rb").close()  # unlike SQLite's error, this one names the reason
            log = Path(f"{path}-wal")
            if _is_absent(log) or not log.stat().st_size:
                # No process writes to it. A normal read could leave files that are not writable.
                self._copy(path, "mode=ro&immutable=1")
                return
            with suppress(sqlite3.OperationalError):
                self._copy(path, "mode=ro")
                return
            # An immutable read would ignore the log of a killed run.
            with tempfile.TemporaryDirectory(prefix="kling-") as private:
                twin = Path(private, path.name)
                shutil.copyfile(path, twin)
                shutil.copyfile(log, f"{twin}-wal")
                self._copy(twin, "mode=rw")
        except (OSError, sqlite3.OperationalError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            hint = "It records what was bought, so nothing is sent until it can be read."
            hint = _find_repair(path, reason) or hint
            fault = f"cannot be read ({clean(reason)})"
            raise self._refuse("journal_unreadable", fault, hint=hint) from None

    def _copy(self, path: Path, options: str) -> None:
        place = f"{path.absolute().as_uri()}?{options}"
        with closing(sqlite3.connect(place, uri=True, timeout=_READ_SECONDS)) as source:
            # Fail here if the file is locked; `backup` would wait forever.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(self._connection)

    def _migrate(self, *, is_shared: bool) -> None:
        """Bring the tables to the newest version, in one transaction."""
        connection = self._connection
        connection.execute("PRAGMA synchronous = FULL")  # to survive a power loss
        if self._find_version() == len(_MIGRATIONS):
            return
        if is_shared:
            self._switch_to_write_ahead()
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            found = self._find_version()  # another process may have done it already
            for statement in ";".join(_MIGRATIONS[found:]).split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")

    def _find_version(self) -> int:
        """Find the version of our file (0 if it is empty), and refuse any other file."""
        # One statement is one snapshot; another process may be creating the file.
        ((application, version, tables),) = self._connection.execute(_READ_VERSION)
        if application != _APPLICATION and not tables:
            return 0
        if application != _APPLICATION or not tables:
            raise self._refuse("journal_damaged", "is not a kling journal, or is damaged")
        if version > len(_MIGRATIONS):
            raise self._refuse("journal_newer", "was written by a newer version of kling")
        return int(version)

    def _switch_to_write_ahead(self) -> None:
        """Let readers and one writer work at the same time; the file keeps this mode."""
        give_up, mode = time.monotonic() + _BUSY_SECONDS, ""
        while not mode:
            try:
                ((mode,),) = self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                # This statement does not wait for other processes that do the same.
                if not _is_busy(error) or time.monotonic() > give_up:
                    raise
                time.sleep(_BUSY_PAUSE_SECONDS)
        if mode != "wal":
            raise UnwritableError(self._path, "the file system cannot share a journal safely")

    @contextmanager
    def _named_errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                hint = "Run the same command again when that program has ended."
                raise self._refuse("journal_busy", "is locked by a program", hint=hint) from None
            raise UnwritableError(self._path, _find_reason(self._path, error)) from None
        except sqlite3.Error:
            raise self._refuse("journal_damaged", "is damaged") from None

    def _refuse(self, code: str, fault: str, *, hint: str = "") -> LocalError:
        """Create an error that names the file and the solution."""
        shown = clean(str(self._path))
        # Once the file is open, only the caller knows whether anything was sent.
        sent = "" if self._is_open else " Nothing was sent."
        return LocalError(
            code,
            f"The journal {shown} {fault}. It was not changed.{sent}",
            hint=hint
            or "It records what was bought. To start a new one anyway, move it away: "
            f"mv {shown} {shown}.old",
            charged="maybe" if self._is_open else "no",
        )


def _load(row: tuple[Any, ...]) -> Purchase:
    """Read a row; raise ValueError or TypeError if it is not ours."""
    values = dict(zip(Purchase._fields, row, strict=True))
    values["stage"] = Stage(values["stage"])
    values["images"] = tuple(json.loads(values["images"]))
    values["videos"] = tuple(Video(**video) for video in json.loads(values["videos"]))
    cost = json.loads(values["cost"] or "null")
    values["cost"] = Cost(**cost) if cost else None
    return Purchase(**values)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    # The low byte is the error; the rest is detail.
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _create(path: Path) -> None:
    """Create the file, readable only by its owner; SQLite's other files get the same mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        open_private = partial(os.open, mode=0o600)
        with open(path, "a+b", opener=open_private) as file, suppress(ImportError):  # Windows
            import fcntl

            # SQLite cannot tell locks that always fail from a busy program.
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1)
    except OSError as error:
        raise UnwritableError(path, error.strerror or "unknown reason") from None


def _is_absent(path: Path) -> bool:
    """Tell whether the file certainly does not exist; without permission it still may."""
    try:
        path.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


def _find_reason(path: Path | None, error: sqlite3.OperationalError) -> str:
    """Ask the system why writing fails; SQLite reports even a full disk as an I/O error."""
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
    """Find the command that restores the user's access to the journal; empty if there is none."""
    if path is None or reason not in _NO_RIGHT:
        return ""
    directory = shlex.quote(str(path.parent))
    return clean(f'sudo chown -R "$(id -un)" {directory} && chmod -R u+rwX {directory}')
