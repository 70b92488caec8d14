"""What this machine bought: the memory that outlives every crash.

A row is written before anything is sent and again before its outcome is shown. Rows change only
inside one short, durable transaction, and only along the arrows of `purchase.py`, so that of two
processes exactly one wins each step.
"""

import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from kling_cli.database import Database, UnwritableError
from kling_cli.errors import LocalError, UsageError
from kling_cli.models import Purchase, Stage, Task, Video
from kling_cli.purchase import TRANSITIONS, Event, observe
from kling_cli.text import clean

_FILE = "journal.sqlite3"
_UNFINISHED = "stage IN ('sending', 'unknown', 'submitted', 'processing')"

# Of a purchase: in the table each has a column of its name.
_FIELDS = tuple(field.name for field in fields(Purchase))
# Each leads to the next version.
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
)


def open_journal(
    directory: Path | None, *, now: Callable[[], float], warn: Callable[[str], None]
) -> "Journal":
    """Open the journal of a state directory; in memory where there is none and none can be made.

    Raises:
        LocalError: it cannot be read, is damaged, of a newer version, or no journal.
    """
    if directory is None:
        warn("No journal can be kept: no directory for it is known; KLING_STATE_DIR can name one.")
        return Journal(None, now=now)
    path = directory / _FILE
    try:
        journal = Journal(path, now=now)
    except UnwritableError as error:
        warn(f"No journal can be kept: {clean(str(directory))}: {error.reason}.")
        return Journal(None, now=now)
    if journal.fault is not None:
        warn(
            f"The journal {clean(str(path))} cannot be written ({journal.fault}). It is used "
            "read-only, and nothing new is bought."
        )
    return journal


