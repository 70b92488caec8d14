"""A clip has its name only when it is whole, whatever happens meanwhile and whoever else saves."""

import fcntl
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from downloads import AGAIN, CLIP, Saver, find, give_clip, host, open_saver
from ground.fault_server import FaultServer
from ground.replies import Reply
from ground.steps import Script, answer, hold, read_request, send
from ground.sweep import STRACE

from kling_cli.errors import Interrupted, LocalError
from kling_cli.saving.download import clear
from kling_cli.saving.part import Part

CHILD = Path(__file__).with_name("saving_child.py")
HEAD = f"HTTP/1.1 200 OK\r\nContent-Length: {len(CLIP)}\r\n\r\n".encode()
GOOD: Script = (read_request, answer(Reply(body=CLIP)))
HELD: Script = (read_request, send(HEAD + CLIP[:9000]), hold, send(CLIP[9000:]))
needs_strace = pytest.mark.skipif(STRACE is None, reason="needs strace")


@pytest.fixture
def saver(tmp_path: Path) -> Saver:
    """Somebody who saves clips into an empty directory."""
    return open_saver(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A clip of the sandbox."""
    path = tmp_path / "source.mp4"
    path.write_bytes(CLIP)
    return path.as_uri()


class Child:
    """A process that saves a clip, as a context manager.

    Args:
        url: the clip's.
        path: where to.
        strace: what strace has to do to it, if anything.
    """

    def __init__(
        self,
        url: str,
        path: Path,
        *,
        strace: Sequence[str] = (),
    ) -> None:
        prefix = [str(STRACE), "-f", "-qq", "-o", "/dev/null", *strace] if strace else []
        self._process = subprocess.Popen(
            [*prefix, sys.executable, str(CHILD), url, str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def kill(self) -> None:
        """End it at once, if it goes on."""
        self._process.kill()
        self._process.wait()

    def finish(self) -> str:
        """Wait for its end, and tell what it has printed."""
        said, _ = self._process.communicate(timeout=30)
        return said.strip()


def wait_for(path: Path, *, size: int = 0) -> None:
    """Wait until a file is there and has so many bytes."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if path.exists() and path.stat().st_size >= size:
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} never came")


def wait_until_open(path: Path) -> None:
    """Wait until another process has opened a file."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            with suppress(OSError):
                if link.readlink() == path:
                    return
    raise AssertionError(f"nobody opened {path}")


def test_an_existing_file_is_not_touched(saver: Saver) -> None:
    """A file that appeared since it was asked for is not overwritten (fault 80)."""
    saver.path.write_bytes(b"old")
    with host(give_clip) as server:
        error = saver.fail(find(server), "output_exists")
    assert error.message == (
        f"{saver.path} appeared while the video was downloaded; it is as it was."
    )
    assert "--force" in error.hint


def test_a_link_is_not_followed(saver: Saver) -> None:
    """A link under the name of the clip, or of its part, leads nobody elsewhere (fault 80)."""
    other = saver.directory / "other"
    other.write_bytes(b"old")
    saver.path.symlink_to(other)
    with host(give_clip) as server:
        saver.fail(find(server), "output_exists")
        saver.force = True
        saver.save(find(server))
    assert not saver.path.is_symlink()
    assert saver.files == {"other": b"old", "clip.mp4": CLIP}


def test_force_replaces_a_file_at_the_end_alone(saver: Saver) -> None:
    """Until the new clip is whole the old one stays."""
    saver.force = True
    saver.path.write_bytes(b"old")
    with host(Reply(status=403), give_clip) as server:
        saver.fail(find(server), "download_expired")
        assert saver.path.read_bytes() == b"old"
        saver.save(find(server))
    assert saver.files == {"clip.mp4": CLIP}


def test_what_cannot_be_replaced_is_told(saver: Saver) -> None:
    """Also --force does not put a clip in the place of a directory."""
    saver.force = True
    saver.path.mkdir()
    with host(give_clip) as server, pytest.raises(LocalError) as caught:
        saver.save(find(server))
    assert caught.value.code == "output_failed"
    assert "could not be written: Is a directory." in caught.value.message
    assert list(saver.directory.iterdir()) == [saver.path]


def test_a_directory_that_is_gone_is_told(saver: Saver) -> None:
    """What was there when it was checked may be gone by now (fault 81)."""
    saver.directory.rmdir()
    with host(give_clip) as server, pytest.raises(LocalError) as caught:
        saver.save(find(server))
    assert (caught.value.code, caught.value.hint) == ("output_failed", AGAIN)
    assert "No such file or directory" in caught.value.message


def test_the_rest_of_a_killed_run_is_begun_anew(saver: Saver) -> None:
    """Nobody knows which clip the rest belongs to, and it may be a second name of one."""
    finished = saver.directory / "finished.mp4"
    finished.write_bytes(CLIP[:500] * 1000)
    part = saver.directory / "clip.mp4.part"
    os.link(finished, part)
    with host(give_clip) as server:
        saver.save(find(server))
    assert saver.files == {"clip.mp4": CLIP, "finished.mp4": CLIP[:500] * 1000}


def test_the_rest_beside_a_finished_clip_is_cleared(tmp_path: Path) -> None:
    """A run that was killed just behind the name left a second one, which the rerun removes."""
    path, part = tmp_path / "clip.mp4", tmp_path / "clip.mp4.part"
    path.write_bytes(CLIP)
    clear(path)
    os.link(path, part)
    clear(path)
    assert path.read_bytes() == CLIP
    assert list(tmp_path.iterdir()) == [path]
    with part.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        clear(path)
        assert part.exists()


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_what_is_no_rest_of_ours_is_left_alone(saver: Saver, kind: str) -> None:
    """A link under the part's name is not written through, and not removed."""
    part = saver.directory / "clip.mp4.part"
    other = saver.directory.parent / "other"
    other.write_bytes(b"old")
    part.symlink_to(other) if kind == "link" else part.mkdir()
    with host(give_clip) as server, pytest.raises(LocalError) as caught:
        saver.save(find(server))
    assert caught.value.code == "output_failed"
    assert f"{part} is in the way" in caught.value.message
    assert os.path.lexists(part)
    assert other.read_bytes() == b"old"


