"""The result object that --json prints of a task; a JSON Schema of it ships with the package."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import zip_longest

from kling_cli.errors import ExitCode, KlingError
from kling_cli.outcome import Outcome
from kling_cli.purchase import Purchase, Stage
from kling_cli.task import TaskStatus


def shape_result(
    outcome: Outcome, *, is_sandbox: bool, warnings: Sequence[str] = ()
) -> dict[str, object]:
    """Shape the result object of one task; every key is always there."""
    purchase, error = outcome.purchase, outcome.error
    exit_code = error.exit_code if error else ExitCode.OK
    # As they were given to this run: the same picture may have had another name before.
    images = outcome.images or (purchase.images if purchase else ())
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
        "images": [dict(image) for image in images],
        "videos": [
            {**asdict(video), "file": file}
            for video, file in zip_longest(purchase.videos if purchase else (), outcome.files)
        ],
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
