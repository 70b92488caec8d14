import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from sandbox_caller import ROUTE, Clock, encode, make_png, make_request

from kling_cli.errors import LocalError, UsageError
from kling_cli.sandbox import create_app, serve
from kling_cli.sandbox.app import LARGEST_BODY
from kling_cli.sandbox.clip import read_clip
from kling_cli.sandbox.server import Server

TOLD = {"Authorization": "Bearer sandbox", "Content-Type": "application/json"}


@contextmanager
def connect(server: Server) -> Iterator[http.client.HTTPConnection]:
    """Open a connection to a server for one test."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def open_socket(server: Server) -> Iterator[socket.socket]:
    """Open a connection without any HTTP."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        yield plain


def read_all(plain: socket.socket) -> bytes:
    """Read until the server ends the connection."""
    pieces = []
    while piece := plain.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    **more: Any,  # noqa: ANN401 - passed on to http.client
) -> tuple[int, Any]:
    """Make a call over a connection: its HTTP status and its JSON."""
    connection.request(method, target, headers=TOLD, **more)
    reply = connection.getresponse()
    assert reply.headers["X-Kling-Sandbox"] == "1"
    return reply.status, json.loads(reply.read())


def create(connection: http.client.HTTPConnection, **changes: object) -> tuple[int, Any]:
    """Submit a valid request over a connection."""
    return ask(connection, "POST", ROUTE, body=json.dumps(make_request(**changes)))


@contextmanager
def run_sandbox(directory: Path, clock: Clock | None = None) -> Iterator[Server]:
    """Serve a sandbox with a store of its own."""
    app = create_app(directory / "sandbox.sqlite", now=clock or Clock())
    with serve(app, 0) as server:
        yield server


def test_a_task_runs_over_one_connection(tmp_path: Path) -> None:
    """Submission, looks and download go over one and the same connection."""
    clock = Clock()
    with run_sandbox(tmp_path, clock) as server, connect(server) as connection:
        status, reply = create(connection, external_task_id="ä/1")
        assert status == 200
        kept = connection.sock
        clock.time += 3
        _, reply = ask(connection, "GET", f"{ROUTE}/%C3%A4%2F1")
        (video,) = reply["data"]["task_result"]["videos"]
        task_id = reply["data"]["task_id"]
        assert video["url"] == f"http://127.0.0.1:{server.port}/clip.mp4?task={task_id}"
        assert ask(connection, "GET", f"/kling{ROUTE}?pageNum=1&pageSize=30")[0] == 200
        connection.request("GET", video["url"].removeprefix(server.url))
        clip = connection.getresponse()
        assert clip.read() == read_clip()
        connection.request("HEAD", "/clip.mp4")
        assert connection.getresponse().read() == b""
        assert ask(connection, "PROPFIND", ROUTE)[1]["code"] == 1202
        assert connection.sock is kept


def test_a_large_picture_arrives(tmp_path: Path) -> None:
    """A picture of exactly 10 MiB is accepted over HTTP."""
    picture = encode(make_png().ljust(10 * 1024 * 1024))
    fields = {"model_name": "kling-v1-6", "image": picture, "duration": "5"}
    with run_sandbox(tmp_path) as server, connect(server) as connection:
        assert create(connection, input=fields)[0] == 200


def test_a_body_that_is_too_large_gets_its_answer(tmp_path: Path) -> None:
    """The refusal arrives although the upload goes on, and ends the connection."""
    with run_sandbox(tmp_path) as server, connect(server) as connection:
        connection.request("POST", ROUTE, body=bytes(LARGEST_BODY + 1), headers=TOLD)
        reply = connection.getresponse()
        assert reply.status == 413
        assert reply.headers["Connection"] == "close"
        assert json.loads(reply.read())["code"] == 1200


def test_a_body_of_unknown_length_is_refused(tmp_path: Path) -> None:
    """A chunked upload is told to send its length."""
    with run_sandbox(tmp_path) as server, connect(server) as connection:
        status, reply = ask(connection, "POST", ROUTE, body=iter([b"{}"]), encode_chunked=True)
        assert (status, reply["code"]) == (411, 1200)


def test_a_client_may_wait_before_it_uploads(tmp_path: Path) -> None:
    """`Expect: 100-continue`, as curl sends it with a photo, is answered at once."""
    body = json.dumps(make_request()).encode()
    lines = [f"POST {ROUTE} HTTP/1.1", "Host: x", "Expect: 100-continue"]
    lines += [f"{name}: {value}" for name, value in TOLD.items()]
    head = "\r\n".join([*lines, "Connection: close", f"Content-Length: {len(body)}", "", ""])
    with run_sandbox(tmp_path) as server, open_socket(server) as plain:
        plain.sendall(head.encode())
        assert plain.recv(100).startswith(b"HTTP/1.1 100 ")
        plain.sendall(body)
        assert read_all(plain).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("token", ["sandbox-lost-reply", "sandbox-no-lookup"])
def test_a_lost_reply_is_not_one_byte(tmp_path: Path, token: str) -> None:
    """The connection ends without a byte, and the task is there."""
    told = TOLD | {"Authorization": f"Bearer {token}"}
    with run_sandbox(tmp_path) as server, connect(server) as connection:
        connection.request("POST", ROUTE, body=json.dumps(make_request()), headers=told)
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
        connection.close()
        connection.request("GET", ROUTE, headers=told)
        assert len(json.loads(connection.getresponse().read())["data"]) == 1


