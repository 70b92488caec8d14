"""Pictures given by URL are looked at over the wire before anything is bought."""

import contextlib
import io
import socket
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

import pytest
from ground.fault_server import FaultServer
from ground.loopback import Loopback, Visit
from ground.replies import DROP, RESET, Reply
from ground.steps import answer, hold, read_request, send, trickle
from ground.tls import make_context, write_authority
from PIL import Image

from kling_cli.errors import ExitCode, InputError
from kling_cli.images.remote import prepare
from kling_cli.images.rules import MOST_BYTES
from kling_cli.images.sources import is_url
from kling_cli.task import Picture
from kling_cli.transport.exchange import ExchangeError, Transport

PHOTO = (Path(__file__).parents[1] / "photos" / "astronaut.jpg").read_bytes()
QUERY = "?signature=hunter2"
OVERRIDE = "If the service can fetch it all the same: --no-check-url"

Pages = Mapping[str, Reply | Callable[[Visit], Reply]]


@contextlib.contextmanager
def host(pages: Pages) -> Generator[Loopback]:
    """Serve these pages, by path without query; any other request fails the test."""
    complaints = list[str]()

    def reply(visit: Visit, _body: bytes) -> tuple[Reply, None]:
        page = pages[visit.path.partition("?")[0]]
        return (page(visit) if callable(page) else page), None

    server = Loopback(answer=reply, complain=complaints.append)
    server.open()
    try:
        yield server
    finally:
        server.close()
    assert not complaints


def save(kind: str, size: tuple[int, int]) -> bytes:
    """Let Pillow write a picture."""
    file = io.BytesIO()
    Image.new("RGB", size, 7).save(file, kind)
    return file.getvalue()


def count_as_public(_host: str, _port: int) -> Sequence[str]:
    """Resolve every host, also 127.0.0.1, to a public address."""
    return ["93.184.215.14"]


def check(url: str, *, seconds: float = 10) -> Picture:
    """Check an address as a remote service's user does, loopback counting as public."""
    return prepare(
        url,
        transport=Transport(),
        allow_private=False,
        check=True,
        resolve=count_as_public,
        seconds=seconds,
    )


def refuse(url: str, *, seconds: float = 10) -> InputError:
    """Check an address that has to be refused."""
    with pytest.raises(InputError) as caught:
        check(url, seconds=seconds)
    error = caught.value
    assert (error.exit_code, error.charged) == (ExitCode.BAD_INPUT, "no")
    assert "hunter2" not in error.message + error.hint
    return error


def find(port: int, path: str = "/a.jpg") -> str:
    """Write the address of a page on loopback, with a secret in its query."""
    return f"http://127.0.0.1:{port}{path}{QUERY}"


def show(port: int, path: str = "/a.jpg") -> str:
    """Write an address as it is shown."""
    return f"http://127.0.0.1:{port}{path}?..."


@pytest.mark.parametrize(
    "source",
    [
        "https://photos.example/a.jpg",
        "HTTP://photos.example/a.jpg",
        " https://photos.example/a.jpg",
        "ftp://photos.example/a.jpg",
        "s3://bucket/a.jpg",
        "file:///home/me/a.jpg",
        "file:a.jpg",
        "http:photos.example",
        "data:image/png;base64,iVBORw0KGgo=",
        "data:" + "A" * 100_000,
    ],
)
def test_what_begins_with_a_scheme_is_an_address(source: str) -> None:
    """An address is never looked for among the files, also one that will be refused."""
    assert is_url(source)


@pytest.mark.parametrize(
    "source",
    ["a.jpg", "-", "", "/a.jpg", "//h/x", "C:\\a.jpg", "C:/a.jpg", "c://a.jpg", "12:30.jpg", "a:b"],
)
def test_what_begins_with_no_scheme_is_a_path(source: str) -> None:
    """Drives and colons make no address of a path."""
    assert not is_url(source)


