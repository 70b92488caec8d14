"""What a fault server can do on a connection, step by step.

A step is a function of the connection: `read_request`, `buy` and the like as they are, or what
`send`, `sleep` and the like return. A script is a sequence of steps; behind its last one the
connection is closed.
"""

from collections.abc import Callable, Sequence

from ground.replies import Reply
from ground.wire import Connection

Step = Callable[[Connection], None]
Script = Sequence[Step]


def read_head(connection: Connection) -> None:
    """Begin the next request: read up to the empty line."""
    connection.read_head()


def read_body(count: int | None = None) -> Step:
    """Read so many bytes more of the body; without a count, the rest."""
    return lambda connection: connection.read_body(count)


def read_request(connection: Connection) -> None:
    """Read the next request to its end."""
    connection.read_head()
    connection.read_body()


def buy(connection: Connection) -> None:
    """Create a task from the request as far as it was read."""
    connection.buy()


def drain(connection: Connection) -> None:
    """Read and forget until the client leaves.

    Behind an early answer: closing on unread bytes sends RST, which can overtake the answer.
    """
    connection.drain()


def hold(connection: Connection) -> None:
    """Keep the connection open and silent until the server releases it."""
    connection.hold()


def reset(connection: Connection) -> None:
    """End the connection with RST; the script goes on without it."""
    connection.close(reset=True)


def close(connection: Connection) -> None:
    """End the connection in order; the script goes on without it."""
    connection.close()


def serve(connection: Connection) -> None:
    """Leave the rest of the connection to the service."""
    connection.serve()


def send(data: bytes) -> Step:
    """Send bytes as they are."""
    return lambda connection: connection.send(data)


def sleep(seconds: float) -> Step:
    """Let so many seconds pass."""
    return lambda connection: connection.wait(seconds)


def trickle(data: bytes, *, interval: float, size: int = 1) -> Step:
    """Send bytes in pieces of this size, so many seconds apart."""

    def send_pieces(connection: Connection) -> None:
        for start in range(0, len(data), size):
            connection.send(data[start : start + size])
            connection.wait(interval)

    return send_pieces


def answer(reply: Reply) -> Step:
    """Send an answer, correctly framed; its `json` may be a function of the purchase."""

    def send_reply(connection: Connection) -> None:
        connection.wait(reply.delay)
        if reply.ending in ("keep", "close"):
            method = connection.request.method
            connection.send(reply.frame(connection.purchase, method=method))
        if reply.ending != "keep":
            connection.close(reset=reply.ending == "reset")

    return send_reply
