"""What `kling effect` does: pictures checked, requests made, bought once, and waited for."""

import json
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from kling_cli.buying.basket import (
    Basket,
    check_callback_url,
    check_external_task_id,
    check_standard_input,
)
from kling_cli.buying.claim import Terms, find_namesake
from kling_cli.buying.delivery import Delivery, Refusal
from kling_cli.buying.order import Order, Wish, group_sources, take_order
from kling_cli.buying.rehearsal import Rehearsal
from kling_cli.buying.shelf import Group, Shelf
from kling_cli.database import UnwritableError
from kling_cli.errors import ExitCode, InputError
from kling_cli.images import remote
from kling_cli.outcome import Outcome
from kling_cli.performance import Job, Performer, Telling, perform
from kling_cli.session import Session
from kling_cli.task import Request
from kling_cli.text import without_query
from kling_cli.watching.following import Kit


def buy(session: Session, basket: Basket) -> ExitCode:
    """Make a task of each picture, or of each pair, and tell what becomes of them.

    Raises:
        UsageError: the options contradict the scene, or each other.
        SetupError: settings or token cannot be used.
    """
    settings = session.settings
    check_callback_url(session, basket.callback_url)
    wish = Wish(
        model=settings.model.value,
        model_source=settings.model.source,
        duration=basket.duration,
        mode=basket.mode,
        callback_url=basket.callback_url,
    )
    order = take_order(
        basket.scene, wish, base_url=settings.base_url.value, any_scene=basket.is_any_scene
    )
    groups = group_sources(basket.scene, basket.sources)
    check_external_task_id(basket.external_task_id, tasks=len(groups))
    check_standard_input(basket.sources)
    session.prepare()
    if basket.is_rehearsal:
        session.screen.say("This is a dry run: nothing is sent.")
    shelf = Shelf(session, checks_urls=basket.checks_urls, fixes=basket.fixes)
    shelf.check_all(groups)
    # What is refused is told first: nobody should wait for the others to learn of it.
    groups.sort(key=shelf.has_refused, reverse=True)
    checkout = _Checkout(session, basket, order, shelf)
    if basket.external_task_id is not None:
        checkout.check_id(groups[0])
    jobs = [
        Job(
            label=_name(group),
            title=f"{basket.scene.name} {_name(group)}",
            start=partial(checkout.start, group),
        )
        for group in groups
    ]
    rows = partial(_tell, waits=basket.waits)
    return perform(session, jobs, workers=settings.jobs.value, telling=Telling(rows=rows))


class _Checkout:
    """The pictures of a basket on their way to requests."""

    def __init__(self, session: Session, basket: Basket, order: Order, shelf: Shelf) -> None:
        self._session = session
        self._basket = basket
        self._order = order
        self._shelf = shelf

    def check_id(self, group: Group) -> None:
        """Refuse the user's own external task id if it belongs to another request.

        Raises:
            UsageError: it does.
        """
        # What is wrong with picture or journal is told when the request is begun.
        with suppress(InputError, UnwritableError):
            request = self._order.make_request(self._shelf.take(group))
            terms = self._settle_terms(request)
            find_namesake(self._session.journal, terms, request.fingerprint)

    def start(self, group: Group, kit: Kit) -> Performer:
        """Make the request of a group's pictures."""
        try:
            pictures = self._shelf.take(group)
        except InputError as error:
            return Refusal(error, group, effect_scene=self._basket.scene.name)
        for picture in pictures:
            whose = f"{_name((picture.source,))}: " if len(pictures) > 1 else ""
            for note in (*picture.fixes, *picture.notes):
                kit.talk.note(whose + note)
        request = self._order.make_request(pictures)
        terms = self._settle_terms(request, deadline=kit.find_deadline())
        if self._basket.is_rehearsal:
            return Rehearsal(request, terms, kit=kit, url=kit.service.url)
        return Delivery(request, terms, kit=kit, waits=self._basket.waits)

    def _settle_terms(self, request: Request, *, deadline: float = float("inf")) -> Terms:
        chosen = self._basket.external_task_id
        return Terms(
            external_task_id=chosen or self._session.token.derive(request.fingerprint),
            is_chosen=chosen is not None,
            is_anew=self._basket.is_anew,
            deadline=deadline,
        )


def _name(group: Group) -> str:
    return " ".join(without_query(name) if remote.is_url(name) else name for name in group)


def _tell(outcome: Outcome, label: str, *, waits: bool) -> Iterable[tuple[str, ...]]:
    purchase = outcome.purchase
    named = (label,) if label else ()
    if outcome.request is not None:
        body = json.dumps(outcome.request["body"], ensure_ascii=False)
        name = purchase.external_task_id if purchase else outcome.external_task_id
        yield (outcome.plan or "", name or "-", body, *named)
        return
    if outcome.error is not None or purchase is None:
        return
    if not waits:
        yield (purchase.task_id or purchase.external_task_id, *named)
        return
    for video in purchase.videos:
        yield (video.url, *named)
