"""A result URL becomes a whole clip under its name, or an error and no file at all."""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from downloads import AGAIN, CLIP, QUERY, Saver, count_as_public, find, give_clip, host, open_saver
from ground.fault_server import FaultServer
from ground.replies import DROP, RESET, Reply
from ground.steps import answer, close, hold, read_request, send
from ground.tls import make_context, write_authority

from kling_cli.saving.download import Saved, is_same
from kling_cli.saving.fetching import LIMITS, Limits
from kling_cli.transport.exchange import Transport

HEAD = b"HTTP/1.1 200 OK\r\n"
VIDEO = {"Content-Type": "video/mp4"}
SHA256 = hashlib.sha256(CLIP).hexdigest()


@pytest.fixture
def saver(tmp_path: Path) -> Saver:
    """Somebody who saves clips into an empty directory."""
    return open_saver(tmp_path)


def test_a_clip_is_saved(saver: Saver) -> None:
    """The file holds every byte of the clip, and its size and hash are told."""
    with host(give_clip) as server:
        saved = saver.save(find(server))
    assert saved == Saved(path=saver.path, size=len(CLIP), sha256=SHA256)
    assert saver.files == {"clip.mp4": CLIP}
    assert saver.promised == [saved]


def test_the_promise_comes_before_the_name(saver: Saver) -> None:
    """What the journal cannot note is not saved, so a rerun never meets a file unknown to it."""
    saver.on_promise = refuse
    with host(give_clip) as server, pytest.raises(OSError, match="full"):
        saver.save(find(server))
    assert saver.files == {}


def refuse(_saved: Saved) -> None:
    """Be a journal that cannot be written."""
    raise OSError("full")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_mode_is_that_of_any_new_file(saver: Saver, mask: int) -> None:
    """Others may read a clip if the umask lets them, but not the half of it."""
    modes = list[int]()

    def look(_done: int, _total: int | None) -> None:
        modes.append((saver.directory / "clip.mp4.part").stat().st_mode & 0o777)

    saver.on_progress = look
    before = os.umask(mask)
    try:
        with host(give_clip) as server:
            saver.save(find(server))
    finally:
        os.umask(before)
    assert saver.path.stat().st_mode & 0o777 == 0o666 & ~mask
    assert set(modes) == {0o600}


def test_progress_is_told_from_time_to_time(saver: Saver) -> None:
    """A display learns the first and the last byte, and no more than ten times a second."""
    body = CLIP + b"\0\0\1\0free" + bytes(248) + b"\x00\x20\0\0free" + bytes(0x200000 - 8)
    with host(Reply(headers=VIDEO, body=body)) as server:
        saver.save(find(server))
    assert len(saver.told) == 2
    assert 0 < saver.told[0][0] < len(body)
    assert saver.told[1] == (len(body), len(body))
    assert {total for _, total in saver.told} == {len(body)}


