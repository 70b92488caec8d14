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
) -> None:
    """Serve the embedded sandbox over HTTP, until stopped.

    \b
      kling sandbox --port 8808
      KLING_TOKEN=sandbox kling effect squish photo.jpg \\
        --base-url http://127.0.0.1:8808
      curl -H 'Authorization: Bearer sandbox' \\
        http://127.0.0.1:8808/v1/videos/effects

    It listens on this machine alone, speaks as the service does, takes the
    token sandbox, and makes a clip that says so. Other tokens choose trouble,
    to try out how a script copes; --sandbox takes them too, from KLING_TOKEN:

    \b
      sandbox-failed      the task is accepted and fails after 3 seconds
      sandbox-slow        the task is accepted and goes on for an hour
      sandbox-busy        the first 2 submissions of a request meet the limit
                          of parallel tasks (1303)
      sandbox-lost-reply  the task is accepted, but the reply to its
                          submission is lost
      sandbox-no-lookup   as sandbox-lost-reply, and no look-up by external
                          task id finds the task
      sandbox-lag         the task is accepted, but look-ups do not find it
                          for 3 seconds
      sandbox-html        a submission meets a proxy's HTML page (HTTP 502)
                          and no task comes about
      sandbox-no-balance  a submission meets a gateway's empty balance
                          (HTTP 403)
      sandbox-gateway     look-ups are answered in a gateway's envelope
      sandbox-flaky       every second look-up meets a proxy's HTML page
                          (HTTP 503)
      sandbox-CODE        refused with this code of the service: 1000 1001
                          1002 1003 1004 1100 1101 1102 1103 1200 1201 1202
                          1203 1300 1301 1302 1303 1304 5000 5001 5002
    """
    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    from kling_cli.sandbox import serve
    from kling_cli.world import settle

    settle()
    with serve(session.sandbox, port, log=session.screen.log) as server:
        if json:
            session.printer.write_record({"url": server.url})
        else:
            session.printer.write_line(server.url)
        session.screen.say(f"KLING_TOKEN=sandbox kling effect SCENE IMAGE --base-url {server.url}")
        server.wait()
