"""What this machine bought: the memory that outlives every crash.

A row is written before anything is sent and again before its outcome is told. Rows are changed
only inside one short, durable transaction, and only along the arrows of `purchase.py`, so that of
two processes exactly one wins each step.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from kling_cli.database import Database
from kling_cli.errors import LocalError, UsageError
from kling_cli.purchase import Event, Purchase, Stage, follow, see
from kling_cli.rows import MIGRATIONS, dump_videos, flatten, unflatten
from kling_cli.task import Task
from kling_cli.unwritable import UnwritableError

_UNFINISHED = "stage IN ('sending', 'unknown', 'submitted', 'processing')"


class Journal:
    """The purchases of one machine; shared by the threads of a run.

    Args:
        path: the database file; None keeps the journal in memory, for this run only.
        now: seconds since the epoch.

    Raises:
        UnwritableError: there is no file, and none can be made.
        LocalError: the file cannot be read, is damaged, of a newer version, or no journal; it
            stays as it is.
    """

    def __init__(self, path: Path | None, *, now: Callable[[], float]) -> None:
        self._now = now
        self._has_warned = False
        self._database = Database(path, migrations=MIGRATIONS)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def is_durable(self) -> bool:
        """Whether the journal outlives this process."""
        return self._database.path is not None

    @property
    def fault(self) -> str | None:
        """Why the journal is only read; None where it can be written."""
        return self._database.fault

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
            return self._claim(wanted, replacing=replacing)
        except UnwritableError:
            current = self.find_current(wanted.fingerprint)
            if current is None or current.stage is Stage.CLAIMED:
                raise
            if current.external_task_id == replacing:
                raise
            return current

    def _claim(self, wanted: Purchase, *, replacing: str | None) -> Purchase:
        with self._database.transaction():
            current = self.find_current(wanted.fingerprint)
            if current is not None and current.external_task_id != replacing:
                return current
            if self._select("external_task_id = ?", wanted.external_task_id) is not None:
                message = f"{wanted.external_task_id} is the id of another request. Choose another."
                raise UsageError("external_task_id_in_use", message)
            self._database.execute(
                "UPDATE purchases SET is_current = 0 WHERE fingerprint = ?", wanted.fingerprint
            )
            self._database.execute(
                "INSERT INTO purchases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
                *flatten(wanted),
            )
        return wanted

    def apply(
        self, external_task_id: str, event: Event, *, sender: str, tag: str | None = None
    ) -> Purchase | None:
        """Take one step along the table, if the purchase still stands where the step begins.

        Args:
            external_task_id: the purchase.
            event: what happened.
            sender: who sends; what follows a `send` counts only from the same sender.
            tag: the mark of the token that sends; None leaves the one that is there.

        Returns:
            The purchase after the step; None if it did not apply, or if the purchase is gone.
        """
        with self._database.transaction():
            row = self._select("external_task_id = ?", external_task_id)
            if row is None or (row.stage is Stage.SENDING and row.sender != sender):
                return None
            applies, stage = follow(row.stage, event)
            if not applies:
                return None
            if stage is None:
                self._forget(row)
                return None
            columns = "stage = ?, sender = ?, updated_at = ?, tag = coalesce(?, tag)"
            self._database.execute(
                f"UPDATE purchases SET {columns} WHERE external_task_id = ?",  # noqa: S608 - constant
                *(stage, sender, self._now(), tag, external_task_id),
            )
            return self._select("external_task_id = ?", external_task_id)

    def record(self, purchase: Purchase, task: Task, *, warn: Callable[[str], None]) -> Purchase:
        """Write down how the service has shown a task.

        What was bought goes on even if the disk is full by now: `warn` is then told, of each task
        that was accepted just now, and once of all others.

        Returns:
            The purchase as it stands now.
        """
        try:
            with self._database.transaction():
                row = self._select("external_task_id = ?", purchase.external_task_id)
                seen = _see(row or purchase, task, now=self._now())
                self._database.execute(
                    "UPDATE purchases SET stage = ?, task_id = ?, message = ?, videos = ?, "
                    "updated_at = ?, finished_at = ? WHERE external_task_id = ?",
                    *(seen.stage, seen.task_id, seen.message, dump_videos(seen.videos)),
                    *(seen.updated_at, seen.finished_at, seen.external_task_id),
                )
        except LocalError:
            if self.fault is None and (purchase.task_id is None or not self._has_warned):
                self._has_warned = True
                warn(f"The journal cannot be written any more; keep the task id {task.task_id}.")
            return _see(purchase, task, now=self._now())
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
        """Note that a file is the clip of a task, so that a later run knows it.

        A journal that cannot be written by now does not keep a clip from being saved.
        """
        with suppress(LocalError), self._database.transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                *(os.fsencode(path.absolute()), task, size, sha256),
            )

    def find_file(self, path: Path, *, task: str) -> tuple[int, str] | None:
        """Find size and SHA-256 that the clip of a task had when it was saved at a path."""
        rows = self._database.execute(
            "SELECT size, sha256 FROM files WHERE path = ? AND task = ?",
            *(os.fsencode(path.absolute()), task),
        )
        return rows[0] if rows else None

    def _forget(self, row: Purchase) -> None:
        """Undo a claim: the purchase that it was to follow is the current one again."""
        self._database.execute(
            "DELETE FROM purchases WHERE external_task_id = ?", row.external_task_id
        )
        self._database.execute(
            "UPDATE purchases SET is_current = 1 WHERE rowid = "
            "(SELECT max(rowid) FROM purchases WHERE fingerprint = ?)",
            row.fingerprint,
        )

    def _select(self, condition: str, *values: str) -> Purchase | None:
        rows = self._select_all(condition, *values)
        return rows[0] if rows else None

    def _select_all(self, condition: str, *values: str) -> list[Purchase]:
        rows = self._database.execute(
            f"SELECT * FROM purchases WHERE {condition}",  # noqa: S608 - conditions are constants
            *values,
        )
        try:
            return [unflatten(row) for row in rows]
        except (ValueError, TypeError):
            raise self._database.refuse("journal_damaged", "is damaged") from None


def _see(purchase: Purchase, task: Task, *, now: float) -> Purchase:
    stage = see(purchase.stage, task.status)
    is_final = stage in (Stage.SUCCEED, Stage.FAILED)
    # It has not ended before it was last seen running: by a clock of ours that runs years ahead,
    # the service's own time would make a fresh result one that is long deleted.
    is_running = purchase.stage in (Stage.SUBMITTED, Stage.PROCESSING)
    earliest = purchase.updated_at if is_running else 0.0
    finished = max(task.updated_at or now, earliest) if is_final else None
    return replace(
        purchase,
        stage=stage,
        task_id=task.task_id or purchase.task_id,
        message=task.message,
        videos=task.videos or purchase.videos,
        updated_at=now,
        finished_at=purchase.finished_at or finished,
    )
