"""Whether a request has left this machine is proven by the connection, over real sockets."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from exchanges import ENDLESS, FINE, HEAD, LARGE, fail_to_post, look, post
from ground import tls
from ground.fault_server import FaultServer
from ground.replies import Reply as Answer
from ground.steps import (
    Script,
    answer,
    close,
    drain,
    hold,
    read_body,
    read_head,
    read_request,
    reset,
    send,
    trickle,
)
from ground.wire import Connection

from kling_cli.errors import LocalError
from kling_cli.transport.exchange import ExchangeError, Transport


@pytest.fixture
def transport() -> Iterator[Transport]:
    """A transport that gives up connecting soon."""
    with closing(Transport(environ={}, connect_seconds=0.3)) as made:
        yield made


def test_a_refused_connection_is_not_sent(transport: Transport) -> None:
    """Where nobody listens, nothing was sent (fault 2)."""
    with FaultServer() as server:
        pass
    told = fail_to_post(transport, server.url)
    assert told == ("127.0.0.1 refused the connection", False, 0)


def test_an_unknown_host_is_not_sent(transport: Transport) -> None:
    """A name that does not resolve is told as such (fault 1)."""
    told = fail_to_post(transport, "https://nowhere.invalid/x")
    assert told == ("cannot resolve nowhere.invalid", False, 0)


@pytest.mark.parametrize("url", ["http://[::1", "http://h:99999/", "http://" + "a" * 70 + ".org/"])
def test_an_address_that_cannot_be_read_is_not_sent(transport: Transport, url: str) -> None:
    """No odd address becomes a fault of ours."""
    _, sent, steps = fail_to_post(transport, url)
    assert (sent, steps) == (False, 0)


def test_a_silent_address_is_not_sent(transport: Transport) -> None:
    """Where no connection comes about in time, nothing was sent (fault 4)."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        address = deaf.getsockname()
        with socket.create_connection(address):  # it fills the queue that nobody empties
            told = fail_to_post(transport, f"http://127.0.0.1:{address[1]}/")
    assert told == ("127.0.0.1 did not answer in time", False, 0)


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ("expired", "expired"),
        ("wrong host", "not valid for '127.0.0.1'"),
        ("unknown authority", "unable to get local issuer certificate"),
    ],
)
def test_a_bad_certificate_is_not_sent(flaw: tls.Flaw, words: str, tmp_path: Path) -> None:
    """The reason is named, and the variable that could mend it (faults 3, 119)."""
    environ = {"SSL_CERT_FILE": str(tls.write_authority(tmp_path))}
    with FaultServer(tls=tls.make_context(flaw)) as server:
        reason, sent, steps = fail_to_post(Transport(environ=environ), server.url)
    assert (sent, steps) == (False, 0)
    assert words in reason
    assert "SSL_CERT_FILE" in reason
    assert "clock" in reason


def test_a_slow_handshake_is_not_sent(transport: Transport) -> None:
    """A server that never ends its handshake costs no more than the connect time (fault 109)."""
    started = time.monotonic()
    with FaultServer((hold,)) as server:
        told = fail_to_post(transport, server.url.replace("http:", "https:"))
    assert told[1:] == (False, 0)
    assert "did not answer in time" in told[0]
    assert time.monotonic() - started < 8


def test_a_server_without_tls_is_not_sent() -> None:
    """Plain HTTP where TLS was expected ends before anything is sent."""
    transport = Transport(environ={})
    with FaultServer((send(b"HTTP/1.1 200 OK\r\n\r\n"), drain)) as server:
        told = fail_to_post(transport, server.url.replace("http:", "https:"))
    assert told == ("no TLS connection with 127.0.0.1", False, 0)


