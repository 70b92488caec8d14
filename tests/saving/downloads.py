"""A host that gives clips away, and a directory to save them in: what these tests share."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest
from ground.clock import VirtualClock
from ground.loopback import Loopback, Visit
from ground.replies import Reply, serve_file

from kling_cli.errors import ExitCode, LocalError
from kling_cli.images.addresses import Resolve, look_up
from kling_cli.sandbox.clip import read_clip
from kling_cli.saving.download import Saved, save, stream
from kling_cli.saving.fetching import Limits
from kling_cli.saving.receiving import Tell
from kling_cli.transport.exchange import Transport

CLIP = read_clip()
QUERY = "?signature=hunter2"
AGAIN = "The same command downloads it again and costs nothing."

Page = Reply | Callable[[Visit], Reply]


@contextmanager
def host(*pages: Page) -> Iterator[Loopback]:
    """Answer each request with the next page, and all others with the last one."""
    left = list(pages)

    def reply(visit: Visit, _body: bytes) -> tuple[Reply, None]:
        page = left.pop(0) if len(left) > 1 else left[0]
        return (page(visit) if callable(page) else page), None

    complaints = list[str]()
    server = Loopback(answer=reply, complain=complaints.append)
    server.open()
    try:
        yield server
    finally:
        server.close()
    assert not complaints


def give_clip(visit: Visit) -> Reply:
    """Answer with the clip, or with the part of it that is asked for."""
    return serve_file(CLIP, media_type="video/mp4", headers=visit.headers)


def find(server: Loopback, path: str = "/a.mp4") -> str:
    """Write the address of a clip, with a secret in its query."""
    return f"http://127.0.0.1:{server.port}{path}{QUERY}"


@dataclass(kw_only=True)
class Saver:
    """Whoever saves clips into a directory, and what they were told meanwhile."""

    directory: Path
    clock: VirtualClock = field(default_factory=VirtualClock)
    transport: Transport = field(default_factory=Transport)
    resolve: Resolve = look_up
    allow_private: bool = True
    allow_file: bool = False
    force: bool = False
    limits: Limits = field(default_factory=Limits)
    on_progress: Tell = lambda _done, _total: None
    on_promise: Callable[[Saved], None] = lambda _saved: None
    told: list[tuple[int, int | None]] = field(default_factory=list[tuple[int, int | None]])
    promised: list[Saved] = field(default_factory=list[Saved])

    @property
    def path(self) -> Path:
        """Where the clip shall lie."""
        return self.directory / "clip.mp4"

    @property
    def files(self) -> Mapping[str, bytes]:
        """What lies in the directory."""
        return {path.name: path.read_bytes() for path in self.directory.iterdir()}

    def save(self, url: str) -> Saved:
        """Save a clip."""
        return save(
            url,
            self.path,
            transport=self.transport,
            clock=self.clock,
            allow_private=self.allow_private,
            allow_file=self.allow_file,
            force=self.force,
            before_naming=self._note_promise,
            tell=self._note_progress,
            limits=self.limits,
            resolve=self.resolve,
        )

    def stream(self, url: str, file: BinaryIO) -> None:
        """Write a clip to a stream."""
        stream(
            url,
            file,
            transport=self.transport,
            clock=self.clock,
            allow_private=self.allow_private,
            allow_file=self.allow_file,
            tell=self._note_progress,
            limits=self.limits,
            resolve=self.resolve,
        )

    def fail(self, url: str, code: str) -> LocalError:
        """Save a clip that cannot be saved; nothing new may be left, and the error has to help."""
        before = self.files
        with pytest.raises(LocalError) as caught:
            self.save(url)
        assert self.files == before
        return judge(caught.value, code)

    def _note_promise(self, saved: Saved) -> None:
        # Only the part lies there yet.
        assert (self.directory / "clip.mp4.part").stat().st_size == saved.size
        self.promised.append(saved)
        self.on_promise(saved)

    def _note_progress(self, done: int, total: int | None) -> None:
        self.told.append((done, total))
        self.on_progress(done, total)


def open_saver(directory: Path) -> Saver:
    """Make somebody who saves clips into a new directory below this one."""
    clips = directory / "clips"
    clips.mkdir()
    return Saver(directory=clips)


def judge(error: LocalError, code: str) -> LocalError:
    """Hold an error against what all of these have to be."""
    assert (error.code, error.exit_code, error.charged) == (code, ExitCode.LOCAL_IO, "yes")
    assert "hunter2" not in error.message + error.hint
    assert "\n" not in error.message
    assert error.hint
    return error


def count_as_public(_host: str, _port: int) -> Sequence[str]:
    """Resolve every host, also 127.0.0.1, to a public address."""
    return ["93.184.215.14"]
