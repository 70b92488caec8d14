"""What `kling status` and `kling wait` do: look at what was bought."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kling_cli.api.answers import is_safe_id
from kling_cli.errors import ExitCode, KlingError, SetupError, UsageError
from kling_cli.outcome import Outcome
from kling_cli.performance import Job, Performer, Telling, perform
from kling_cli.purchase import Purchase, Stage
from kling_cli.results import tell_status
from kling_cli.session import Session
from kling_cli.settings.keys import BASE_URL
from kling_cli.settings.values import SANDBOX
from kling_cli.text import clean
from kling_cli.watching.following import Follower, Kit
from kling_cli.watching.verdict import is_unseen, name_task

if TYPE_CHECKING:
    from kling_cli.keeping import Keeper

# A wait costs next to nothing; so many threads do not hurt, and few wait for another's end.
_MOST_WAITS = 32


def await_tasks(session: Session, names: tuple[str, ...], *, replaces_files: bool) -> ExitCode:
    """Wait for tasks, or for all unfinished ones of this machine, and save their clips if asked."""
    timeout = session.settings.timeout.value
    # One deadline for all, however many have to wait for their turn.
    deadline = float("inf") if timeout is None else session.world.clock.monotonic() + timeout
    chosen = _choose(session, names)
    place = session.settings.output.value
    if not chosen:
        return ExitCode.OK
    if place is None:
        jobs = [_make_job(*each, deadline=deadline) for each in chosen]
        return perform(session, jobs, workers=_MOST_WAITS, telling=Telling(rows=_tell_videos))
    from kling_cli.keeping import open_keeper  # noqa: PLC0415 - only runs that save need it

    keeper = open_keeper(session, place, tasks=len(chosen), force=replaces_files)
    keeper.prepare()
    paths = keeper.assign([_name_clip(purchase) for purchase, _ in chosen])
    jobs = [
        _make_job(*each, deadline=deadline, place=_Place(keeper, path))
        for each, path in zip(chosen, paths, strict=True)
    ]
    rows = _tell_nothing if keeper.is_stream else _tell_videos
    try:
        return perform(session, jobs, workers=_MOST_WAITS, telling=Telling(rows=rows))
    except BaseException:
        keeper.abandon()
        raise


def look_at_tasks(session: Session, names: tuple[str, ...]) -> ExitCode:
    """Look once at tasks, or at all unfinished ones of this machine."""
    jobs = [_make_job(*each, deadline=None) for each in _choose(session, names)]
    if not jobs:
        return ExitCode.OK
    telling = Telling(rows=_tell_status, is_told=_is_status)
    return perform(session, jobs, workers=1, telling=telling)


def _choose(session: Session, names: tuple[str, ...]) -> list[tuple[Purchase, Session]]:
    """Choose the tasks to look at, each with the session for its base URL.

    Raises:
        UsageError: a name is none, or an option contradicts where its task was bought.
        SetupError: the token in force is not known to have bought a task elsewhere.
    """
    if names:
        found = [_find(session, name) for name in names]
        # One that is named by both of its ids counts once.
        purchases = {(purchase.base_url, name_task(purchase)): purchase for purchase in found}
        return [(purchase, session.turn_to(purchase)) for purchase in purchases.values()]
    base_url, is_named = session.settings.base_url.value, _is_named(session)
    chosen: list[tuple[Purchase, Session]] = []
    left: dict[str, list[str]] = {}
    for purchase in session.journal.list_purchases(unfinished=True):
        is_own = purchase.base_url == base_url
        if not is_own and (is_named or SANDBOX in (base_url, purchase.base_url)):
            continue  # the sandbox and the world outside are kept apart
        try:
            chosen.append((purchase, session.turn_to(purchase)))
        except SetupError:
            left.setdefault(clean(purchase.base_url), []).append(name_task(purchase))
    for place, tasks in left.items():
        session.screen.say(
            f"Not looked at, as the token in force is not known to have bought them at {place}: "
            f"{' '.join(tasks)}. If it is for that service, too: kling wait --base-url {place}"
        )
    if not chosen and not left and session.journal.is_durable:
        session.screen.say("No task of this machine is unfinished.")
    return chosen


def _is_named(session: Session) -> bool:
    """Tell whether an option names the service."""
    return session.settings.base_url.source == BASE_URL.flag


def _find(session: Session, name: str) -> Purchase:
    base_url = session.settings.base_url.value
    if not is_safe_id(name):
        raise UsageError(
            "invalid_task_id",
            f"{clean(name, limit=80)!r} is no task id.",
            hint="kling tasks lists the tasks of this machine."
            if session.journal.is_durable
            else "",
        )
    purchase = session.journal.find(name)
    if purchase is None or purchase.stage is Stage.CLAIMED:
        # A mere claim was never sent; what bears its name at the service is somebody else's.
        return Purchase(
            external_task_id="",
            fingerprint="",
            base_url=base_url,
            effect_scene="",
            stage=Stage.UNKNOWN,
            task_id=name,
        )
    if purchase.base_url != base_url and _is_named(session):
        raise UsageError(
            "other_service",
            f"Task {name} was bought at {clean(purchase.base_url)}, not at {base_url}.",
            hint="Leave --base-url and --sandbox out: it is looked for where it was bought.",
        )
    return purchase


def _name_clip(purchase: Purchase) -> str:
    from kling_cli.saving import names  # noqa: PLC0415 - only runs that save need it

    sources = [str(image["source"]) for image in purchase.images]
    if sources and purchase.effect_scene:
        return names.name_clip(sources, purchase.effect_scene)
    return names.name_task(name_task(purchase))


def _make_job(
    purchase: Purchase, session: Session, *, deadline: float | None, place: "_Place | None" = None
) -> Job:
    name = name_task(purchase)
    title = f"{purchase.effect_scene} {name}".strip()
    start = partial(_start, purchase, deadline, place)
    return Job(label=name, title=title, start=start, session=session)


def _start(
    purchase: Purchase, deadline: float | None, place: "_Place | None", kit: Kit
) -> Performer:
    return _Observation(purchase, kit, deadline=deadline, place=place)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the clip of one task is to lie."""

    keeper: "Keeper"
    path: Path