def test_the_host_of_the_clip_learns_nothing(
    saver: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No token, no cookie and no password goes there, also behind a redirect (fault 107)."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("KLING_TOKEN", "sk-hunter2")
    moved = Reply(status=302, headers={"Set-Cookie": "a=b; Path=/", "Location": "/b.mp4"})
    with host(moved, give_clip) as server:
        saver.save(find(server))
        visits = server.visits
    assert [visit.path for visit in visits] == [f"/a.mp4{QUERY}", "/b.mp4"]
    for visit in visits:
        assert set(visit.headers) == {
            "accept",
            "accept-encoding",
            "connection",
            "host",
            "user-agent",
        }
        assert visit.headers["accept-encoding"] == "identity"
        assert visit.headers["user-agent"].startswith("kling-cli/")


@pytest.mark.parametrize(
    "name",
    [
        "../x.mp4",
        "%2e%2e%2fx.mp4",
        "/etc/x.mp4",
        "C:\\x.mp4",
        "NUL",
        "a\x07b",
        "x" * 400,
        ".bashrc",
    ],
)
def test_the_name_that_a_server_gives_is_never_used(saver: Saver, name: str) -> None:
    """A server cannot choose where its clip is written (fault 83)."""
    told = {**VIDEO, "Content-Disposition": f'attachment; filename="{name}"'}
    with host(Reply(headers=told, body=CLIP)) as server:
        saver.save(find(server, "/%2e%2e%2fx.mp4"))
    assert saver.files == {"clip.mp4": CLIP}
    assert [path.name for path in saver.directory.parent.iterdir()] == ["clips"]


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (
            Reply(headers={"Content-Type": "text/html; charset=utf-8"}, body=b"<!doctype html>..."),
            "download_not_a_video",
            "what came is no MP4 video but text/html.",
        ),
        (
            Reply(json={"error": "no such clip"}),
            "download_not_a_video",
            "what came is no MP4 video but application/json.",
        ),
        (
            Reply(headers=VIDEO, body=b"<html>" * 100),
            "download_not_a_video",
            "what came is no MP4 video.",
        ),
        (Reply(body=b"hi"), "download_not_a_video", "what came is no MP4 video."),
        (Reply(headers=VIDEO, body=b""), "download_not_a_video", "what came is empty."),
        (
            Reply(headers={**VIDEO, "Content-Encoding": "gzip"}, body=CLIP),
            "download_failed",
            "its server sends it compressed as gzip.",
        ),
        (
            Reply(status=403, body=b"<Error>Expired</Error>"),
            "download_expired",
            "its server answers HTTP 403: the link is refused or has expired.",
        ),
        (Reply(status=401), "download_expired", "HTTP 401"),
        (Reply(status=404), "download_expired", "HTTP 404"),
        (Reply(status=410), "download_expired", "HTTP 410"),
        (Reply(status=400), "download_failed", "its server answers HTTP 400."),
        (Reply(status=302), "download_failed", "its server answers HTTP 302."),
        (Reply(status=204), "download_failed", "its server answers HTTP 204."),
    ],
)
def test_what_no_other_try_can_mend_is_told_at_once(
    saver: Saver, reply: Reply, code: str, words: str
) -> None:
    """A page, an error or a dead link is no clip, and is not asked for again (fault 82)."""
    with host(reply) as server:
        error = saver.fail(find(server), code)
        assert len(server.visits) == 1
    assert error.message.startswith("The video could not be downloaded: ")
    assert words in error.message
    assert error.hint == AGAIN
    assert saver.clock.sleeps == ()


@pytest.mark.parametrize("headers", [VIDEO, {**VIDEO, "Transfer-Encoding": "chunked"}])
def test_a_clip_above_the_cap_is_refused(saver: Saver, headers: Mapping[str, str]) -> None:
    """No server can fill the disk, whether it tells the length or not (fault 82)."""
    saver.limits = Limits(most_bytes=10_000)
    chunked = b"%x\r\n%s\r\n" % (len(CLIP), CLIP)
    body = chunked if "Transfer-Encoding" in headers else CLIP
    with host(Reply(headers=headers, body=body)) as server:
        error = saver.fail(find(server), "download_too_large")
    assert "larger than 10,000 bytes" in error.message
    assert LIMITS.most_bytes == 1 << 30


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (Reply(status=503), "its server answers HTTP 503"),
        (Reply(status=429), "its server answers HTTP 429"),
        (Reply(status=416), "its server answers HTTP 416"),
        (DROP, "127.0.0.1 broke off or sent no proper HTTP"),
        (RESET, "the connection to 127.0.0.1 broke"),
        (
            Reply(headers={"Content-Length": str(len(CLIP) + 1)}, body=CLIP),
            "127.0.0.1 broke off or sent no proper HTTP",
        ),
    ],
)
def test_five_tries_are_made(saver: Saver, page: Reply, words: str) -> None:
    """What may pass is tried again with growing pauses, and then given up (fault 82)."""
    with host(page) as server:
        error = saver.fail(find(server), "download_failed")
        assert len(server.visits) == 5
    assert error.message == (f"The video could not be downloaded: {words}; 5 tries were made.")
    assert error.hint == AGAIN
    assert saver.clock.sleeps == (1.0, 2.0, 4.0, 8.0)


def test_a_clip_is_saved_by_the_last_try(saver: Saver) -> None:
    """A short outage of the host is nothing that the user has to know of."""
    bad = Reply(status=500)
    with host(bad, bad, DROP, RESET, give_clip) as server:
        saver.save(find(server))
    assert saver.files == {"clip.mp4": CLIP}


