"""What `kling effect` does: pictures checked, requests made, bought once, and waited for."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from kling_cli.api.answers import is_safe_id
from kling_cli.buying.claim import Terms, find_namesake
from kling_cli.buying.delivery import Delivery, Refusal
from kling_cli.buying.order import Order, Wish, group_sources, take_order
from kling_cli.buying.shelf import Group, Shelf
from kling_cli.database import UnwritableError
from kling_cli.errors import ExitCode, InputError, UsageError
from kling_cli.images import remote
from kling_cli.images.addresses import judge_callback_url
from kling_cli.images.sources import STANDARD_INPUT
from kling_cli.outcome import Outcome
from kling_cli.performance import Job, Performer, Telling, perform
from kling_cli.scenes import Scene
from kling_cli.session import Session
from kling_cli.task import Request
from kling_cli.text import clean, without_query
from kling_cli.watching.following import Kit


@dataclass(frozen=True, slots=True, kw_only=True)
class Basket:
    """What the command line asks for."""

    scene: Scene
    sources: tuple[str, ...]
    duration: str | None = None
    mode: str | None = None
    callback_url: str | None = None
    external_task_id: str | None = None
    is_any_scene: bool = False
    is_anew: bool = False
    waits: bool = True
    checks_urls: bool = True
    fixes: bool = False


def buy(session: Session, basket: Basket) -> ExitCode:
    """Make a task of each picture, or of each pair, and tell what becomes of them.

    Raises:
        UsageError: the options contradict the scene, or each other.
        SetupError: settings or token cannot be used.
    """
    settings = session.settings
    wish = Wish(
        model=settings.model.value,
        model_source=settings.model.source,
        duration=basket.duration,
        mode=basket.mode,
        callback_url=_check_callback_url(session, basket.callback_url),
    )
    order = take_order(
        basket.scene, wish, base_url=settings.base_url.value, any_scene=basket.is_any_scene
    )
    groups = group_sources(basket.scene, basket.sources)
    _check_external_task_id(basket.external_task_id, tasks=len(groups))
    _check_standard_input(basket.sources)
    session.prepare()
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
    if outcome.error is not None or purchase is None:
        return
    named = (label,) if label else ()
    if not waits:
        yield (purchase.task_id or purchase.external_task_id, *named)
        return
    for video in purchase.videos:
        yield (video.url, *named)


def _check_callback_url(session: Session, url: str | None) -> str | None:
    if url is None:
        return None
    problem, warning = judge_callback_url(url, allow_private=session.is_local)
    if problem is not None:
        raise UsageError(
            "invalid_callback_url",
            f"--callback-url {problem}",
            hint="It takes an https:// address that the service can reach from outside.",
        )
    if warning is not None:
        session.screen.say(f"warning: {warning}")
    return url


def _check_external_task_id(name: str | None, *, tasks: int) -> None:
    if name is None:
        return
    if tasks > 1:
        raise UsageError(
            "usage",
            f"--external-task-id names one task, and there are {tasks} to make.",
            hint="Give one picture with it, or leave it out: each task then gets its own id.",
        )
    if not is_safe_id(name):
        raise UsageError(
            "invalid_external_task_id",
            f"--external-task-id {clean(name, limit=80)} cannot be an id: it takes 1 to 128 of "
            "A-Z a-z 0-9 and . _ ~ + = : @ -",
            hint="Choose another id, or leave it out.",
        )


def _check_standard_input(sources: tuple[str, ...]) -> None:
    if sources.count(STANDARD_INPUT) > 1:
        raise UsageError(
            "usage",
            "Standard input (-) can be read only once.",
            hint="Name a file for the other picture.",
        )