def test_a_file_that_exists_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose name looks like an address is taken as the file that it is."""
    monkeypatch.chdir(tmp_path)
    Path("data:b.jpg").touch()
    assert not is_url("data:b.jpg")
    assert is_url("data:c.jpg")


def test_a_picture_is_taken_with_what_is_known_of_it() -> None:
    """The address stays as it was given; type, sides and size are told, its secret is not."""
    with host({"/a.jpg": Reply(body=PHOTO)}) as server:
        url = find(server.port)
        picture = check(url)
    assert picture == Picture(
        source=url,
        kind="url",
        url=url,
        format="JPEG",
        width=512,
        height=512,
        size=len(PHOTO),
    )
    assert picture.describe()["source"] == show(server.port)


def test_the_check_carries_no_token_and_no_cookie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture's server learns nothing but the address and the program's name (fault 64)."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("KLING_TOKEN", "sk-hunter2")
    moved = Reply(status=302, headers={"Set-Cookie": "a=b; Path=/", "Location": "/b.jpg"})
    with host({"/a.jpg": moved, "/b.jpg": Reply(body=PHOTO)}) as server:
        check(find(server.port))
        visits = server.visits
    assert [visit.path for visit in visits] == [f"/a.jpg{QUERY}", "/b.jpg"]
    for visit in visits:
        assert set(visit.headers) == {
            "accept",
            "accept-encoding",
            "connection",
            "host",
            "range",
            "user-agent",
        }
        assert visit.headers["accept-encoding"] == "identity"
        assert visit.headers["user-agent"].startswith("kling-cli/")
        assert visit.headers["range"] == "bytes=0-1048575"


def test_the_query_stays_out_of_the_log() -> None:
    """A signed address is a secret also under --verbose (fault 66)."""
    lines = list[str]()
    with host({"/a.jpg": Reply(body=PHOTO)}) as server:
        prepare(
            find(server.port),
            transport=Transport(log=lines.append),
            allow_private=True,
            check=True,
        )
    assert lines == [f"GET {show(server.port)}: HTTP 200"]


def test_a_part_tells_the_size_of_the_whole() -> None:
    """Of a large picture on a server that knows ranges only the first part is asked for."""
    headers = {"Content-Range": "bytes 0-1048575/9000000"}
    part = Reply(status=206, headers=headers, body=PHOTO + bytes(1_048_576 - len(PHOTO)))
    with host({"/a.jpg": part}) as server:
        assert check(find(server.port)).size == 9_000_000


def test_a_server_without_ranges_is_cut_off() -> None:
    """Where the whole is sent all the same, its beginning is enough."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n"
    beginning = send(head + PHOTO + bytes(100_000))
    with FaultServer([read_request, beginning, hold]) as server:
        picture = check(find(server.port))
    assert (picture.width, picture.size) == (512, 9_000_000)


@pytest.mark.parametrize(
    "headers", [{"Transfer-Encoding": "chunked"}, {"Connection": "close", "X-Length": "none"}]
)
def test_a_server_that_tells_no_length_is_fine(headers: Mapping[str, str]) -> None:
    """Pages made on the fly tell no length; the bytes are counted (fault 64)."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(PHOTO), PHOTO)
    plain = PHOTO if "Connection" in headers else body
    reply = send(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + plain)
    with FaultServer([read_request, reply]) as server:
        assert check(find(server.port)).size == len(PHOTO)


def test_a_picture_without_length_and_without_end_is_too_large() -> None:
    """Counting stops above the limit (fault 64)."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    with FaultServer([read_request, send(head + PHOTO + bytes(MOST_BYTES)), hold]) as server:
        error = refuse(find(server.port))
    assert error.code == "image_too_large"
    assert error.message.startswith(f"{show(server.port)}: at least 10,")
    assert error.hint == "Save it and give the file: --fix repairs it before sending."


