"""Pictures and callbacks given by URL are checked before anything is bought."""

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.fault_server import FaultServer
from support.pictures import save
from support.replies import DROP, Reply
from support.run import PHOTO, Program
from support.service import LoopbackService
from support.steps import hold, read_request, send, trickle

from kling_cli.api.transport import Transport
from kling_cli.errors import InputError
from kling_cli.images.preflight import is_url
from kling_cli.images.remote import prepare_url, validate_url

CONTENT = PHOTO.read_bytes()
SECRET = "?signature=hunter2"
SKIP = "If the service can fetch it anyway, use --no-check-url."
EFFECT = ("effect", "squish")
REMOTE = ("--base-url", "https://api.example/kling")


def refuse(kling: Program, url: str, *argv: str) -> Mapping[str, str]:
    """Give a URL that has to be refused; return the error."""
    run = kling(*EFFECT, url, "--json", *argv)
    assert run.code == 3, run.err
    assert "hunter2" not in run.out + run.err
    assert run.err.replace("\n", "").isprintable()
    error: Mapping[str, str] = run.json["error"]
    assert error["charged"] == "no"
    assert "\n" not in error["message"]
    return error


# What browsers take, also in unusual spellings, and what the service cannot use.
USABLE = (
    "HTTP://Photos.Example.:8080/a.jpg?signature=a%20b&c=d#e",
    "https://bücher.example/照片.jpg",
    "https://[2606:2800:21f::1]:443/a.jpg",
    "https://93.184.215.14:/a.jpg",
    "https://local.example/local",
)
URLS = (*USABLE, " https://b.example", "s3://b/a", "file:a", "data:c.jpg", "data:" + "A" * 100_000)
PATHS = ("a.jpg", "-", "", "//h/x", "C:\\a.jpg", "C:/a.jpg", "a:b", "data:b.jpg")