@pytest.mark.parametrize(("asked", "paused"), [("30", 30.0), ("0", 1.0), ("9999", 120.0), ("x", 1)])
def test_the_pause_that_a_server_asks_for_is_made(saver: Saver, asked: str, paused: float) -> None:
    """Retry-After is obeyed up to two minutes."""
    with host(Reply(status=429, headers={"Retry-After": asked}), give_clip) as server:
        saver.save(find(server))
    assert saver.clock.sleeps == (paused,)


def test_a_closed_port_is_told(saver: Saver) -> None:
    """Where nobody answers the reason is told after the last try."""
    with host(give_clip) as server:
        url = find(server)
    error = saver.fail(url, "download_failed")
    assert "127.0.0.1 refused the connection; 5 tries were made." in error.message


def test_a_server_that_stands_still_is_left(saver: Saver) -> None:
    """Silence breaks a try, and only silence: a slow line has all the time that it needs."""
    saver.limits = Limits(still_seconds=0.15, tries=1)
    head = HEAD + f"Content-Length: {len(CLIP)}\r\n\r\n".encode()
    slow = [send(head), *(step for piece in cut(CLIP, 8) for step in (send(piece), pause))]
    with FaultServer((read_request, *slow), (read_request, send(head), hold)) as server:
        saver.save(server.url)
        assert saver.path.read_bytes() == CLIP
        saver.force = True
        error = saver.fail(server.url, "download_failed")
    assert "127.0.0.1 did not answer in time; 1 tries were made." in error.message
    assert saver.files == {"clip.mp4": CLIP}


