"""Why no reply came, in our own words: a library's may quote what was sent, the token included."""

import socket
import ssl
from urllib.parse import urlsplit

import httpx

from kling_cli.text import clean

_Kinds = tuple[type[BaseException], ...]

# The first kind that is found among the causes decides.
_WITH_HOST: tuple[tuple[_Kinds, str], ...] = (
    ((ssl.SSLError,), "no TLS connection with {host}"),
    ((httpx.ProxyError,), "the proxy refused the way to {host}"),
)
_WITH_PEER: tuple[tuple[_Kinds, str], ...] = (
    ((socket.gaierror, UnicodeError), "cannot resolve {peer}"),
    ((httpx.TimeoutException, TimeoutError), "{peer} did not answer in time"),
    ((ConnectionRefusedError,), "{peer} refused the connection"),
    ((httpx.ConnectError,), "cannot connect to {peer}"),
    ((httpx.ProtocolError,), "{peer} broke off or sent no proper HTTP"),
)


def name_host(url: str) -> str:
    """Name the host of a URL, as it can be shown."""
    try:
        return clean(urlsplit(url).hostname or "")
    except ValueError:
        return "an address that cannot be read"


def tell(error: BaseException, *, host: str, peer: str) -> str:
    """Tell why an exchange failed.

    Args:
        error: what the library raised.
        host: whom the request is for.
        peer: whom the connection was made to: another host than that is a proxy.
    """
    causes = _unwind(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {host} was not accepted ({clean(cause.verify_message)}); "
                "SSL_CERT_FILE can name the authorities to trust, and a wrong clock can cause it"
            )
    named = peer if peer == host else f"the proxy {peer}"
    for kinds, words in _WITH_HOST + _WITH_PEER:
        if any(isinstance(cause, kinds) for cause in causes):
            return words.format(host=host, peer=named)
    return f"the connection to {named} broke"


def _unwind(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    link: BaseException | None = error
    while link is not None:
        causes.append(link)
        link = link.__cause__ or link.__context__
    return causes
