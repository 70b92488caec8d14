"""The command `kling tasks`."""

from typing import TYPE_CHECKING, Annotated

import typer

from kling_cli import options

if TYPE_CHECKING:
    from kling_cli.purchase import Purchase
    from kling_cli.session import Session

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
    """List what this machine has submitted, newest first.

    \b
      kling tasks
      kling tasks --unfinished
      kling tasks --json | jq -r 'select(.task_status == "failed") | .task_id'

    Each line: task id, status, scene, time, pictures, external task id, with
    tabs between; on a terminal, in columns and without the last.
    """
    from kling_cli.results import format_time, tell_status

    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    purchases = session.journal.list_purchases(unfinished=unfinished)
    if not purchases and session.journal.is_durable:
        kind = "unfinished task" if unfinished else "task"
        session.screen.say(f"This machine has no {kind}.")
    if json:
        for purchase in purchases:
            session.printer.write_record(_shape(purchase, session))
        return 0
    rows = [
        (
            purchase.task_id or "-",
            tell_status(purchase),
            purchase.effect_scene,
            format_time(purchase.created_at) or "-",
            " ".join(str(image["source"]) for image in purchase.images),
            purchase.external_task_id,
        )
        for purchase in purchases
    ]
    session.printer.write_table(("TASK", "STATUS", "SCENE", "TIME", "PICTURES"), rows)
    return 0


def _shape(purchase: "Purchase", session: "Session") -> dict[str, object]:
    from kling_cli.outcome import Outcome
    from kling_cli.results import shape_result
    from kling_cli.settings.values import SANDBOX
    from kling_cli.watching.verdict import judge

    is_sandbox = purchase.base_url == SANDBOX
    error = judge(purchase, now=session.world.clock.time(), is_sandbox=is_sandbox)
    outcome = Outcome(purchase=purchase, error=error, is_reused=True)
    return shape_result(outcome, is_sandbox=is_sandbox)
