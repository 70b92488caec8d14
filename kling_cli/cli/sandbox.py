"""The command `kling sandbox`."""

import typer

from kling_cli.cli import options


def sandbox(
    context: typer.Context,
    *,
    port: int = typer.Option(0, metavar="PORT", min=0, max=65535, help="0 picks a free port."),
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> None:
    """Serve the built-in sandbox over HTTP until stopped.

    kling sandbox --port 8808
      KLING_TOKEN=sandbox kling effect squish photo.jpg \\
        --base-url http://127.0.0.1:8808
      curl -H 'Authorization: Bearer sandbox' \\
        http://127.0.0.1:8808/v1/videos/effects

    It listens on this machine only and behaves like the service: it accepts the
    token sandbox and returns a sample clip. Each request is logged on standard
    error: time, method, path, HTTP status. Other tokens simulate failures, to
    test how a script handles them; --sandbox reads them from KLING_TOKEN:

      sandbox-failed      the task is accepted and fails after 3 seconds
      sandbox-slow        the task is accepted and runs for an hour
      sandbox-lost-reply  the task is accepted, but the response is lost
      sandbox-no-lookup   like sandbox-lost-reply, and looking up the
                          external task id finds nothing
      sandbox-CODE        the request is refused with this code: 1000 1001
                          1002 1003 1004 1100 1101 1102 1103 1200 1201 1202
                          1203 1300 1301 1302 1303 1304 5000 5001 5002
    """
    from kling_cli.sandbox.server import Server

    run = options.configure(context)
    with Server(run.sandbox, port, run.console.info) as server:
        if json:
            run.output.record({"url": server.url})
        else:
            run.output.line(server.url)
        run.console.info(f"KLING_TOKEN=sandbox kling effect SCENE IMAGE --base-url {server.url}")
        server.serve_forever()
