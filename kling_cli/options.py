"""The options that several commands share, declared once."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from kling_cli.errors import ExitCode, UsageError
from kling_cli.world import World

if TYPE_CHECKING:
    from kling_cli.session import Session

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors on stderr.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell of each exchange on stderr.")]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        help="How long to wait: 90s, 20m, 1h; 0 is no limit. [default: 30m]",
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="All that stands before /v1/videos/effects."),
]
Sandbox = Annotated[
    bool, typer.Option("--sandbox", help="Use the embedded sandbox: no token, network or cost.")
]


def require_command(context: typer.Context) -> None:
    """Show the help on standard error where a command is missing: nothing was asked for."""
    if context.invoked_subcommand is None:
        with suppress(OSError, ValueError):
            _find_world(context).stderr.write(context.get_help() + "\n")
        raise typer.Exit(ExitCode.USAGE)


def open_session(
    context: typer.Context,
    *,
    json: bool,
    quiet: bool,
    verbose: bool,
    sandbox: bool = False,
    **settings: str | None,
) -> "Session":
    """Open the session of a command; further options are settings by their names."""
    from kling_cli.session import Flags, Session

    if sandbox and settings.get("base_url"):
        raise UsageError("usage", "--sandbox and --base-url name two services; give one of them.")
    if quiet and verbose:
        raise UsageError("usage", "--quiet and --verbose contradict each other.")
    if sandbox:
        settings["base_url"] = "sandbox"
    flags = Flags(json=json, quiet=quiet, verbose=verbose, settings=tuple(settings.items()))
    session = Session(_find_world(context), flags)
    context.call_on_close(session.close)
    return session


def _find_world(context: typer.Context) -> World:
    world: World = context.obj
    return world
