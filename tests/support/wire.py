"""One connection of the fault server: the data read from it, and its actions."""

import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.loopback import find_token, reset_on_close
from support.openapi import Order, check_request, find_path
from support.shop import Purchase

if TYPE_CHECKING:
    from support.fault_server import FaultServer

_CHUNK = 1 << 16
_END_OF_HEAD = b"\r\n\r\n"
_EXTERNAL_ID = re.compile(rb'"external_task_id"\s*:\s*"([^"]+)"')
_SCENE = re.compile(rb'"effect_scene"\s*:\s*"([^"]+)"')


class StoppedError(Exception):
    """The server is being closed; the script ends here."""


@dataclass(slots=True, kw_only=True)
class Received:
    head: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    order: Order | None = None

    @property
    def raw(self) -> bytes:
        return self.head + bytes(self.body)

    @property
    def method(self) -> str:
        return self.head.partition(b" ")[0].decode("latin-1")

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return {name.lower(): value.strip() for name, _, value in pairs}

    @property
    def token(self) -> str | None:
        return find_token(self.headers)


class Connection:
    def __init__(self, link: socket.socket, server: "FaultServer") -> None:
        self.link = link
        self.requests: list[Received] = []
        self.purchase: Purchase | None = None
        self._server = server
        self._buffer = bytearray()

    def read_head(self) -> None:
        received = Received()
        self.requests.append(received)
        while _END_OF_HEAD not in self._buffer:
            self._receive()
        end = self._buffer.index(_END_OF_HEAD) + len(_END_OF_HEAD)
        received.head = bytes(self._buffer[:end])
        del self._buffer[:end]

    def read_body(self, count: int | None = None) -> None:
        """Read more bytes of the body; without a count, the rest."""
        received = self.requests[-1]
        length = int(received.headers.get("content-length", "0"))
        missing = length - len(received.body)
        wanted = missing if count is None else min(count, missing)
        while len(self._buffer) < wanted:
            self._receive()
        received.body += self._buffer[:wanted]
        del self._buffer[:wanted]
        if len(received.body) == length:
            self._check(received)

    def buy(self) -> None:
        """Create a task from the request that was read so far."""
        received = self.requests[-1]
        if (order := received.order) is None:
            scene, own_id = _SCENE.search(received.body), _EXTERNAL_ID.search(received.body)
            order = Order(
                effect_scene=scene[1].decode() if scene else "",
                input={},
                images=(),
                external_task_id=own_id[1].decode() if own_id else None,
                callback_url=None,
            )
        self.purchase = self._server.shop.note(order, token=received.token)

    def drain(self) -> None:
        """Read and discard until the client disconnects.

        Needed after an early response: closing with unread bytes sends RST, which can overtake it.
        """
        while self.link.recv(_CHUNK):
            pass

    def wait(self, seconds: float) -> None:
        if self._server.stopping.wait(seconds):
            raise StoppedError

    def hold(self) -> None:
        """Keep the connection open and silent until the server releases it."""
        self._server.held.set()
        self._server.released.wait()
        self.wait(0)

    def close(self) -> None:
        self.link.close()

    def reset(self) -> None:
        """End the connection with RST; the script continues without it."""
        reset_on_close(self.link)
        self.link.close()

    def serve(self) -> None:
        assert self._server.service is not None
        assert not self._buffer
        self._server.service.adopt(self.link)

    def _receive(self) -> None:
        data = self.link.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("the client left")
        self._buffer += data

    def _check(self, received: Received) -> None:
        target = received.head.partition(b" ")[2].partition(b" ")[0].decode("latin-1")
        if find_path(target) is None:
            return
        try:
            received.order = check_request(
                received.method, target, received.headers, bytes(received.body)
            )
        except AssertionError as error:
            self._server.breaches.append(str(error))
