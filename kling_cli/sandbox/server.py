"""The sandbox over HTTP: a thread for each request, on loopback only."""

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
    """A server for the sandbox; `serve_forever` answers until an exception ends it.

    Args:
        app: the sandbox.
        port: 0 for a free one.
        log: gets a line for each request: time, method, path, and how it was answered.

    Attributes:
        url: the base URL for clients.
    """

    # Threads do not outlive the process.
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, app: "WSGIApplication", port: int, log: Callable[[str], None]) -> None:
        self.log = log
        try:
            super().__init__((_LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            message = f"Port {port} of {_LOOPBACK} cannot be used: {error}."
            hint = "--port 0 picks a free port."
            raise UsageError("port_unavailable", message, hint=hint) from error
        self.set_app(app)
        self.url = f"http://{_LOOPBACK}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name that the standard library makes."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = _LOOPBACK, self.socket.getsockname()[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away."""


class _Handler(WSGIRequestHandler):
    # So that `Expect: 100-continue`, as curl sends it with a photo, is answered at once.
    protocol_version = "HTTP/1.1"
    command = ""  # until a request was read
    _status = "no reply"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep how it was answered."""
        self._status = str(code)

    def log_message(self, *_words: object) -> None:
        """Say nothing of what is no HTTP."""

    def finish(self) -> None:
        """Log what was asked and how it was answered, also where the reply is lost."""
        super().finish()
        if self.command:
            line = f"{time.strftime('%H:%M:%S')} {self.command} {self.path} {self._status}"
            cast("Server", self.server).log(line)