def test_a_slow_line_leaves_the_size_unknown() -> None:
    """A picture of unknown length is not refused because our own line is slow."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    steps = (read_request, send(head + PHOTO), trickle(bytes(1000), interval=0.02))
    with FaultServer(steps) as server:
        picture = check(find(server.port), seconds=2)
    assert (picture.width, picture.size) == (512, None)


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [
        (b"<!doctype html><p>Log in", "image_wrong_format", "HTML"),
        (save("WEBP", (320, 300)), "image_wrong_format", "WebP"),
        (save("GIF", (320, 300)), "image_wrong_format", "GIF"),
        (b"{}", "image_wrong_format", "plain text"),
        (save("PNG", (299, 300)), "image_too_small", "299 x 300 pixels"),
        (save("JPEG", (1000, 300)), "image_bad_aspect", "3.34:1"),
        (save("PNG", (1000, 100)), "image_rejected", "1000 x 100 pixels are 10:1"),
        (b"", "image_empty", "it is empty"),
        (save("PNG", (320, 300))[:20], "image_damaged", "damaged"),
    ],
)
def test_a_picture_that_the_service_refuses_is_refused(
    content: bytes, code: str, text: str
) -> None:
    """What the service would find minutes later is found now, all at once (fault 64)."""
    with host({"/a.jpg": Reply(body=content)}) as server:
        error = refuse(find(server.port))
    assert error.code == code
    assert error.message.startswith(f"{show(server.port)}: ")
    assert text in error.message
    assert "\n" not in error.message


def test_too_many_bytes_are_told_by_the_length_alone() -> None:
    """Ten megabytes need not come over the line to be refused (fault 64)."""
    part = Reply(status=206, headers={"Content-Range": "bytes 0-1048575/10485761"}, body=PHOTO)
    with host({"/a.jpg": part}) as server:
        error = refuse(find(server.port))
    assert error.code == "image_too_large"
    assert "10,485,761 bytes" in error.message


def test_a_web_page_has_a_hint_of_its_own() -> None:
    """Whoever gives the address of a page with the picture in it is told so."""
    with host({"/a.jpg": Reply(body=b"<html>")}) as server:
        hint = refuse(find(server.port)).hint
    assert hint == "This is the address of a web page: give that of the picture itself."


def test_no_repair_is_promised_where_none_is_possible() -> None:
    """A picture that --fix could not help either gets no hint."""
    with host({"/a.jpg": Reply(body=b"")}) as server:
        assert refuse(find(server.port)).hint == ""


@pytest.mark.parametrize(
    ("reply", "code", "text"),
    [
        (Reply(status=404), "url_not_found", "there is nothing at this address (HTTP 404)"),
        (Reply(status=410), "url_not_found", "there is nothing at this address (HTTP 410)"),
        (
            Reply(status=401),
            "url_unreachable",
            "its server does not give it to everybody (HTTP 401)",
        ),
        (
            Reply(status=403, body=b"<html>"),
            "url_unreachable",
            "its server does not give it to everybody (HTTP 403)",
        ),
        (Reply(status=503), "url_unreachable", "its server answers HTTP 503"),
        (Reply(status=304), "url_unreachable", "its server answers HTTP 304"),
        (Reply(status=302), "url_unreachable", "its server answers HTTP 302"),
        (
            Reply(headers={"Content-Encoding": "gzip"}, body=PHOTO),
            "url_unreachable",
            "its server sends it compressed as gzip",
        ),
        (DROP, "url_unreachable", "127.0.0.1 broke off or sent no proper HTTP"),
        (RESET, "url_unreachable", "the connection to 127.0.0.1 broke"),
    ],
)
def test_an_answer_without_a_picture_is_told(reply: Reply, code: str, text: str) -> None:
    """The status is named, and the way to send the address all the same (faults 64, 65)."""
    with host({"/a.jpg": reply}) as server:
        error = refuse(find(server.port))
    assert (error.code, error.message) == (code, f"{show(server.port)}: {text}.")
    assert error.hint == OVERRIDE


@pytest.mark.parametrize("reply", [Reply(status=416), Reply(status=204)])
def test_a_server_that_has_not_a_byte_is_told(reply: Reply) -> None:
    """An empty file is told as such where the server cannot give a part of it."""
    with host({"/a.jpg": reply}) as server:
        assert refuse(find(server.port)).code == "image_empty"


def test_a_closed_port_is_told() -> None:
    """Nobody at the address is a problem of the address (fault 64)."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    error = refuse(find(port))
    assert error.code == "url_unreachable"
    assert error.message == f"{show(port)}: 127.0.0.1 refused the connection."


def redirect(*ways: str, status: int = 302) -> dict[str, Reply]:
    """Build a page for each number, which leads on to the given address."""
    return {
        f"/{number}": Reply(status=status, headers={"Location": way})
        for number, way in enumerate(ways)
    }


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_five_redirects_are_followed(status: int) -> None:
    """Addresses that lead on, relative or absolute, are followed to the picture."""
    pages = redirect("/1", "2", "?a=b", "../4", "./a.jpg", status=status)
    pages["/2"] = Reply(status=status, headers={"Location": "3#part"})
    with host({**pages, "/3": pages["/3"], "/a.jpg": Reply(body=PHOTO)}) as server:
        url = find(server.port, "/0")
        picture = check(url)
        assert [visit.path for visit in server.visits][1:] == ["/1", "/2", "/3", "/4", "/a.jpg"]
    assert (picture.url, picture.width, picture.notes) == (url, 512, ())


