"""One exchange over real sockets: what is sent, what came back, over which connection."""

import gzip
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from exchanges import ENDLESS, FINE, HEAD, LARGE, SECRET, fail_to_post, look, post
from ground import tls
from ground.fault_server import FaultServer
from ground.replies import Reply as Answer
from ground.steps import (
    Step,
    answer,
    close,
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


def pour(poured: list[int], piece: bytes) -> Step:
    """Send without end, and count the bytes."""

    def send_on(connection: Connection) -> None:
        while True:
            connection.send(piece)
            poured.append(len(piece))

    return send_on


def shake_hands(connection: Connection) -> None:
    """Go on with TLS, as the server behind a proxy does."""
    connection.link = tls.make_context().wrap_socket(connection.link, server_side=True)


@pytest.mark.parametrize(
    "head",
    [HEAD + b"Content-Length: 10000000000\r\n\r\n", HEAD + b"\r\n", ENDLESS],
    ids=["10 GB", "no length", "endless chunks"],
)
def test_an_endless_body_is_left(transport: Transport, head: bytes) -> None:
    """Not much more than 1 MiB of an answer is taken (fault 104)."""
    poured: list[int] = []
    piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    with FaultServer((read_request, send(head), pour(poured, piece))) as server:
        reply = look(transport, server.url)
    assert not reply.readable
    assert sum(poured) < 16_000_000


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "gzip, identity"])
def test_an_encoded_body_is_refused(transport: Transport, coding: str) -> None:
    """A bomb is not even read, whatever its encoding (fault 105)."""
    bomb = gzip.compress(bytes(10_000_000))
    script = (read_request, answer(Answer(headers={"Content-Encoding": coding}, body=bomb)))
    with FaultServer(script) as server:
        reply = look(transport, server.url)
        (request,) = server.requests
    assert (reply.readable, reply.text) == (False, "")
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [204, 205, 206, 304, 413, 500])
def test_every_status_comes_back(transport: Transport, status: int) -> None:
    """The transport judges no status; whoever knows the service does (fault 31)."""
    with FaultServer((read_request, answer(Answer(status=status)))) as server:
        reply = look(transport, server.url)
    assert (reply.status, reply.readable) == (status, False)


