"""The embedded service: the rules of the real one, without token, network or cost.

    from kling_cli.sandbox import create_app, serve

`create_app` makes a WSGI application, for the client's own transport or any other caller;
`serve` puts one on loopback over HTTP. The token chooses trouble: `kling_cli.sandbox.trouble`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from wsgiref.types import WSGIApplication

    from kling_cli.sandbox.server import Server

__all__ = ["HOST", "create_app", "serve"]

# A request for this host never left the process; its videos are files, not web addresses.
HOST = "sandbox.invalid"


def create_app(store: Path, *, now: Callable[[], float]) -> WSGIApplication:
    """Make the service.

    Args:
        store: the file that keeps its tasks, shared by every process that names it.
        now: the time in seconds since the epoch, by which the tasks advance.

    Raises:
        LocalError: the store cannot be used. The application itself raises it too, when the
            store fails later.
    """
    from kling_cli.sandbox.app import Sandbox  # noqa: PLC0415 - loaded when used
    from kling_cli.sandbox.clip import locate_clip  # noqa: PLC0415 - likewise
    from kling_cli.sandbox.store import Store  # noqa: PLC0415 - likewise, with sqlite3

    opened = Store(store)
    opened.check()
    locate_clip(store.parent)  # an earlier run may have named it
    return Sandbox(opened, now=now)


def serve(
    app: WSGIApplication, port: int = 0, *, log: Callable[[str], None] | None = None
) -> Server:
    """Put the service on loopback; it answers from a thread of its own until `close`.

    Args:
        app: what `create_app` made.
        port: 0 takes a free one; `Server.port` says which.
        log: is given a line for each answered request, printable ASCII, without any token.

    Raises:
        UsageError: the port cannot be used.
    """
    from kling_cli.sandbox.server import Server  # noqa: PLC0415 - likewise, with http.server

    return Server(app, port, log=log)
