"""One request from the claim to its video."""

from dataclasses import replace

from kling_cli.buying.claim import Terms
from kling_cli.buying.submission import Submission
from kling_cli.errors import KlingError
from kling_cli.outcome import Outcome
from kling_cli.purchase import Purchase, Stage
from kling_cli.task import Request
from kling_cli.watching.following import Follower, Kit


class Delivery:
    """A request on its way to its video.

    Args:
        request: what to buy.
        terms: how to buy it.
        kit: what to work with.
        waits: whether to wait for the end once the task is accepted.
    """

    def __init__(self, request: Request, terms: Terms, *, kit: Kit, waits: bool = True) -> None:
        self._kit = kit
        self._terms = terms
        self._waits = waits
        self._follower: Follower | None = None
        self._submission = Submission(
            request,
            terms,
            journal=kit.journal,
            service=kit.service,
            clock=kit.clock,
            talk=kit.talk,
        )

    def run(self) -> Outcome:
        """Buy the request if it has to be bought, and wait for its end unless told not to."""
        started = self._kit.clock.monotonic()
        error: KlingError | None = None
        try:
            self._deliver()
        except KlingError as caught:
            error = caught
        purchase = self._follower.purchase if self._follower else self._find_doubtful()
        return Outcome(
            purchase=purchase,
            error=error,
            is_reused=purchase is not None and not self._submission.has_bought,
            elapsed=self._kit.clock.monotonic() - started,
        )

    def abandon(self) -> Purchase | None:
        """Settle the journal when a signal ends the run; tell what is or may be bought."""
        return self._submission.abandon()

    def _deliver(self) -> None:
        purchase = self._submission.run()
        # It may keep another journal than it was given, where that one could not be written.
        kit = replace(self._kit, journal=self._submission.journal)
        self._follower = Follower(purchase, kit=kit, deadline=self._terms.deadline)
        if not self._submission.has_bought and purchase.stage is Stage.SUCCEED:
            self._kit.talk.note("Bought before; this costs nothing. --new buys it again.")
        if self._waits or purchase.stage in (Stage.SUCCEED, Stage.FAILED):
            self._follower.follow(is_fresh=self._submission.has_bought)

    def _find_doubtful(self) -> Purchase | None:
        """Find what may have been bought although no task was seen."""
        purchase = self._submission.purchase
        row = purchase and self._submission.journal.find(purchase.external_task_id)
        return row if row is not None and row.stage is not Stage.CLAIMED else None