class Journal:
    """The purchases of one machine; shared by the threads of a run.

    Args:
        path: made 0600 in a directory made 0700; None keeps the journal in memory, for this run.
        now: seconds since the epoch.

    Attributes:
        sender: identifies this run; what follows a `send` counts only from the same sender.
        claimed: the ids that this run has claimed: a request that is made twice in one run is
            bought once, also under --new, and also where its task failed.

    Raises:
        UnwritableError: there is no file, and none can be made.
        LocalError: the file cannot be read, is damaged, of a newer version, or no journal.
    """

    def __init__(self, path: Path | None, *, now: Callable[[], float]) -> None:
        self.sender = secrets.token_hex(8)
        self.claimed: set[str] = set()
        self._path = path
        self._now = now
        self._database = Database(path, migrations=_MIGRATIONS)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def fault(self) -> str | None:
        """Why the journal is only read; None where it can be written."""
        return self._database.fault

    @property
    def is_kept(self) -> bool:
        """Whether the journal outlives this process."""
        return self._path is not None

    def claim(self, wanted: Purchase, *, replacing: str | None = None) -> Purchase:
        """Claim a request, or learn which purchase has it already.

        Args:
            wanted: the row to write, in stage `claimed`.
            replacing: the external task id of the purchase that the new one follows. If another
                process has replaced it meanwhile, that one's purchase is what comes back.

        Returns:
            The current purchase of this fingerprint: `wanted`, or an earlier one.

        Raises:
            UsageError: the external task id belongs to another purchase.
            UnwritableError: it is a new purchase, and the row cannot be written.
        """
        try:
            with self._database.transaction():
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

    def disown(self, external_task_id: str) -> None:
        """Note that the service knows an id from elsewhere, so that this run may buy it anew."""
        self.claimed.discard(external_task_id)

    def apply(
        self, external_task_id: str, event: Event, *, tag: str | None = None
    ) -> Purchase | None:
        """Take one step along the table, if the purchase still stands where the step begins.

        Args:
            external_task_id: the purchase.
            event: what happened.
            tag: of the token that sends; None leaves the one that is there.

        Returns:
            The purchase after the step; None if it did not apply, or if the purchase is gone.
        """
        with self._database.transaction():
            row = self._select("external_task_id = ?", external_task_id)
            if row is None or (row.stage, event) not in TRANSITIONS:
                return None
            if row.stage is Stage.SENDING and row.sender != self.sender:
                return None
            stage = TRANSITIONS[row.stage, event]
            if stage is None:
                self._forget(row)
                return None
            self._database.execute(
                "UPDATE purchases SET stage = ?, sender = ?, updated_at = ?, "
                "tag = coalesce(?, tag) WHERE external_task_id = ?",
                *(stage, self.sender, self._now(), tag, external_task_id),
            )
            return self._select("external_task_id = ?", external_task_id)

    def record(self, purchase: Purchase, task: Task, *, warn: Callable[[str], None]) -> Purchase:
        """Write down how the service has shown a task.

        What was bought goes on even if the disk is full by now: `warn` is then called for each task
        that was accepted just now.

        Returns:
            The purchase as it stands now.
        """
        try:
            with self._database.transaction():
                row = self._select("external_task_id = ?", purchase.external_task_id)
                seen = observe(row or purchase, task, now=self._now())
                self._database.execute(
                    "UPDATE purchases SET stage = ?, task_id = ?, message = ?, videos = ?, "
                    "updated_at = ?, finished_at = ? WHERE external_task_id = ?",
                    *(seen.stage, seen.task_id, seen.message, _dump_videos(seen.videos)),
                    *(seen.updated_at, seen.finished_at, seen.external_task_id),
                )
        except LocalError:
            if purchase.task_id is None and self.fault is None:
                warn(f"The journal can no longer be written. Keep the task id {task.task_id}.")
            return observe(purchase, task, now=self._now())
        return seen

    def find(self, any_id: str) -> Purchase | None:
        """Find a purchase by its external task id or its task id."""
        return self._select("external_task_id = ? OR task_id = ?", any_id, any_id)

    def find_current(self, fingerprint: str) -> Purchase | None:
        """Find the purchase that a request goes on with."""
        return self._select("fingerprint = ? AND is_current", fingerprint)

    def list_purchases(self, *, unfinished: bool = False) -> tuple[Purchase, ...]:
        """List the purchases, newest first; a mere claim was never sent and is none."""
        condition = _UNFINISHED if unfinished else "stage <> 'claimed'"
        return tuple(self._select_all(f"{condition} ORDER BY created_at DESC, rowid DESC"))

    def list_durations(self, base_url: str) -> tuple[float, ...]:
        """List how many seconds the last finished tasks of a service took, newest first."""
        rows = self._database.execute(
            "SELECT finished_at - created_at FROM purchases WHERE base_url = ? "
            "AND stage = 'succeed' ORDER BY created_at DESC LIMIT 100",
            base_url,
        )
        return tuple(seconds for (seconds,) in rows if seconds > 0)

    def keep_file(self, path: Path, *, task: str, size: int, sha256: str) -> None:
        """Remember that a file is the clip of a task, so that a later run knows it.

        A journal that cannot be written does not keep a clip from being saved.
        """
        with suppress(LocalError), self._database.transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                *(os.fsencode(path.absolute()), task, size, sha256),
            )

    def find_file(self, path: Path, *, task: str) -> tuple[int, str] | None:
        """Find the size and SHA-256 that the clip of a task had when it was saved at a path."""
        rows = self._database.execute(
            "SELECT size, sha256 FROM files WHERE path = ? AND task = ?",
            *(os.fsencode(path.absolute()), task),
        )
        return rows[0] if rows else None

    def _insert(self, wanted: Purchase) -> None:
        if self._select("external_task_id = ?", wanted.external_task_id) is not None:
            message = f"{wanted.external_task_id} is the id of another request. Choose another."
            raise UsageError("external_task_id_in_use", message)
        request = wanted.fingerprint
        self._database.execute("UPDATE purchases SET is_current = 0 WHERE fingerprint = ?", request)
        values = {name: getattr(wanted, name) for name in _FIELDS}
        values |= {"images": json.dumps(wanted.images), "videos": _dump_videos(wanted.videos)}
        marks = ", ?" * len(_FIELDS)
        statement = f"INSERT INTO purchases (is_current, {', '.join(_FIELDS)}) VALUES (1{marks})"  # noqa: S608 - our own names
        self._database.execute(statement, *values.values())

    def _forget(self, row: Purchase) -> None:
        """Undo a claim: the purchase that it was to follow is the current one again."""
        name = row.external_task_id
        self._database.execute("DELETE FROM purchases WHERE external_task_id = ?", name)
        self._database.execute(
            "UPDATE purchases SET is_current = 1 WHERE rowid = "
            "(SELECT max(rowid) FROM purchases WHERE fingerprint = ?)",
            row.fingerprint,
        )

    def _select(self, condition: str, *values: str) -> Purchase | None:
        rows = self._select_all(condition, *values)
        return rows[0] if rows else None

    def _select_all(self, condition: str, *values: str) -> list[Purchase]:
        columns = ", ".join(_FIELDS)
        statement = f"SELECT {columns} FROM purchases WHERE {condition}"  # noqa: S608 - our own words
        rows = self._database.execute(statement, *values)
        try:
            return [_load(row) for row in rows]
        except (ValueError, TypeError):
            raise self._database.refuse("journal_damaged", "is damaged") from None


def _load(row: tuple[Any, ...]) -> Purchase:
    """Read a row.

    Raises:
        ValueError, TypeError: somebody else wrote it.
    """
    values = dict(zip(_FIELDS, row, strict=True))
    values["stage"] = Stage(values["stage"])
    values["images"] = tuple(json.loads(values["images"]))
    values["videos"] = tuple(Video(**video) for video in json.loads(values["videos"]))
    return Purchase(**values)


def _dump_videos(videos: tuple[Video, ...]) -> str:
    return json.dumps([asdict(video) for video in videos])