def cut(content: bytes, count: int) -> Sequence[bytes]:
    """Cut bytes into so many pieces."""
    size = -(-len(content) // count)
    return [content[start : start + size] for start in range(0, len(content), size)]


def pause(_connection: object) -> None:
    """Let less time pass than a try may stand still."""
    time.sleep(0.04)


@pytest.mark.parametrize("body", [CLIP[:-1], CLIP[:1000], CLIP[:32], CLIP[:4], b""])
def test_an_answer_without_a_length_is_not_taken_for_whole(saver: Saver, body: bytes) -> None:
    """Where only the end of the connection tells the end of the clip, its boxes are counted."""
    saver.limits = Limits(tries=1)
    with FaultServer((read_request, send(HEAD + b"\r\n" + body), close)) as server:
        error = saver.fail(server.url, "download_failed")
    assert "it ended after" in error.message


def test_a_whole_clip_without_a_length_is_taken(saver: Saver) -> None:
    """A server need not tell the length of what it makes on the way."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in cut(CLIP, 3))
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    plain = HEAD + b"\r\n" + CLIP
    saver.force = True
    with FaultServer((read_request, send(chunked)), (read_request, send(plain))) as server:
        for _ in range(2):
            assert saver.save(server.url).sha256 == SHA256
    assert saver.told[-1] == (len(CLIP), None)


def test_redirects_are_followed(saver: Saver) -> None:
    """A link of a store leads on to where the file lies."""
    ways = [Reply(status=status, headers={"Location": "b"}) for status in (301, 302, 303, 307, 308)]
    with host(*ways, give_clip) as server:
        saver.save(find(server))
    assert saver.files == {"clip.mp4": CLIP}


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/a.mp4", "it redirects more than 5 times."),
        ("file:///etc/passwd", "it redirects to an address that cannot be used."),
        ("ftp://a.example/hunter2", "it redirects to an address that cannot be used."),
        ("http://me:hunter2@a.example/", "it redirects to an address that cannot be used."),
    ],
)
def test_a_redirect_that_leads_nowhere_is_told(saver: Saver, location: str, words: str) -> None:
    """Not every address that a server names is asked, and none with a password in it."""
    with host(Reply(status=302, headers={"Location": location})) as server:
        error = saver.fail(find(server), "download_failed")
    assert error.message == f"The video could not be downloaded: {words}"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "no address", "https://a:b@c.example/"])
def test_an_address_that_is_none_is_told(saver: Saver, url: str) -> None:
    """A `file:` URL of a service that is not the sandbox reads no file."""
    error = saver.fail(url, "download_failed")
    assert error.message == (
        "The video could not be downloaded: it has an address that cannot be used."
    )


def test_a_private_address_is_not_asked(saver: Saver) -> None:
    """A service cannot make this machine ask its own network (fault 110)."""
    saver.allow_private = False
    with host(give_clip) as server:
        error = saver.fail(find(server), "download_private_address")
        assert server.opened == 0
    assert error.message == (
        "The video could not be downloaded: it has an address that no public server has: "
        "127.0.0.1 is this machine itself."
    )


def test_a_redirect_to_a_private_address_is_not_followed(saver: Saver) -> None:
    """A public host cannot make this machine ask its own network either (fault 110)."""
    with host(give_clip) as private:
        moved = Reply(status=302, headers={"Location": find(private)})
        with host(moved) as public:

            def resolve(name: str, port: int) -> Sequence[str]:
                return count_as_public(name, port) if port == public.port else [name]

            saver.allow_private, saver.resolve = False, resolve
            error = saver.fail(find(public), "download_private_address")
            assert (public.opened, private.opened) == (1, 0)
    assert "it redirects to an address that no public server has: 127.0.0.1" in error.message


def test_from_https_there_is_no_way_to_plain_http(saver: Saver, tmp_path: Path) -> None:
    """What was protected stays so on its whole way; from one host to another is fine."""
    saver.transport = Transport(environ={"SSL_CERT_FILE": str(write_authority(tmp_path))})
    good = [read_request, answer(Reply(headers=VIDEO, body=CLIP))]
    with host(give_clip) as plain:
        moved = answer(Reply(status=302, headers={"Location": find(plain)}))
        with FaultServer([read_request, moved], good, tls=make_context()) as secure:
            error = saver.fail(f"https://localhost:{secure.port}/a.mp4", "download_failed")
            upward = Reply(status=302, headers={"Location": f"https://localhost:{secure.port}/"})
            with host(upward) as beginning:
                saver.save(find(beginning))
        assert plain.opened == 0
    assert "it redirects from https to plain http" in error.message


def test_a_broken_setting_is_told(saver: Saver) -> None:
    """What hinders the download alone is an error of the download: the task is paid for."""
    saver.transport = Transport(environ={"SSL_CERT_FILE": "/nowhere/at-all.pem"})
    error = saver.fail("https://127.0.0.1:1/a.mp4", "download_failed")
    assert "/nowhere/at-all.pem" in error.message


def test_the_clip_of_the_sandbox_is_a_file(saver: Saver, tmp_path: Path) -> None:
    """The embedded sandbox's clip comes the same way: judged, synced, named."""
    source = tmp_path / "a clip.mp4"
    source.write_bytes(CLIP)
    saver.allow_file = True
    saved = saver.save(source.as_uri())
    assert saved == Saved(path=saver.path, size=len(CLIP), sha256=SHA256)
    assert saver.files == {"clip.mp4": CLIP}


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"<html></html>", "download_not_a_video", "what came is no MP4 video."),
        (b"", "download_not_a_video", "what came is empty."),
    ],
)
def test_a_file_of_the_sandbox_is_judged(
    saver: Saver, tmp_path: Path, content: bytes, code: str, words: str
) -> None:
    """What is no clip is none in the sandbox either."""
    source = tmp_path / "a.mp4"
    source.write_bytes(content)
    saver.allow_file = True
    assert saver.fail(source.as_uri(), code).message.endswith(words)


def test_a_lost_clip_of_the_sandbox_is_no_loss(saver: Saver, tmp_path: Path) -> None:
    """Where a journal names a clip that was deleted with its program, this program's is saved."""
    saver.allow_file = True
    saver.save((tmp_path / "deleted" / "clip.mp4").as_uri())
    assert saver.files == {"clip.mp4": CLIP}


def test_an_impossible_file_of_the_sandbox_is_told(saver: Saver) -> None:
    """A file's name that no system knows is an error like any other."""
    saver.allow_file = True
    assert "null byte" in saver.fail("file:///a%00b", "download_failed").message


def test_a_saved_file_is_known_again(tmp_path: Path) -> None:
    """A rerun tells its own clip from any other file, and from a link to it."""
    path = tmp_path / "a.mp4"
    link = tmp_path / "link.mp4"
    link.symlink_to(path)
    assert not is_same(path, size=len(CLIP), sha256=SHA256)
    path.write_bytes(CLIP)
    assert is_same(path, size=len(CLIP), sha256=SHA256)
    assert not is_same(link, size=len(CLIP), sha256=SHA256)
    assert not is_same(path, size=len(CLIP) - 1, sha256=SHA256)
    path.write_bytes(CLIP[:-1] + b"x")
    assert not is_same(path, size=len(CLIP), sha256=SHA256)
