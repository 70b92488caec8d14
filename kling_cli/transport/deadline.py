"""One deadline for a whole exchange.

The time-outs of an HTTP library count each read anew: an answer that trickles in byte by byte
passes them all. So the socket is shut from outside when the time is over.
"""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Deadline:
    """Shut the watched socket so many seconds after the start unless the block ends before.

    Args:
        seconds: from the start; None is never.
    """

    def __init__(self, seconds: float | None) -> None:
        self.expired = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None
        if seconds is not None:
            self._timer = threading.Timer(seconds, self._expire)
            self._timer.daemon = True

    def __enter__(self) -> Self:
        return self

    def start(self) -> None:
        """Let the time run, unless it does already."""
        if self._timer is not None and self._timer.ident is None:
            self._timer.start()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._socket = None

    def watch(self, watched: socket.socket | None) -> None:
        """Name the socket that the exchange goes over; None while there is none yet."""
        with self._lock:
            self._socket = watched
        if self.expired:
            self._shut()

    def _expire(self) -> None:
        self.expired = True
        self._shut()

    def _shut(self) -> None:
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):
                    # An SSLSocket's own method forgets the TLS state that a read still uses.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