@pytest.mark.parametrize("pages", [redirect("/0"), redirect("/1", "/2", "/3", "/4", "/5", "/6")])
def test_a_redirect_loop_ends(pages: Pages) -> None:
    """After five redirects the sixth is not followed (fault 64)."""
    with host(pages) as server:
        error = refuse(find(server.port, "/0"))
        assert len(server.visits) == 6
    assert error.code == "url_redirects"
    assert error.message == f"{show(server.port, '/0')}: it redirects more than 5 times."


@pytest.mark.parametrize(
    ("location", "code", "text"),
    [
        ("file:///etc/passwd", "url_invalid", "file:///etc/passwd: the service has no access"),
        ("http://me:hunter2@a.example/", "url_with_credentials", "http://a.example/: it holds"),
        ("http://[x@a.example/", "url_invalid", "a.example/: its host or port is not valid"),
        ("https://a.example/a b", "url_invalid", "https://a.example/a b: it contains a space"),
    ],
)
def test_every_redirect_is_judged_as_it_is_written(location: str, code: str, text: str) -> None:
    """An address that would be refused is refused at the end of a redirect too (fault 64)."""
    with host(redirect(location)) as server:
        error = refuse(find(server.port, "/0"))
    assert error.code == code
    assert error.message.startswith(f"{show(server.port, '/0')}: it redirects to {text}")
    assert error.hint == OVERRIDE


@pytest.mark.parametrize("location", ["http://[::1/a", "http://a:x/"])
def test_a_redirect_that_leads_nowhere_is_told(location: str) -> None:
    """What is no address at all counts as a broken answer (fault 64)."""
    with host(redirect(location)) as server:
        error = refuse(find(server.port, "/0"))
    assert error.code == "url_unreachable"
    assert error.message.endswith(": 127.0.0.1 broke off or sent no proper HTTP.")


def test_a_redirect_to_a_private_address_is_not_followed() -> None:
    """A public page cannot make this machine ask a private one (fault 64)."""
    with host({}) as private, host(redirect(find(private.port))) as public:

        def resolve(host: str, port: int) -> Sequence[str]:
            return count_as_public(host, port) if port == public.port else [host]

        with pytest.raises(InputError) as caught:
            prepare(
                find(public.port, "/0"),
                transport=Transport(),
                allow_private=False,
                check=True,
                resolve=resolve,
            )
        assert (public.opened, private.opened) == (1, 0)
    assert caught.value.code == "url_unreachable"
    assert caught.value.message == (
        f"{show(public.port, '/0')}: it redirects to {show(private.port)}: "
        "the service cannot reach this address, 127.0.0.1 is this machine itself."
    )


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "0x7f.1", "printer.local"])
def test_a_private_address_is_refused_without_a_connection(name: str) -> None:
    """What only this machine or network knows is refused by the real resolver (fault 63)."""
    with host({}) as server, pytest.raises(InputError) as caught:
        prepare(
            f"http://{name}:{server.port}/a.jpg",
            transport=Transport(),
            allow_private=False,
            check=True,
        )
    assert server.opened == 0
    assert caught.value.code == "url_unreachable"
    assert "the service cannot reach this address, " in caught.value.message
    assert caught.value.hint == OVERRIDE


def test_a_local_service_reaches_what_is_local() -> None:
    """With a service on this machine a picture on it is checked and taken."""
    with host({"/a.jpg": Reply(body=PHOTO)}) as server:
        picture = prepare(find(server.port), transport=Transport(), allow_private=True, check=True)
    assert picture.size == len(PHOTO)


def test_the_port_of_the_scheme_is_resolved_where_none_is_given() -> None:
    """A resolver is asked for the port that the connection will use."""
    asked = list[tuple[str, int]]()

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["10.0.0.1"]

    for scheme in ("http", "HTTPS"):
        with pytest.raises(InputError):
            prepare(
                f"{scheme}://a.example/a.jpg",
                transport=Transport(),
                allow_private=False,
                check=True,
                resolve=resolve,
            )
    assert asked == [("a.example", 80), ("a.example", 443)]


