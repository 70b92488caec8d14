"""Serve the sandbox over HTTP on loopback, with a thread per request."""

import time
from collections.abc import Callable
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from kling_cli.errors import UsageError

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_LOOPBACK = "127.0.0.1"


class Server(ThreadingMixIn, WSGIServer):
    """A server for the sandbox; `serve_forever` runs until an exception ends it.

    Args:
        app: the sandbox.
        port: 0 for a free one.
        log: receives a line per request: time, method, path and status.

    Attributes:
        url: the base URL for clients.
    """

    # Threads end with the process.
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, app: "WSGIApplication", port: int, log: Callable[[str], None]) -> None:
        self.log = log
        try:
            super().__init__((_LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            message = f"Cannot listen on {_LOOPBACK}:{port}: {error}."
            hint = "--port 0 picks a free port."
            raise UsageError("port_unavailable", message, hint=hint) from error
        self.set_app(app)
        self.url = f"http://{_LOOPBACK}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind without the standard library's lookup of the host name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = _LOOPBACK, self.socket.getsockname()[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that closed the connection."""


class _Handler(WSGIRequestHandler):
    # Needed for `Expect: 100-continue`, which curl sends with a photo.
    protocol_version = "HTTP/1.1"
    command = ""  # until a request was read
    _status = "no reply"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep the status for the log line."""
        self._status = str(code)

    def log_message(self, *_words: object) -> None:
        """Ignore what is not HTTP."""

    def finish(self) -> None:
        """Log the request and its status, even if the response is lost."""
        super().finish()
        if self.command:
            line = f"{time.strftime('%H:%M:%S')} {self.command} {self.path} {self._status}"
            cast("Server", self.server).log(line)