def test_what_begins_with_a_scheme_is_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drives and colons make no URL of a path, and a file whose name looks like one is a file."""
    monkeypatch.chdir(tmp_path)
    Path("data:b.jpg").touch()
    assert all(map(is_url, URLS))
    assert not any(map(is_url, PATHS))
    assert not any(validate_url(url, allow_private=False) for url in USABLE)


def test_the_service_gets_the_url_as_it_was_given(kling: Program, service: LoopbackService) -> None:
    """What is known of the picture is in the result, the query is in none (faults 64, 66)."""
    url = service.publish("/a.jpg", CONTENT) + SECRET
    run = kling(*EFFECT, url, "--json", "-v")
    assert run.code == 0, run.err
    assert service.ledger[0].images == (url,)
    assert run.json["images"] == [
        {
            "source": url.partition("?")[0] + "?...",
            "kind": "url",
            "format": "JPEG",
            "width": 512,
            "height": 512,
            "bytes": len(CONTENT),
            "sha256": None,
            "fixes": [],
        }
    ]
    assert "hunter2" not in run.out + run.err + kling("tasks", "--json").out


def test_the_check_carries_no_token_and_no_cookie(kling: Program, service: LoopbackService) -> None:
    """A picture's server learns nothing but the URL and the program's name (fault 64)."""
    moved = Reply(status=302, headers={"Set-Cookie": "a=b; Path=/", "Location": "/b.jpg"})
    service.on_path("GET", "/a.jpg", moved)
    service.publish("/b.jpg", CONTENT)
    assert kling(*EFFECT, f"{service.url}/a.jpg{SECRET}").code == 0
    visits = [visit for visit in service.visits if "jpg" in visit.path]
    assert [visit.path for visit in visits] == [f"/a.jpg{SECRET}", "/b.jpg"]
    for visit in visits:
        names = {"accept", "accept-encoding", "connection", "host", "range", "user-agent"}
        assert set(visit.headers) == names
        assert visit.headers["range"] == "bytes=0-262143"


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [
        (b"<!doctype html><p>Log in", "image_wrong_format", "HTML"),
        (b"{}", "image_wrong_format", "plain text"),
        (CONTENT.ljust(10_485_761, b"\0"), "image_too_large", "10,485,761 bytes, but the limit is"),
        (save("PNG")[:20], "image_damaged", "the file is damaged"),
        (b"", "image_empty", "the file is empty"),
    ],
    ids=range(5),
)
def test_a_picture_that_the_service_refuses_is_refused(
    content: bytes, code: str, text: str, kling: Program, service: LoopbackService
) -> None:
    """What the service would find minutes later is found now, with a way out (fault 64)."""
    service.on_path("GET", "/a.jpg", Reply(body=content))
    error = refuse(kling, f"{service.url}/a.jpg{SECRET}")
    assert error["code"] == code
    assert error["message"].startswith(f"{service.url}/a.jpg?...: ")
    assert text in error["message"]
    is_final = code in ("image_damaged", "image_empty") or text in ("plain text", "HTML")
    repair = "Download it and pass the file with --fix."
    assert error["hint"] == ("" if is_final else repair)
    assert service.ledger == []


@pytest.mark.parametrize(
    ("reply", "code", "text"),
    [
        (Reply(status=404), "url_not_found", "its server responded with HTTP 404"),
        (Reply(status=403), "url_unreachable", "its server responded with HTTP 403"),
        (Reply(status=302), "url_unreachable", "its server responded with HTTP 302"),
        (DROP, "url_unreachable", "127.0.0.1 closed the connection or sent invalid HTTP"),
    ],
    ids=range(4),
)
def test_an_answer_without_a_picture_is_told(
    reply: Reply, code: str, text: str, kling: Program, service: LoopbackService
) -> None:
    """The status is named, and the way to send the URL all the same (faults 64, 65)."""
    service.on_path("GET", "/a.jpg", reply)
    url = f"{service.url}/a.jpg{SECRET}"
    error = refuse(kling, url)
    assert (error["code"], error["hint"]) == (code, SKIP)
    assert text in error["message"]
    assert kling(*EFFECT, url, "--no-check-url").code == 0
    assert service.ledger[0].images == (url,)


def test_five_redirects_are_followed(kling: Program, service: LoopbackService) -> None:
    """A picture behind them is found, and the URL stays as it is; a loop ends (fault 64)."""
    for number, way in enumerate(["/1", "2", f"{service.url}/3", "../4", "./a.jpg"]):
        service.on_path("GET", f"/{number}", Reply(status=302, headers={"Location": way}))
    service.publish("/a.jpg", CONTENT)
    assert kling(*EFFECT, f"{service.url}/0").code == 0
    assert service.ledger[0].images == (f"{service.url}/0",)
    service.on_path("GET", "/loop", Reply(status=302, headers={"Location": "/loop"}), times=6)
    error = refuse(kling, f"{service.url}/loop")
    assert (error["code"], error["hint"]) == ("url_unreachable", SKIP)
    assert error["message"].endswith("/loop: 127.0.0.1 redirects too many times.")


def look(port: int, *, seconds: float = 10) -> tuple[int | None, int | None]:
    """Check a picture on a scripted server; return its width and its size in bytes."""
    url = f"http://127.0.0.1:{port}/a.jpg{SECRET}"
    transport = Transport()
    picture = prepare_url(url, transport=transport, allow_private=True, check=True, seconds=seconds)
    return picture.width, picture.size


COMMENT = b"\xff\xfe\xff\xff" + bytes(0xFFFD)
LARGE = CONTENT.ljust(300_000, b"\0")


@pytest.mark.parametrize(
    ("head", "body", "found"),
    [
        ("200 OK\r\nContent-Length: 9000000", LARGE, (512, 9_000_000)),
        ("206 Part\r\nContent-Range: bytes 0-262143/9000000", LARGE, (512, 9_000_000)),
        (
            "200 OK\r\nContent-Length: 9000000",
            CONTENT[:2] + COMMENT * 5 + CONTENT[2:],
            (None, 9_000_000),
        ),
    ],
    ids=["whole", "part", "deep header"],
)
def test_only_the_beginning_is_read(
    head: str, body: bytes, found: tuple[int | None, int | None]
) -> None:
    """No more than 256 KiB are read; a header that lies deeper is nothing to refuse (fault 64)."""
    answer = send(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)
    with FaultServer([read_request, answer, hold]) as server:
        assert look(server.port) == found


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"])
def test_a_slow_server_is_given_up(head: bytes) -> None:
    """Neither silence nor an answer that trickles in holds us up for long (fault 64)."""
    steps = (read_request, send(head), trickle(CONTENT[:500], interval=0.05))
    with FaultServer(steps) as server, pytest.raises(InputError) as caught:
        look(server.port, seconds=0.4)
    assert (caught.value.code, caught.value.hint) == ("url_unreachable", SKIP)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "the service cannot read local files: pass"),
        ("file:///home/me/a.jpg", "the service cannot read local files: pass the path of the file"),
        ("ftp://photos.example/a.jpg", "it does not begin with https:// or http://"),
        ("https://%31%32%37.0.0.1/a.jpg", "its host or port is not valid"),
        ("https://photos.example:99999/a.jpg", "its host or port is not valid"),
        ("https://[::1/a.jpg", "its host or port is not valid"),
        ("https://a.example/a b", "it contains the character U+0020"),
        ("https://a.example/\x1b[2J", "it contains the character U+001B"),
    ],
)
def test_a_malformed_url_is_refused_always(
    url: str, text: str, kling: Program, service: LoopbackService
) -> None:
    """--no-check-url does not let through what nobody can fetch (fault 61)."""
    for argv in ((), ("--no-check-url",)):
        error = refuse(kling, url, *argv)
        assert (error["code"], text in error["message"]) == ("url_invalid", True)
    assert service.visits == []


def test_a_url_with_a_password_is_refused_always(kling: Program, service: LoopbackService) -> None:
    """It would leak to the service (fault 62)."""
    for argv in ((), ("--no-check-url",)):
        error = refuse(kling, "https://me:hunter2@photos.example/a.jpg", *argv)
        assert error["code"] == "url_with_credentials"
        assert error["message"].startswith("https://photos.example/a.jpg: it contains a user name")
    assert service.visits == []


HOSTS = (
    "localhost LOCALHOST. app.localhost printer.local 127.0.0.1 127.0.0.1. 10.1.2.3 192.168.0.1 "
    "169.254.169.254 0.0.0.0 224.0.0.1 [::1] [fe80::1] [fd00::1] [::ffff:127.0.0.1]"
)


@pytest.mark.parametrize("host", HOSTS.split())
def test_what_only_this_network_knows_is_refused(
    host: str, kling: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused as it is written, without a connection; --no-check-url overrides (fault 63)."""
    monkeypatch.setenv("KLING_TOKEN", "sk-hunter2")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        url = f"http://{host}:{server.getsockname()[1]}/a.jpg"
        error = refuse(kling, url, *REMOTE)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert (error["code"], error["hint"]) == ("url_private", SKIP)
    assert "the service cannot reach " in error["message"]
    assert validate_url(url, allow_private=True) is None
    unchecked = prepare_url(url, transport=Transport(), allow_private=False, check=False)
    assert unchecked.url == url


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("/kling?key=hunter2", "it does not begin with https:// or http://"),
        ("https://me:hunter2@hooks.example", "it contains a user name or password"),
        ("http://localhost:8000/?key=hunter2", "the service cannot reach localhost"),
    ],
)
def test_a_callback_out_of_reach_is_a_usage_error(url: str, text: str, kling: Program) -> None:
    """Relative, private and leaking callback URLs are refused, none is quoted (fault 67)."""
    run = kling(*EFFECT, PHOTO, "--callback-url", url, "--json", *REMOTE)
    assert (run.code, run.json["error"]["code"]) == (2, "invalid_callback_url")
    assert f"Invalid --callback-url: {text}" in run.err
    assert "hunter2" not in run.out + run.err


def test_a_callback_is_sent_as_it_is(
    kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its query is masked in all output; plain http warns, and a local one is fine (fault 67)."""
    url = "http://127.0.0.1:9/hook?key=hunter2"
    run = kling(*EFFECT, PHOTO, "--callback-url", url, "--json", "-v")
    assert (run.code, service.ledger[0].callback_url) == (0, url)
    assert "hunter2" not in run.out + run.err
    monkeypatch.setenv("KLING_TOKEN", "sk-hunter2")
    for scheme in ("http", "https"):
        url = f"{scheme}://hooks.example/?key=hunter2"
        run = kling(*EFFECT, PHOTO, "--callback-url", url, "--dry-run", "--json", *REMOTE)
        assert run.code == 0
        assert ("--callback-url uses http" in run.err) is (scheme == "http")
        assert "hunter2" not in run.out + run.err
