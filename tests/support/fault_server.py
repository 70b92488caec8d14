"""A raw socket server, scripted byte by byte, that simulates network faults."""

import contextlib
import socket
import ssl
import threading
from collections import deque
from typing import Self

from support.loopback import report
from support.service import LoopbackService
from support.shop import Purchase, Rules, Shop
from support.steps import Script, serve
from support.wire import Connection, Received, StoppedError

# How often the accepting thread checks whether to stop, in seconds.
_STOP_INTERVAL = 0.02
_PATIENCE = 5.0
_BACKLOG = 256


class FaultServer:
    """Play one script on each accepted connection, in order of arrival, as a context manager.

    At the end of the context it raises AssertionError if a script was not used, a connection had no
    script, or a complete request violated the OpenAPI document.
    """

    def __init__(
        self,
        *scripts: Script,
        service: LoopbackService | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.service = service
        self.shop = service.shop if service is not None else Shop(Rules())
        self.breaches: list[str] = []
        self.failed_handshakes = 0
        self.stopping = threading.Event()
        self.released = threading.Event()
        self.held = threading.Event()
        self._tls = tls
        self._scripts = deque(scripts)
        self._open: list[Connection] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        # Still available after the end, for clients that find no server.
        self.port: int = self._listener.getsockname()[1]
        self._listener.settimeout(_STOP_INTERVAL)
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self.stopping.set()
        self.released.set()
        self._accepting.join()
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):  # most are closed already
                connection.link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE)
        if self._scripts:
            self.breaches.append(f"scripts left unused: {len(self._scripts)}")
        report(self.breaches, error)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/kling"

    @property
    def connections(self) -> int:
        return len(self._open)

    @property
    def ledger(self) -> list[Purchase]:
        return self.shop.ledger

    @property
    def requests(self) -> list[Received]:
        return [request for connection in self._open for request in connection.requests]

    def release(self) -> None:
        self.released.set()

    def wait_until_held(self) -> None:
        assert self.held.wait(_PATIENCE), "no connection came to be held"

    def _accept(self) -> None:
        while not self.stopping.is_set():
            with contextlib.suppress(TimeoutError):
                link, _ = self._listener.accept()
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = Connection(link, self)
                self._open.append(connection)
                # Only here is the order of connections known before the handshake.
                script = None if self._tls else self._take_script()
                thread = threading.Thread(target=self._play, args=(connection, script), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _take_script(self) -> Script:
        with contextlib.suppress(IndexError):
            return self._scripts.popleft()
        if self.service is not None:
            return (serve,)
        self.breaches.append("a connection came for which there was no script")
        return ()

    def _play(self, connection: Connection, script: Script | None) -> None:
        try:
            if self._tls is not None and not self._shake_hands(connection, self._tls):
                return
            for step in self._take_script() if script is None else script:
                step(connection)
        except (OSError, StoppedError):
            pass  # the client left, or the test is over
        except Exception as error:
            self.breaches.append(f"a script failed: {error!r}")
        finally:
            connection.close()

    def _shake_hands(self, connection: Connection, tls: ssl.SSLContext) -> bool:
        try:
            connection.link = tls.wrap_socket(connection.link, server_side=True)
        except OSError:
            self.failed_handshakes += 1
            return False
        return True
