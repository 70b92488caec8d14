"""The stages of a purchase and the table of its transitions: nothing is bought twice.

    (none) ── claim ──> claimed ── send ──> sending ── ambiguous, duplicate ──> unknown
                          ^  │                │ │ │                                │
              drop: gone <┼──┘                │ │ └─ refused: gone                 │
                          └── not sent, busy ─┘ └──────── seen ────────────────────┴─> submitted,
                                                            processing, succeed, failed

`claimed` is provably unsent. From `sending` on, the process may have died after the first byte, so
only look-ups are allowed. Nothing leads from `unknown` back to a stage that sends.
"""

import shlex
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from kling_cli.errors import Charged, KlingError, UnknownError
from kling_cli.models import Purchase, Stage, Task

# The service deletes a result after 30 days.
RESULT_LIFE_SECONDS = 30 * 24 * 3600.0

NO_JOURNAL = (
    "No journal can be kept here, so no command lists the task. The same command looks up the "
    "request by its id and may then send it again."
)


class Event(StrEnum):
    """What can happen to a purchase, apart from a response that shows its task."""

    SEND = "send"
    NOT_SENT = "not sent"
    BUSY = "busy"
    REFUSED = "refused"
    AMBIGUOUS = "ambiguous"
    DUPLICATE = "duplicate"
    DROP = "drop"


class Step(StrEnum):
    """What a run does next with a purchase; `renew` buys again after a failed or expired one."""

    SEND = "buy"
    FIND = "look"
    WAIT = "resume"
    ANSWER = "reuse"
    RENEW = "renew"


# The only transitions, apart from a response that shows the task. None means that nothing was
# bought and the row is deleted.
TRANSITIONS: Mapping[tuple[Stage, Event], Stage | None] = {
    (Stage.CLAIMED, Event.SEND): Stage.SENDING,
    (Stage.CLAIMED, Event.DROP): None,
    (Stage.SENDING, Event.NOT_SENT): Stage.CLAIMED,
    (Stage.SENDING, Event.BUSY): Stage.CLAIMED,
    (Stage.SENDING, Event.REFUSED): None,
    (Stage.SENDING, Event.AMBIGUOUS): Stage.UNKNOWN,
    (Stage.SENDING, Event.DUPLICATE): Stage.UNKNOWN,
}


def observe(purchase: Purchase, task: Task, *, now: float) -> Purchase:
    """Update a purchase from its task at the service; a final stage does not change."""
    stage = purchase.stage
    is_backwards = stage is Stage.PROCESSING and task.status is Stage.SUBMITTED
    if not stage.is_final and not is_backwards:  # shown, but not recorded
        stage = task.status
    # It cannot have ended before it was last seen running. Otherwise, with a local clock that is
    # years ahead, a new result would count as deleted.
    is_running = purchase.stage in (Stage.SUBMITTED, Stage.PROCESSING)
    earliest = purchase.updated_at if is_running else 0.0
    finished = None
    if stage.is_final:
        finished = purchase.finished_at or max(task.updated_at or now, earliest)
    return purchase._replace(
        stage=stage,
        task_id=task.task_id or purchase.task_id,
        message=task.message,
        videos=task.videos or purchase.videos,
        cost=task.cost or purchase.cost,
        updated_at=now,
        finished_at=finished,
    )


def next_step(purchase: Purchase, *, now: float) -> Step:
    """Decide what a run does next with this purchase."""
    if purchase.stage is Stage.CLAIMED:
        return Step.SEND
    if purchase.stage in (Stage.SENDING, Stage.UNKNOWN):
        return Step.FIND
    if purchase.stage in (Stage.SUBMITTED, Stage.PROCESSING):
        return Step.WAIT
    if purchase.stage is Stage.SUCCEED and not is_expired(purchase, now=now):
        return Step.ANSWER
    return Step.RENEW


def is_expired(purchase: Purchase, *, now: float) -> bool:
    """Tell whether the service has deleted the result."""
    finished = purchase.finished_at
    return finished is not None and now - finished > RESULT_LIFE_SECONDS


class Resume(NamedTuple):
    """How to resume what a run has bought.

    `is_kept` says whether a journal knows where that was; `output` is the option `-o` of the run.
    """

    is_kept: bool = True
    output: str | None = None

    def command(self, purchase: Purchase) -> str:
        """Format the hint that names the whole command."""
        command = f"kling wait {purchase.name}"
        if self.output is not None:
            command += f" -o {shlex.quote(self.output)}"
        if self.is_kept or purchase.is_sandbox:
            return command
        return f"{NO_JOURNAL} {command} --base-url {purchase.base_url}"


def get_charged(purchase: Purchase) -> Charged:
    """Return whether a purchase is charged; a failed task is not."""
    if purchase.is_sandbox or purchase.stage is Stage.FAILED:
        return "no"
    return "yes" if purchase.is_seen else "maybe"


def make_unknown(
    purchase: Purchase, message: str, resume: Resume, *, first: str = "", cause: KlingError | None
) -> UnknownError:
    """Create the error for a submission that may or may not have been accepted."""
    twice = "" if purchase.is_sandbox else ", which charges you twice if this one was accepted"
    again = ", and so does the same command, which never sends it again" if resume.is_kept else ""
    return UnknownError(
        "submission_unknown",
        message,
        hint=f"{first}{resume.command(purchase)} checks again{again}. --new buys it again{twice}.",
        charged=get_charged(purchase),
        cause=cause,
    )
