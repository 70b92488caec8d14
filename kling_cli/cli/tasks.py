"""The commands `kling status`, `kling wait` and `kling tasks`."""

from typing import Annotated

import typer

from kling_cli.cli import options
from kling_cli.cli.options import option

Tasks = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TASK...]",
        help="Task ids or external task ids; without any, all unfinished tasks of this machine.",
        autocompletion=options.complete_task,
    ),
]


def status(
    context: typer.Context,
    tasks: Tasks = None,
    *,
    json: options.Json = False,
    base_url: options.BaseUrl = None,
    sandbox: options.Sandbox = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
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
    tasks: Tasks = None,
    *,
    output: options.Output = None,
    force: options.Force = False,
    open: options.Open = False,
    json: options.Json = False,
    base_url: options.BaseUrl = None,
    sandbox: options.Sandbox = False,
    timeout: options.Timeout = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
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
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK...]",
            help="Show only these task ids or external task ids.",
            autocompletion=options.complete_task,
        ),
    ] = None,
    *,
    unfinished: Annotated[bool, option("--unfinished", "Show only unfinished tasks.")] = False,
    scene: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Show only tasks of this scene.",
            autocompletion=options.complete_scene,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Show only the newest N. \\[default: 30 on a terminal]"
        ),
    ] = None,
    sandbox: Annotated[bool, option("--sandbox", "Show only tasks of the sandbox.")] = False,
    html: Annotated[
        str | None,
        option("--html", "Write a contact sheet; - for stdout.", options.RESULT, "FILE"),
    ] = None,
    open: Annotated[bool, option("--open", "Open the contact sheet.", options.RESULT)] = False,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
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