def test_a_part_that_another_run_writes_is_left_alone(saver: Saver) -> None:
    """Two runs of one command do not write into each other's file."""
    part = saver.directory / "clip.mp4.part"
    with part.open("wb") as file:
        file.write(CLIP[:10])
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with host(give_clip) as server:
            error = saver.fail(find(server), "output_busy")
            assert server.visits == []
    assert error.message == f"Another run is saving {saver.path} at this moment."


def test_of_many_savers_one_saves(saver: Saver) -> None:
    """Whoever is not first is told so, and the file is whole."""
    codes = list[str]()

    def run() -> None:
        other = Saver(directory=saver.directory)
        try:
            other.save(find(server))
        except LocalError as error:
            codes.append(error.code)
        else:
            codes.append("saved")

    with host(give_clip) as server:
        threads = [threading.Thread(target=run) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert codes.count("saved") == 1
    assert set(codes) <= {"saved", "output_busy", "output_exists"}
    assert saver.files == {"clip.mp4": CLIP}


def test_an_interrupted_download_leaves_nothing(saver: Saver) -> None:
    """Ctrl-C in the middle leaves neither half a clip nor its part."""

    def stop(_done: int, _total: int | None) -> None:
        raise Interrupted(2)

    saver.on_progress = stop
    with host(give_clip) as server, pytest.raises(Interrupted):
        saver.save(find(server))
    assert saver.files == {}


def test_a_killed_download_is_begun_again(saver: Saver) -> None:
    """After kill -9 there is a part, never a clip, and the next run needs no help."""
    with FaultServer(HELD, GOOD) as server, Child(server.url, saver.path) as child:
        server.wait_until_held()
        wait_for(saver.directory / "clip.mp4.part", size=9000)
        child.kill()
        assert saver.files == {"clip.mp4.part": CLIP[:9000]}
        saver.save(server.url)
    assert saver.files == {"clip.mp4": CLIP}


@needs_strace
@pytest.mark.parametrize(
    "point",
    ["openat", "flock", "fchmod", "write", "fchmod:2", "fsync", "linkat", "unlink", "close"],
)
def test_wherever_it_is_killed_no_half_clip_has_the_name(
    saver: Saver, source: str, point: str
) -> None:
    """After kill -9 at any step there is the whole clip or none, and the next run tidies up."""
    call, _, number = point.partition(":")
    files = (str(saver.path), f"{saver.path}.part")
    fault = f"inject={call}:signal=KILL:when={number or 1}"
    strace = ("-P", files[0], "-P", files[1], "-e", f"trace={call}", "-e", fault)
    with Child(source, saver.path, strace=strace) as child:
        assert child.finish() == ""
    assert saver.files.get("clip.mp4", CLIP) == CLIP
    saver.allow_file = True
    if saver.path.exists():
        clear(saver.path)
    else:
        saver.save(source)
    assert saver.files == {"clip.mp4": CLIP}


def test_two_processes_do_not_meet(saver: Saver) -> None:
    """While one process saves, another leaves its part alone."""
    with FaultServer(HELD) as server, Child(server.url, saver.path) as child:
        server.wait_until_held()
        wait_for(saver.directory / "clip.mp4.part", size=9000)
        with pytest.raises(LocalError) as caught:
            saver.save(server.url)
        assert caught.value.code == "output_busy"
        server.release()
        assert child.finish() == "saved"
    assert saver.files == {"clip.mp4": CLIP}


def test_a_full_disk_is_told(saver: Saver) -> None:
    """A clip that does not fit leaves nothing, and the rerun costs nothing (fault 82)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with host(give_clip) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        try:
            error = saver.fail(find(server), "output_failed")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.message == f"{saver.path} could not be written: File too large."
    assert error.hint == AGAIN


@needs_strace
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("linkat:error=EPERM", "saved"),
        ("flock:error=ENOLCK", "saved"),
        ("fchmod:error=EPERM", "saved"),
        ("fsync:error=EIO:when=2", "saved"),
        ("fsync:error=EIO:when=1", "output_failed {} could not be written: Input/output error."),
        ("linkat:error=EEXIST", "output_exists {} appeared while"),
    ],
)
def test_every_file_system_will_do(saver: Saver, source: str, fault: str, said: str) -> None:
    """Without links, locks or modes a clip is saved all the same; a broken disk is told."""
    call = fault.partition(":")[0]
    strace = ("-e", f"trace={call}", "-e", f"inject={fault}")
    with Child(source, saver.path, strace=strace) as child:
        told = child.finish()
    assert told.startswith(said.format(saver.path))
    assert saver.files == ({"clip.mp4": CLIP} if said == "saved" else {})


@needs_strace
def test_a_file_that_cannot_be_closed_is_saved(saver: Saver, source: str) -> None:
    """What is on the disk is there, whatever the system says behind it."""
    part = saver.directory / "clip.mp4.part"
    strace = ("-P", str(part), "-e", "trace=close", "-e", "inject=close:error=EIO")
    with Child(source, saver.path, strace=strace) as child:
        assert child.finish() == "saved"
    assert saver.files == {"clip.mp4": CLIP}


@needs_strace
def test_without_links_nothing_is_replaced_either(saver: Saver, source: str) -> None:
    """Where only a rename is left, it is made only where nothing lies (fault 80)."""
    saver.path.write_bytes(b"old")
    strace = ("-e", "trace=linkat", "-e", "inject=linkat:error=EPERM")
    with Child(source, saver.path, strace=strace) as child:
        assert child.finish().startswith("output_exists")
    assert saver.files == {"clip.mp4": b"old"}


@needs_strace
def test_a_part_that_was_taken_away_is_made_again(saver: Saver, source: str) -> None:
    """Whoever takes our new part for the rest of a killed run before it is locked does no harm."""
    part = saver.directory / "clip.mp4.part"
    strace = ("-e", "trace=flock", "-e", "inject=flock:delay_enter=500000:when=1")
    with Child(source, saver.path, strace=strace) as child:
        wait_for(part)
        part.unlink()
        assert child.finish() == "saved"
    assert saver.files == {"clip.mp4": CLIP}


@needs_strace
def test_a_rest_that_another_run_has_replaced_is_left(saver: Saver, source: str) -> None:
    """What we wanted to remove may be the new part of another run by the time we hold its lock."""
    part = saver.directory / "clip.mp4.part"
    part.write_bytes(b"old")
    young = saver.directory.parent / "young"
    strace = ("-e", "trace=flock", "-e", "inject=flock:delay_enter=700000:when=1")
    with Child(source, saver.path, strace=strace) as child:
        wait_until_open(part)
        with young.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            young.replace(part)
            assert child.finish().startswith("output_busy")
    assert saver.files == {"clip.mp4.part": b""}


@needs_strace
def test_an_endless_race_ends(saver: Saver, source: str) -> None:
    """A part that is there whenever we make it, and gone whenever we look, is somebody's."""
    part = saver.directory / "clip.mp4.part"
    strace = ("-P", str(part), "-e", "trace=openat", "-e", "inject=openat:error=EEXIST")
    with Child(source, saver.path, strace=strace) as child:
        told = child.finish()
    assert told == f"output_busy Another run is saving {saver.path} at this moment."
    assert saver.files == {}


@pytest.mark.parametrize("force", [False, True])
def test_a_system_without_locks_will_do(
    saver: Saver, source: str, monkeypatch: pytest.MonkeyPatch, *, force: bool
) -> None:
    """On Windows there are no locks, and no file is renamed while it is open."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    (saver.directory / "clip.mp4.part").write_bytes(b"old")
    saver.allow_file, saver.force = True, force
    saver.save(source)
    assert saver.files == {"clip.mp4": CLIP}


def test_a_part_that_cannot_be_emptied_is_told(tmp_path: Path) -> None:
    """Beginning anew can fail as well."""
    with Part(tmp_path / "clip.mp4", force=False) as part:
        part.write(b"x")
        os.close(part._descriptor)  # noqa: SLF001 - a disk that is gone
        with pytest.raises(LocalError, match="Bad file descriptor"):
            part.rewind()
        part._descriptor = -1  # noqa: SLF001 - it is closed
