"""HTTP requests; the only user of httpx.

No redirects with a token, no cookies, no content encoding, at most 1 MiB per response, and one
deadline for the whole exchange. Whether a request was sent is known from the connection itself,
never guessed from the kind of an error.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from kling_cli import __version__
from kling_cli.api.parse import decode_json, hide_secret
from kling_cli.errors import SetupError
from kling_cli.text import clean, without_query

if TYPE_CHECKING:
    import ssl
    from wsgiref.types import WSGIApplication

    import httpx

_CONNECT_SECONDS = 10.0
# From the last byte of a submission to the end of its response, and for each read or write.
_ANSWER_SECONDS = 120.0
# Longer than any pause between two checks, so that one connection lasts for a whole wait.
_KEEPALIVE_SECONDS = 150.0
_MAX_BYTES = 1024 * 1024
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

# By the class of an error or one of its causes; the first match decides.
_REASONS = {
    "SSLCertVerificationError": "the certificate of {host} is not trusted ({detail})",
    "SSLError": "the TLS connection to {host} failed",
    "ProxyError": "{peer} refused to connect to {host} ({detail})",
    "gaierror": "cannot resolve {peer}",
    "TimeoutException": "{peer} did not respond in time",
    "ConnectionRefusedError": "{peer} refused the connection",
    "ConnectError": "cannot connect to {peer}",
    "TooManyRedirects": "{host} redirects too many times",
    "ProtocolError": "{peer} closed the connection or sent invalid HTTP",
    "Exception": "the connection to {peer} was lost",
}

_Result = TypeVar("_Result")
# Receives status, headers and pieces of a response, and need not read to the end.
Read = Callable[[int, Mapping[str, str], Iterator[bytes]], _Result]


class Reply(NamedTuple):
    """A response: its decoded JSON (None if invalid) and the beginning of its text.

    `retry_after` is in seconds and not capped yet; `location` is the host of a redirect.
    """

    status: int
    body: object = None
    text: str = ""
    retry_after: float | None = None
    location: str | None = None


class ExchangeError(Exception):
    """There was no usable response.

    `sent` tells whether any byte of the request may have been sent. A `hint` says what the user has
    to change, because another try would fail in the same way.
    """

    def __init__(self, reason: str, *, sent: bool = True, hint: str = "") -> None:
        super().__init__(reason)
        self.sent = sent
        self.hint = hint


@dataclass(kw_only=True, eq=False)
class Transport:
    """A connection to one service, kept between requests; for one thread at a time.

    Each request raises ExchangeError if there is no usable response in time, and SetupError if a
    proxy or certificate variable is invalid. Exceptions of callbacks pass unchanged.

    Args:
        log: receives one line per request, never a header or a body.
        application: a WSGI application to call instead of the network (the sandbox).
    """

    log: Callable[[str], None] = lambda _line: None
    application: "WSGIApplication | None" = None
    _client: "httpx.Client | None" = field(default=None, init=False)
    _socket: socket.socket | None = field(default=None, init=False)

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
        self._client = self._socket = None

    def fetch(
        self,
        url: str,
        headers: Mapping[str, str],
        read: Read[_Result],
        seconds: float | None,
        body: Iterable[bytes] | None = None,
        before_first_byte: Callable[[], None] = lambda: None,
    ) -> _Result:
        """Make one request, and return the result of `read` for its response.

        Args:
            url: the URL.
            headers: with the exact Content-Length, if there is a body.
            read: reads the response.
            seconds: the limit for the whole request; None means only 120 s without a byte. With a
                body it is always 120 s from its last byte on.
            body: must not be sent twice; without a body it is a GET request.
            before_first_byte: called before anything is sent; an exception stops the request.
        """
        import httpx

        if body is not None:
            # An idle connection may be dead without notice, and then it would be unknown whether
            # the request arrived.
            self.close()
            seconds = _ANSWER_SECONDS
        has_token = "Authorization" in headers
        if self._client is None:
            self._client = self._open_client(is_secure=url.startswith("https:") or not has_token)
        method = "GET" if body is None else "POST"
        exchange = _Exchange(_parse_host(url) or "", self._socket, seconds, before_first_byte)
        connect_seconds = min(_CONNECT_SECONDS, seconds or _CONNECT_SECONDS)
        if body is None:
            exchange.start_timer()
        end = "stopped"
        try:
            if self.application is not None:
                exchange.begin()  # there is no connection to report it
            with self._client.stream(
                method,
                url,
                headers=headers,
                content=body,
                timeout=httpx.Timeout(_ANSWER_SECONDS, connect=connect_seconds),
                follow_redirects=not has_token,
                extensions={"trace": exchange.trace},
            ) as response:
                end = f"HTTP {response.status_code}"
                return read(response.status_code, response.headers, response.iter_raw())
        # The last one is a response that the sandbox has lost; network errors are httpx's own.
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, ConnectionResetError) as error:
            self.close()
            failure = _explain(error, exchange)
            end = str(failure)
            raise failure from None
        finally:
            if exchange.timer is not None:
                exchange.timer.cancel()
            self._socket = exchange.socket
            self.log(f"{method} {without_query(url)}: {end}")

    def _open_client(self, *, is_secure: bool) -> "httpx.Client":
        import http.cookiejar
        import ssl

        import httpx

        no_cookies = http.cookiejar.DefaultCookiePolicy(allowed_domains=[])
        # Load the authorities only if needed: it is slow. Without them no server is trusted.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if is_secure:
                context = _make_tls_context(*map(os.environ.get, _CERTIFICATES))
            return httpx.Client(
                verify=context,
                transport=self.application and httpx.WSGITransport(app=self.application),
                # Without TLS a proxy would read the token.
                trust_env=is_secure,
                headers={"Accept-Encoding": "identity", "User-Agent": f"kling-cli/{__version__}"},
                cookies=http.cookiejar.CookieJar(no_cookies),
                max_redirects=5,
                limits=httpx.Limits(keepalive_expiry=_KEEPALIVE_SECONDS),
            )
        except (httpx.InvalidURL, ImportError, OSError, ValueError):
            names = _list_variables(*_PROXIES, "NO_PROXY", *_CERTIFICATES)
            message = f"Invalid proxy or certificate settings: {names}. Nothing was sent."
            hint = "A proxy must be http://host:port (no SOCKS), NO_PROXY a comma-separated list "
            hint += "of hosts, SSL_CERT_FILE a PEM file. Fix or unset the variable."
            raise SetupError("environment_invalid", message, hint=hint) from None


@dataclass
class _Exchange:
    """The state of one request, as its connection shows it.

    The timeouts of httpx start again with each read, so a response that trickles in byte by byte
    never exceeds them. Therefore a timer shuts down the socket.

    `peer` is the host of the connection; if it is not the request's host, it is a proxy. `sent`
    tells whether any byte may have been sent, `expired` whether the time was over.
    """

    host: str
    socket: socket.socket | None
    seconds: float | None
    before_first_byte: Callable[[], None]
    peer: str = ""
    sent: bool = False
    expired: bool = False
    timer: threading.Timer | None = None

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Handle one event of httpx."""
        # Without the part before the first dot, which has the protocol version.
        step = event.partition(".")[2]
        if step == "connect_tcp.started":
            self.peer = clean(info["host"])
        elif step in {"connect_tcp.complete", "start_tls.complete"}:
            self.socket = info["return_value"].get_extra_info("socket")
            if self.expired:
                self.expire()
        elif "request" in info and info["request"].method == b"CONNECT":
            return  # the request for a proxy's tunnel is not ours
        elif step == "send_request_headers.started":
            self.begin()
        # By now the body is sent, even if the other side has stopped reading it.
        elif step == "receive_response_headers.started":
            self.start_timer()

    def begin(self) -> None:
        """Record that from now on something may have been sent."""
        self.before_first_byte()
        self.sent = True

    def start_timer(self) -> None:
        """Start the timer, unless it is running."""
        if self.seconds is not None and self.timer is None:
            self.timer = threading.Timer(self.seconds, self.expire)
            self.timer.daemon = True
            self.timer.start()

    def expire(self) -> None:
        """End a read or a handshake."""
        self.expired = True
        if self.socket is not None:
            with suppress(OSError):
                # SSLSocket.shutdown would drop the TLS state that a read still uses.
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


