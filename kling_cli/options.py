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
        help="How long to wait for each task: 90s, 20m, 1h; 0 is no limit. A look under way is cut "
        "then; a submission is not, and has 120 s for its answer once it is sent. [default: 30m]",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="PATH", help="Save as a file, in a directory, or - for stdout."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="With -o, replace files.")]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="All that stands before /v1/videos/effects."),
]
Sandbox = Annotated[
    bool, typer.Option("--sandbox", help="Use the embedded sandbox: no token, network or cost.")
]


_START = """\
kling turns photos into short effect videos.

  kling effect squish photo.jpg --sandbox   try it: no token, no cost
  kling config set token                    store your token
  kling effect squish photo.jpg             your first video: prints its URL
  kling help                                everything else
"""


def require_command(context: typer.Context) -> None:
    """Show the way on standard error where a command is missing: nothing was asked for."""
    if context.invoked_subcommand is None:
        way = f"{context.get_help()}\n" if context.parent else _START
        with suppress(OSError, ValueError):
            find_world(context).stderr.write(way)
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
    session = Session(find_world(context), flags)
    context.call_on_close(session.close)
    return session


def find_world(context: typer.Context) -> World:
    """Find streams, environment and clock of the run."""
    world: World = context.obj
    return world
