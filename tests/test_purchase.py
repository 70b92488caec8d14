"""The stages of a purchase and the arrows between them: no way leads back to a second send."""

from itertools import product

import pytest

from kling_cli.purchase import (
    RESULT_LIFE_SECONDS,
    Event,
    Purchase,
    Stage,
    Step,
    decide,
    follow,
    is_expired,
    see,
)
from kling_cli.task import TaskStatus

NOW = 2_000_000_000.0
FINAL = (Stage.SUCCEED, Stage.FAILED)
STATUSES = (
    TaskStatus.SUBMITTED,
    TaskStatus.PROCESSING,
    TaskStatus.SUCCEED,
    TaskStatus.FAILED,
)
ARROWS = {
    (Stage.CLAIMED, Event.SEND): Stage.SENDING,
    (Stage.CLAIMED, Event.DROP): None,
    (Stage.SENDING, Event.NOT_SENT): Stage.CLAIMED,
    (Stage.SENDING, Event.BUSY): Stage.CLAIMED,
    (Stage.SENDING, Event.REFUSED): None,
    (Stage.SENDING, Event.AMBIGUOUS): Stage.UNKNOWN,
    (Stage.SENDING, Event.DUPLICATE): Stage.UNKNOWN,
}


def make_purchase(stage: Stage, *, finished_at: float | None = None) -> Purchase:
    """Make a purchase at this stage."""
    return Purchase(
        external_task_id="kling-x",
        fingerprint="f",
        base_url="https://service.example",
        effect_scene="squish",
        stage=stage,
        finished_at=finished_at,
    )


def test_each_event_changes_what_it_may_and_nothing_else() -> None:
    """The seven arrows hold, and every other event leaves the purchase as it is."""
    for stage, event in product(Stage, Event):
        arrow = (stage, event)
        wanted = (True, ARROWS[arrow]) if arrow in ARROWS else (False, stage)
        assert follow(stage, event) == wanted, arrow


def test_only_a_claim_is_ever_sent() -> None:
    """Whatever may have been sent is looked for, waited for, answered or replaced, never resent."""
    steps = {stage: decide(make_purchase(stage, finished_at=NOW), now=NOW) for stage in Stage}
    assert steps == {
        Stage.CLAIMED: Step.SEND,
        Stage.SENDING: Step.FIND,
        Stage.UNKNOWN: Step.FIND,
        Stage.SUBMITTED: Step.WAIT,
        Stage.PROCESSING: Step.WAIT,
        Stage.SUCCEED: Step.ANSWER,
        Stage.FAILED: Step.RENEW,
    }


def test_no_event_leads_from_unknown_to_a_send() -> None:
    """From a doubt there is no way back to a stage that is sent, whatever happens."""
    reached = {Stage.UNKNOWN}
    for stage, event in product(Stage, Event):
        _, after = follow(stage, event)
        if stage in reached and after is not None:
            reached.add(after)
    assert reached == {Stage.UNKNOWN}


def test_what_the_service_shows_is_kept() -> None:
    """Fault 48: an end is final, a step backwards is no news, all else is taken as shown."""
    for stage, status in product(Stage, STATUSES):
        is_backwards = (stage, status) == (Stage.PROCESSING, TaskStatus.SUBMITTED)
        kept = stage if stage in FINAL or is_backwards else Stage(status.value)
        assert see(stage, status) is kept, (stage, status)


@pytest.mark.parametrize(
    ("age", "step"),
    [(0.0, Step.ANSWER), (RESULT_LIFE_SECONDS, Step.ANSWER), (RESULT_LIFE_SECONDS + 1, Step.RENEW)],
)
def test_a_result_lives_for_thirty_days(age: float, step: Step) -> None:
    """Fault 47: up to 30 days it is the answer; after that the service has deleted it."""
    purchase = make_purchase(Stage.SUCCEED, finished_at=NOW - age)
    assert decide(purchase, now=NOW) is step
    assert is_expired(purchase, now=NOW) == (step is Step.RENEW)


def test_a_result_of_unknown_age_is_not_given_up() -> None:
    """Where nobody knows when the task ended, its result counts as there."""
    assert decide(make_purchase(Stage.SUCCEED), now=NOW) is Step.ANSWER
