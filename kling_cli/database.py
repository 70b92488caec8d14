"""The SQLite file under the journal: private, durable, shared, and never overwritten."""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kling_cli.errors import LocalError
from kling_cli.text import clean
from kling_cli.unwritable import (
    UnwritableError,
    find_mending,
    find_reason,
    is_absent,
    read_into,
    try_lock,
)

_APPLICATION = 0x6B6C6E67  # "klng": tells our file from any other database
_PATIENCE_SECONDS = 30.0
_BUSY_PAUSE_SECONDS = 0.05
_CLOSE_SECONDS = 0.5


class Database:
    """One SQLite file, shared by the threads of a run and by other processes.

    A file that exists and cannot be written is only read, from memory; `fault` tells why.

    Args:
        path: made 0600 in a directory made 0700; None keeps everything in memory.
        migrations: the statements that lead from each version to the next; the first make the
            tables of a new file. A file of a version beyond them is refused.
        patience: seconds to wait for another process that holds the file.
        connect: opens the file, as `sqlite3.connect`.

    Raises:
        UnwritableError: there is no file, and none can be made.
        LocalError: the file cannot be read, is damaged, of a newer version, or not ours; it stays
            as it is.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        migrations: tuple[str, ...],
        patience: float = _PATIENCE_SECONDS,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        self.path = path
        self.fault: str | None = None
        self._patience = patience
        self._is_open = False
        self._lock = threading.RLock()
        memory = partial(sqlite3.connect, ":memory:")
        try:
            if path is not None:
                _create(path)
            self._open(memory if path is None else partial(connect, path), migrations)
        except UnwritableError as error:
            if path is None or is_absent(path):
                raise
            self.fault = error.reason
            self._open(memory, migrations)
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
            raise UnwritableError(self.path, self.fault)
        with self._lock, self._named_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement and give all of its rows."""
        with self._lock, self._named_errors():
            return self._connection.execute(statement, values).fetchall()

    def refuse(self, code: str, fault: str, *, hint: str = "") -> LocalError:
        """Make the error that names the file, and the way out."""
        shown = clean(str(self.path))
        # Behind the opening nobody here knows what was sent; there the caller tells.
        sent = "" if self._is_open else " Nothing was sent."
        return LocalError(
            code,
            f"The journal {shown} {fault}. It was left as it is.{sent}",
            hint=hint
            or "It knows what was bought. To begin a new one all the same, set it aside: "
            f"mv {shown} {shown}.old",
            charged="maybe" if self._is_open else "no",
        )

    def _open(
        self, connect: Callable[..., sqlite3.Connection], migrations: tuple[str, ...]
    ) -> None:
        with self._named_errors():
            self._connection = connect(
                timeout=self._patience, isolation_level=None, check_same_thread=False
            )
            try:
                if self.fault is not None and self.path is not None:
                    self._read_in(self.path)
                self._prepare(migrations)
            except BaseException:
                self._connection.close()
                raise

    def _read_in(self, path: Path) -> None:
        try:
            read_into(self._connection, path)
        except (OSError, sqlite3.OperationalError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self.refuse(
                "journal_unreadable",
                f"cannot be read ({clean(reason)})",
                hint=find_mending(path, reason)
                or "It knows what was bought, so nothing is sent before it can be read.",
            ) from None

    def _prepare(self, migrations: tuple[str, ...]) -> None:
        version = len(migrations)
        self._connection.execute("PRAGMA synchronous = FULL")  # to survive a power loss
        self._connection.execute("BEGIN")  # one snapshot: another process may just be creating it
        found = self._find_version(version)
        self._connection.execute("COMMIT")
        if found == version:
            return
        self._switch_to_write_ahead()
        self._connection.execute("BEGIN IMMEDIATE")
        found = self._find_version(version)  # another process may have been quicker
        for statement in ";".join(migrations[found:]).split(";"):
            self._connection.execute(statement)
        self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._connection.execute(f"PRAGMA user_version = {version}")
        self._connection.execute("COMMIT")

    def _find_version(self, version: int) -> int:
        """Find the version of our file, 0 for a new, empty one, and refuse all else."""
        application = self._read("PRAGMA application_id")
        found = self._read("PRAGMA user_version")
        tables = self._read("SELECT count(*) FROM sqlite_master")
        if application != _APPLICATION and not tables:
            return 0
        if application != _APPLICATION or not tables:
            raise self.refuse("journal_damaged", "is no journal of kling, or damaged")
        if found > version:
            raise self.refuse("journal_newer", "was written by a newer version of kling")
        return found

    def _switch_to_write_ahead(self) -> None:
        """Let readers and one writer go on side by side; the file keeps this mode."""
        if self.path is None or self.fault is not None:
            return
        give_up = time.monotonic() + self._patience
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
            raise UnwritableError(self.path, "the file system cannot share a journal safely")

    def _read(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    @contextmanager
    def _named_errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                hint = "It is safe to run the same command when that program has ended."
                raise self.refuse("journal_busy", "is held by a program", hint=hint) from None
            raise UnwritableError(self.path, find_reason(self.path, error)) from None
        except sqlite3.Error:
            raise self.refuse("journal_damaged", "is damaged") from None


def _is_busy(error: sqlite3.OperationalError) -> bool:
    # The low byte is the error; what stands above it only tells where it arose.
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _create(path: Path) -> None:
    """Make the file its owner's alone from its first moment; SQLite's other files follow it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            try_lock(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UnwritableError(path, error.strerror or "unknown reason") from None