def test_many_clients_are_answered_at_once(tmp_path: Path) -> None:
    """Many threads with one external id over HTTP: exactly one is accepted."""
    told: list[int] = []

    def submit(server: Server) -> None:
        with connect(server) as connection:
            told.append(create(connection, external_task_id="mine")[0])

    with run_sandbox(tmp_path) as server:
        threads = [threading.Thread(target=submit, args=(server,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(told) == [200] + [400] * 15


def test_two_servers_share_one_store(tmp_path: Path) -> None:
    """What one server accepted, the other one finds."""
    with run_sandbox(tmp_path) as one, run_sandbox(tmp_path) as other:
        with connect(one) as connection:
            task_id = create(connection)[1]["data"]["task_id"]
        with connect(other) as connection:
            assert ask(connection, "GET", f"{ROUTE}/{task_id}")[0] == 200


def test_only_loopback_is_served(tmp_path: Path) -> None:
    """The server listens on 127.0.0.1, on a free port when none is given."""
    with run_sandbox(tmp_path) as server:
        assert server.port > 0
        assert server.url == f"http://127.0.0.1:{server.port}"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", server.port), timeout=5)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """A port that another program has is an error with words, and so is one that cannot be."""
    app = create_app(tmp_path / "sandbox.sqlite", now=Clock())
    with serve(app) as server:
        for port in (server.port, 70_000):
            with pytest.raises(UsageError, match=str(port)) as caught:
                serve(app, port)
            assert "--port 0" in caught.value.hint


def test_closing_ends_idle_connections_and_frees_the_port(tmp_path: Path) -> None:
    """A stop does not wait for clients that keep their connection, and twice is once."""
    with run_sandbox(tmp_path) as server, connect(server) as connection:
        assert ask(connection, "GET", ROUTE)[0] == 200
        waiting = threading.Thread(target=server.wait)
        waiting.start()
        assert waiting.is_alive()
        begun = time.monotonic()
        server.close()
        assert time.monotonic() - begun < 2
        waiting.join(5)
        assert not waiting.is_alive()
        with serve(create_app(tmp_path / "x", now=Clock()), server.port) as next_server:
            assert next_server.port == server.port
    assert not [thread for thread in threading.enumerate() if "process_request" in thread.name]


def test_a_client_that_leaves_in_the_middle_buys_nothing(tmp_path: Path) -> None:
    """A request cut in its body is not answered and not accepted."""
    body = json.dumps(make_request()).encode()
    head = f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sandbox\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body) + 1}\r\n\r\n"
    with run_sandbox(tmp_path) as server:
        with open_socket(server) as plain:
            plain.sendall(head.encode() + body)
            plain.shutdown(socket.SHUT_WR)
            assert read_all(plain) == b""
        with connect(server) as connection:
            assert ask(connection, "GET", ROUTE)[1]["data"] == []


def test_what_is_no_http_ends_the_connection(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Garbage is refused, and nothing of it is printed."""
    with run_sandbox(tmp_path) as server, open_socket(server) as plain:
        plain.sendall(b"\x16\x03\x01 hello \x1b[31m there\r\n\r\n")
        assert b" 400 " in read_all(plain)
    assert capfd.readouterr() == ("", "")


def test_the_log_says_what_was_asked_and_nothing_secret(tmp_path: Path) -> None:
    """One printable line for each call, without token, and for a lost reply too."""
    lines: list[str] = []
    app = create_app(tmp_path / "sandbox.sqlite", now=Clock())
    with serve(app, 0, log=lines.append) as server:
        with connect(server) as connection:
            create(connection)
            told = TOLD | {"Authorization": "Bearer sandbox-lost-reply"}
            connection.request("POST", ROUTE, body=json.dumps(make_request()), headers=told)
            with pytest.raises(http.client.RemoteDisconnected):
                connection.getresponse()
        with open_socket(server) as plain:
            plain.sendall(b"GET /\x1b]52;\xff?a=b HTTP/1.0\r\n\r\n")
            read_all(plain)
    assert lines == [
        "POST /v1/videos/effects 200",
        "POST /v1/videos/effects no reply",
        "GET /%1B]52;%C3%BF?a=b 404",
    ]


def fail_with(error: Exception) -> WSGIApplication:
    """Make an application that fails."""

    def app(_environ: WSGIEnvironment, _start_response: StartResponse) -> list[bytes]:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LocalError("sandbox_store", "the disk is full"), "the disk is full"),
        (KeyError("secret"), "KeyError"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_fault_of_the_application_is_an_answer(
    error: Exception, words: str, method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A broken store is told in words, anything else by its kind, never as a traceback."""
    with serve(fail_with(error)) as server, connect(server) as connection:
        for _ in range(2):
            connection.request(method, ROUTE)
            reply = connection.getresponse()
            body = reply.read()
            assert reply.status == 500
            assert reply.headers["X-Kling-Sandbox"] == "1"
            if method == "GET":
                assert json.loads(body)["code"] == 5000
                assert words in json.loads(body)["message"]
                assert b"secret" not in body
    assert capfd.readouterr() == ("", "")


def test_an_application_hands_its_body_over_whole() -> None:
    """WSGI's old way to write a body is refused instead of losing it."""

    def app(_environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "4")])(b"lost")
        return []

    with serve(app) as server, connect(server) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().status == 500
