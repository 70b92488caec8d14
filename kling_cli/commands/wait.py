"""The command `kling wait`."""

from typing import Annotated

import typer

from kling_cli import options

Tasks = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TASK...]",
        help="Task ids or external task ids; every unfinished task of this machine if none.",
    ),
]


def wait(
    context: typer.Context,
    tasks: Tasks = None,
    *,
    output: options.Output = None,
    force: options.Force = False,
    timeout: options.Timeout = None,
    base_url: options.BaseUrl = None,
    sandbox: options.Sandbox = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Wait for tasks, and print the URLs of their videos.

    \b
      kling wait 815336894036197446
      kling wait -o clips/
      id=$(kling effect squish photo.jpg --no-wait); kling wait "$id"

    A look that fails is repeated; only the task's own status, the timeout or
    five minutes without any answer end the wait. Waiting costs nothing.
    """
    from kling_cli.watching.observing import await_tasks

    session = options.open_session(
        context,
        json=json,
        quiet=quiet,
        verbose=verbose,
        sandbox=sandbox,
        timeout=timeout,
        output=output,
        base_url=base_url,
    )
    return await_tasks(session, tuple(tasks or ()), replaces_files=force)
