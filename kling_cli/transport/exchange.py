"""One HTTP exchange done well; the only user of httpx.

No redirects, no cookies, no content encoding, at most 1 MiB of answer, one deadline for the whole
exchange. Whether a request has left this machine is told by the connection itself, never guessed
from the kind of an error.
"""

import http.cookiejar
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx

from kling_cli import __version__
from kling_cli.text import clean, without_query
from kling_cli.transport.deadline import Deadline
from kling_cli.transport.proxies import blame_proxy
from kling_cli.transport.reply import Reply, read
from kling_cli.transport.tls import distrust, trust

if TYPE_CHECKING:
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
    """

    def __init__(
        self,
        *,
        application: "WSGIApplication | None" = None,
        environ: Mapping[str, str] = os.environ,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._application = application
        self._environ = environ
        self._log = log
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
        return self._exchange("GET", url, headers=headers, seconds=seconds, take=read)

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
            take=read,
            body=body,
            before_first_byte=before_first_byte,
        )

    def fetch(
        self, url: str, *, headers: Mapping[str, str], take: Take[_Taken], seconds: float
    ) -> _Taken:
        """Ask another host than the service, over a connection of its own, for what `take` reads.

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
        before_first_byte: Callable[[], None] | None = None,
    ) -> _Taken:
        client = self._open(url)
        sent = False

        def start_sending() -> None:
            nonlocal sent
            if before_first_byte is not None:
                before_first_byte()
            sent = True

        with Deadline(seconds) as deadline:
            deadline.watch(self._socket)

            def trace(event: str, info: Mapping[str, Any]) -> None:
                if event.endswith(("connect_tcp.complete", "start_tls.complete")):
                    self._socket = info["return_value"].get_extra_info("socket")
                    deadline.watch(self._socket)
                # A proxy's CONNECT is a request too, but not ours.
                is_ours = event.endswith("send_request_headers.started") and (
                    info["request"].method != b"CONNECT"
                )
                if is_ours:
                    start_sending()

            try:
                if self._application is not None:
                    start_sending()  # no socket, so no trace event will say it
                with client.stream(
                    method, url, headers=headers, content=body, extensions={"trace": trace}
                ) as response:
                    status = response.status_code
                    taken = take(status, response.headers, response.iter_raw())
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                self.close()
                reason = "no full answer came in time" if deadline.expired else _tell(error, url)
                self._note(f"{method} {without_query(url)}: {reason}")
                raise ExchangeError(reason, sent=sent) from None
        self._note(f"{method} {without_query(url)}: HTTP {status}")
        return taken

    def _note(self, line: str) -> None:
        if self._log is not None:
            self._log(line)

    def _open(self, url: str) -> httpx.Client:
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
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "User-Agent": f"kling-cli/{__version__}",
                },
                cookies=http.cookiejar.CookieJar(no_cookies),
                timeout=httpx.Timeout(_STILL_SECONDS, connect=_CONNECT_SECONDS),
                limits=httpx.Limits(keepalive_expiry=_KEEPALIVE_SECONDS),
            )
        except (httpx.InvalidURL, ImportError, ValueError):
            raise blame_proxy(self._environ) from None
        return self._client


def _tell(error: Exception, url: str) -> str:
    """Tell in words why no reply came; the library's own text may quote what was sent."""
    host = clean(urlsplit(url).hostname or "")
    reasons: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
        ((ssl.SSLError,), f"no TLS connection with {host}"),
        ((socket.gaierror, UnicodeError), f"cannot resolve {host}"),
        ((httpx.ProxyError,), f"the proxy refused the way to {host}"),
        ((httpx.TimeoutException, TimeoutError), f"{host} did not answer in time"),
        ((ConnectionRefusedError,), f"{host} refused the connection"),
        ((httpx.ConnectError,), f"cannot connect to {host}"),
        ((httpx.ProtocolError,), f"{host} broke off or sent no proper HTTP"),
    )
    causes = _unwind(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {host} was not accepted ({clean(cause.verify_message)}); "
                "SSL_CERT_FILE can name further authorities, and a wrong clock can cause it too"
            )
    for kinds, reason in reasons:
        if any(isinstance(cause, kinds) for cause in causes):
            return reason
    return f"the connection to {host} broke"


def _unwind(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    link: BaseException | None = error
    while link is not None:
        causes.append(link)
        link = link.__cause__ or link.__context__
    return causes
