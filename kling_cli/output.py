"""Standard output: lines, tables or JSON Lines, each complete and flushed at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, NamedTuple, TextIO

from kling_cli.errors import ExitCode, KlingError, LocalError
from kling_cli.text import clean, format_time

if TYPE_CHECKING:
    from kling_cli.models import TaskResult

SCHEMA = "kling/1"
_ERROR = ("code", "message", "hint", "charged", "http_status", "service_code", "request_id")
# Columns that people copy or compare are not cut as long as there is room.
_FIXED = ("TASK", "STATUS", "SCENE", "TIME", "PLAN", "COST", "SETTING")
# By the title of a column, or by the text of a cell.
_STYLES = {
    "SCENE": "bold",
    "TASK": "dim",
    "TIME": "dim",
    "SOURCE": "dim",
    "NOTE": "dim",
    "ID": "dim",
    "buy": "green",
    "succeed": "green",
    "failed": "red",
    "unknown": "yellow",
}

Rows = Iterable[tuple[str, ...]]


class View(NamedTuple):
    """How the results of a run are shown as text.

    `format_rows` gets a result, and its name if there are several. With a header all rows make one
    table on a terminal. `is_status` means that a row itself says that a task failed or runs.
    """

    format_rows: Callable[["TaskResult", str], Rows]
    header: Sequence[str] = ()
    is_status: bool = False


class Output:
    """Standard output; the text of a cell cannot break its line or change a terminal."""

    def __init__(self, stream: TextIO, *, is_json: bool, is_styled: bool = False) -> None:
        self.is_json = is_json
        self.is_terminal = stream.isatty()
        self._stream = stream
        self._is_styled = is_styled

    def check(self) -> None:
        """Refuse to start if no result could be printed.

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
                f"Cannot write to standard output: {error}. The line was: {text}",
                hint="Run the same command again to print this line at no cost.",
            ) from None

    def row(self, *cells: str) -> None:
        """Write cells separated by tabs, or by spaces on a terminal."""
        between = "  " if self.is_terminal else "\t"
        self.line(between.join(clean(cell, limit=10_000) for cell in cells))

    def record(self, record: Mapping[str, object]) -> None:
        """Write one JSON object on a line of its own, in ASCII without any control character."""
        import json

        text = json.dumps({"schema": SCHEMA, **record}, allow_nan=False)
        self.line(text.replace("\x7f", "\\u007f"))  # ASCII too, so json leaves it as it is

    def table(
        self, header: Sequence[str], shown: Iterable[Sequence[str]], plain: Iterable[Sequence[str]]
    ) -> None:
        """Write a table on a terminal, else the plain rows separated by tabs.

        Args:
            header: the titles of the table; empty columns are left out.
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
            table.add_row(*(Text(cell, _find_style(cell), no_wrap=True) for cell in cells))
        colours: Literal["standard"] | None = "standard" if self._is_styled else None
        Console(
            file=self._stream,
            force_terminal=True,
            color_system=colours,
            markup=False,
            emoji=False,
            _environ={},  # the terminal itself knows its width
        ).print(table)


def _find_style(cell: str) -> str:
    # A cut URL is still a link to the whole URL, if the terminal supports links.
    return f"link {cell}" if cell.startswith("https://") else _STYLES.get(cell, "")


def format_result(result: "TaskResult", *, sandbox: bool) -> dict[str, object]:
    """Build the JSON object of one task; every key is always there."""
    purchase, error = result.purchase, result.error
    # As given in this run: the same picture may have had another name before.
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
    return {key: getattr(error, key) for key in _ERROR}


def format_locations(result: "TaskResult", name: str) -> Rows:
    """Format the file or URL of each video."""
    return [(location, name) if name else (location,) for location in result.locations]


def format_nothing(_result: "TaskResult", _name: str) -> Rows:
    """Format nothing: standard output gets the video itself."""
    return ()


def format_id(result: "TaskResult", name: str) -> Rows:
    """Format the id of a task that was accepted."""
    if result.error is None and result.purchase is not None:
        yield tuple(filter(None, (result.purchase.name, name)))


def format_plan(result: "TaskResult", name: str) -> Rows:
    """Format what would be done and sent."""
    if result.request is not None:
        names = [PurePath(str(image["source"])).name for image in result.images]
        sizes = [f"{image['width']} x {image['height']}" for image in result.images]
        fields = result.request["body"]["input"]
        sent = [fields[name] for name in ("model_name", "mode") if name in fields]
        sent += [f"{fields['duration']} s"] if "duration" in fields else []
        yield (
            result.plan or "",
            name or " ".join(names),
            ", ".join(sizes),
            " ".join((str(result.effect_scene), *sent)),
            result.external_task_id or "random",
        )


def format_status(result: "TaskResult", _name: str) -> Rows:
    """Format id, status, and each URL or the reason; nothing if the status may have changed."""
    purchase, error = result.purchase, result.error
    is_status = error is None or error.exit_code in (ExitCode.PENDING, ExitCode.TASK_FAILED)
    if purchase is not None and (is_status or not purchase.is_seen):
        for text in [video.url for video in purchase.videos] or [purchase.message]:
            yield (purchase.name, purchase.status, text)


LOCATIONS = View(format_locations)
NOTHING = View(format_nothing)
IDS = View(format_id)
PLANS = View(format_plan, ("PLAN", "PICTURES", "SIZE", "SENDS", "ID"), is_status=True)
STATUSES = View(format_status, ("TASK", "STATUS", "VIDEO"), is_status=True)
