"""A download that breaks goes on where it broke, and never mixes two versions of a clip."""

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from downloads import CLIP, Saver, find, give_clip, host, judge, open_saver
from ground.fault_server import FaultServer
from ground.loopback import Visit
from ground.replies import Reply, serve_file
from ground.steps import answer, read_request, reset, send

from kling_cli.errors import LocalError
from kling_cli.saving.fetching import Limits

OTHER = CLIP[:100] + b"x" * (len(CLIP) - 100)
HALF = len(CLIP) // 2
ETAG = {"ETag": '"one"'}
DATED = {"Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}
WEAK = {"ETag": 'W/"one"'}


@pytest.fixture
def saver(tmp_path: Path) -> Saver:
    """Somebody who saves clips into an empty directory."""
    return open_saver(tmp_path)


def break_off(**headers: str) -> Reply:
    """Give half of the clip and close, though all was promised."""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(headers={**told, "Content-Length": str(len(CLIP))}, body=CLIP[:HALF])


def give_rest(
    *, start: int = HALF, total: int = len(CLIP), clip: bytes = CLIP, tag: str = '"one"'
) -> Reply:
    """Give what a range asks for, or something else."""
    told = {"Content-Range": f"bytes {start}-{total - 1}/{total}", "ETag": tag}
    return Reply(status=206, headers=told, body=clip[start:])


@pytest.mark.parametrize("version", [ETAG, DATED, {**ETAG, **DATED}])
def test_what_is_missing_is_asked_for(saver: Saver, version: dict[str, str]) -> None:
    """A break in the middle costs the other half only, and a changed file is noticed (fault 82)."""
    with host(break_off(**version), give_rest(tag=version.get("ETag", ""))) as server:
        saver.save(find(server))
        first, second = server.visits
    assert saver.files == {"clip.mp4": CLIP}
    assert "range" not in first.headers
    assert second.headers["range"] == f"bytes={HALF}-"
    assert second.headers["if-range"] == next(iter(version.values()))
    assert saver.clock.sleeps == (1.0,)


def test_it_breaks_four_times(saver: Saver) -> None:
    """Each try goes on where the one before it ended."""

    def give_some(visit: Visit) -> Reply:
        start = int(visit.headers.get("range", "bytes=0-")[6:-1])
        whole = serve_file(CLIP, media_type="video/mp4", headers=visit.headers)
        told = {**whole.headers, "Content-Length": str(len(whole.body))}
        return Reply(status=whole.status, headers=told, body=CLIP[start : start + 12_000])

    with host(give_some) as server:
        saver.save(find(server))
        asked = [visit.headers.get("range") for visit in server.visits]
    assert saver.files == {"clip.mp4": CLIP}
    assert asked == [None, *(f"bytes={count * 12_000}-" for count in range(1, 5))]


@pytest.mark.parametrize("version", [{}, WEAK, {"ETag": "one"}])
def test_without_a_version_it_begins_anew(saver: Saver, version: dict[str, str]) -> None:
    """Where nothing tells two versions apart, their halves are not put together (fault 82)."""
    with host(break_off(**version), give_clip) as server:
        saver.save(find(server))
        assert all("range" not in visit.headers for visit in server.visits)
    assert saver.files == {"clip.mp4": CLIP}


def test_a_break_before_the_first_bytes_begins_anew(saver: Saver) -> None:
    """What is too short to be judged is not kept."""
    early = Reply(headers={**ETAG, "Content-Length": str(len(CLIP))}, body=CLIP[:5])
    with host(early, give_clip) as server:
        saver.save(find(server))
        assert "range" not in server.visits[1].headers
    assert saver.files == {"clip.mp4": CLIP}


@pytest.mark.parametrize(
    "page",
    [
        give_rest(tag='"two"', clip=OTHER),
        give_rest(start=HALF + 1),
        give_rest(total=len(CLIP) + 1, clip=CLIP + b"x"),
        Reply(status=206, headers={"Content-Range": f"bytes {HALF}-9/*"}, body=CLIP[HALF:]),
        Reply(status=206, headers=ETAG, body=CLIP[HALF:]),
        Reply(status=416, headers={"Content-Range": f"bytes */{len(CLIP)}"}),
    ],
    ids=["another version", "another place", "another length", "no length", "no place", "416"],
)
def test_what_does_not_fit_begins_anew(saver: Saver, page: Reply) -> None:
    """A part of another version, or another part, is thrown away with the first half (fault 82)."""
    with host(break_off(**ETAG), page, give_clip) as server:
        saver.save(find(server))
        asked = [visit.headers.get("range") for visit in server.visits]
    assert asked == [None, f"bytes={HALF}-", None]
    assert saver.files == {"clip.mp4": CLIP}


def test_a_server_may_give_all_again(saver: Saver) -> None:
    """200 in answer to a range is the whole file, in its present version (fault 82)."""
    changed = CLIP + b"\0\0\0\x08free"
    with host(break_off(**ETAG), Reply(headers={"ETag": '"two"'}, body=changed)) as server:
        saver.save(find(server))
        assert len(server.visits) == 2
    assert saver.files == {"clip.mp4": changed}


def test_a_part_that_was_not_asked_for_is_a_beginning(saver: Saver) -> None:
    """A server that gives less than all at a time is asked for the next part."""
    told = {**ETAG, "Content-Range": f"bytes 0-{HALF - 1}/{len(CLIP)}"}
    with host(Reply(status=206, headers=told, body=CLIP[:HALF]), give_rest()) as server:
        saver.save(find(server))
    assert saver.files == {"clip.mp4": CLIP}


def test_more_than_was_promised_begins_anew(saver: Saver) -> None:
    """A part that is longer than the file is no part of it."""
    too_long = Reply(
        status=206,
        headers={**ETAG, "Content-Range": f"bytes {HALF}-{len(CLIP) - 1}/{len(CLIP)}"},
        body=CLIP[HALF:] + b"x",
    )
    with host(break_off(**ETAG), too_long, give_clip) as server:
        saver.save(find(server))
        assert "range" not in server.visits[2].headers
    assert saver.files == {"clip.mp4": CLIP}


def test_a_reset_in_the_middle_is_resumed(saver: Saver) -> None:
    """A connection that is cut without a word is one more break."""
    head = f'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: {len(CLIP)}\r\n\r\n'.encode()
    second = (read_request, answer(give_rest(start=HALF)))
    with FaultServer((read_request, send(head + CLIP[:HALF]), wait, reset), second) as server:
        saver.save(server.url)
        ranges = [request.headers.get("range") for request in server.requests]
    assert ranges in ([None, f"bytes={HALF}-"], [None, None])
    assert saver.files == {"clip.mp4": CLIP}


def wait(_connection: object) -> None:
    """Let the client read what was sent, which a reset would take back."""
    time.sleep(0.1)


def test_a_whole_clip_goes_to_a_stream(saver: Saver) -> None:
    """A reader gets the clip, byte for byte."""
    file = io.BytesIO()
    with host(give_clip) as server:
        saver.stream(find(server), file)
    assert file.getvalue() == CLIP
    assert saver.files == {}


@pytest.mark.parametrize(
    "pages",
    [
        [break_off(**ETAG), give_rest()],
        [break_off(), give_clip],
        [break_off(), Reply(headers={"Content-Length": "52874"}, body=CLIP[:9000]), give_clip],
        [break_off(**ETAG), Reply(status=503), Reply(status=416), give_clip],
    ],
    ids=["resumed", "begun anew", "broken twice", "refused between"],
)
def test_a_reader_never_sees_a_break(
    saver: Saver, pages: Sequence[Reply | Callable[[Visit], Reply]]
) -> None:
    """What was written is not written again, however often the download breaks."""
    file = io.BytesIO()
    with host(*pages) as server:
        saver.stream(find(server), file)
    assert file.getvalue() == CLIP


def test_a_reader_is_told_of_a_clip_that_changed(saver: Saver) -> None:
    """Two halves of two clips are not passed off as one."""
    file = io.BytesIO()
    with host(break_off(), Reply(body=OTHER)) as server, pytest.raises(LocalError) as caught:
        saver.stream(find(server), file)
    assert "it changed while it was written" in judge(caught.value, "download_failed").message
    assert file.getvalue() == CLIP[:HALF]


@pytest.mark.parametrize("page", [Reply(body=b"<html></html>"), Reply(status=403), Reply()])
def test_a_stream_gets_nothing_that_is_no_clip(saver: Saver, page: Reply) -> None:
    """Not a byte of an error page comes down the pipe."""
    file = io.BytesIO()
    with host(page) as server, pytest.raises(LocalError):
        saver.stream(find(server), file)
    assert file.getvalue() == b""


def test_a_stream_that_is_given_up_is_told(saver: Saver) -> None:
    """Whoever got the half of a clip learns by the exit code that it is the half."""
    saver.limits = Limits(tries=2)
    file = io.BytesIO()
    with host(break_off(**ETAG), Reply(status=500)) as server:
        with pytest.raises(LocalError) as caught:
            saver.stream(find(server), file)
        judge(caught.value, "download_failed")
    assert file.getvalue() == CLIP[:HALF]
