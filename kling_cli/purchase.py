"""The stages of a purchase, and what may follow what: the rule that nothing is bought twice.

    (none) ── claim ──> claimed ── send ──> sending ── ambiguous, duplicate ──> unknown
                          ^  │                │ │ │                                │
              drop: gone <┼──┘                │ │ └─ refused: gone                 │
                          └── not sent, busy ─┘ └──────── seen ────────────────────┴─> submitted,
                                                            processing, succeed, failed

`claimed` is provably unsent. From `sending` on, whoever wrote it may have died after the first
byte, so only look-ups are left; no way leads from `unknown` back to a stage that sends.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from kling_cli.errors import KlingError
from kling_cli.task import TaskStatus, Video

# The service deletes a result after 30 days.
RESULT_LIFE_SECONDS = 30 * 24 * 3600.0


class Stage(StrEnum):
    """How far a purchase has come; the last four are the service's own words."""

    CLAIMED = "claimed"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEED = "succeed"
    FAILED = "failed"


class Event(StrEnum):
    """What can happen to a purchase, short of being seen at the service."""

    SEND = "send"
    NOT_SENT = "not sent"
    BUSY = "busy"
    REFUSED = "refused"
    AMBIGUOUS = "ambiguous"
    DUPLICATE = "duplicate"
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """A POST that brought no task: which event it was, and the words for it.

    `retry_after` is the pause that the service asked for, in seconds.
    """

    event: Event
    error: KlingError
    retry_after: float | None = None


class Step(StrEnum):
    """What a run does next about a purchase."""

    SEND = "send"
    FIND = "find"
    WAIT = "wait"
    ANSWER = "answer"
    RENEW = "renew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One row of the journal. Times are seconds since the epoch.

    `tag` is the mark of the token that bought it; None where version 0.1.0 did.
    """

    external_task_id: str
    fingerprint: str
    base_url: str
    effect_scene: str
    stage: Stage
    sender: str | None = None
    task_id: str | None = None
    message: str = ""
    images: tuple[Mapping[str, object], ...] = ()
    videos: tuple[Video, ...] = ()
    created_at: float = 0.0
    updated_at: float = 0.0
    finished_at: float | None = None
    tag: str | None = None


# None stands for "gone": nothing was bought, and the journal forgets it.
_AFTER: Mapping[tuple[Stage, Event], Stage | None] = MappingProxyType(
    {
        (Stage.CLAIMED, Event.SEND): Stage.SENDING,
        (Stage.CLAIMED, Event.DROP): None,
        (Stage.SENDING, Event.NOT_SENT): Stage.CLAIMED,
        (Stage.SENDING, Event.BUSY): Stage.CLAIMED,
        (Stage.SENDING, Event.REFUSED): None,
        (Stage.SENDING, Event.AMBIGUOUS): Stage.UNKNOWN,
        (Stage.SENDING, Event.DUPLICATE): Stage.UNKNOWN,
    }
)


def follow(stage: Stage, event: Event) -> tuple[bool, Stage | None]:
    """Tell whether an event may change a stage, and into which (None: the purchase is gone)."""
    key = (stage, event)
    return (True, _AFTER[key]) if key in _AFTER else (False, stage)


def see(stage: Stage, status: TaskStatus) -> Stage:
    """Tell the stage after the service has shown the task; what is final stays."""
    if stage in (Stage.SUCCEED, Stage.FAILED):
        return stage
    if stage is Stage.PROCESSING and status is TaskStatus.SUBMITTED:
        return stage  # a status that goes backwards is shown, not kept
    return Stage(status.value)


def decide(purchase: Purchase, *, now: float) -> Step:
    """Decide what a run that meets this purchase does next."""
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
    """Tell whether the service has deleted the result by now."""
    finished = purchase.finished_at
    return finished is not None and now - finished > RESULT_LIFE_SECONDS
