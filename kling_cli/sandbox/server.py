"""The sandbox over HTTP: threads, loopback only, connections that stay open."""

from __future__ import annotations

import socket
import string
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from socketserver import TCPServer, ThreadingMixIn
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from kling_cli.errors import KlingError, UsageError
from kling_cli.sandbox.answers import CODES, refuse
from kling_cli.sandbox.app import LARGEST_BODY, read_number, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from wsgiref.types import WSGIApplication

_LOOPBACK = "127.0.0.1"
# Seconds: how long an idle connection is kept, how long a refused upload is read to its end, and
# how soon a stop is noticed.
_IDLE = 75.0
_DRAIN = 2.0
_POLL = 0.1
_PIECE = 65536


class Server:
    """A service on loopback that answers from threads until it is closed."""

    def __init__(
        self, app: WSGIApplication, port: int, *, log: Callable[[str], None] | None = None
    ) -> None:
        try:
            self._listener = _Listener((_LOOPBACK, port), _Connection)
        except (OSError, OverflowError) as error:
            raise UsageError(
                "port_unavailable",
                f"Port {port} of {_LOOPBACK} cannot be used: {error}.",
                hint="--port 0 takes a free one.",
            ) from error
        self._listener.log = log
        self._listener.set_app(app)
        self._thread = Thread(target=self._listener.serve_forever, args=(_POLL,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it answers on."""
        return self._listener.server_port

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://{_LOOPBACK}:{self.port}"

    def wait(self) -> None:
        """Wait until another thread closes it, or a signal's exception ends the wait."""
        self._thread.join()

    def close(self) -> None:
        """Stop listening, end every connection and wait for the threads; twice is once."""
        self._listener.shutdown()
        self._listener.hang_up()
        self._listener.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()


class _Listener(ThreadingMixIn, WSGIServer):
    request_queue_size = 128
    # Two servers on one port would share the calls between them.
    allow_reuse_port = False
    log: Callable[[str], None] | None = None

    def __init__(self, *args: Any) -> None:  # noqa: ANN401 - the standard library's own arguments
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__(*args)

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name that the standard library makes."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = _LOOPBACK, self.socket.getsockname()[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - likewise
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - likewise
        """Close a connection so that the answer arrives even if the upload was not read."""
        _drain(request)
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection that is open."""
        with self._lock:
            for connection in self._open:
                _shut(connection, socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - likewise
        """Say nothing of a client that went away."""


class _Connection(WSGIRequestHandler):
    """A connection that carries one call after another; the standard library's carries one."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE
    disable_nagle_algorithm = True
    handle = BaseHTTPRequestHandler.handle

    def __getattr__(self, name: str) -> object:
        # `http.server` looks for a method of its own for each word that HTTP may begin with.
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        """Answer one call, and end the connection where no further one could be read from it."""
        listener = cast("_Listener", self.server)
        body = self._read_body()
        environ = self.get_environ() | {
            "wsgi.input": BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        reply = _Reply()
        try:
            pieces = list(cast("WSGIApplication", listener.get_app())(environ, reply.start))
        except ConnectionResetError:
            # The application wants this call to end without a byte of a reply.
            self.close_connection = True
            self._report("no reply")
            return
        except Exception as error:  # noqa: BLE001 - a server outlives the faults of what it serves
            pieces = list(reply.apologize(error))
        self._send(reply, b"".join(pieces))

    def log_message(self, *_words: object, **_more: object) -> None:
        """Say nothing; `answer` reports what there is to say."""

    def _send(self, reply: _Reply, body: bytes) -> None:
        self.send_response_only(reply.status, reply.phrase)
        for name, value in reply.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self._report(str(reply.status))

    def _report(self, outcome: str) -> None:
        log = cast("_Listener", self.server).log
        if log is not None:
            log(f"{self.command} {quote(self.path, safe=string.punctuation)} {outcome}")

    def _read_body(self) -> bytes:
        """Read the body where its length is known and bearable; else the application refuses."""
        length = read_number(self.headers.get("Content-Length", "0"))
        if length is None or length > LARGEST_BODY or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            return b""
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionResetError("the client went away in the middle of its request")
        return body


class _Reply:
    """What the application says of its answer before it hands over the body."""

    def __init__(self) -> None:
        self.status = 500
        self.phrase = ""
        self.headers: list[tuple[str, str]] = []

    def start(
        self, status: str, headers: list[tuple[str, str]], _error: object = None, /
    ) -> Callable[[bytes], object]:
        """Take status and headers, as WSGI's `start_response`."""
        number, _, self.phrase = status.partition(" ")
        self.status, self.headers = int(number), headers
        return _refuse_writes

    def apologize(self, error: Exception) -> Iterable[bytes]:
        """Turn a fault of the application into an answer in the service's own words."""
        message = error.message if isinstance(error, KlingError) else type(error).__name__
        return send(refuse(5000, f"{CODES[5000].message}: {message}").answer, self.start)


def _refuse_writes(_data: bytes) -> None:
    raise NotImplementedError("an application hands its body over whole")


def _drain(connection: socket.socket) -> None:
    _shut(connection, socket.SHUT_WR)
    with suppress(OSError):
        connection.settimeout(_DRAIN)
        while connection.recv(_PIECE):
            pass


def _shut(connection: socket.socket, how: int) -> None:
    with suppress(OSError):  # the other side has ended it already
        connection.shutdown(how)
