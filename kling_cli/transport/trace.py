"""One exchange followed on its connection: to whom it goes, and whether it has left."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kling_cli.text import clean
from kling_cli.transport.deadline import Deadline

if TYPE_CHECKING:
    import socket


class Trace:
    """Listen to what the library tells of the connection while it works.

    Args:
        host: whom the request is for.
        deadline: watches the connection, and starts at the latest when all is sent.
        before_first_byte: called when nothing has left yet; what it raises stops the request.

    Attributes:
        peer: whom the connection was made to; another than the host is a proxy.
        sent: whether any byte of the request may have left.
        socket: of the connection, if one was made.
    """

    def __init__(
        self, *, host: str, deadline: Deadline, before_first_byte: Callable[[], None]
    ) -> None:
        self.peer = host
        self.sent = False
        self.socket: socket.socket | None = None
        self._deadline = deadline
        self._before_first_byte = before_first_byte

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of one event; the library names it, and tells what belongs to it."""
        # Behind the first dot, because the protocol's version stands before it.
        _, _, step = event.partition(".")
        if step == "connect_tcp.started":
            self.peer = clean(info["host"])
        elif step in {"connect_tcp.complete", "start_tls.complete"}:
            self.socket = info["return_value"].get_extra_info("socket")
            self._deadline.watch(self.socket)
        elif "request" in info and info["request"].method == b"CONNECT":
            pass  # a proxy's tunnel is a request too, but not ours
        elif step == "send_request_headers.started":
            self.start()
        # The body is behind us, also where the other side has stopped reading it.
        elif step == "receive_response_headers.started":
            self._deadline.start()

    def start(self) -> None:
        """Take the step behind which nobody can say that nothing was sent."""
        self._before_first_byte()
        self.sent = True
