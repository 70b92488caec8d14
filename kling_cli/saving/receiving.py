"""What comes over the line, judged before it goes on: a clip, all of it, and the next part."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from kling_cli.clock import Clock
from kling_cli.saving.boxes import BEGINNING, Boxes, is_clip
from kling_cli.saving.failure import fail_download
from kling_cli.text import clean

# Told the bytes that are there, and all that there will be or None where nobody knows.
Tell = Callable[[int, int | None], None]

_SECONDS_BETWEEN_TELLS = 0.1
_PARTIAL_CONTENT = 206
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15})")
_LENGTH = re.compile(r"[0-9]{1,15}")


class Sink(Protocol):
    """Where the clip goes."""

    def rewind(self) -> None:
        """Begin anew."""
        ...

    def write(self, piece: bytes) -> None:
        """Take the next bytes."""
        ...


class BrokenError(Exception):
    """A try came to nothing, but the next one may not; `retry_after` is in seconds."""

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Receiver:
    """The clip as far as it has come, over as many tries as it takes.

    Args:
        sink: where it goes.
        most_bytes: the longest clip that is taken.
        clock: for the pauses between two tellings.
        tell: told how far it has come, at most ten times a second.
    """

    def __init__(self, sink: Sink, *, most_bytes: int, clock: Clock, tell: Tell) -> None:
        self._sink = sink
        self._most_bytes = most_bytes
        self._clock = clock
        self._tell = tell
        self._tell_at = clock.monotonic()
        self._place = 0
        self._total: int | None = None
        self._version = ""
        self._boxes = Boxes()

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers that ask for what is missing; for all, where versions may mix."""
        if not self._place or not self._version:
            return {}
        return {"Range": f"bytes={self._place}-", "If-Range": self._version}

    def restart(self) -> None:
        """Forget what has come."""
        if self._place:
            self._sink.rewind()
        self._place = 0
        self._total = None
        self._version = ""
        self._boxes = Boxes()

    def receive(self, status: int, headers: Mapping[str, str], pieces: Iterator[bytes]) -> None:
        """Take the body of an answer 200 or 206 to its end.

        Raises:
            BrokenError: it is not the end of the clip.
            LocalError: it is no clip or too large, or the sink's own error.
        """
        encoding = headers.get("Content-Encoding", "").lower()
        if encoding not in ("", "identity"):
            name = clean(encoding, limit=40)
            raise fail_download("download_failed", f"its server sends it compressed as {name}")
        if status == _PARTIAL_CONTENT:
            self._go_on(headers)
        else:
            self._begin(headers)
        if self._total is not None and self._total > self._most_bytes:
            raise self._refuse_size()
        self._take(pieces, media_type=headers.get("Content-Type", ""))
        self._judge_end()
        self._tell(self._place, self._total)

    def _begin(self, headers: Mapping[str, str]) -> None:
        self.restart()
        length = headers.get("Content-Length", "")
        self._total = int(length) if _LENGTH.fullmatch(length) else None
        self._version = _read_version(headers)

    def _go_on(self, headers: Mapping[str, str]) -> None:
        span = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
        start, total = map(int, span.groups()) if span else (None, None)
        version = _read_version(headers) or self._version
        if (
            start != self._place
            or self._total not in (None, total)
            or self._version not in ("", version)
        ):
            self.restart()
            raise BrokenError("its server sent another part than it was asked for")
        self._total = total
        self._version = version

    def _take(self, pieces: Iterator[bytes], *, media_type: str) -> None:
        held = b""
        for piece in pieces:
            held += piece
            if not self._place and len(held) < BEGINNING:
                continue
            if not self._place and not is_clip(held):
                raise _refuse_content(media_type)
            self._pass_on(held)
            held = b""
        if held and len(held) == self._total:
            raise _refuse_content(media_type)

    def _pass_on(self, piece: bytes) -> None:
        place = self._place + len(piece)
        if place > self._most_bytes:
            raise self._refuse_size()
        if self._total is not None and place > self._total:
            self.restart()
            raise BrokenError("its server sent more than it had promised")
        self._sink.write(piece)
        if self._total is None:
            self._boxes.feed(piece)
        self._place = place
        if self._clock.monotonic() >= self._tell_at:
            self._tell_at = self._clock.monotonic() + _SECONDS_BETWEEN_TELLS
            self._tell(place, self._total)

    def _judge_end(self) -> None:
        if self._total == 0:
            raise fail_download("download_not_a_video", "what came is empty")
        # An answer that tells no length ends where its connection does, for whatever reason.
        is_whole = self._boxes.is_whole if self._total is None else self._place == self._total
        if not is_whole:
            raise BrokenError(f"it ended after {self._place:,} bytes, in its middle")

    def _refuse_size(self) -> Exception:
        text = f"it is larger than {self._most_bytes:,} bytes, which no clip is"
        return fail_download("download_too_large", text)


def _read_version(headers: Mapping[str, str]) -> str:
    """Read what tells one version of a file from another; a weak ETag does not."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _refuse_content(media_type: str) -> Exception:
    kind = clean(media_type.partition(";")[0], limit=40)
    told = f" but {kind}" if kind and not kind.startswith("video/") else ""
    return fail_download("download_not_a_video", f"what came is no MP4 video{told}")
