"""One connection of the fault server: what was read of it, and what can be done to it."""

import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ground.loopback import reset_on_close
from ground.openapi import Order, check_request, find_path
from ground.service import LoopbackService
from ground.shop import Purchase, Shop

_CHUNK = 1 << 16
_END_OF_HEAD = b"\r\n\r\n"
_EXTERNAL_ID = re.compile(rb'"external_task_id"\s*:\s*"([^"]+)"')
_SCENE = re.compile(rb'"effect_scene"\s*:\s*"([^"]+)"')


class StoppedError(Exception):
    """The server is being closed; the script ends here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What all connections of one fault server share."""

    shop: Shop
    service: LoopbackService | None
    complain: Callable[[str], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True, kw_only=True)
class Received:
    """A request, byte by byte as far as it was read."""

    connection: int
    head: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    order: Order | None = None

    @property
    def raw(self) -> bytes:
        """All bytes in the order in which they came."""
        return self.head + bytes(self.body)

    @property
    def method(self) -> str:
        """The first word of the request."""
        return self.head.partition(b" ")[0].decode("latin-1")

    @property
    def target(self) -> str:
        """The path, or whatever else is asked for."""
        return self.head.partition(b" ")[2].partition(b" ")[0].decode("latin-1")

    @property
    def headers(self) -> dict[str, str]:
        """The header lines, names in lower case."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return {name.lower(): value.strip() for name, _, value in pairs}

    @property
    def length(self) -> int:
        """How long the body will be, in bytes."""
        return int(self.headers.get("content-length", "0"))

    @property
    def token(self) -> str | None:
        """What came after `Bearer `, if anything did."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token if scheme.lower() == "bearer" else None

    def read_order(self) -> Order:
        """Read what is ordered, from a request that was cut off as far as it came."""
        if self.order is not None:
            return self.order
        scene, own_id = _SCENE.search(self.body), _EXTERNAL_ID.search(self.body)
        return Order(
            effect_scene=scene[1].decode() if scene else "",
            input={},
            images=(),
            external_task_id=own_id[1].decode() if own_id else None,
            callback_url=None,
        )


class Connection:
    """An accepted connection on which a script is played."""

    def __init__(self, link: socket.socket, *, number: int, stage: Stage) -> None:
        self.link = link
        self.number = number
        self.stage = stage
        self.requests: list[Received] = []
        self.purchase: Purchase | None = None
        self._buffer = bytearray()

    @property
    def request(self) -> Received:
        """The request that was begun last."""
        return self.requests[-1]

    def read_head(self) -> None:
        """Begin the next request: read up to the empty line."""
        received = Received(connection=self.number)
        self.requests.append(received)
        while _END_OF_HEAD not in self._buffer:
            self._receive()
        end = self._buffer.index(_END_OF_HEAD) + len(_END_OF_HEAD)
        received.head = bytes(self._buffer[:end])
        del self._buffer[:end]

    def read_body(self, count: int | None = None) -> None:
        """Read so many more bytes of the body; without a count, all that is missing."""
        received = self.request
        missing = received.length - len(received.body)
        wanted = missing if count is None else min(count, missing)
        while wanted > 0:
            if not self._buffer:
                self._receive()
            part = self._buffer[:wanted]
            received.body += part
            wanted -= len(part)
            del self._buffer[: len(part)]
        if len(received.body) == received.length:
            self._check(received)

    def drain(self) -> None:
        """Read and forget until the client leaves."""
        while self.link.recv(_CHUNK):
            pass

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.link.sendall(data)

    def wait(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            StoppedError: the server was closed meanwhile.
        """
        if self.stage.stopping.wait(seconds):
            raise StoppedError

    def hold(self) -> None:
        """Wait until the server releases what it holds."""
        self.stage.held.set()
        self.stage.released.wait()
        if self.stage.stopping.is_set():
            raise StoppedError

    def buy(self) -> None:
        """Create a task from the request as far as it was read."""
        received = self.request
        self.purchase = self.stage.shop.note(
            received.read_order(), token=received.token, connection=self.number
        )

    def close(self, *, reset: bool = False) -> None:
        """End the connection, in order or with RST."""
        if reset:
            reset_on_close(self.link)
        self.link.close()

    def serve(self) -> None:
        """Leave the rest of the connection to the service."""
        if self.stage.service is None or self._buffer:
            raise AssertionError("only a service can go on, and only between two requests")
        self.stage.service.adopt(self.link)

    def _receive(self) -> None:
        data = self.link.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("the client left")
        self._buffer += data

    def _check(self, received: Received) -> None:
        if find_path(received.target) is None:
            return
        try:
            received.order = check_request(
                received.method, received.target, received.headers, bytes(received.body)
            )
        except AssertionError as error:
            self.stage.complain(str(error))
