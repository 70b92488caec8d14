"""Why no reply came is told in our own words, which quote nothing that was sent."""

import socket
import ssl

import httpx
import pytest

from kling_cli.transport.failure import name_host, tell

SECRET = "sk-test-0123456789abcdef"  # noqa: S105 - of no service


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (socket.gaierror(-2, SECRET), "cannot resolve the proxy p"),
        (UnicodeError(SECRET), "cannot resolve the proxy p"),
        (ConnectionRefusedError(SECRET), "the proxy p refused the connection"),
        (httpx.ConnectTimeout(SECRET), "the proxy p did not answer in time"),
        (OSError(113, SECRET), "cannot connect to the proxy p"),
        (httpx.ProxyError(SECRET), "the proxy refused the way to h"),
        (ssl.SSLError(1, SECRET), "no TLS connection with h"),
    ],
    ids=repr,
)
def test_the_innermost_cause_is_told(cause: Exception, words: str) -> None:
    """A cause is found below the library's own errors, and its text is left out (fault 76)."""
    error = httpx.ConnectError(SECRET)
    error.__cause__ = cause
    assert tell(error, host="h", peer="p") == words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.RemoteProtocolError(SECRET), "h broke off or sent no proper HTTP"),
        (httpx.ReadError(SECRET), "the connection to h broke"),
        (ValueError(SECRET), "the connection to h broke"),
    ],
    ids=repr,
)
def test_without_a_proxy_the_host_is_named(error: Exception, words: str) -> None:
    """Whatever breaks, a sentence comes of it."""
    assert tell(error, host="h", peer="h") == words


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://me:secret@H.example:1/x?y", "h.example"),
        ("https://evil\x9b31m.example/", "evil\\x9b31m.example"),
        ("http://[::1", "an address that cannot be read"),
        ("x", ""),
    ],
)
def test_a_host_is_named_as_it_can_be_shown(url: str, host: str) -> None:
    """Nothing else of an address is told."""
    assert name_host(url) == host
