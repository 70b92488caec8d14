import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_caller import Service

import kling_cli
from kling_cli.errors import LocalError
from kling_cli.sandbox.clip import locate_clip, read_clip


def list_boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """List the MP4 boxes of a piece of a file: type and payload."""
    place = 0
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        assert length >= 8
        yield content[place + 4 : place + 8], content[place + 8 : place + length]
        place += length


def test_the_clip_plays_from_its_first_bytes() -> None:
    """The clip is a small H.264 MP4 of 5.041 seconds whose index stands before its pictures."""
    clip = read_clip()
    boxes = dict(list_boxes(clip))
    assert len(clip) < 100_000
    assert [name for name, _ in list_boxes(clip)][:2] == [b"ftyp", b"moov"]
    assert b"mdat" in boxes
    moov = dict(list_boxes(boxes[b"moov"]))
    scale, length = (int.from_bytes(moov[b"mvhd"][at : at + 4], "big") for at in (12, 16))
    assert 5.0 < length / scale < 5.1
    media = dict(list_boxes(dict(list_boxes(moov[b"trak"]))[b"mdia"]))
    table = dict(list_boxes(dict(list_boxes(media[b"minf"]))[b"stbl"]))
    sample = table[b"stsd"][8:]
    assert sample[4:8] == b"avc1"
    width, height = (int.from_bytes(sample[at : at + 2], "big") for at in (32, 34))
    assert (width, height) == (480, 480)
    profile = sample[sample.index(b"avcC") + 5]
    assert profile in (66, 77)  # baseline or main: what every browser plays


def test_the_whole_clip_is_sent(tmp_path: Path) -> None:
    """Without a range the clip comes whole, with its type, length and a strong tag; no token."""
    reply = Service(tmp_path).call("GET", "/clip.mp4?task=1")
    assert reply.status == 200
    assert reply.body == read_clip()
    assert reply.headers["Content-Type"] == "video/mp4"
    assert reply.headers["Accept-Ranges"] == "bytes"
    assert reply.headers["ETag"].startswith('"')


def test_the_head_of_the_clip_is_its_headers(tmp_path: Path) -> None:
    """HEAD tells length and tag without the bytes."""
    reply = Service(tmp_path).call("HEAD", "/clip.mp4")
    assert reply.status == 200
    assert reply.body == b""
    assert reply.headers["Content-Length"] == str(len(read_clip()))


SIZE = len(read_clip())


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=100-", 100, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        ("bytes=-10", SIZE - 10, SIZE - 1),
        (f"bytes=-{SIZE + 10}", 0, SIZE - 1),
        (f"bytes=5-{SIZE + 10}", 5, SIZE - 1),
        ("bytes = 1 - 2", 1, 2),
    ],
)
def test_a_broken_download_can_go_on(tmp_path: Path, wanted: str, first: int, last: int) -> None:
    """A range is answered with 206 and exactly those bytes."""
    service = Service(tmp_path)
    tag = service.call("GET", "/clip.mp4").headers["ETag"]
    for told in ({"Range": wanted}, {"Range": wanted, "If_Range": tag}):
        reply = service.call("GET", "/clip.mp4", **told)
        assert reply.status == 206
        assert reply.body == read_clip()[first : last + 1]
        assert reply.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
        assert reply.headers["Content-Length"] == str(last - first + 1)
        assert reply.headers["ETag"] == tag


@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0"])
def test_a_range_behind_the_end_is_416(tmp_path: Path, wanted: str) -> None:
    """A range that does not exist is refused with the true size."""
    reply = Service(tmp_path).call("GET", "/clip.mp4", Range=wanted)
    assert reply.status == 416
    assert reply.body == b""
    assert reply.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "told",
    [
        {"Range": "bytes=-"},
        {"Range": "bytes=9-1"},
        {"Range": "bytes=0-1,5-6"},
        {"Range": "pages=0-1"},
        {"Range": "bytes=" + "9" * 5000 + "-"},
        {"Range": "bytes=0-1", "If_Range": '"another version"'},
    ],
)
def test_a_range_without_meaning_gets_the_whole(tmp_path: Path, told: dict[str, str]) -> None:
    """What cannot be read, or is of another version, counts as no range."""
    reply = Service(tmp_path).call("GET", "/clip.mp4", **told)
    assert (reply.status, len(reply.body)) == (200, SIZE)


def test_the_clip_outlives_the_program(tmp_path: Path) -> None:
    """The clip is named where a copy of it lies: private, whole, and made again when missing."""
    clip = tmp_path / "clip.mp4"
    for _ in range(2):
        assert {locate_clip(tmp_path) for _ in range(2)} == {clip.as_uri()}
        assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
        assert clip.read_bytes() == read_clip()
        assert clip.stat().st_mode & 0o777 == 0o600
        clip.unlink()


def test_a_clip_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    """Where no copy can be made the error names its place."""
    with pytest.raises(LocalError, match="cannot keep its clip"):
        locate_clip(tmp_path / "missing")


RUN_FROM_ARCHIVE = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from sandbox_caller import Service
import kling_cli.sandbox
assert ".zip" in kling_cli.sandbox.__file__
service = Service(Path(sys.argv[3]))
task_id = service.create().data["task_id"]
service.clock.time += 3
print(service.look(task_id).data["task_result"]["videos"][0]["url"])
"""


def test_the_sandbox_works_from_an_archive(tmp_path: Path) -> None:
    """A zipped program serves a task whose file is really there (fault 120)."""
    package = Path(kling_cli.__file__).parent
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, tree / "kling_cli", ignore=ignored)
    archive = shutil.make_archive(str(tmp_path / "kling"), "zip", tree)
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", RUN_FROM_ARCHIVE, archive, here, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.stderr == ""
    url = run.stdout.strip()
    assert url == (tmp_path / "state" / "clip.mp4").as_uri()
    assert (tmp_path / "state" / "clip.mp4").read_bytes() == read_clip()
