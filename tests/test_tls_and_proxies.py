"""TLS and proxies: who is not to be trusted gets nothing, and a wrong variable is named."""

from pathlib import Path

import pytest
from support import tls
from support.fault_server import FaultServer
from support.replies import Reply, accept
from support.run import PHOTO, Program
from support.service import LoopbackService
from support.steps import answer, buy, drain, hold, read_head, read_request, send
from support.wire import Connection

from kling_cli.api import transport

TOKEN = "sk-test-0123456789abcdef"
PLAIN = ("effect", "squish", PHOTO)
BEHIND = ("--base-url", "https://localhost/kling")
pytestmark = pytest.mark.usefixtures("token")


@pytest.fixture
def _trusting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.write_authority(tmp_path)))


def shake_hands(connection: Connection) -> None:
    connection.link = tls.make_context().wrap_socket(connection.link, server_side=True)


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        ("expired", "expired"),
        ("wrong host", "not valid for '127.0.0.1'"),
        ("unknown authority", "unable to get local issuer certificate"),
    ],
)
@pytest.mark.usefixtures("_trusting")
def test_a_bad_certificate_is_not_sent(kling: Program, flaw: tls.Flaw, words: str) -> None:
    """It is tried once, as no try mends it; the reason is told, and what could (faults 3, 119)."""
    with FaultServer(tls=tls.make_context(flaw)) as server:
        run = kling(*PLAIN, "--base-url", server.base_url)
    assert (run.code, server.failed_handshakes, server.requests) == (10, 1, [])
    assert "the certificate of 127.0.0.1 is not trusted" in run.err
    for word in (words, "SSL_CERT_FILE", "clock", "Nothing was sent or charged"):
        assert word in run.err
    assert "base URL" not in run.err


def test_a_slow_handshake_is_not_sent(kling: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never ends its handshake costs no more than the connect time (fault 109)."""
    monkeypatch.setattr(transport, "_CONNECT_SECONDS", 0.3)
    with FaultServer((hold,), (hold,), (hold,)) as server:
        secure = server.base_url.replace("http:", "https:")
        run = kling(*PLAIN, "--base-url", secure)
    assert run.code == 10
    assert "127.0.0.1 did not respond in time. Nothing was sent" in run.err


def test_a_server_without_tls_is_not_sent(kling: Program) -> None:
    """Plain HTTP where TLS was expected ends before anything is sent (fault 3)."""
    plain = (send(b"HTTP/1.1 200 OK\r\n\r\n"), drain)
    with FaultServer(plain, plain, plain) as server:
        secure = server.base_url.replace("http:", "https:")
        run = kling(*PLAIN, "--base-url", secure)
        assert TOKEN.encode() not in b"".join(request.raw for request in server.requests)
    assert run.code == 10
    assert "the TLS connection to 127.0.0.1 failed. Nothing was sent" in run.err


@pytest.mark.parametrize(
    ("status", "tries", "words", "hint"),
    [
        (
            407,
            1,
            "(407: it requires a user name and password)",
            "Set HTTPS_PROXY to http://USER:PASSWORD@",
        ),
        (502, 3, "(502)", "kling config list shows the base URL"),
    ],
)
def test_a_refusing_proxy(kling: Program, status: int, tries: int, words: str, hint: str) -> None:
    """A proxy without its password is asked once, and variable and 407 are told (fault 5)."""
    script = (read_head, answer(Reply(status=status)))
    with FaultServer(*[script] * tries) as proxy:
        variable = f"http://me:hush@127.0.0.1:{proxy.port}"
        run = kling(*PLAIN, "--base-url", "https://service.example/kling", HTTPS_PROXY=variable)
        sent = {(request.method, request.token) for request in proxy.requests}
    assert (run.code, sent) == (10, {("CONNECT", None)})
    refused = "the proxy 127.0.0.1 (HTTPS_PROXY) refused to connect to service.example"
    assert f"{refused} {words}. Nothing was sent" in run.err
    assert f"hint: {hint}" in run.err.replace("The same command is safe to run again. ", "")
    assert "hush" not in run.err + run.out


def test_a_proxy_refuses_a_download(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """A clip behind a proxy that wants a password is given up at the first try, not the fifth."""
    video = {"task_id": "8", "task_status": "succeed", "url": "https://video.example/8.mp4"}
    service.on_look(Reply(json={"code": 0, "data": video}))
    with FaultServer((read_head, answer(Reply(status=407)))) as proxy:
        run = kling("wait", "8", "-o", tmp_path / "8.mp4", HTTPS_PROXY=proxy.url)
    assert (run.code, run.out) == (11, "https://video.example/8.mp4\n")
    assert "the proxy 127.0.0.1 (HTTPS_PROXY) refused" in run.err
    assert "(407: it requires a user name and password)" in run.err


@pytest.mark.usefixtures("_trusting")
def test_a_tunnel_keeps_the_token_inside(kling: Program) -> None:
    established = send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    script = (read_head, established, shake_hands, read_request, buy, answer(Reply(json=accept)))
    with FaultServer(script) as proxy:
        run = kling(*PLAIN, "--no-wait", *BEHIND, HTTPS_PROXY=proxy.url)
        tunnel, request = proxy.requests
        assert (run.code, run.lines) == (0, [proxy.ledger[0].task_id])
    assert (tunnel.token, request.token) == (None, TOKEN)


@pytest.mark.usefixtures("_trusting")
def test_a_tunnel_that_breaks_is_not_sent(kling: Program) -> None:
    """A CONNECT that was sent is no proof that the request was (fault 5)."""
    established = send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    script = (read_head, established)
    with FaultServer(script, script, script) as proxy:
        run = kling(*PLAIN, "--json", *BEHIND, HTTPS_PROXY=proxy.url)
    assert (run.code, run.json["error"]["code"]) == (10, "not_sent")


def test_unused_variables(kling: Program, service: LoopbackService) -> None:
    """Without TLS no proxy sees the token, and no certificate variable matters (fault 118)."""
    with FaultServer() as proxy:
        proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), proxy.url)
        files = dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), "/nowhere/at-all.pem")
        assert kling(*PLAIN, **proxies, **files).code == 0
        assert proxy.connections == 0
    assert len(service.ledger) == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://me:hush@127.0.0.1:9"),
        ("HTTPS_PROXY", "::::"),
        ("https_proxy", "ftp://me:hush@127.0.0.1:9"),
        ("NO_PROXY", "hush:port"),
        ("SSL_CERT_FILE", "/nowhere/hush.pem"),
        ("SSL_CERT_FILE", "/dev/null"),
    ],
)
def test_a_bad_variable_is_named(kling: Program, variable: str, value: str) -> None:
    """What the environment gets wrong is told by its name, before anything is sent (fault 118)."""
    run = kling(*PLAIN, "--json", "--base-url", "https://127.0.0.1:9", **{variable: value})
    error = run.json["error"]
    assert (run.code, error["code"], error["charged"]) == (4, "environment_invalid", "no")
    assert f"settings: {variable}. Nothing was sent." in error["message"]
    assert "http://host:port" in error["hint"]
    assert "hush" not in run.out + run.err
