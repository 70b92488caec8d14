"""Bought once: claim, send, find.

    claim   one durable row before any connection is made
    send    one POST; the row says `sending` before the first byte leaves
    find    look-ups by external task id, where nobody knows what became of the POST

Every run of the same request enters here and goes on from the row that it meets.
"""

from contextlib import suppress
from dataclasses import replace

from kling_cli.api.service import Service
from kling_cli.buying.account import Account
from kling_cli.buying.claim import Claims, Terms
from kling_cli.buying.doubt import end_sentence, tell_unknown
from kling_cli.buying.patience import Patience
from kling_cli.clock import Clock
from kling_cli.errors import KlingError, LocalError
from kling_cli.journal import Journal
from kling_cli.purchase import Declined, Event, Purchase, Stage, Step, decide
from kling_cli.talk import Talk
from kling_cli.task import Look, Request

_FIND_PAUSES = (2.0, 4.0, 8.0, 15.0, 30.0)


class StepLostError(Exception):
    """Another process took the step from `claimed` to `sending`; nothing of ours has left."""


class Submission:
    """One request on its way from the claim to an accepted task.

    Attributes:
        purchase: the journal's row, as this run has last seen it.
        has_bought: whether this run's own POST was accepted, or may have been.
    """

    def __init__(  # noqa: PLR0913 - what a purchase is made of
        self,
        request: Request,
        terms: Terms,
        *,
        journal: Journal,
        service: Service,
        clock: Clock,
        talk: Talk,
        account: Account | None = None,
    ) -> None:
        self.purchase: Purchase | None = None
        self.has_bought = False
        self._request = request
        self._terms = terms
        self._service = service
        self._clock = clock
        self._talk = talk
        self._claims = Claims(
            request, terms, journal=journal, service=service, clock=clock, talk=talk
        )
        self._patience = Patience(terms.deadline, clock=clock, talk=talk)
        self._account = account or Account(clock)
        self._journal = journal
        self._has_place = False
        self._is_abandoned = False
        self._was_duplicate = False
        self._doubt: KlingError | None = None

    def run(self) -> Purchase:
        """Go on until the task is accepted, or known from before.

        Raises:
            KlingError: it was refused, was not sent, or stays unknown.
        """
        self.purchase = self._claims.claim()
        while not self._is_abandoned:
            step = decide(self.purchase, now=self._clock.time())
            if step is Step.SEND:
                following = self._send(self.purchase)
            elif step is Step.FIND:
                following = self._find(self.purchase)
                if following and following.stage is Stage.FAILED and not self._was_duplicate:
                    return following  # our own task, and its end is the answer to this run
            elif step is Step.RENEW and not self._is_of_this_run(self.purchase):
                following = self._claims.renew(self.purchase)
            else:
                if step is Step.WAIT:
                    self._join()
                return self.purchase
            if following is not None:
                self.purchase = following
            elif not self._is_abandoned:  # another process has dropped the claim meanwhile
                self.purchase = self._claims.claim()
        return self.purchase

    def abandon(self) -> Purchase | None:
        """Settle the row when a signal ends the run: what is provably unsent is dropped.

        Returns:
            What is or may be bought; None if nothing was sent.
        """
        self._is_abandoned = True
        if self.purchase is None:
            return None
        self._claims.drop(self.purchase)
        return self._step(self.purchase, Event.AMBIGUOUS)

    def leave(self, *, is_full: bool = False) -> bool:
        """Give back the place among the account's tasks: the task has ended, or nobody waits.

        Args:
            is_full: the service has refused the task as one too many.

        Returns:
            Whether other tasks of this run are under way.
        """
        had_place, self._has_place = self._has_place, False
        return had_place and self._account.leave(is_full=is_full)

    def find_doubtful(self) -> Purchase | None:
        """Find what may have been bought although no task was seen."""
        row = self.purchase and self._recall(self.purchase)
        return row if row is not None and row.stage is not Stage.CLAIMED else None

    def _send(self, purchase: Purchase) -> Purchase | None:
        name = purchase.external_task_id
        self._take_place(purchase)
        try:
            answer = self._service.submit(
                self._request, name, before_first_byte=lambda: self._step_out(name)
            )
        except StepLostError:
            self.leave()
            return self._recall(purchase)
        if isinstance(answer, Declined):
            return self._settle(purchase, answer)
        self.has_bought = True
        accepted = self._journal.record(purchase, answer, warn=self._talk.warn)
        self._talk.accept(accepted)
        return accepted

    def _take_place(self, purchase: Purchase) -> None:
        try:
            self._account.enter(self._patience, talk=self._talk)
        except KlingError:
            self._claims.drop(purchase)
            raise
        self._has_place = True

    def _is_of_this_run(self, purchase: Purchase) -> bool:
        return purchase.external_task_id in self._terms.own_claims

    def _join(self) -> None:
        """Count a task that was bought before among the account's tasks under way."""
        if not self._has_place:
            self._account.join()
            self._has_place = True

    def _step_out(self, name: str) -> None:
        """Take the durable step from `claimed` to `sending`; what is raised here stops the POST."""
        if self._is_abandoned:  # the user was told that nothing was sent, and so it stays
            raise StepLostError
        row = self._journal.apply(name, Event.SEND, sender=self._claims.sender, tag=self._terms.tag)
        if row is None:
            raise StepLostError

    def _settle(self, purchase: Purchase, declined: Declined) -> Purchase | None:
        """Write down what became of a POST that brought no task, and pause before another."""
        name, event, error = purchase.external_task_id, declined.event, declined.error
        is_full = error.code == "concurrency_limit"
        is_waiting_for_own = self.leave(is_full=is_full) and is_full
        reason = end_sentence(error.message)
        following = self._step(purchase, event)
        if event is Event.NOT_SENT:
            goes_on = self._patience.pause_unsent(reason)
        elif event is Event.BUSY:
            goes_on = self._pause_busy(declined, reason, is_waiting_for_own=is_waiting_for_own)
        elif event is Event.REFUSED:
            self._account.judge(error)
            goes_on = False
        else:
            goes_on = True
            self._was_duplicate = event is Event.DUPLICATE
            self.has_bought = not self._was_duplicate
            if self._was_duplicate:
                self._terms.own_claims.discard(name)
            self._doubt = error
            self._talk.note(f"{reason} Looking it up as {name}; it is not sent again.")
        if not goes_on:
            self._claims.drop(purchase)
            raise error
        return following

    def _pause_busy(self, declined: Declined, reason: str, *, is_waiting_for_own: bool) -> bool:
        if is_waiting_for_own and declined.retry_after is None:
            self._talk.note(f"{reason} It is sent when one of this run's other tasks has ended.")
            return not self._patience.is_over
        return self._patience.pause_busy(reason, retry_after=declined.retry_after)

    def _step(self, purchase: Purchase, event: Event) -> Purchase | None:
        # A row that could not be changed says `sending`, so that only looks are left: no worse.
        with suppress(LocalError):
            self._journal.apply(purchase.external_task_id, event, sender=self._claims.sender)
        return self._recall(purchase)

    def _recall(self, purchase: Purchase) -> Purchase | None:
        """Read the row as it stands now."""
        try:
            return self._journal.find(purchase.external_task_id)
        except LocalError:
            # What may have been sent goes on without the journal, by looks alone.
            is_unsent = purchase.stage is Stage.CLAIMED
            return replace(purchase, stage=Stage.SENDING) if is_unsent else purchase

    def _find(self, purchase: Purchase) -> Purchase | None:
        name = purchase.external_task_id
        look = Look()
        for pause in _FIND_PAUSES:
            self._patience.pause(pause)
            current = self._recall(purchase)
            if current is None or current.stage not in (Stage.SENDING, Stage.UNKNOWN):
                return current
            look = self._service.look(name, seconds_left=self._patience.seconds_left)
            if look.task is not None:
                found = self._journal.record(current, look.task, warn=self._talk.warn)
                self._talk.accept(found)
                return found
            if look.is_fatal or self._patience.is_over:
                break
        raise tell_unknown(name, look, doubt=self._doubt)
