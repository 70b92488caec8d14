"""A stored task as it looks at a moment: what the service and what a gateway say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kling_cli.sandbox.answers import wrap

if TYPE_CHECKING:
    from kling_cli.sandbox.store import StoredTask

# Milliseconds after acceptance.
PROCESSING_AFTER = 1_000
ENDED_AFTER = 3_000

# A gateway's words for the same states, and its progress, which is never a real measure.
_GATEWAY_STATES = {
    "submitted": ("SUBMITTED", "10%"),
    "processing": ("IN_PROGRESS", "30%"),
    "succeed": ("SUCCESS", "100%"),
    "failed": ("FAILURE", "100%"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One of the service's four words, and since when, in milliseconds since the epoch."""

    word: str
    since: int


def tell_state(task: StoredTask, *, at: int) -> State:
    """Tell how far a task has come at a time in milliseconds since the epoch."""
    age = at - task.created_at
    if age >= task.ends_after:
        word = "failed" if task.failure else "succeed"
        return State(word=word, since=task.created_at + task.ends_after)
    if age >= PROCESSING_AFTER:
        return State(word="processing", since=task.created_at + PROCESSING_AFTER)
    return State(word="submitted", since=task.created_at)


def show_accepted(task: StoredTask) -> dict[str, object]:
    """Show a task in the answer to its creation, which has no results yet."""
    return {
        "task_id": task.task_id,
        "task_status": "submitted",
        "task_info": _show_info(task),
        "created_at": task.created_at,
        "updated_at": task.created_at,
    }


def show_task(task: StoredTask, *, at: int, url: str) -> dict[str, object]:
    """Show a task as a look at it does.

    Args:
        task: the stored task.
        at: the time of the look, in milliseconds since the epoch.
        url: where the video lies, once the task has succeeded.
    """
    state = tell_state(task, at=at)
    videos = [{"id": str(int(task.task_id) + 1), "url": url, "duration": f"{task.duration}.041"}]
    return {
        "task_id": task.task_id,
        "task_status": state.word,
        "task_status_msg": (task.failure or "") if state.word == "failed" else "",
        "task_info": _show_info(task),
        "task_result": {"videos": videos} if state.word == "succeed" else {},
        "created_at": task.created_at,
        "updated_at": state.since,
    }


def show_through_gateway(task: StoredTask, *, at: int, url: str) -> dict[str, object]:
    """Show a task in a gateway's envelope, around the service's own.

    The gateway's times are seconds where the service's are milliseconds.
    """
    state = tell_state(task, at=at)
    word, progress = _GATEWAY_STATES[state.word]
    ended = progress == "100%"
    started = state.word != "submitted"
    return {
        "code": "success",
        "message": "",
        "data": {
            "task_id": task.task_id,
            "action": "/kling/v1/videos/effects_POST",
            "status": word,
            "fail_reason": (task.failure or "") if ended else "",
            "submit_time": task.created_at // 1000,
            "start_time": (task.created_at + PROCESSING_AFTER) // 1000 if started else 0,
            "finish_time": state.since // 1000 if ended else 0,
            "progress": progress,
            "data": wrap(show_task(task, at=at, url=url)),
        },
    }


def _show_info(task: StoredTask) -> dict[str, str]:
    return {} if task.external_task_id is None else {"external_task_id": task.external_task_id}
