"""What a task as last seen amounts to: its video, or the error that stands in its place."""

from kling_cli.api.answers import judge_url
from kling_cli.errors import KlingError, PendingError, RefusedError, TaskFailedError, UnknownError
from kling_cli.purchase import Purchase, Stage, is_expired
from kling_cli.text import clean, without_query

NO_JOURNAL = (
    "No journal can be kept here: nothing lists the task, and the same command looks the request "
    "up by its id and may then send it again."
)


def judge(
    purchase: Purchase,
    *,
    now: float,
    is_sandbox: bool = False,
    ending: str | None = None,
    request_id: str | None = None,
) -> KlingError | None:
    """Judge a task.

    Args:
        purchase: the task as last seen.
        now: seconds since the epoch.
        is_sandbox: whether the embedded sandbox made it, whose videos are files.
        ending: how it failed where the service says more than that: `cancelled` or `expired`.
        request_id: the service's name for the last exchange about it.

    Returns:
        None where its videos can be used.
    """
    if is_unseen(purchase):
        return tell_doubt(name_task(purchase))
    if purchase.stage is Stage.FAILED:
        return _tell_failure(purchase, ending=ending or "failed", request_id=request_id)
    if purchase.stage is not Stage.SUCCEED:
        return tell_pending(name_task(purchase))
    return _judge_result(purchase, now=now, is_sandbox=is_sandbox, request_id=request_id)


def name_task(purchase: Purchase) -> str:
    """Name a task by the id that a user goes on with."""
    return purchase.task_id or purchase.external_task_id


def is_unseen(purchase: Purchase) -> bool:
    """Tell whether the service has never shown the task, so that nobody knows whether it exists."""
    return purchase.stage in (Stage.CLAIMED, Stage.SENDING, Stage.UNKNOWN)


def tell_pending(name: str) -> PendingError:
    """Make the error for a task that is not done yet."""
    return PendingError(
        "pending",
        f"Task {name} is not done yet; it goes on and is paid for.",
        hint=f"kling wait {name}",
        charged="yes",
    )


def tell_doubt(name: str, answer: KlingError | None = None) -> UnknownError:
    """Make the error for a submission that may or may not have been accepted.

    Args:
        name: its external task id.
        answer: what the service has said when it was asked for it.
    """
    return UnknownError(
        "submission_unknown",
        f"Nobody knows whether {name} was accepted: its submission got no readable answer"
        f"{', and the service shows no such task' if answer else ''}.",
        hint=f"kling status {name} looks again. The same kling effect command does too, and never "
        "sends again; --new buys it anew, which pays twice if this one was accepted.",
        charged="maybe",
        http_status=answer.http_status if answer else None,
        service_code=answer.service_code if answer else None,
        request_id=answer.request_id if answer else None,
    )


def tell_no_journal(error: KlingError, name: str) -> None:
    """Make the hint of an error true for a run without a journal.

    Args:
        error: of a request that was sent, or may have been.
        name: the id that a user goes on with.
    """
    way = f"kling wait {name} looks again." if error.charged == "maybe" else error.hint
    error.hint = f"{NO_JOURNAL} {way}"


def _tell_failure(purchase: Purchase, *, ending: str, request_id: str | None) -> TaskFailedError:
    reason = clean(purchase.message)
    said = f": {reason.rstrip('.')}." if reason else "; it gave no reason."
    verb = {"cancelled": "was cancelled", "expired": "expired"}.get(ending, "failed")
    return TaskFailedError(
        f"task_{ending}",
        f"Task {name_task(purchase)} {verb} at the service{said}",
        hint="Failed tasks are not charged. The same kling effect command buys a new one; "
        "change the picture if the reason lies there.",
        request_id=request_id,
    )


def _judge_result(
    purchase: Purchase, *, now: float, is_sandbox: bool, request_id: str | None
) -> RefusedError | None:
    name = name_task(purchase)
    if is_expired(purchase, now=now):
        return RefusedError(
            "result_expired",
            f"The result of task {name} was deleted by the service: it keeps results for 30 days.",
            hint="kling effect with the same scene and picture buys it again.",
            charged="yes",
            request_id=request_id,
        )
    if not purchase.videos:
        return RefusedError(
            "result_missing",
            f"The service calls task {name} done, but names no video.",
            hint="It is paid for. Ask the service's support, or look later: kling wait " + name,
            charged="yes",
            request_id=request_id,
        )
    for video in purchase.videos:
        fault = judge_url(video.url, allow_file=is_sandbox)
        if fault is not None:
            return RefusedError(
                "invalid_result_url",
                f"Task {name} is done, but its video's URL {fault}: {without_query(video.url)}",
                hint="It is paid for. Ask the service's support.",
                charged="yes",
                request_id=request_id,
            )
    return None
