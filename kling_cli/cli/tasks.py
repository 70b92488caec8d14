"""The commands `kling status`, `kling wait` and `kling tasks`."""

from typing import Annotated

import typer

from kling_cli.cli import options

Tasks = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TASK...]",
        help="Task ids or external task ids; without any, every unfinished task of this machine.",
        autocompletion=options.complete_task,
    ),
]
Unfinished = Annotated[bool, typer.Option("--unfinished", help="List unfinished tasks only.")]


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

    return look(options.configure(context), tuple(tasks or ()), wait=True, force=force)


def tasks(
    context: typer.Context,
    *,
    unfinished: Unfinished = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """List what this machine has submitted, newest first.

    kling tasks
    kling tasks --unfinished
    kling tasks --json | jq -r 'select(.task_status == "failed") | .task_id'

    It works offline. In a pipe each line has task id, status, scene, time,
    pictures and external task id, with tabs between.
    """
    from kling_cli.tasks import list_tasks

    run = options.configure(context)
    return list_tasks(run, unfinished=unfinished)