def _explain(error: Exception, exchange: _Exchange) -> ExchangeError:
    """Describe a failure in our own words; those of a library may quote the token."""
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    kinds = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    words = next(words for name, words in _REASONS.items() if name in kinds)
    if exchange.expired:
        words = _REASONS["TimeoutException"]
    hint, detail, peer = "", "", exchange.peer or exchange.host
    variables = _list_variables(*_PROXIES)
    if peer != exchange.host:
        peer = f"the proxy {peer} ({variables})"
    if "SSLCertVerificationError" in kinds:
        detail = clean("".join(getattr(cause, "verify_message", "") for cause in causes))
        hint = "Set SSL_CERT_FILE to the authorities to trust, and check your clock."
    elif "ProxyError" in kinds:
        detail = str(error)[:3]
        if detail == "407":
            detail += ": it requires a user name and password"
            hint = f"Set {variables} to http://USER:PASSWORD@HOST:PORT."
    reason = words.format(host=exchange.host, peer=peer, detail=detail)
    return ExchangeError(reason, sent=exchange.sent, hint=hint)


def _list_variables(*names: str) -> str:
    """List the variables that are set, never their values, which may contain passwords."""
    named = [name for each in names for name in (each, each.lower()) if os.environ.get(name)]
    return " or ".join(named) or "the system's settings"


def _parse_retry_after(text: str) -> float | None:
    """Parse a Retry-After: seconds, or a date (RFC 9110, section 10.2.3); else None."""
    from email.utils import parsedate_to_datetime

    if text.isdecimal():
        return float(text)
    with suppress(ValueError, OverflowError):
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    return None


def read_reply(
    secret: str, status: int, headers: Mapping[str, str], pieces: Iterator[bytes]
) -> Reply:
    """Read a response, and hide the secret if it is quoted."""
    content = b""
    # Some gateways compress despite `identity`, and a few kB can expand to gigabytes.
    if headers.get("Content-Encoding", "identity").lower() == "identity":
        for piece in pieces:
            content += piece
            if len(content) > _MAX_BYTES:
                content = b""
                break
    # Hide the token before cutting the text, or its beginning could remain at the end. Invalid
    # UTF-8 becomes escapes that are not valid JSON.
    text = hide_secret(content.decode("utf-8", "backslashreplace"), secret)
    body: object = None
    with suppress(ValueError):
        body = decode_json(text)
    target = headers.get("Location", "") if 300 <= status < 400 else ""
    return Reply(
        status=status,
        body=body,
        text=clean(text),
        retry_after=_parse_retry_after(headers.get("Retry-After", "")),
        location=_parse_host(hide_secret(target, secret)),
    )


def _parse_host(url: str) -> str | None:
    try:
        return clean(urlsplit(url).hostname or "") or None
    except ValueError:
        return None


@cache
def _make_tls_context(*_variables: str | None) -> "ssl.SSLContext":
    """Load the authorities, once per value of the variables, which httpx reads itself."""
    import httpx

    return httpx.create_ssl_context()