def test_interim_answers_are_passed_over(transport: Transport) -> None:
    """Behind 1xx answers the real one is read (fault 31)."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    with FaultServer((read_request, send(interim), answer(FINE))) as server:
        assert look(transport, server.url).body == {"code": 0}


def test_an_early_answer_is_read_although_the_upload_failed(transport: Transport) -> None:
    """A server that refuses a size in the middle of the upload is heard (fault 23)."""
    early = answer(Answer(status=413, json={"message": "too large"}))
    with FaultServer((read_head, read_body(1000), early, close)) as server:
        reply = post(transport, server.url, LARGE)
        (request,) = server.requests
    assert len(request.body) < len(LARGE)
    assert (reply.status, reply.body) == (413, {"message": "too large"})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(transport: Transport, status: int) -> None:
    """The token comes to no other host; its name is told (faults 26, 107)."""
    with FaultServer() as target:
        moved = Answer(status=status, headers={"Location": f"{target.url}/x?y"})
        with FaultServer((read_request, answer(moved)), (read_request, answer(moved))) as server:
            replies = [look(transport, server.url), post(transport, server.url)]
    assert [reply.status for reply in replies] == [status, status]
    assert [reply.location for reply in replies] == ["127.0.0.1"] * 2
    assert target.connections == 0


def test_cookies_are_never_returned(transport: Transport) -> None:
    """Nothing is sent but what the exchange needs (fault 108)."""
    baked = Answer(json={}, headers={"Set-Cookie": "session=1; Path=/"})
    with FaultServer((read_request, answer(baked)) * 2) as server:
        look(transport, server.url)
        look(transport, server.url)
        _, second = server.requests
    assert sorted(second.headers) == [
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "host",
        "user-agent",
    ]


def test_a_quoted_token_is_hidden(transport: Transport) -> None:
    """A gateway that quotes the token it refuses does not get it into any output (fault 76)."""
    says = f"Invalid token: {SECRET}"
    refused = Answer(status=401, json={"message": says, "list": [{SECRET: says}]})
    with FaultServer((read_request, answer(refused))) as server:
        reply = look(transport, server.url)
    assert SECRET not in repr(reply)
    assert reply.body == {"message": "Invalid token: ***", "list": [{"***": "Invalid token: ***"}]}


def test_every_submission_has_a_fresh_connection(transport: Transport) -> None:
    """A POST never goes out where another exchange went before; looks share one (fault 10)."""
    pair = (read_request, answer(FINE))
    with FaultServer(pair * 3, pair, pair * 3) as server:
        for _ in range(3):
            look(transport, server.url)
        post(transport, server.url)
        post(transport, server.url)
        for _ in range(2):
            look(transport, server.url)
        numbers = [(request.connection, request.method) for request in server.requests]
    assert numbers == [
        *[(1, "GET")] * 3,
        (2, "POST"),
        (3, "POST"),
        *[(3, "GET")] * 2,
    ]


def test_a_stale_connection_costs_at_most_one_look(transport: Transport) -> None:
    """One that the server has closed is made anew; one that breaks is a failed look (fault 10)."""
    pair = (read_request, answer(FINE))
    with FaultServer((*pair, close), (*pair, read_head, reset), pair) as server:
        look(transport, server.url)
        time.sleep(0.05)  # until the FIN is here
        look(transport, server.url)
        with pytest.raises(ExchangeError):
            look(transport, server.url)
        assert look(transport, server.url).status == 200


def test_another_host_is_asked_over_a_connection_of_its_own(transport: Transport) -> None:
    """A fetch leaves no connection behind, and uses none (fault 64)."""
    pair = (read_request, answer(FINE))
    with FaultServer(pair, pair, pair) as server:
        look(transport, server.url)
        for _ in range(2):
            taken = transport.fetch(
                server.url, headers={}, take=lambda status, _h, _p: status, seconds=5
            )
            assert taken == 200
        assert [request.token for request in server.requests] == [SECRET, None, None]


def test_an_error_of_whoever_reads_comes_out_unchanged(transport: Transport) -> None:
    """A full disk while a video is saved is not taken for the network's fault (fault 82)."""
    full = OSError(28, "No space left on device")

    def take(_status: int, _headers: Mapping[str, str], _pieces: Iterator[bytes]) -> None:
        raise full

    with (
        FaultServer((read_request, answer(FINE))) as server,
        pytest.raises(OSError, match="No space") as caught,
    ):
        transport.fetch(server.url, headers={}, take=take, seconds=5)
    assert caught.value is full


