"""The tasks of the sandbox by token, in one file that all processes share."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from kling_cli.errors import LocalError

_SCHEMA = """
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
"""


class StoredTask(NamedTuple):
    """A task as it was accepted; its state depends on these fields and the time.

    Times are in milliseconds, `created_at` since the epoch and `ends_after` since then. `failure`
    is the reason with which it will fail, None for one that will succeed.
    """

    task_id: str
    external_task_id: str | None
    duration: str
    created_at: int
    ends_after: int
    failure: str | None


class Store:
    """The tasks of every token.

    Every method raises a LocalError if the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, token: str, task: StoredTask) -> bool:
        """Add a task; return False if this token has used the external task id before."""
        with self.open() as connection:
            added = connection.execute(
                "INSERT OR IGNORE INTO tasks VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", (token, *task)
            )
            return added.rowcount == 1

    def find(self, token: str, name: str) -> StoredTask | None:
        """Find a task of this token by its task id or its external task id."""
        with self.open() as connection:
            row = connection.execute(
                "SELECT * FROM tasks WHERE token = ? AND ? IN (task_id, external_task_id)"
                " ORDER BY task_id = ? DESC",
                (token, name, name),
            ).fetchone()
        return StoredTask(*row[2:]) if row else None

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one atomic statement; create it if it is missing."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite itself would create it readable by others.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            opened = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            with closing(opened) as connection:
                # No need to wait for the disk: losing a sandbox task costs nothing.
                connection.execute("PRAGMA synchronous = OFF")
                connection.executescript(_SCHEMA)
                yield connection
        except (OSError, sqlite3.Error) as error:
            message = f"Cannot use the sandbox's file {str(self.path)!a}: {error}."
            hint = "It contains only the sandbox's tasks and can be deleted."
            raise LocalError("sandbox_store", message, hint=hint) from error
