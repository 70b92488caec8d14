"""The command `kling tasks`."""

from typing import Annotated

import typer

from kling_cli import options

Unfinished = Annotated[
    bool, typer.Option("--unfinished", help="Only those whose end is not known yet.")
]


def tasks(
    context: typer.Context,
    *,
    unfinished: Unfinished = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """List what this machine has submitted, newest first; asks nobody.

    \b
      kling tasks
      kling tasks --unfinished
      kling tasks --json | jq -r 'select(.task_status == "failed") | .task_id'

    Each line: task id, status, scene, time, pictures, external task id, with
    tabs between.
    """
    from kling_cli.watching.observing import list_tasks

    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    return list_tasks(session, is_unfinished=unfinished)
