"""Check, wait for and list tasks: what `status`, `wait` and `tasks` do."""

import math
import os
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kling_cli import output
from kling_cli.console import Row
from kling_cli.context import Context
from kling_cli.errors import ExitCode, KlingError, SetupError, UsageError
from kling_cli.models import Purchase, Stage, TaskResult, is_sandbox
from kling_cli.text import clean, format_ago, format_count, format_time, format_units

if TYPE_CHECKING:
    from kling_cli.download import Downloads
    from kling_cli.runner import Job

# A waiting thread costs next to nothing, so few tasks have to wait for a free one.
_MOST_WAITS = 32
# What fits on a screen; a pipe gets all tasks.
_SCREENFUL = 30


def look(
    context: Context, names: tuple[str, ...], *, wait: bool, force: bool = False, open: bool = False
) -> ExitCode:
    """Check tasks, or all unfinished ones of this machine: once, or until they have ended.

    Args:
        context: what to work with.
        names: task ids or external task ids.
        wait: until each has ended, and save its videos.
        force: whether files may be replaced.
        open: open each video at the end.
    """
    from kling_cli import runner

    # One deadline for all tasks, even if some have to wait for a free thread.
    deadline = context.deadline() if wait else None
    purchases = _choose(context, names)
    if not purchases:
        return ExitCode.OK
    count = len(purchases)
    if open:
        runner.check_open(count)
    paths: list[Path | None] = [None] * count
    view = output.LOCATIONS if wait else output.STATUSES
    if count == 1:
        view = view._replace(header=())  # a single URL is shown whole, so that it can be copied
    downloads = runner.open_downloads(context, tasks=count, force=force) if wait else None
    if downloads:
        downloads.prepare()
        paths = list(downloads.assign(map(_name_clip, purchases)))
    jobs = [
        runner.Job(name=each.name, work=partial(_work, context, each, deadline, downloads, path))
        for each, path in zip(purchases, paths, strict=True)
    ]
    return runner.run(
        context,
        jobs,
        workers=_MOST_WAITS if wait else 1,
        view=view,
        downloads=downloads,
        open=open,
    )


def list_tasks(
    context: Context,
    names: tuple[str, ...],
    *,
    unfinished: bool,
    scene: str | None,
    limit: int | None,
    html: str | None = None,
    force: bool = False,
    open: bool = False,
) -> ExitCode:
    """List what this machine has submitted, newest first, without asking any service.

    Args:
        context: what to work with.
        names: only these task ids or external task ids.
        unfinished: only what has not ended yet.
        scene: only this scene.
        limit: how many at most; None for all in a pipe, and for a screenful on a terminal.
        html: where the list is written as a page; `-` is standard output.
        force: whether the page may replace any other file.
        open: open the page.

    Raises:
        UsageError: the options do not fit together.
    """
    if html is None and (force or open):
        raise UsageError("usage", "--force and --open need --html FILE.")
    if html is not None and (context.output.is_json or (open and html == "-")):
        raise UsageError("usage", "--html excludes --json, and --html - excludes --open.")
    journal, stdout = context.journal, context.output
    found = [
        purchase
        for purchase in journal.list_purchases(unfinished=unfinished)
        if purchase.is_sandbox == context.settings.is_sandbox
        and scene in (None, purchase.effect_scene)
        and (not names or {purchase.task_id, purchase.external_task_id} & set(names))
    ]
    if not found and journal.is_kept:
        others = "" if context.settings.is_sandbox else " --sandbox lists the sandbox's tasks."
        context.console.info(f"No {'unfinished ' if unfinished else ''}tasks found.{others}")
    if limit is None and stdout.is_terminal and not stdout.is_json and html is None:
        limit = _SCREENFUL
    shown, now = found[:limit], context.clock.time()
    saved = journal.list_files()
    files = {purchase.name: _choose_files(purchase, saved[purchase.name]) for purchase in shown}
    if html is not None:
        from kling_cli import gallery

        path = Path(os.path.abspath(html))  # like the browser, which does not resolve links
        page = gallery.render(shown, files, directory=path.parent, now=now)
        if html == "-":
            stdout.check()
            context.stdout.writelines(page)
            context.stdout.flush()
            return ExitCode.OK
        gallery.save(page, path, force=force)
        stdout.row(html)
        if open and typer.launch(str(path)):
            context.console.warn(f"No program was found to open {html}.")
        return ExitCode.OK
    if stdout.is_json:
        from kling_cli.poll import check_result

        for purchase in shown:
            error = check_result(purchase, context.resume, now=now)
            result = TaskResult(
                purchase=purchase, error=error, files=files[purchase.name], reused=True
            )
            stdout.record(output.format_result(result, sandbox=purchase.is_sandbox))
        return ExitCode.OK
    stdout.table(
        ("TASK", "STATUS", "SCENE", "TIME", "PICTURES", "COST", "SAVED"),
        (_describe(purchase, files[purchase.name], now=now) for purchase in shown),
        (_format(purchase, files[purchase.name]) for purchase in shown),
    )
    if len(shown) < len(found):
        context.console.info(
            f"{len(shown)} of {format_count(len(found), 'task')}. --limit {len(found)} shows all."
        )
    return ExitCode.OK


def _choose_files(purchase: Purchase, paths: Sequence[Path]) -> tuple[str, ...]:
    """Choose the files to which the videos of a task were last saved, if they still exist."""
    existing = [str(path) for path in paths if path.exists()]
    return tuple(existing[-len(purchase.videos) :]) if purchase.videos else ()


