"""Where the pictures of a run become requests, each in its turn."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from kling_cli.buying.account import Account
from kling_cli.buying.basket import Basket
from kling_cli.buying.claim import Terms
from kling_cli.buying.consent import ask, can_ask
from kling_cli.buying.delivery import Delivery, Refusal
from kling_cli.buying.order import Order
from kling_cli.buying.plan import Plan, Verdict, plan
from kling_cli.buying.rehearsal import Rehearsal
from kling_cli.buying.shelf import Group, Shelf
from kling_cli.errors import InputError, KlingError
from kling_cli.images.sources import is_url
from kling_cli.performance import Performer
from kling_cli.session import Session
from kling_cli.task import Request
from kling_cli.text import without_query
from kling_cli.watching.following import Keep, Kit

if TYPE_CHECKING:
    from pathlib import Path

    from kling_cli.keeping import Keeper


def name_group(group: Group) -> str:
    """Name the pictures of one task as the user gave them, without any secret."""
    return " ".join(without_query(name) if is_url(name) else name for name in group)


class Desk:
    """The pictures of one run on their way to requests."""

    def __init__(
        self, session: Session, basket: Basket, order: Order, keeper: "Keeper | None"
    ) -> None:
        self._session = session
        self._basket = basket
        self._order = order
        self._shelf = Shelf(session, checks_urls=basket.checks_urls, fixes=basket.fixes)
        self._account = Account(session.world.clock)
        self._keeper = keeper
        self._own_claims = set[str]()
        self._places: dict[Group, Path] = {}
        self._unsavable: dict[Group, InputError] = {}

    def check_all(self, groups: Sequence[Group]) -> None:
        """Check every picture, the user's own external task id, and where the clips would lie.

        What is wrong with one is told when its turn comes.

        Raises:
            UsageError: the id belongs to another request.
        """
        if len(groups) == 1:
            self._shelf.check(groups[0], is_only=True)
        else:
            self._check_many(groups)
        if self._basket.external_task_id is not None:
            # What is wrong with the picture is told when the request is begun.
            with suppress(InputError):
                self._plan(groups[0])
        if self._keeper is not None:
            self._find_places(self._keeper, list(dict.fromkeys(groups)))

    def has_refused(self, group: Group) -> bool:
        """Tell whether the check has refused this group."""
        return self._shelf.has_refused(group) or group in self._unsavable

    def ask(self, groups: Sequence[Group]) -> None:
        """Ask the user whether to buy several tasks, where there is one.

        Raises:
            StoppedError: the answer was not yes.
        """
        if not can_ask(self._session.world):
            return
        fit = [group for group in groups if not self.has_refused(group)]
        # The same picture under two names is one task.
        plans = {self._make_request(group).fingerprint: self._plan(group) for group in fit}
        ask(
            self._session.world,
            tuple(plans.values()),
            pictures=len(groups),
            refused=len(groups) - len(fit),
        )

    def start(self, group: Group, kit: Kit) -> Performer:
        """Make the request of a group's pictures."""
        try:
            if group in self._unsavable:
                raise self._unsavable[group]
            self._check_account(group)
            pictures = self._shelf.take(group)
        except KlingError as error:
            return Refusal(error, group, effect_scene=self._basket.scene.name)
        for picture in pictures:
            whose = f"{name_group((picture.source,))}: " if len(pictures) > 1 else ""
            for note in (*picture.fixes, *picture.notes):
                kit.talk.note(whose + note)
        request = self._order.make_request(pictures)
        terms = self._settle_terms(request, deadline=kit.find_deadline())
        if self._basket.is_rehearsal:
            return Rehearsal(request, terms, kit=kit, url=kit.service.url)
        return Delivery(
            request,
            terms,
            kit=kit,
            account=self._account,
            keep=self._find_keep(group),
            waits=self._basket.waits,
        )

    def abandon(self) -> None:
        """Leave no half saved clip behind."""
        if self._keeper is not None:
            self._keeper.abandon()

    def _check_many(self, groups: Sequence[Group]) -> None:
        screen = self._session.screen
        voice = screen.begin("checking pictures")
        try:
            for count, group in enumerate(groups, start=1):
                self._shelf.check(group, is_only=False)
                voice.state = f"{count} of {len(groups)}"
        finally:
            screen.dismiss(voice)

    def _find_places(self, keeper: "Keeper", groups: Sequence[Group]) -> None:
        from kling_cli.saving.names import name_clip  # noqa: PLC0415 - only runs that save need it

        names = [name_clip(group, self._basket.scene.name) for group in groups]
        self._places = dict(zip(groups, keeper.assign(names), strict=True))
        for group, place in self._places.items():
            try:
                if not self._shelf.has_refused(group):
                    keeper.check(place, self._plan(group).purchase)
            except InputError as error:
                self._unsavable[group] = error

    def _find_keep(self, group: Group) -> Keep | None:
        if self._keeper is None:
            return None
        return partial(self._keeper.keep, path=self._places[group])

    def _check_account(self, group: Group) -> None:
        """Refuse to read a picture for an account that was refused already."""
        trouble = self._account.trouble
        if trouble is not None and self._plan(group).verdict is Verdict.BUY:
            raise trouble

    def _make_request(self, group: Group) -> Request:
        return self._order.make_request(self._shelf.describe(group))

    def _plan(self, group: Group) -> Plan:
        request = self._make_request(group)
        now = self._session.world.clock.time()
        return plan(request, self._settle_terms(request), journal=self._session.journal, now=now)

    def _settle_terms(self, request: Request, *, deadline: float = float("inf")) -> Terms:
        chosen, token = self._basket.external_task_id, self._session.token
        return Terms(
            external_task_id=chosen or token.derive(request.fingerprint),
            tag=token.tag(request.base_url),
            is_chosen=chosen is not None,
            is_anew=self._basket.is_anew,
            own_claims=self._own_claims,
            deadline=deadline,
        )
