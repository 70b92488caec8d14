"""The commands `kling status`, `kling wait` and `kling tasks`."""

from typing import Annotated

import typer

from kling_cli.cli import options
from kling_cli.cli.options import option

Tasks = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TASK...]",
        help="Task ids or external task ids; without any, every unfinished task of this machine.",
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

    The exit code is 0 when all have succeeded, 8 when one is still running, 5
    when one has failed, 9 when it is not known whether one was accepted.
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

    A check that fails is repeated; only the task's own status, the timeout or
    five minutes without any answer end the wait. Waiting costs nothing.
    """
    from kling_cli.tasks import look

    return look(options.configure(context), tuple(tasks or ()), wait=True, force=force, open=open)


def tasks(
    context: typer.Context,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK...]",
            help="Only these task ids or external task ids.",
            autocompletion=options.complete_task,
        ),
    ] = None,
    *,
    unfinished: Annotated[bool, option("--unfinished", "Only tasks that have not ended.")] = False,
    scene: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only tasks of this scene.",
            autocompletion=options.complete_scene,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="The newest N. \\[default: 30 on a terminal, else all]"
        ),
    ] = None,
    sandbox: Annotated[
        bool, option("--sandbox", "The tasks of the sandbox, and no others.")
    ] = False,
    html: Annotated[
        str | None,
        option(
            "--html", "Write a page that shows the clips; - for stdout.", options.RESULT, "FILE"
        ),
    ] = None,
    open: Annotated[bool, option("--open", "Open the page.", options.RESULT)] = False,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """List what this machine has submitted, newest first.

    kling tasks
    kling tasks --unfinished
    kling tasks --scene squish --limit 5
    kling tasks --html tasks.html
    kling tasks --json | jq -r 'select(.task_status == "failed") | .task_id'

    It works offline. In a pipe each line has task id, status, scene, time,
    pictures, external task id, cost in units and saved files, with tabs
    between.

    --html writes a contact sheet instead: each photo beside its clips, with
    status, time, cost and ids, to look at in a browser.
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
