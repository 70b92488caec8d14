"""A threaded HTTP/1.1 server on 127.0.0.1 that keeps connections alive and closes quickly."""

import contextlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from ground.replies import Reply
from ground.shop import Purchase

# serve_forever looks this often, in seconds, whether it shall stop.
_STOP_INTERVAL = 0.02
_PATIENCE = 5.0
_SILENT = ("drop", "reset")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request: header names in lower case, `size` of its body in bytes as far as it came.

    `complete` is false where the client left before its end. `at` is monotonic seconds;
    connections count from 1.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    connection: int
    size: int
    complete: bool
    at: float

    @property
    def token(self) -> str | None:
        """What came after `Bearer `, if anything did."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else None


Answer = Callable[[Visit, bytes], tuple[Reply, Purchase | None]]


def reset_on_close(connection: socket.socket) -> None:
    """Make the coming close send RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Loopback:
    """The server around one function that answers each complete request.

    Args:
        answer: called in the connection's thread with a request and its body.
        complain: told of whatever a client must never do, and of our own errors.
    """

    def __init__(self, *, answer: Answer, complain: Callable[[str], None]) -> None:
        self.answer = answer
        self.complain = complain
        self.stopping = threading.Event()
        self._visits: list[Visit] = []
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_STOP_INTERVAL,), daemon=True
        )

    @property
    def port(self) -> int:
        """The port that the system chose."""
        return self._server.server_address[1]

    @property
    def opened(self) -> int:
        """How many connections were opened so far."""
        return self._server.opened

    @property
    def visits(self) -> list[Visit]:
        """Every request so far, in the order of arrival."""
        return self._visits.copy()

    def note(self, visit: Visit) -> None:
        """Keep a request among the visits."""
        self._visits.append(visit)

    def open(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop: cut every connection, end every delay, wait for the threads."""
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.cut_connections()

    def adopt(self, connection: socket.socket) -> None:
        """Serve a connection that somebody else accepted, in this thread, until it ends."""
        self._server.register(connection)
        self._server.process_request_thread(connection, connection.getpeername())


class _Server(ThreadingHTTPServer):
    # With the default of 5, one of many parallel clients waits a second for its connection.
    request_queue_size = 256

    def __init__(self, loopback: Loopback) -> None:
        self.loopback = loopback
        self.opened = 0
        self._changed = threading.Condition()
        self._numbers: dict[object, int] = {}
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer would ask the resolver for the name of 127.0.0.1.
        TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self.register(connection)
        return connection, address

    def register(self, connection: socket.socket) -> None:
        with self._changed:
            self.opened += 1
            self._numbers[connection] = self.opened

    def number(self, connection: socket.socket) -> int:
        with self._changed:
            return self._numbers[connection]

    def close_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        super().close_request(request)
        with self._changed:
            self._numbers.pop(request, None)
            self._changed.notify_all()

    def handle_error(self, request: object, client_address: object) -> None:
        del request, client_address
        error = sys.exception()
        # A client that leaves is no error of anybody.
        if not isinstance(error, OSError):
            self.loopback.complain(f"the played server failed: {error!r}")

    def cut_connections(self) -> None:
        with self._changed:
            for connection in self._numbers:
                assert isinstance(connection, socket.socket)
                with contextlib.suppress(OSError):  # it may be gone already
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._numbers, timeout=_PATIENCE)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    connection: socket.socket
    resetting = False

    def play(self) -> None:
        """Read the request's body, have it answered, and send the answer."""
        assert isinstance(self.server, _Server)
        loopback = self.server.loopback
        size = int(self.headers.get("Content-Length") or 0)
        body = self._read(size)
        visit = Visit(
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            connection=self.server.number(self.connection),
            size=len(body),
            complete=len(body) == size,
            at=time.monotonic(),
        )
        loopback.note(visit)
        if not visit.complete:
            self.close_connection = True
            return
        reply, purchase = loopback.answer(visit, body)
        loopback.stopping.wait(reply.delay)
        # Chunks were not read, so the next request would begin in their midst.
        if reply.is_last or "transfer-encoding" in visit.headers:
            self.close_connection = True
        self.resetting = reply.ending == "reset"
        if reply.ending not in _SILENT:
            self.wfile.write(reply.frame(purchase, method=self.command))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = play  # noqa: N815 - names http.server asks for

    def finish(self) -> None:
        super().finish()
        if self.resetting:
            # Before the server gets to shut the connection down in order, with a FIN.
            reset_on_close(self.connection)
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the class above
        """Say nothing: what was asked is in the visits."""

    def _read(self, size: int) -> bytes:
        try:
            return self.rfile.read(size)
        except OSError:  # the client left in the middle
            return b""
