"""A threaded HTTP/1.1 server on 127.0.0.1 that keeps connections alive and closes quickly."""

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from support.replies import Reply
from support.shop import Purchase

# How often serve_forever checks whether to stop, in seconds.
_STOP_INTERVAL = 0.02
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    method: str
    path: str
    headers: Mapping[str, str]
    connection: int

    @property
    def token(self) -> str | None:
        return find_token(self.headers)


Answer = Callable[[Visit, bytes], tuple[Reply, Purchase | None]]


def find_token(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None


def reset_on_close(connection: socket.socket) -> None:
    """Send RST instead of FIN when the connection is closed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def report(breaches: list[str], error: BaseException | None) -> None:
    """Fail the test for something a client must never do, in addition to any other error."""
    faults = "; ".join(breaches)
    if faults and error is None:
        raise AssertionError(faults)
    if faults and error is not None:
        error.add_note(f"The played service complains too: {faults}")


class Loopback(ThreadingHTTPServer):
    """The server around one function that answers each complete request."""

    # With the default of 5, one of many parallel clients would wait a second.
    request_queue_size = 256

    def __init__(self, *, answer: Answer, complain: Callable[[str], None]) -> None:
        self.answer = answer
        self.complain = complain
        self.stopping = threading.Event()
        self.visits: list[Visit] = []
        self.opened = 0
        self._changed = threading.Condition()
        self._numbers: dict[object, int] = {}
        super().__init__(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(
            target=self.serve_forever, args=(_STOP_INTERVAL,), daemon=True
        )

    @property
    def port(self) -> int:
        return self.server_address[1]

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._changed:
            for connection in self._numbers:
                assert isinstance(connection, socket.socket)
                with contextlib.suppress(OSError):  # it may be closed already
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._numbers, timeout=_PATIENCE)

    def adopt(self, connection: socket.socket) -> None:
        """Serve a connection that was accepted elsewhere, in this thread, until it ends."""
        self._register(connection)
        self.process_request_thread(connection, connection.getpeername())

    def number(self, connection: socket.socket) -> int:
        with self._changed:
            return self._numbers[connection]

    def server_bind(self) -> None:
        """Bind without HTTPServer's lookup of the host name."""
        TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self._register(connection)
        return connection, address

    def close_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        super().close_request(request)
        with self._changed:
            self._numbers.pop(request, None)
            self._changed.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        """Report our own errors, but not clients that disconnect."""
        del request, client_address
        if not isinstance(error := sys.exception(), OSError):
            self.complain(f"the played server failed: {error!r}")

    def _register(self, connection: socket.socket) -> None:
        with self._changed:
            self.opened += 1
            self._numbers[connection] = self.opened


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    connection: socket.socket
    resetting = False

    def play(self) -> None:
        assert isinstance(self.server, Loopback)
        size = int(self.headers.get("Content-Length") or 0)
        body = b""
        with contextlib.suppress(OSError):  # the client disconnected
            body = self.rfile.read(size)
        visit = Visit(
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            connection=self.server.number(self.connection),
        )
        self.server.visits.append(visit)
        if len(body) < size:
            self.close_connection = True
            return
        reply, purchase = self.server.answer(visit, body)
        self.server.stopping.wait(reply.delay)
        # Unread chunks would be read as the next request.
        self.close_connection |= reply.is_last or "transfer-encoding" in visit.headers
        self.resetting = reply.ending == "reset"
        if reply.ending in ("keep", "close"):
            self.wfile.write(reply.frame(purchase))

    do_GET = do_POST = play  # noqa: N815 - names http.server asks for

    def finish(self) -> None:
        super().finish()
        if self.resetting:
            # Before the server gets to shut the connection down in order, with a FIN.
            reset_on_close(self.connection)
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing; the requests are in `visits`."""