class _Observation:
    """One task waited for until a deadline, or looked at once where there is none."""

    def __init__(
        self, purchase: Purchase, kit: Kit, *, deadline: float | None, place: _Place | None
    ) -> None:
        self._place = place
        self._talk = kit.talk
        self._waits = deadline is not None
        end = float("inf") if deadline is None else deadline
        self._follower = Follower(purchase, kit=kit, deadline=end)
        self._clock = kit.clock

    def run(self) -> Outcome:
        """Look, or wait."""
        started = self._clock.monotonic()
        error: KlingError | None = None
        files: tuple[str, ...] = ()
        place = self._place
        try:
            if place is not None:
                place.keeper.check(place.path, self._follower.purchase)
            if self._waits:
                self._follower.follow(is_fresh=False)
            else:
                self._follower.look()
            if place is not None:
                files = place.keeper.keep(self._follower.purchase, self._talk, path=place.path)
        except KlingError as caught:
            error = caught
        elapsed = self._clock.monotonic() - started
        return Outcome(
            purchase=self._follower.purchase,
            error=error,
            files=files,
            is_reused=True,
            elapsed=elapsed,
        )

    def abandon(self) -> Purchase | None:
        """Tell the task as last seen; looking has changed nothing."""
        return self._follower.purchase


def _tell_videos(outcome: Outcome, label: str) -> Iterable[tuple[str, ...]]:
    for result in outcome.list_results():
        yield (result, label) if label else (result,)


def _tell_nothing(_outcome: Outcome, _label: str) -> Iterable[tuple[str, ...]]:
    return ()


def _tell_status(outcome: Outcome, _label: str) -> Iterable[tuple[str, ...]]:
    """Tell id, status, and each URL or the reason; nothing of a status that may have changed."""
    purchase, error = outcome.purchase, outcome.error
    if purchase is not None and (error is None or _is_status(error) or is_unseen(purchase)):
        urls = [video.url for video in purchase.videos]
        for said in urls or [purchase.message]:
            yield (name_task(purchase), tell_status(purchase), said)


def _is_status(error: KlingError) -> bool:
    """Tell whether an error is no more than a status that is not a success."""
    return error.exit_code in (ExitCode.PENDING, ExitCode.TASK_FAILED)
