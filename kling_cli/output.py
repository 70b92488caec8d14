"""Standard output: lines, tables or JSON Lines, each complete and flushed at once."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Literal, TextIO

from kling_cli.errors import ExitCode, KlingError, LocalError
from kling_cli.models import TaskResult
from kling_cli.text import clean, format_time

SCHEMA = "kling/1"
# What a person copies or compares is shown whole as long as there is room.
_FIXED = ("TASK", "STATUS", "SCENE", "TIME", "PLAN", "COST", "SETTING")
# By the title of a column, or by what is in a cell.
_STYLES = {
    "SCENE": "bold",
    "TASK": "dim",
    "TIME": "dim",
    "SOURCE": "dim",
    "NOTE": "dim",
    "succeed": "green",
    "failed": "red",
    "unknown": "yellow",
}


class Output:
    """Standard output; what is in a cell cannot break its line, or change a terminal."""

    def __init__(self, stream: TextIO, *, is_json: bool, is_styled: bool = False) -> None:
        self.is_json = is_json
        self.is_terminal = stream.isatty()
        self._stream = stream
        self._is_styled = is_styled

    def check(self) -> None:
        """Refuse to start where no result could be printed.

        Raises:
            LocalError: standard output was closed from the start.
        """
        if not self._stream.writable():
            raise LocalError(
                "output_closed",
                "Standard output is closed, so no result could be printed. Nothing was sent.",
                hint="Run it without >&-.",
            )

    def line(self, text: str) -> None:
        """Write one line as it is.

        Raises:
            LocalError: it cannot be written.
            BrokenPipeError: the reader has closed it.
        """
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except BrokenPipeError:
            raise
        except (OSError, ValueError) as error:
            raise LocalError(
                "output_failed",
                f"Standard output cannot be written: {error}. The line was: {text}",
                hint="Run the same command again: it prints this again and costs nothing.",
            ) from None

    def row(self, *cells: str) -> None:
        """Write cells with tabs between them."""
        self.line("\t".join(clean(cell, limit=10_000) for cell in cells))

    def record(self, record: Mapping[str, object]) -> None:
        """Write one JSON object on a line of its own, in ASCII without any control character."""
        text = json.dumps({"schema": SCHEMA, **record}, allow_nan=False)
        self.line(text.replace("\x7f", "\\u007f"))  # ASCII too, so json leaves it as it is

    def table(
        self,
        header: Sequence[str],
        shown: Iterable[Sequence[str]],
        plain: Iterable[Sequence[str]],
    ) -> None:
        """Write a table for people on a terminal, else the plain rows with tabs between cells.

        Args:
            header: the titles of the table; a column in which nothing stands is left out.
            shown: the rows of the table.
            plain: the rows for a pipe; they may have other cells.
        """
        if not self.is_terminal:
            for row in plain:
                self.row(*row)
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        is_utf8 = "utf" in (self._stream.encoding or "").lower()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        overflow: Literal["ellipsis", "crop"] = "ellipsis" if is_utf8 else "crop"
        rows = [[clean(cell) for cell in row] for row in shown]
        filled = [index for index in range(len(header)) if any(row[index] for row in rows)]
        for title in (header[index] for index in filled):
            # rich narrows what may wrap; a cell in it is cut all the same.
            is_fixed = title in _FIXED
            table.add_column(title, style=_STYLES.get(title), no_wrap=is_fixed, overflow=overflow)
        for row in rows:
            cells = (row[index] for index in filled)
            table.add_row(*(Text(cell, _STYLES.get(cell, ""), no_wrap=True) for cell in cells))
        colours: Literal["standard"] | None = "standard" if self._is_styled else None
        Console(
            file=self._stream, force_terminal=True, color_system=colours, markup=False, emoji=False
        ).print(table)


def format_result(result: TaskResult, *, sandbox: bool) -> dict[str, object]:
    """Build the JSON object of one task; every key is always there."""
    purchase, error = result.purchase, result.error
    # As they were given to this run: the same picture may have had another name before.
    images = result.images or (purchase.images if purchase else ())
    videos = purchase.videos if purchase else ()
    return {
        "ok": result.exit_code is ExitCode.OK,
        "exit_code": int(result.exit_code),
        "sandbox": sandbox,
        "task_id": purchase.task_id if purchase else None,
        "external_task_id": (purchase.external_task_id or None)
        if purchase
        else result.external_task_id,
        "effect_scene": (purchase.effect_scene or None) if purchase else result.effect_scene,
        "task_status": purchase.status if purchase else None,
        "task_status_msg": purchase.message if purchase else "",
        "created_at": format_time(purchase.created_at) if purchase else None,
        "updated_at": format_time(purchase.updated_at) if purchase else None,
        "elapsed": round(result.elapsed, 1),
        "reused": result.reused,
        "plan": result.plan,
        "request": result.request,
        "cost": asdict(purchase.cost) if purchase and purchase.cost else None,
        "images": [dict(image) for image in images],
        "videos": [
            {**asdict(video), "file": file} for video, file in zip_longest(videos, result.files)
        ],
        "error": format_error(error) if error else None,
        "warnings": list(result.warnings),
    }


def format_error(error: KlingError) -> dict[str, object]:
    """Build the error object of a result."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "charged": error.charged,
        "http_status": error.http_status,
        "service_code": error.service_code,
        "request_id": error.request_id,
    }
