"""One HTTP exchange done well; the only user of httpx.

No redirects, no cookies, no content encoding, at most 1 MiB of answer, one deadline for the whole
exchange. Whether a request has left this machine is told by the connection itself, never guessed
from the kind of an error.
"""

import http.cookiejar
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import httpx

from kling_cli import __version__
from kling_cli.text import without_query
from kling_cli.transport.deadline import Deadline
from kling_cli.transport.failure import name_host, tell
from kling_cli.transport.proxies import blame_proxy
from kling_cli.transport.reply import Reply, read
from kling_cli.transport.tls import distrust, trust
from kling_cli.transport.trace import Trace

if TYPE_CHECKING:
    import socket
    from wsgiref.types import WSGIApplication

_CONNECT_SECONDS = 10.0
_STILL_SECONDS = 120.0
# Above the longest pause between two looks, so that one connection lasts a whole wait.
_KEEPALIVE_SECONDS = 150.0

_Taken = TypeVar("_Taken")
# Given the status, the headers and the pieces of an answer; it need not read to the end.
Take = Callable[[int, Mapping[str, str], Iterator[bytes]], _Taken]


class Body(Protocol):
    """A request's body: its exact length in bytes, and its pieces in order."""

    @property
    def length(self) -> int:
        """Tell the length in bytes."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Give the pieces."""
        ...


class _OwnError(Exception):
    """An error of the caller's own function, on its way out through the library."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class ExchangeError(Exception):
    """No usable reply came; `sent` tells whether any byte of the request may have left."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Transport:
    """A connection to one service, kept alive between exchanges; for one thread at a time.

    Args:
        application: a WSGI application that takes the place of the network (the sandbox).
        environ: where proxy and certificate variables are looked up.
        log: told one line for each exchange, never a header or a body.
        connect_seconds: the longest to wait for a connection, and again for its TLS.
    """

    def __init__(
        self,
        *,
        application: "WSGIApplication | None" = None,
        environ: Mapping[str, str] = os.environ,
        log: Callable[[str], None] | None = None,
        connect_seconds: float = _CONNECT_SECONDS,
    ) -> None:
        self._application = application
        self._environ = environ
        self._log = log
        self._connect_seconds = connect_seconds
        self._client: httpx.Client | None = None
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
        self._client = self._socket = None

    def look(self, url: str, *, headers: Mapping[str, str], seconds: float) -> Reply:
        """Ask for what is there; may be repeated at will.

        Raises:
            ExchangeError: no usable reply within so many seconds.
        """
        take = _read_reply_to(headers)
        return self._exchange("GET", url, headers=headers, seconds=seconds, take=take)

    def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Body,
        before_first_byte: Callable[[], None],
        seconds: float,
    ) -> Reply:
        """Send something that must not be sent twice, over a connection of its own.

        A connection that sat idle may be dead without a sign, and then nobody could tell whether
        the request arrived. An error raised by `before_first_byte` comes out of here unchanged, and
        no byte has left.

        Raises:
            ExchangeError: no usable reply within so many seconds.
        """
        self.close()
        return self._exchange(
            "POST",
            url,
            headers={**headers, "Content-Length": str(body.length)},
            seconds=seconds,
            take=_read_reply_to(headers),
            body=body,
            before_first_byte=before_first_byte,
        )

    def fetch(
        self, url: str, *, headers: Mapping[str, str], take: Take[_Taken], seconds: float
    ) -> _Taken:
        """Ask another host than the service, over a connection of its own, for what `take` reads.

        An error raised by `take` comes out of here unchanged.

        Raises:
            ExchangeError: nothing usable came within so many seconds.
        """
        self.close()
        try:
            return self._exchange("GET", url, headers=headers, seconds=seconds, take=take)
        finally:
            self.close()

    def _exchange(  # noqa: PLR0913 - the parts of one HTTP exchange
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        seconds: float,
        take: Take[_Taken],
        body: Body | None = None,
        before_first_byte: Callable[[], None] = lambda: None,
    ) -> _Taken:
        client = self._open(url, headers)
        host = name_host(url)
        about = f"{method} {without_query(url)}"
        with Deadline(seconds) as deadline:
            deadline.watch(self._socket)
            trace = Trace(
                host=host,
                deadline=deadline,
                before_first_byte=partial(_run_own, before_first_byte),
            )
            try:
                if self._application is not None:
                    trace.start()  # no connection, so no event will tell it
                with client.stream(
                    method, url, headers=headers, content=body, extensions={"trace": trace}
                ) as response:
                    status = response.status_code
                    taken = _run_own(partial(take, status, response.headers, response.iter_raw()))
            except _OwnError as own:
                self.close()
                raise own.error from None
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                self.close()
                reason = tell(error, host=host, peer=trace.peer)
                if deadline.expired:
                    reason = "no full answer came in time"
                self._note(f"{about}: {reason}")
                raise ExchangeError(reason, sent=trace.sent) from None
            self._socket = trace.socket or self._socket
        self._note(f"{about}: HTTP {status}")
        return taken

    def _note(self, line: str) -> None:
        if self._log is not None:
            self._log(line)

    def _open(self, url: str, headers: Mapping[str, str]) -> httpx.Client:
        if self._client is not None:
            return self._client
        secure = self._application is None and url.startswith("https:")
        context = trust(self._environ) if secure else distrust()
        in_process = self._application and httpx.WSGITransport(app=self._application)
        no_cookies = http.cookiejar.DefaultCookiePolicy(allowed_domains=[])
        try:
            self._client = httpx.Client(
                verify=context,
                transport=in_process,
                # Without TLS a proxy would read the token.
                trust_env=secure or "Authorization" not in headers,
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "User-Agent": f"kling-cli/{__version__}",
                },
                cookies=http.cookiejar.CookieJar(no_cookies),
                timeout=httpx.Timeout(_STILL_SECONDS, connect=self._connect_seconds),
                limits=httpx.Limits(keepalive_expiry=_KEEPALIVE_SECONDS),
            )
        except (httpx.InvalidURL, ImportError, ValueError):
            raise blame_proxy(self._environ) from None
        return self._client


def _read_reply_to(headers: Mapping[str, str]) -> Take[Reply]:
    """Make the reader of an answer, which hides the token if the answer quotes it."""
    return partial(read, secret=headers.get("Authorization", "").removeprefix("Bearer "))


def _run_own(function: Callable[[], _Taken]) -> _Taken:
    """Run a function of the caller so that its errors are not taken for the network's."""
    try:
        return function()
    except httpx.HTTPError:
        raise  # from the pieces that it was reading
    except Exception as error:  # noqa: BLE001 - none is swallowed
        raise _OwnError(error) from None
