"""The steps of a fault server on a connection.

A step is a function of the connection: `read_request`, `buy` and the like as they are, or what
`send`, `sleep` and the like return. A script is a sequence of steps; after the last one the
connection is closed.
"""

from collections.abc import Callable, Sequence

from support.replies import Reply
from support.wire import Connection

Step = Callable[[Connection], None]
Script = Sequence[Step]

read_head = Connection.read_head
buy = Connection.buy
drain = Connection.drain
hold = Connection.hold
reset = Connection.reset
close = Connection.close
serve = Connection.serve


def read_body(count: int | None = None) -> Step:
    return lambda connection: connection.read_body(count)


def read_request(connection: Connection) -> None:
    connection.read_head()
    connection.read_body()


def send(data: bytes) -> Step:
    return lambda connection: connection.link.sendall(data)


def sleep(seconds: float) -> Step:
    return lambda connection: connection.wait(seconds)


def trickle(data: bytes, *, interval: float, size: int = 1) -> Step:
    def send_pieces(connection: Connection) -> None:
        for start in range(0, len(data), size):
            connection.link.sendall(data[start : start + size])
            connection.wait(interval)

    return send_pieces


def answer(reply: Reply) -> Step:
    def send_reply(connection: Connection) -> None:
        connection.wait(reply.delay)
        if reply.ending in ("keep", "close"):
            connection.link.sendall(reply.frame(connection.purchase))
        if reply.ending != "keep":
            connection.close()

    return send_reply
