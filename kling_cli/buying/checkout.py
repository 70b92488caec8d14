"""What `kling effect` does: pictures checked, requests made, bought once, and waited for."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from kling_cli.api.answers import is_safe_id
from kling_cli.buying.claim import Terms
from kling_cli.buying.delivery import Delivery
from kling_cli.buying.order import Order, Wish, group_sources, take_order
from kling_cli.errors import ExitCode, InputError, UsageError
from kling_cli.images import remote
from kling_cli.images.addresses import judge_callback_url
from kling_cli.images.preflight import prepare_all
from kling_cli.images.sources import STANDARD_INPUT
from kling_cli.outcome import Outcome
from kling_cli.performance import Job, Performer, Telling, perform
from kling_cli.purchase import Purchase
from kling_cli.scenes import Scene
from kling_cli.session import Session
from kling_cli.task import Picture
from kling_cli.text import clean, without_query
from kling_cli.watching.following import Kit

Group = tuple[str, ...]


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
    checkout = _Checkout(session, basket, order)
    checkout.check_all(groups)
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

    def __init__(self, session: Session, basket: Basket, order: Order) -> None:
        self._session = session
        self._basket = basket
        self._order = order
        self._shelf: dict[Group, tuple[Picture, ...] | InputError] = {}

    def check_all(self, groups: list[Group]) -> None:
        """Check every picture before anything is sent."""
        for group in groups:
            try:
                pictures = self._prepare(group)
            except InputError as error:
                self._shelf[group] = error
            else:
                # The bytes of one task are kept; those of many are read again, each in its turn.
                if len(groups) == 1 or STANDARD_INPUT in group:
                    self._shelf[group] = pictures

    def start(self, group: Group, kit: Kit) -> Performer:
        """Make the request of a group's pictures."""
        ready = self._shelf.get(group)
        try:
            pictures = self._prepare(group) if ready is None else ready
        except InputError as error:
            pictures = error
        if isinstance(pictures, InputError):
            return _Refused(pictures, group, scene=self._basket.scene)
        for picture in pictures:
            for note in picture.notes:
                kit.talk.note(note)
        request = self._order.make_request(pictures)
        chosen = self._basket.external_task_id
        terms = Terms(
            external_task_id=chosen or self._session.token.derive(request.fingerprint),
            is_chosen=chosen is not None,
            is_anew=self._basket.is_anew,
            deadline=kit.find_deadline(),
        )
        return Delivery(request, terms, kit=kit, waits=self._basket.waits)

    def _prepare(self, group: Group) -> tuple[Picture, ...]:
        """Read and check the pictures of one task; all problems come in one error."""
        urls = [source for source in group if remote.is_url(source)]
        files = [source for source in group if source not in urls]
        stdin = getattr(self._session.world.stdin, "buffer", None)
        ready = dict(zip(files, prepare_all(files, standard_input=stdin), strict=True))
        transport = self._session.open_web_transport()
        try:
            for url in urls:
                ready[url] = remote.prepare(
                    url,
                    transport=transport,
                    allow_private=self._session.is_local,
                    check=self._basket.checks_urls,
                )
        finally:
            transport.close()
        return tuple(ready[source] for source in group)


class _Refused:
    """A request whose pictures were refused before anything was sent."""

    def __init__(self, error: InputError, group: Group, *, scene: Scene) -> None:
        self._error = error
        self._group = group
        self._scene = scene

    def run(self) -> Outcome:
        """Tell it."""
        return Outcome(
            error=self._error,
            effect_scene=self._scene.name,
            images=tuple(_name_only(source) for source in self._group),
        )

    def abandon(self) -> Purchase | None:
        """Nothing was sent."""
        return None


def _name_only(source: str) -> dict[str, object]:
    if remote.is_url(source):
        return dict(Picture(source=source, url=source, kind="url").describe())
    is_file = source != STANDARD_INPUT
    return dict(Picture(source=source, kind="file" if is_file else "stdin").describe())


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
    problem, warning = judge_callback_url(url)
    if problem is not None:
        raise UsageError("invalid_callback_url", f"--callback-url {problem}")
    if warning is not None:
        session.screen.say(f"warning: {warning}")
    return url


def _check_external_task_id(name: str | None, *, tasks: int) -> None:
    if name is None:
        return
    if tasks > 1:
        raise UsageError(
            "usage", f"--external-task-id names one task, and there are {tasks} to make."
        )
    if not is_safe_id(name):
        raise UsageError(
            "invalid_external_task_id",
            f"--external-task-id {clean(name, limit=80)} cannot be an id: it takes 1 to 128 of "
            "A-Z a-z 0-9 and . _ ~ + = : @ -",
        )


def _check_standard_input(sources: tuple[str, ...]) -> None:
    if sources.count(STANDARD_INPUT) > 1:
        raise UsageError("usage", "Standard input (-) can be read only once.")
