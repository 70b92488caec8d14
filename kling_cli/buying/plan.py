"""What a run would do about a request, by what the journal knows of it; asks nobody."""

from dataclasses import dataclass
from enum import StrEnum

from kling_cli.buying.claim import Terms, find_namesake
from kling_cli.journal import Journal
from kling_cli.purchase import Purchase, Stage, Step, decide
from kling_cli.task import Request


class Verdict(StrEnum):
    """What would be done: `look` goes on with what may have been bought, and never sends."""

    BUY = "buy"
    RESUME = "resume"
    REUSE = "reuse"
    LOOK = "look"


_VERDICTS = {
    Step.SEND: Verdict.BUY,
    Step.RENEW: Verdict.BUY,
    Step.FIND: Verdict.LOOK,
    Step.WAIT: Verdict.RESUME,
    Step.ANSWER: Verdict.REUSE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done about a request.

    Attributes:
        verdict: what.
        external_task_id: under which id; None where it would be drawn at random.
        purchase: what the journal knows, unless something new would be bought.
    """

    verdict: Verdict
    external_task_id: str | None
    purchase: Purchase | None = None


def plan(request: Request, terms: Terms, *, journal: Journal, now: float) -> Plan:
    """Plan what a run would do, without changing anything.

    Raises:
        UsageError: the user's own id belongs to another request.
        LocalError: the journal cannot be read, is damaged, or held by another program.
    """
    namesake = find_namesake(journal, terms, request.fingerprint)
    current = journal.find_current(request.fingerprint)
    is_named = terms.is_chosen and namesake is not None
    known = namesake if is_named else current
    if known is None or known.stage is Stage.CLAIMED:
        return Plan(verdict=Verdict.BUY, external_task_id=terms.external_task_id)
    step = Step.RENEW if terms.is_anew and not is_named else decide(known, now=now)
    if step is Step.RENEW:
        fresh = terms.external_task_id if terms.is_chosen and not is_named else None
        return Plan(verdict=Verdict.BUY, external_task_id=fresh)
    return Plan(verdict=_VERDICTS[step], external_task_id=known.external_task_id, purchase=known)
