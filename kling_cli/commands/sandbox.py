"""The command `kling sandbox`."""

from typing import Annotated

import typer

from kling_cli import options

Port = Annotated[
    int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0 takes a free one.")
]


def sandbox(
    context: typer.Context,
    *,
    port: Port = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Serve the embedded sandbox over HTTP on this machine, until stopped.

    \b
      kling sandbox --port 8808
      KLING_TOKEN=sandbox kling effect squish photo.jpg \\
        --base-url http://127.0.0.1:8808
      curl -H 'Authorization: Bearer sandbox' \\
        http://127.0.0.1:8808/v1/videos/effects

    It speaks as the service does, takes the token sandbox, and makes a clip
    that says so. Other tokens choose trouble, to try out how a script copes:
    """
    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    from kling_cli.sandbox import serve

    with serve(session.sandbox, port, log=session.screen.log) as server:
        if json:
            session.printer.write_record({"url": server.url})
        else:
            session.printer.write_line(server.url)
        session.screen.say(f"KLING_TOKEN=sandbox kling effect SCENE IMAGE --base-url {server.url}")
        server.wait()
    return 0