def _shorten(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _format(purchase: Purchase, files: Sequence[str]) -> tuple[str, ...]:
    return (
        purchase.task_id or "-",
        purchase.status,
        purchase.effect_scene,
        format_time(purchase.created_at) or "-",
        " ".join(str(image["source"]) for image in purchase.images),
        purchase.external_task_id,
        "" if purchase.units is None else f"{purchase.units:g}",
        " ".join(files),
    )


def _describe(purchase: Purchase, files: Sequence[str], *, now: float) -> tuple[str, ...]:
    """Format a task for a terminal: the most important columns first, names instead of paths."""
    return (
        purchase.name,
        purchase.status,
        purchase.effect_scene,
        format_ago(now - purchase.created_at),
        " ".join(Path(str(image["source"])).name for image in purchase.images),
        format_units(purchase.units),
        " ".join(map(_shorten, files)),
    )


def _work(
    context: Context,
    purchase: Purchase,
    deadline: float | None,
    downloads: "Downloads | None",
    path: Path | None,
    job: "Job",
    row: Row,
) -> TaskResult:
    """Look at a task: until it has ended and its videos are saved, or once without a deadline."""
    from kling_cli.poll import Poll

    started = context.clock.monotonic()
    limit = math.inf if deadline is None else deadline
    poll = Poll(context, purchase, limit, row)
    job.stop = lambda: poll.purchase
    error: KlingError | None = None
    files: tuple[str, ...] = ()
    try:
        if downloads and path:
            downloads.check(path, purchase)
        if deadline is None:
            poll.look()
        else:
            poll.wait(is_new=False)
        if downloads and path:
            files = downloads.save(poll.purchase, path, row)
    except KlingError as caught:
        error = caught
    return TaskResult(
        purchase=poll.purchase,
        error=error,
        files=files,
        reused=True,
        elapsed=context.clock.monotonic() - started,
        warnings=tuple(row.warnings),
    )


def _choose(context: Context, names: tuple[str, ...]) -> list[Purchase]:
    """Choose the tasks to check; a task named by both of its ids counts once."""
    if names:
        found = [_find(context, name) for name in names]
        return list({(purchase.base_url, purchase.name): purchase for purchase in found}.values())
    base_url, chosen = context.base_url, list[Purchase]()
    others: defaultdict[str, list[str]] = defaultdict(list)
    for purchase in context.journal.list_purchases(unfinished=True):
        # Sandbox tasks and real tasks are never mixed.
        is_apart = purchase.is_sandbox or context.settings.is_sandbox or _is_named(context)
        if is_apart and purchase.base_url != base_url:
            continue
        if _has_buyers_token(context, purchase):
            chosen.append(purchase)
        else:
            others[purchase.base_url].append(purchase.name)
    for url, ids in others.items():
        context.console.info(
            f"Skipped, because another token bought them at {url}: {' '.join(ids)}. "
            f"If this token is valid there too: kling wait --base-url {url}"
        )
    if not chosen and not others and context.journal.is_kept:
        context.console.info("This machine has no unfinished tasks.")
    return chosen


def _find(context: Context, name: str) -> Purchase:
    from kling_cli.api.parse import is_safe_id

    base_url, is_kept = context.base_url, context.journal.is_kept
    if not is_safe_id(name):
        message = f"{clean(name, limit=80)!r} is not a task id."
        hint = "kling tasks lists the tasks of this machine." if is_kept else ""
        raise UsageError("invalid_task_id", message, hint=hint)
    purchase = context.journal.find(name)
    if purchase is None or purchase.stage is Stage.CLAIMED:
        # A claim was never sent, so a task with its id at the service belongs to someone else.
        nobodys = Purchase(external_task_id="", fingerprint="", base_url=base_url, effect_scene="")
        purchase = nobodys._replace(task_id=name)
    url = purchase.base_url
    are_sandboxes = is_sandbox(base_url) and purchase.is_sandbox
    if _is_named(context) and url != base_url and not are_sandboxes:
        raise UsageError(
            "other_service",
            f"Task {name} was bought at {url}, not at {base_url}.",
            hint=f"Remove {context.settings.sources['base_url']}: kling wait {name}",
        )
    if not _has_buyers_token(context, purchase):
        raise SetupError(
            "token_mismatch",
            f"Task {purchase.name} was bought at {url} with another token, not the one from "
            f"{context.any_token.source}. Nothing was sent there.",
            hint=f"If this token is valid there too: kling wait {purchase.name} --base-url {url}",
        )
    return purchase


def _is_named(context: Context) -> bool:
    """Tell whether an option names the service."""
    return context.settings.sources["base_url"] in ("--base-url", "--sandbox")


def _has_buyers_token(context: Context, purchase: Purchase) -> bool:
    """Tell whether the current token may be sent to the service at which a task was bought."""
    if purchase.is_sandbox:
        return context.sandbox is not None
    if purchase.base_url == context.base_url:
        return context.token is not None
    is_buyers = context.any_token.tag(purchase.base_url) == purchase.tag
    return is_buyers and not context.settings.is_sandbox


def _name_clip(purchase: Purchase) -> str:
    from kling_cli.download import name_clip

    sources = [str(image["source"]) for image in purchase.images]
    return name_clip(sources, purchase.effect_scene or purchase.name)
