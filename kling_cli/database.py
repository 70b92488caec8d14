"""The SQLite file under the journal: private, durable, shared, and never overwritten."""

import os
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kling_cli.errors import LocalError
from kling_cli.text import clean

_APPLICATION = 0x6B6C6E67  # "klng": tells our file from any other database
_BUSY_SECONDS = 30.0
_BUSY_PAUSE_SECONDS = 0.05


class UnwritableError(Exception):
    """No file can be kept here; nothing has been written."""


class Database:
    """One SQLite file, shared by the threads of a run and by other processes.

    Args:
        path: made 0600 in a directory made 0700; None keeps everything in memory.
        schema: the statements that make the tables of a new file; they may run twice.
        version: of the schema; a file of a newer one is refused.

    Raises:
        UnwritableError: the directory or the file cannot be written.
        LocalError: the file is damaged, of a newer version, or not ours; it stays as it is.
    """

    def __init__(self, path: Path | None, *, schema: str, version: int) -> None:
        self.path = path
        self._lock = threading.RLock()
        if path is not None:
            _create(path)
        with self._named_errors():
            self._connection = sqlite3.connect(
                ":memory:" if path is None else path,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            self._connection.execute("PRAGMA synchronous = FULL")  # to survive a power loss
            if not self._recognise(version):
                self._switch_to_write_ahead()
                self._connection.executescript(
                    f"BEGIN IMMEDIATE; {schema} PRAGMA application_id = {_APPLICATION};"
                    f"PRAGMA user_version = {version}; COMMIT;"
                )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Make what the block does one durable step, or none."""
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

    def refuse(self, code: str, fault: str) -> LocalError:
        """Make the error that names the file, says that nothing was sent, and the way out."""
        shown = clean(str(self.path))
        return LocalError(
            code,
            f"The journal {shown} {fault}. It was left as it is; nothing was sent.",
            hint="It knows what was bought. To begin a new one all the same, set it aside: "
            f"mv {shown} {shown}.old",
        )

    def _recognise(self, version: int) -> bool:
        """Tell our file (True) from a new, empty one (False), and refuse all else."""
        self._connection.execute("BEGIN")  # one snapshot: another process may just be creating it
        application = self._read("PRAGMA application_id")
        found = self._read("PRAGMA user_version")
        tables = self._read("SELECT count(*) FROM sqlite_master")
        self._connection.execute("COMMIT")
        if application != _APPLICATION and not tables:
            return False
        if application != _APPLICATION or not tables:
            raise self.refuse("journal_damaged", "is no journal of kling, or damaged")
        if found > version:
            raise self.refuse("journal_newer", "was written by a newer version of kling")
        return True

    def _switch_to_write_ahead(self) -> None:
        """Let readers and one writer go on side by side; the file keeps this mode."""
        if self.path is None:
            return
        give_up = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                mode = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                # This one statement does not wait for other processes that are just doing the same.
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
            time.sleep(_BUSY_PAUSE_SECONDS)
        if mode != "wal":
            raise UnwritableError("the file system cannot share a journal safely")

    def _read(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    @contextmanager
    def _named_errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise self.refuse("journal_busy", "is held by another program") from None
            raise UnwritableError(str(error)) from None
        except sqlite3.Error:
            raise self.refuse("journal_damaged", "is damaged") from None


def _create(path: Path) -> None:
    """Make the file its owner's alone from its first moment; SQLite's other files follow it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise UnwritableError(error.strerror or "cannot be written") from None
