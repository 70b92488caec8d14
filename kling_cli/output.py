"""Standard output: one line for each video, or one JSON object for each task."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TextIO

from kling_cli.errors import ExitCode, KlingError, LocalError
from kling_cli.outcome import Outcome
from kling_cli.purchase import Purchase, Stage
from kling_cli.task import TaskStatus
from kling_cli.text import clean

SCHEMA = "kling/1"


class Printer:
    """Standard output as text or as JSON Lines; every line is complete, and flushed at once."""

    def __init__(self, stream: TextIO, *, is_json: bool) -> None:
        self.is_json = is_json
        self._stream = stream

    def check(self) -> None:
        """Refuse to begin what could not tell its result.

        Raises:
            LocalError: standard output was closed from the start.
        """
        if not self._stream.writable():
            raise LocalError(
                "output_closed",
                "Standard output is closed, so no result could be told. Nothing was sent.",
                hint="Run it without >&-.",
            )

    def write_line(self, line: str) -> None:
        """Write one line of text.

        Raises:
            LocalError: it cannot be written.
            BrokenPipeError: the reader has closed it.
        """
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except BrokenPipeError:
            raise
        except (OSError, ValueError) as error:
            raise LocalError(
                "output_failed",
                f"Standard output cannot be written: {error}. What should stand there: {line}",
                hint="The same command prints it again and costs nothing.",
            ) from None

    def write_record(self, record: Mapping[str, object]) -> None:
        """Write one JSON object on a line of its own, in ASCII without any control character."""
        line = json.dumps({"schema": SCHEMA, **record}, allow_nan=False)
        self.write_line(line.replace("\x7f", "\\u007f"))  # ASCII too, so json leaves it as it is

    def write_row(self, *cells: str) -> None:
        """Write cells with tabs between them; what is in them cannot break the line."""
        self.write_line("\t".join(clean(cell, limit=10_000) for cell in cells))


def shape_result(
    outcome: Outcome, *, is_sandbox: bool, warnings: Sequence[str] = ()
) -> dict[str, object]:
    """Shape the result object of one task; every key is always there."""
    purchase, error = outcome.purchase, outcome.error
    exit_code = error.exit_code if error else ExitCode.OK
    return {
        "ok": exit_code is ExitCode.OK,
        "exit_code": int(exit_code),
        "sandbox": is_sandbox,
        "task_id": purchase.task_id if purchase else None,
        "external_task_id": (purchase.external_task_id or None)
        if purchase
        else outcome.external_task_id,
        "effect_scene": (purchase.effect_scene or None) if purchase else outcome.effect_scene,
        "task_status": tell_status(purchase) if purchase else None,
        "task_status_msg": purchase.message if purchase else "",
        "created_at": format_time(purchase.created_at) if purchase else None,
        "updated_at": format_time(purchase.updated_at) if purchase else None,
        "elapsed": round(outcome.elapsed, 1),
        "reused": outcome.is_reused,
        "plan": outcome.plan,
        "request": outcome.request,
        "images": [dict(image) for image in (purchase.images if purchase else outcome.images)],
        "videos": [{**asdict(video), "file": None} for video in purchase.videos]
        if purchase
        else [],
        "error": shape_error(error) if error else None,
        "warnings": list(warnings),
    }


def shape_error(error: KlingError) -> dict[str, object]:
    """Shape the error object of a result."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "charged": error.charged,
        "http_status": error.http_status,
        "service_code": error.service_code,
        "request_id": error.request_id,
    }


def tell_status(purchase: Purchase) -> TaskStatus:
    """Tell the status in the service's words; what may not have arrived is `unknown`."""
    if purchase.stage in (Stage.CLAIMED, Stage.SENDING):
        return TaskStatus.UNKNOWN
    return TaskStatus(purchase.stage.value)


def format_time(seconds: float) -> str | None:
    """Format seconds since the epoch by RFC 3339, in UTC; None for an unknown time."""
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return None  # no calendar has it, whoever wrote it
