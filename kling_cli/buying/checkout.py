"""What `kling effect` does: pictures checked, requests made, bought once, and waited for."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from kling_cli.buying.basket import Basket, check_callback_url, check_external_task_id
from kling_cli.buying.desk import Desk, name_group
from kling_cli.buying.order import Order, Wish, group_sources, take_order
from kling_cli.errors import ExitCode, UsageError
from kling_cli.outcome import Outcome
from kling_cli.performance import Job, Telling, perform
from kling_cli.session import Session
from kling_cli.settings.keys import OUTPUT

if TYPE_CHECKING:
    from kling_cli.keeping import Keeper


def buy(session: Session, basket: Basket) -> ExitCode:
    """Make a task of each picture, or of each pair, and tell what becomes of them.

    Raises:
        UsageError: the options contradict the scene, or each other.
        SetupError: settings or token cannot be used.
        StoppedError: who was asked did not want to buy.
    """
    check_callback_url(session, basket.callback_url)
    if not basket.waits and session.settings.output.source == OUTPUT.flag:
        raise UsageError(
            "usage",
            "--no-wait does not stay to save a clip.",
            hint="Leave --output out, and save it later: kling wait TASK -o FILE",
        )
    order = _take_order(session, basket)
    if not basket.sources:
        session.screen.say("No picture is named, so there is nothing to do.")
        return ExitCode.OK
    groups = group_sources(basket.scene, basket.sources)
    check_external_task_id(basket.external_task_id, tasks=len(groups))
    session.prepare()
    if basket.is_rehearsal:
        session.screen.say("This is a dry run: nothing is sent.")
    keeper = _open_keeper(session, basket, tasks=len(groups))
    desk = Desk(session, basket, order, keeper)
    desk.check_all(groups)
    if not (basket.is_rehearsal or basket.is_agreed or session.settings.is_sandbox):
        desk.ask(groups)
    # What is refused is told first: nobody should wait for the others to learn of it.
    jobs = [
        Job(
            label=name_group(group),
            title=f"{basket.scene.name} {name_group(group)}",
            start=partial(desk.start, group),
        )
        for group in sorted(groups, key=desk.has_refused, reverse=True)
    ]
    is_stream = keeper is not None and keeper.is_stream
    telling = Telling(rows=_choose_rows(basket, is_stream=is_stream))
    try:
        return perform(session, jobs, workers=session.settings.jobs.value, telling=telling)
    except BaseException:
        desk.abandon()
        raise


def _take_order(session: Session, basket: Basket) -> Order:
    settings = session.settings
    wish = Wish(
        model=settings.model.value,
        model_source=settings.model.source,
        duration=basket.duration,
        mode=basket.mode,
        callback_url=basket.callback_url,
    )
    return take_order(
        basket.scene, wish, base_url=settings.base_url.value, any_scene=basket.is_any_scene
    )


def _open_keeper(session: Session, basket: Basket, *, tasks: int) -> "Keeper | None":
    # The setting is for runs that see the end.
    value = session.settings.output.value
    if not basket.waits or value is None:
        return None
    from kling_cli.keeping import open_keeper  # noqa: PLC0415 - only runs that save need it

    inputs = basket.sources if basket.from_list is None else (*basket.sources, basket.from_list)
    keeper = open_keeper(session, value, tasks=tasks, force=basket.replaces_files, inputs=inputs)
    keeper.prepare(is_rehearsal=basket.is_rehearsal)
    return keeper


def _choose_rows(
    basket: Basket, *, is_stream: bool
) -> Callable[[Outcome, str], Iterable[tuple[str, ...]]]:
    if basket.is_rehearsal:
        return _tell_plan
    if not basket.waits:
        return _tell_id
    return partial(_tell_results, is_stream=is_stream)


def _tell_plan(outcome: Outcome, label: str) -> Iterable[tuple[str, ...]]:
    if outcome.request is not None:
        purchase = outcome.purchase
        name = purchase.external_task_id if purchase else outcome.external_task_id
        body = json.dumps(outcome.request["body"], ensure_ascii=False)
        yield (outcome.plan or "", name or "-", body, *_list(label))


def _tell_id(outcome: Outcome, label: str) -> Iterable[tuple[str, ...]]:
    purchase = outcome.purchase
    if outcome.error is None and purchase is not None:
        yield (purchase.task_id or purchase.external_task_id, *_list(label))


def _tell_results(outcome: Outcome, label: str, *, is_stream: bool) -> Iterable[tuple[str, ...]]:
    for result in () if is_stream else outcome.list_results():
        yield (result, *_list(label))


def _list(label: str) -> tuple[str, ...]:
    return (label,) if label else ()