@pytest.mark.parametrize(
    ("url", "code", "shown"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "url_invalid", "data:image/png;base64,...: it is"),
        ("file:///home/me/a.jpg", "url_invalid", "file:///home/me/a.jpg: the service has"),
        ("ftp://photos.example/a.jpg", "url_invalid", "ftp://photos.example/a.jpg: it does not"),
        ("//h/x", "url_invalid", "//h/x: it does not begin"),
        ("https://a.example/\x1b[2J", "url_invalid", "https://a.example/\\x1b[2J: it contains"),
        (
            "https://me:hunter2@a.example/a.jpg",
            "url_with_credentials",
            "https://a.example/a.jpg: it holds",
        ),
    ],
)
@pytest.mark.parametrize("checked", [True, False])
def test_a_malformed_address_is_refused_always(
    url: str, code: str, shown: str, *, checked: bool
) -> None:
    """--no-check-url does not let through what nobody can fetch, or what leaks (faults 61, 62)."""
    with pytest.raises(InputError) as caught:
        prepare(url, transport=Transport(), allow_private=not checked, check=checked)
    assert caught.value.code == code
    assert caught.value.message.startswith(shown)
    assert "hunter2" not in caught.value.message


def test_without_the_check_nothing_is_asked() -> None:
    """With --no-check-url no connection is made, and any host is taken (faults 63, 65)."""
    with host({}) as server:
        url = find(server.port)
        picture = prepare(url, transport=Transport(), allow_private=False, check=False)
    assert server.opened == 0
    assert picture == Picture(source=url, kind="url", url=url)


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"],
)
def test_a_slow_server_is_given_up(head: bytes) -> None:
    """Neither silence nor an answer that trickles in holds us up for long (fault 64)."""
    steps = (read_request, send(head), trickle(PHOTO[:500], interval=0.05))
    with FaultServer(steps) as server:
        error = refuse(find(server.port), seconds=0.4)
    assert error.code == "url_slow"
    assert error.message == f"{show(server.port)}: its server takes too long."
    assert error.hint == OVERRIDE


def test_the_time_is_that_of_all_servers_together() -> None:
    """Redirects do not make the check longer."""
    slow = Reply(status=302, headers={"Location": "/0"}, delay=0.3)
    with host({"/0": slow}) as server:
        assert refuse(find(server.port, "/0"), seconds=0.5).code == "url_slow"
        assert len(server.visits) <= 2


@pytest.fixture
def trusting(tmp_path: Path) -> Transport:
    """Make a transport that trusts the played servers."""
    return Transport(environ={"SSL_CERT_FILE": str(write_authority(tmp_path))})


def test_a_redirect_to_plain_http_is_noted(trusting: Transport) -> None:
    """From https to http is followed, as the service may, and said (fault 64)."""
    with host({"/a.jpg": Reply(body=PHOTO)}) as plain:
        moved = answer(Reply(status=302, headers={"Location": find(plain.port)}))
        with FaultServer([read_request, moved], tls=make_context()) as secure:
            url = f"HTTPS://127.0.0.1:{secure.port}/0{QUERY}"
            picture = prepare(url, transport=trusting, allow_private=True, check=True)
    shown = f"https://127.0.0.1:{secure.port}/0?..."
    assert picture.url == url
    assert picture.notes == (f"{shown} redirects from https to plain http",)


def test_a_certificate_that_nobody_trusts_is_told() -> None:
    """A server that cannot prove its name is a problem of the address."""
    with FaultServer(tls=make_context("unknown authority")) as server:
        error = refuse(f"https://127.0.0.1:{server.port}/a.jpg")
    assert error.code == "url_unreachable"
    assert "certificate of 127.0.0.1 was not accepted" in error.message


def test_a_transport_stays_usable_for_its_service(trusting: Transport) -> None:
    """Looking at plain pictures in between does not spoil the connection to the service."""
    with host({"/a.jpg": Reply(body=PHOTO)}) as plain:
        service = [read_request, answer(Reply(json={"code": 0}))]
        with FaultServer(service, service, tls=make_context()) as secure:
            for _ in range(2):
                look = trusting.look(f"{secure.url}/tasks", headers={}, seconds=5)
                assert look.body == {"code": 0}
                prepare(find(plain.port), transport=trusting, allow_private=True, check=True)
    trusting.close()


def test_an_unfinished_answer_is_an_error_of_the_exchange() -> None:
    """Whoever fetches learns that the answer broke off, and that the request had left."""
    cut = send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
    with FaultServer([read_request, cut]) as server, pytest.raises(ExchangeError) as caught:
        Transport().fetch(
            f"{server.url}/a", headers={}, take=lambda _s, _h, pieces: b"".join(pieces), seconds=5
        )
    assert caught.value.sent
