"""One request from the claim to its video, or one whose pictures were refused."""

from collections.abc import Sequence

from kling_cli.buying.account import Account
from kling_cli.buying.claim import Terms
from kling_cli.buying.submission import Submission
from kling_cli.errors import (
    KlingError,
    LaterError,
    PendingError,
    UnknownError,
    UnreachableError,
)
from kling_cli.images.sources import STANDARD_INPUT, is_url
from kling_cli.outcome import Outcome
from kling_cli.purchase import Purchase, Stage
from kling_cli.task import Picture, Request
from kling_cli.watching.following import Follower, Keep, Kit
from kling_cli.watching.verdict import name_task, tell_no_journal

# How a request ends that has reached its timeout.
_TIMED_OUT = LaterError | PendingError | UnknownError | UnreachableError


class Delivery:
    """A request on its way to its video.

    Args:
        request: what to buy.
        terms: how to buy it.
        kit: what to work with.
        account: what the run knows of the account.
        keep: saves the clips of a finished task, and tells where.
        waits: whether to wait for the end once the task is accepted.
    """

    def __init__(  # noqa: PLR0913 - what a delivery is made of
        self,
        request: Request,
        terms: Terms,
        *,
        kit: Kit,
        account: Account,
        keep: Keep | None = None,
        waits: bool = True,
    ) -> None:
        self._kit = kit
        self._request = request
        self._terms = terms
        self._account = account
        self._waits = waits
        self._keep = keep
        self._files: tuple[str, ...] = ()
        self._follower: Follower | None = None
        self._submission = Submission(
            request,
            terms,
            journal=kit.journal,
            service=kit.service,
            clock=kit.clock,
            talk=kit.talk,
            account=account,
        )

    def run(self) -> Outcome:
        """Buy the request if it has to be bought, and wait for its end unless told not to."""
        started = self._kit.clock.monotonic()
        error: KlingError | None = None
        try:
            self._deliver()
        except KlingError as caught:
            error = caught
            if isinstance(error, _TIMED_OUT) and self._is_late():
                self._account.time_out()  # before its place is free for another
        finally:
            self._submission.leave()
        follower, submission = self._follower, self._submission
        purchase = follower.purchase if follower else submission.find_doubtful()
        if error and error.charged != "no" and purchase and not self._kit.journal.is_durable:
            tell_no_journal(error, name_task(purchase))
        return Outcome(
            purchase=purchase,
            error=error,
            effect_scene=self._request.scene.name,
            images=tuple(picture.describe() for picture in self._request.pictures),
            files=self._files,
            is_reused=purchase is not None and not submission.has_bought,
            elapsed=self._kit.clock.monotonic() - started,
        )

    def abandon(self) -> Purchase | None:
        """Settle the journal when a signal ends the run; tell what is or may be bought."""
        return self._submission.abandon()

    def _deliver(self) -> None:
        purchase = self._submission.run()
        self._follower = Follower(purchase, kit=self._kit, deadline=self._terms.deadline)
        if not self._submission.has_bought:
            self._tell_reuse(purchase)
        if self._waits or purchase.stage in (Stage.SUCCEED, Stage.FAILED):
            self._follower.follow(is_fresh=self._submission.has_bought)
            self._submission.leave()
            if self._keep is not None:
                self._files = self._keep(self._follower.purchase, self._kit.talk)

    def _is_late(self) -> bool:
        return self._kit.clock.monotonic() >= self._terms.deadline

    def _tell_reuse(self, purchase: Purchase) -> None:
        is_named = self._terms.is_anew and self._terms.is_chosen
        way = "--new needs another --external-task-id" if is_named else "--new buys it again"
        self._kit.talk.note(
            f"Task {purchase.task_id} was bought before; this run goes on with it and buys nothing."
            if purchase.stage is not Stage.SUCCEED
            else f"Task {purchase.task_id} was bought before; this run costs nothing. {way}."
        )


class Refusal:
    """A request that was refused before anything was sent.

    Args:
        error: why.
        sources: its pictures, as the user gave them.
        effect_scene: what they were for.
    """

    def __init__(self, error: KlingError, sources: Sequence[str], *, effect_scene: str) -> None:
        self._outcome = Outcome(
            error=error,
            effect_scene=effect_scene,
            images=tuple(_name_picture(source).describe() for source in sources),
        )

    def run(self) -> Outcome:
        """Tell it."""
        return self._outcome

    def abandon(self) -> Purchase | None:
        """Nothing was sent."""
        return None


def _name_picture(source: str) -> Picture:
    if is_url(source):
        return Picture(source=source, url=source, kind="url")
    return Picture(source=source, kind="stdin" if source == STANDARD_INPUT else "file")
