"""The command `kling status`."""

import typer

from kling_cli import options
from kling_cli.commands.wait import Tasks


def status(
    context: typer.Context,
    tasks: Tasks = None,
    *,
    base_url: options.BaseUrl = None,
    sandbox: options.Sandbox = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Look once at tasks: print id, status, and URL or reason.

    \b
      kling status 815336894036197446
      kling status
      kling status --json | jq -r '.task_status'

    There are tabs between them. The exit code is 0 when all have succeeded, 8
    when one is still running, 5 when one has failed, 9 when nobody knows
    whether one was accepted.
    """
    from kling_cli.watching.observing import look_at_tasks

    session = options.open_session(
        context, json=json, quiet=quiet, verbose=verbose, sandbox=sandbox, base_url=base_url
    )
    return look_at_tasks(session, tuple(tasks or ()))
