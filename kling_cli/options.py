"""The options that several commands share, declared once."""

from typing import Annotated

import typer

from kling_cli.errors import UsageError
from kling_cli.session import Flags, Session
from kling_cli.world import World

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


def open_session(
    context: typer.Context,
    *,
    json: bool,
    quiet: bool,
    verbose: bool,
    sandbox: bool = False,
    **settings: str | None,
) -> Session:
    """Open the session of a command; further options are settings by their names."""
    if sandbox and settings.get("base_url"):
        raise UsageError("usage", "--sandbox and --base-url name two services; give one of them.")
    if quiet and verbose:
        raise UsageError("usage", "--quiet and --verbose contradict each other.")
    if sandbox:
        settings["base_url"] = "sandbox"
    world = context.obj
    if not isinstance(world, World):
        raise TypeError
    session = Session(
        world, Flags(json=json, quiet=quiet, verbose=verbose, settings=tuple(settings.items()))
    )
    context.call_on_close(session.close)
    return session