def test_standing_still_ends_a_fetch_without_a_deadline(transport: Transport) -> None:
    """A fetch may last, but not without a byte (fault 82)."""
    slow = trickle(b"x" * 20, interval=0.02)
    script = (read_request, send(HEAD + b"Content-Length: 21\r\n\r\n"), slow, hold)
    taken = bytearray()

    def take(_status: int, _headers: Mapping[str, str], pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            taken.extend(piece)

    with FaultServer(script) as server, pytest.raises(ExchangeError, match="did not answer"):
        transport.fetch(server.url, headers={}, take=take, seconds=None, still_seconds=0.2)
    assert taken == b"x" * 20


def test_a_body_that_breaks_off_is_no_error_of_whoever_reads(transport: Transport) -> None:
    """What the network does while the body is read is told as such."""
    script = (read_request, send(HEAD + b"Content-Length: 9\r\n\r\nabc"), close)
    with FaultServer(script) as server, pytest.raises(ExchangeError, match="broke off"):
        transport.fetch(
            server.url, headers={}, take=lambda _s, _h, pieces: b"".join(pieces), seconds=5
        )


def test_the_length_is_told_and_the_bytes_are_the_bodys(transport: Transport) -> None:
    """A body goes out with an exact Content-Length, in no chunks."""
    with FaultServer((read_request, answer(FINE))) as server:
        post(transport, f"{server.url}/x", LARGE)
        (request,) = server.requests
    assert request.length == len(LARGE)
    assert "transfer-encoding" not in request.headers
    assert bytes(request.body) == LARGE


def test_a_tunnel_is_no_step_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy the step is taken when the tunnel stands, and the token stays inside."""
    established = send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    script = (read_head, established, shake_hands, read_request, answer(FINE))
    with FaultServer(script) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        transport = Transport(environ={"SSL_CERT_FILE": str(tls.write_authority(tmp_path))})
        heads: list[int] = []
        with closing(transport):
            post(
                transport,
                "https://localhost/x",
                step=lambda: heads.append(sum(bool(each.head) for each in proxy.requests)),
            )
        tunnel, request = proxy.requests
    assert heads == [1]
    assert (tunnel.token, request.token) == (None, SECRET)


def test_a_token_without_tls_passes_no_proxy(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service on loopback is asked directly; what carries no token takes the proxy."""
    with FaultServer((read_request, answer(FINE))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with FaultServer((read_request, answer(FINE))) as server:
            look(transport, server.url)
            assert proxy.connections == 0
        transport.fetch("http://a.example/x", headers={}, take=lambda _s, _h, _p: None, seconds=5)
        (request,) = proxy.requests
    assert request.target == "http://a.example/x"


def test_without_tls_no_authority_is_loaded() -> None:
    """A run against loopback does not pay for certificates, nor fail by them."""
    with FaultServer((read_request, answer(FINE))) as server:
        careless = Transport(environ={"SSL_CERT_FILE": "/nowhere/at-all.pem"})
        with closing(careless):
            assert look(careless, server.url).status == 200


def test_the_log_tells_of_each_exchange_without_any_secret() -> None:
    """Under -v neither token, query nor body is shown."""
    told: list[str] = []
    with (
        closing(Transport(environ={}, log=told.append)) as transport,
        FaultServer((read_request, answer(Answer(json={"a": "hush"}))), (reset,)) as server,
    ):
        look(transport, f"{server.url}/x?token=hush")
        with pytest.raises(ExchangeError):
            post(transport, f"{server.url}/y?hush#hush", b"hush")
    assert told[0] == f"GET {server.url}/x?...: HTTP 200"
    assert told[1].startswith(f"POST {server.url}/y?...: ")
    assert "hush" not in "".join(told)
    assert SECRET not in "".join(told)


def test_the_step_is_taken_before_an_application_is_called() -> None:
    """In the sandbox too the claim is durable before the request is known (section 13)."""
    order: list[str] = []

    def application(environ: Mapping[str, object], start: Callable[..., object]) -> list[bytes]:
        order.append(f"called with {environ['CONTENT_LENGTH']}")
        start("200 OK", [("Content-Type", "application/json")])
        return [b'{"code": 0}']

    transport = Transport(application=application)
    reply = post(transport, "http://sandbox.invalid/", step=lambda: order.append("step"))
    assert order == ["step", "called with 2"]
    assert reply.body == {"code": 0}


def test_a_step_that_fails_stops_an_application() -> None:
    """What could not be claimed does not reach the sandbox either."""

    def refuse() -> None:
        raise LocalError("journal_write_failed", "full")

    def application(*_: object) -> list[bytes]:
        raise AssertionError

    with pytest.raises(LocalError):
        post(Transport(application=application), "http://sandbox.invalid/", step=refuse)


def test_a_reply_lost_in_the_sandbox_is_sent() -> None:
    """The sandbox can lose a reply as a network does."""

    def application(*_: object) -> list[bytes]:
        raise ConnectionResetError

    told = fail_to_post(Transport(application=application), "http://sandbox.invalid/")
    assert told == ("the connection to sandbox.invalid broke", True, 1)
