"""The commands `kling status`, `kling wait` and `kling tasks`."""

import typer

from kling_cli.cli import options
from kling_cli.cli.options import argument, flag, option

_TASKS = argument(
    "[TASK...]",
    "Task ids or external task ids; without any, all unfinished tasks of this machine.",
    options.complete_task,
)


def status(
    context: typer.Context,
    tasks: list[str] | None = _TASKS,
    *,
    json: bool = options.JSON,
    base_url: str | None = options.BASE_URL,
    sandbox: bool = options.SANDBOX,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """Check tasks once, and print id, status, and URL or reason.

    kling status 815336894036197446
    kling status
    kling status --json | jq -r '.task_status'

    Exit codes: 0 all succeeded, 8 one is still running, 5 one failed, 9 one may
    or may not have been accepted.
    """
    from kling_cli.tasks import look

    return look(options.configure(context), tuple(tasks or ()), wait=False)


def wait(
    context: typer.Context,
    tasks: list[str] | None = _TASKS,
    *,
    output: str | None = options.OUTPUT,
    force: bool = options.FORCE,
    open: bool = options.OPEN,
    json: bool = options.JSON,
    base_url: str | None = options.BASE_URL,
    sandbox: bool = options.SANDBOX,
    timeout: str | None = options.TIMEOUT,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """Wait for tasks, and print the URLs of their videos.

    kling wait 815336894036197446
    kling wait -o clips/
    id=$(kling effect squish photo.jpg --no-wait); kling wait "$id"

    Failed checks are repeated. The wait ends with the task, at the timeout, or
    after five minutes without a response. Waiting costs nothing.
    """
    from kling_cli.tasks import look

    return look(options.configure(context), tuple(tasks or ()), wait=True, force=force, open=open)


def tasks(
    context: typer.Context,
    tasks: list[str] | None = argument(
        "[TASK...]", "Show only these task ids or external task ids.", options.complete_task
    ),
    *,
    unfinished: bool = flag("--unfinished", "Show only unfinished tasks."),
    scene: str | None = option(
        "--scene", "Show only tasks of this scene.", None, "NAME", options.complete_scene
    ),
    limit: int | None = typer.Option(
        None, metavar="N", min=1, help="Show only the newest N. \\[default: 30 on a terminal]"
    ),
    sandbox: bool = flag("--sandbox", "Show only tasks of the sandbox."),
    html: str | None = option(
        "--html", "Write a contact sheet; - for stdout.", options.RESULT, "FILE"
    ),
    open: bool = flag("--open", "Open the contact sheet.", options.RESULT),
    force: bool = options.FORCE,
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """List the tasks that this machine has submitted, newest first.

    kling tasks
    kling tasks --unfinished
    kling tasks --scene squish --limit 5
    kling tasks --html tasks.html
    kling tasks --json | jq -r 'select(.task_status == "failed") | .task_id'

    This works offline. In a pipe, each line has task id, status, scene, time,
    pictures, external task id, cost in units and saved files, separated by tabs.

    --html writes a contact sheet for a browser instead: each photo next to its
    videos, with status, time, cost and ids.
    """
    from kling_cli.tasks import list_tasks

    return list_tasks(
        options.configure(context),
        tuple(tasks or ()),
        unfinished=unfinished,
        scene=scene,
        limit=limit,
        html=html,
        force=force,
        open=open,
    )
