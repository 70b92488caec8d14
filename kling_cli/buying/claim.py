"""Bought once, first step: one durable row before any connection is made.

A claim that is met already says how far the same request came before; who meets it goes on there.
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass, field

from kling_cli.api.service import Service
from kling_cli.buying.patience import Patience
from kling_cli.clock import Clock
from kling_cli.errors import LocalError, UnreachableError, UsageError
from kling_cli.journal import Journal
from kling_cli.purchase import Event, Purchase, Stage
from kling_cli.talk import Talk
from kling_cli.task import Look, Request
from kling_cli.watching.verdict import NO_JOURNAL

_ADOPT_PAUSES = (0.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a request is to be bought.

    Attributes:
        external_task_id: the derived id, or the user's own.
        tag: the mark of the token that buys.
        is_chosen: whether it is the user's own: the service may know it from another machine.
        is_anew: buy even if the same request was bought before.
        deadline: in the clock's monotonic seconds.
        own_claims: the ids under which this run alone buys, shared by its requests: one that is
            made twice is bought once, also anew, and also where its task failed.
    """

    external_task_id: str
    tag: str | None = None
    is_chosen: bool = False
    is_anew: bool = False
    deadline: float = float("inf")
    own_claims: set[str] = field(default_factory=set[str])


def find_namesake(journal: Journal, terms: Terms, fingerprint: str) -> Purchase | None:
    """Find the purchase of this request that has the external task id already.

    Raises:
        UsageError: the id belongs to another request.
    """
    known = journal.find(terms.external_task_id)
    if known is not None and known.fingerprint != fingerprint:
        raise UsageError(
            "external_task_id_in_use",
            f"The external task id {terms.external_task_id} belongs to another request of this "
            "machine. Nothing was sent.",
            hint="Choose another id, or leave --external-task-id out.",
        )
    return known


class Claims:
    """The claims of one request."""

    def __init__(  # noqa: PLR0913 - what a claim is made of
        self,
        request: Request,
        terms: Terms,
        *,
        journal: Journal,
        service: Service,
        clock: Clock,
        talk: Talk,
    ) -> None:
        self._journal = journal
        self.sender = secrets.token_hex(8)
        self._request = request
        self._terms = terms
        self._service = service
        self._clock = clock
        self._talk = talk
        self._patience = Patience(terms.deadline, clock=clock, talk=talk)

    def claim(self) -> Purchase:
        """Claim the request, or meet the purchase that already has it.

        Raises:
            UsageError: the user's own id belongs to another request.
            UnreachableError: the service could not tell whether it knows the id.
            UnwritableError: the request is new, and the journal cannot be written.
        """
        terms = self._terms
        namesake = find_namesake(self._journal, terms, self._request.fingerprint)
        if namesake and namesake.stage is not Stage.CLAIMED and terms.is_chosen:
            return namesake  # its own name was given: --new cannot mean yet another one
        claimed = self._journal.claim(self._draft(terms.external_task_id))
        if claimed.stage is Stage.CLAIMED:
            claimed = self._adopt(claimed)
        is_old = claimed.external_task_id not in terms.own_claims
        is_namesake = terms.is_chosen and claimed.external_task_id == terms.external_task_id
        return self._replace(claimed) if terms.is_anew and is_old and not is_namesake else claimed

    def renew(self, purchase: Purchase) -> Purchase:
        """Claim the request again, after a purchase that failed or whose result is deleted."""
        ended = "failed" if purchase.stage is Stage.FAILED else "is over 30 days old and deleted"
        renewed = self._replace(purchase)
        self._talk.note(f"The earlier task {purchase.task_id} {ended}; buying a new one.")
        return renewed

    def drop(self, purchase: Purchase) -> None:
        """Forget a claim that was not sent."""
        with suppress(LocalError):  # what stays is taken up by the next run
            self._journal.apply(purchase.external_task_id, Event.DROP, sender=self.sender)

    def _replace(self, purchase: Purchase) -> Purchase:
        chosen = self._terms.external_task_id if self._terms.is_chosen else None
        if chosen is None or self._journal.find(chosen) is not None:
            chosen = "kling-" + secrets.token_hex(13)
        claimed = self._journal.claim(self._draft(chosen), replacing=purchase.external_task_id)
        return self._adopt(claimed) if claimed.stage is Stage.CLAIMED else claimed

    def _adopt(self, claimed: Purchase) -> Purchase:
        """Look an id up before sending, where another run may have bought under it unknown here.

        That is the user's own id, and without a journal every derived one.
        """
        terms = self._terms
        terms.own_claims.add(claimed.external_task_id)
        is_kept = self._journal.is_durable
        if claimed.external_task_id == terms.external_task_id and (terms.is_chosen or not is_kept):
            found = self._look_up(claimed)
            if found is not None:
                return found
        if not is_kept:
            self._talk.warn(f"{NO_JOURNAL} Keep its id: {claimed.external_task_id}")
        return claimed

    def _look_up(self, claimed: Purchase) -> Purchase | None:
        terms = self._terms
        look = Look()
        for pause in _ADOPT_PAUSES if terms.is_chosen else _ADOPT_PAUSES[:1]:
            self._patience.pause(pause)
            look = self._service.look(
                claimed.external_task_id, seconds_left=self._patience.seconds_left
            )
            if look.task is not None:
                terms.own_claims.discard(claimed.external_task_id)
                self._talk.note("The service has a task of this external id already.")
                found = self._journal.record(claimed, look.task, warn=self._talk.warn)
                self._talk.accept(found)
                return found
            # A gateway may refuse to look up by this id; without a journal that may not end all.
            if look.is_missing or (look.is_refused and not self._journal.is_durable):
                return None
            if look.is_fatal or self._patience.is_over:
                break
        self.drop(claimed)
        without = "; without --external-task-id it need not look first" if terms.is_chosen else ""
        error = look.error or UnreachableError("not_sent", "No answer.")
        if look.is_fatal:
            raise error
        raise UnreachableError(
            "not_sent",
            f"The service could not tell whether it has a task {claimed.external_task_id} already. "
            f"{error.message} Nothing was sent.",
            hint=f"The same command is safe to run later{without}.",
            http_status=error.http_status,
            service_code=error.service_code,
            request_id=error.request_id,
        )

    def _draft(self, external_task_id: str) -> Purchase:
        now = self._clock.time()
        return Purchase(
            external_task_id=external_task_id,
            fingerprint=self._request.fingerprint,
            base_url=self._request.base_url,
            effect_scene=self._request.scene.name,
            stage=Stage.CLAIMED,
            images=tuple(picture.describe() for picture in self._request.pictures),
            created_at=now,
            updated_at=now,
            tag=self._terms.tag,
        )
