"""One question before several tasks are bought, where there is somebody to answer it."""

from collections.abc import Sequence

from kling_cli.buying.plan import Plan, Verdict
from kling_cli.errors import ExitCode, StoppedError
from kling_cli.world import World


def can_ask(world: World) -> bool:
    """Tell whether a person sees what is asked, and can answer."""
    return world.stdin.isatty() and world.stderr.isatty()


def ask(world: World, plans: Sequence[Plan], *, pictures: int, refused: int) -> None:
    """Ask whether to buy, unless at most one task is new.

    Args:
        world: whose standard error shows the question, and whose standard input the answer.
        plans: what would be done about each request.
        pictures: how many were named.
        refused: how many of them were refused, and so have no plan.

    Raises:
        StoppedError: the answer was not yes.
    """
    new = sum(plan.verdict is Verdict.BUY for plan in plans)
    if new <= 1:
        return
    parts = [f"{pictures} photos", f"{new} new tasks"]
    if made := len(plans) - new:
        parts.append(f"{made} already made")
    if refused:
        parts.append(f"{refused} refused")
    answer = ""
    try:
        world.stderr.write(f"kling: {', '.join(parts)}. Buy? [y/N] ")
        world.stderr.flush()
        answer = world.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # Ctrl-C and Ctrl-D leave the cursor behind the question
            world.stderr.write("\n")
    if answer.strip().lower() not in {"y", "yes"}:
        raise StoppedError(
            "Stopped. Nothing was sent.",
            exit_code=ExitCode.INTERRUPT,
            hint="y buys them; --yes does not ask.",
        )