@pytest.mark.parametrize("status", [407, 502])
def test_a_proxy_that_refuses_is_not_sent(
    transport: Transport, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal of a proxy shows neither the token nor the proxy's password (fault 5)."""
    with FaultServer((read_head, answer(Answer(status=status)))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:hush@127.0.0.1:{proxy.port}")
        told = fail_to_post(transport, "https://service.example/x?secret=1")
        assert told == ("the proxy refused the way to service.example", False, 0)
        (request,) = proxy.requests
    assert request.method == "CONNECT"
    assert request.token is None


def test_a_dead_proxy_is_told_from_the_service(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is the proxy that refuses the connection, the words say so."""
    with FaultServer() as proxy:
        pass
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    told = fail_to_post(transport, "https://service.example/x")
    assert told == ("the proxy 127.0.0.1 refused the connection", False, 0)


@pytest.mark.parametrize("error", [LocalError("x", "y"), OSError("disk"), ValueError("odd")])
def test_a_step_that_fails_lets_no_byte_out(transport: Transport, error: Exception) -> None:
    """Where the claim cannot be written, its error comes out and nothing was sent (section 13)."""
    arrived: list[bytes] = []

    def listen(connection: Connection) -> None:
        arrived.append(connection.link.recv(1))

    def refuse() -> None:
        raise error

    with FaultServer((listen,), (read_request, answer(FINE))) as server:
        with pytest.raises(type(error)) as caught:
            post(transport, server.url, step=refuse)
        assert post(transport, server.url).status == 200
    assert caught.value is error
    assert arrived == [b""]


LOST: Mapping[str, Script] = {
    "reset behind the head": (read_head, reset),
    "reset in the upload": (read_head, read_body(1000), reset),
    "reset behind the upload": (read_request, reset),
    "closed without a reply": (read_request, close),
    "cut off body": (read_request, send(HEAD + b'Content-Length: 99\r\n\r\n{"code"'), close),
    "cut off chunk": (read_request, send(ENDLESS + b'40\r\n{"code"'), close),
    "cut off head": (read_request, send(HEAD), close),
    "no HTTP": (read_request, send(b"220 mail.example ESMTP\r\n"), close),
    "two lengths": (read_request, send(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n")),
    "a header of 300 kB": (read_request, send(HEAD + b"X: " + b"x" * 300_000 + b"\r\n\r\n")),
    "100000 headers": (read_request, send(HEAD + b"X-A: b\r\n" * 100_000 + b"\r\n")),
}


@pytest.mark.parametrize("script", LOST.values(), ids=LOST.keys())
def test_a_lost_reply_is_sent(transport: Transport, script: Script) -> None:
    """Whatever happens behind the first byte, the service may know of it (faults 6, 7, 33, 106)."""
    with FaultServer(script) as server:
        _, sent, steps = fail_to_post(transport, server.url, LARGE)
    assert (sent, steps) == (True, 1)


TRICKLES: Mapping[str, Script] = {
    "silence": (hold,),
    "a body": (send(HEAD + b"Content-Length: 99\r\n\r\n"), trickle(b" " * 99, interval=0.05)),
    "a head": (trickle(HEAD + b"X: " + b"x" * 99, interval=0.05),),
    "chunks": (send(ENDLESS), trickle(b"1\r\n \r\n" * 99, interval=0.05, size=6)),
    "interim answers": (trickle(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 99, interval=0.05, size=28),),
}


@pytest.mark.parametrize("script", TRICKLES.values(), ids=TRICKLES.keys())
@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
def test_the_deadline_counts_for_the_whole_exchange(
    script: Script, tmp_path: Path, *, is_secure: bool
) -> None:
    """An answer that trickles past every single read still ends in time (fault 15)."""
    environ = {"SSL_CERT_FILE": str(tls.write_authority(tmp_path))} if is_secure else {}
    context = tls.make_context() if is_secure else None
    started = time.monotonic()
    with (
        FaultServer((read_request, *script), tls=context) as server,
        closing(Transport(environ=environ)) as transport,
        pytest.raises(ExchangeError) as caught,
    ):
        post(transport, server.url, seconds=0.25)
    assert 0.2 < time.monotonic() - started < 4
    assert caught.value.sent
    assert caught.value.reason == "no full answer came in time"


def test_the_deadline_counts_on_a_kept_connection(transport: Transport) -> None:
    """The second look over one connection is watched as the first one is."""
    script = (read_request, answer(FINE), read_request, hold)
    with FaultServer(script) as server:
        look(transport, server.url)
        with pytest.raises(ExchangeError, match="in time"):
            look(transport, server.url, seconds=0.3)
