"""Shared by tests of purchases: a clock with hooks, and faults of the journal."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from support.clock import VirtualClock
from support.replies import Reply, describe, wrap
from support.service import LoopbackService
from support.shop import Purchase as Sale

from kling_cli.journal import Journal
from kling_cli.models import Stage

TOKEN = "sk-test-0123456789abcdef"
DAY = 24 * 3600.0


class HookClock(VirtualClock):
    """A clock that runs one hook during each sleep."""

    def __init__(self, *hooks: Callable[[], object]) -> None:
        super().__init__()
        self._hooks = list(hooks)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self._hooks:
            self._hooks.pop(0)()


def show(status: str, **fields: object) -> Reply:
    """Answer a check with this status, and more fields of the task."""

    def write(sale: Sale | None) -> object:
        assert sale is not None
        return wrap({**describe(sale), "task_status": status, **fields})

    return Reply(json=write)


def find_video(service: LoopbackService, number: int = 0) -> str:
    return f"{service.url}/videos/{service.ledger[number].task_id}.mp4"


def journal_path() -> Path:
    return Path(os.environ["KLING_STATE_DIR"]) / "journal.sqlite3"


def list_stages() -> list[Stage]:
    with closing(Journal(journal_path(), now=lambda: 0.0)) as journal:
        # A remaining claim would not be listed anywhere else.
        with closing(sqlite3.connect(journal_path())) as connection:
            rows = connection.execute("SELECT external_task_id FROM purchases ORDER BY rowid")
            names = [name for (name,) in rows]
        found = [journal.find(name) for name in names]
    return [row.stage for row in found if row is not None]


def break_journal(*statements: str) -> None:
    """Change the journal's file from outside, to simulate a full or failing disk."""
    if not journal_path().exists():
        Journal(journal_path(), now=lambda: 0.0).close()
    with closing(sqlite3.connect(journal_path(), isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


# SQLite reports an overflow as an operational error, like a full or failing disk.
_FAULT = "abs(-9223372036854775807 - 1)"
_FULL = f"BEGIN SELECT {_FAULT}; END"


def full_at(stage: Stage) -> str:
    """Build a trigger that simulates a full disk when this stage is written."""
    return (
        f"CREATE TRIGGER full_{stage} BEFORE UPDATE OF stage ON purchases "
        f"WHEN NEW.stage = '{stage}' {_FULL}"
    )
