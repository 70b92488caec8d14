"""What the sandbox remembers: its tasks by token, in one file that many processes share."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kling_cli.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_VERSION = 1
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS tasks (
    number INTEGER PRIMARY KEY,
    token TEXT NOT NULL,
    task_id TEXT NOT NULL UNIQUE,
    external_task_id TEXT,
    duration TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ends_after INTEGER NOT NULL,
    failure TEXT,
    UNIQUE (token, external_task_id)
);
CREATE TABLE IF NOT EXISTS counts (
    token TEXT NOT NULL,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (token, name)
);
PRAGMA user_version = {_VERSION};
"""
_COLUMNS = "task_id, external_task_id, duration, created_at, ends_after, failure"
# Seconds to wait for another process; each transaction takes milliseconds.
_PATIENCE = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTask:
    """A task as it was accepted; its state follows from these and the time.

    Times are in milliseconds, `created_at` since the epoch and `ends_after` since then. `failure`
    is the reason that the task will give when it ends, None for one that will succeed.
    """

    task_id: str
    external_task_id: str | None
    duration: str
    created_at: int
    ends_after: int
    failure: str | None


class Store:
    """The tasks of every token, and how often a token has met a trouble that counts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Make sure that the file can be used.

        Raises:
            LocalError: it cannot, as from every other method.
        """
        with self._open():
            pass

    def add(self, token: str, task: StoredTask) -> bool:
        """Keep a new task; False when this token has used the external task id before."""
        with self._open() as connection:
            added = connection.execute(
                "INSERT INTO tasks (token, task_id, external_task_id, duration, created_at,"
                " ends_after, failure) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (token, external_task_id) DO NOTHING",
                (
                    token,
                    task.task_id,
                    task.external_task_id,
                    task.duration,
                    task.created_at,
                    task.ends_after,
                    task.failure,
                ),
            )
            return added.rowcount == 1

    def find(self, token: str, name: str) -> StoredTask | None:
        """Find a task of this token by its task id or its external task id."""
        with self._open() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM tasks"  # noqa: S608 - a constant of this module
                " WHERE token = ? AND (task_id = ? OR external_task_id = ?)"
                " ORDER BY task_id = ? DESC LIMIT 1",
                (token, name, name, name),
            ).fetchone()
        return None if row is None else _read_row(row)

    def list_page(self, token: str, *, page: int, size: int) -> list[StoredTask]:
        """List this token's tasks, newest first; the first page is number 1."""
        with self._open() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM tasks"  # noqa: S608 - a constant of this module
                " WHERE token = ? ORDER BY number DESC LIMIT ? OFFSET ?",
                (token, size, (page - 1) * size),
            ).fetchall()
        return [_read_row(row) for row in rows]

    def count(self, token: str, name: str) -> int:
        """Count one more meeting of this token with this name, and say the how manieth it is."""
        with self._open() as connection:
            row = connection.execute(
                "INSERT INTO counts VALUES (?, ?, 1)"
                " ON CONFLICT (token, name) DO UPDATE SET number = number + 1 RETURNING number",
                (token, name),
            ).fetchone()
        return int(row[0])

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        """Open the file for one statement, which is atomic; make it where it is missing."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Before SQLite sees it, because SQLite would leave it readable by others.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            opened = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
            with closing(opened) as connection:
                # Nothing here is worth a wait for the disk: no task of the sandbox cost anything.
                connection.execute("PRAGMA synchronous = OFF")
                self._prepare(connection)
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise LocalError(
                "sandbox_store",
                f"The sandbox cannot use its store {str(self.path)!a}: {error}.",
                hint="Nothing in it was paid for: it can be deleted.",
            ) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")
        elif version != _VERSION:
            raise OSError(f"it is of version {version}, this program knows version {_VERSION}")


def _read_row(row: tuple[str, str | None, str, int, int, str | None]) -> StoredTask:
    task_id, external_task_id, duration, created_at, ends_after, failure = row
    return StoredTask(
        task_id=task_id,
        external_task_id=external_task_id,
        duration=duration,
        created_at=created_at,
        ends_after=ends_after,
        failure=failure,
    )
