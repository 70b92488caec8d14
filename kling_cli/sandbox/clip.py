"""The one video that every task of the sandbox makes."""

import hashlib
import os
import pkgutil
import re
from functools import cache
from pathlib import Path

from kling_cli.sandbox.answers import Answer

NAME = "clip.mp4"
_BUNDLED = Path(__file__).with_name(NAME)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@cache
def read_clip() -> bytes:
    """Read the clip that ships with this program."""
    return pkgutil.get_data("kling_cli.sandbox", NAME) or b""


def locate_clip(directory: Path, *, bundled: Path = _BUNDLED) -> str:
    """Name the clip as a `file:` URL.

    Args:
        directory: where to put the clip when the program itself lies in an archive.
        bundled: where the clip lies when it does not.
    """
    if bundled.is_file():
        return bundled.as_uri()
    copy = directory.absolute() / NAME
    if not copy.is_file():
        # Renamed, so that no other process ever sees half of it.
        part = copy.with_name(f".{NAME}.{os.getpid()}")
        part.write_bytes(read_clip())
        part.replace(copy)
    return copy.as_uri()


def send_clip(wanted: str = "", *, if_range: str = "") -> Answer:
    """Answer with the clip, or with a part of it.

    Args:
        wanted: the Range header; several ranges, or one that cannot be read, count as none.
        if_range: the If-Range header; another version than ours asks for the whole.
    """
    clip = read_clip()
    tag = f'"{hashlib.sha256(clip).hexdigest()[:32]}"'
    always = (("Accept-Ranges", "bytes"), ("ETag", tag))
    span = _read_range(wanted, size=len(clip)) if if_range in ("", tag) else None
    if span is None:
        return Answer(status=200, body=clip, content_type="video/mp4", headers=always)
    if not span:
        headers = (*always, ("Content-Range", f"bytes */{len(clip)}"))
        return Answer(status=416, body=b"", content_type="video/mp4", headers=headers)
    place = f"bytes {span.start}-{span.stop - 1}/{len(clip)}"
    return Answer(
        status=206,
        body=clip[span.start : span.stop],
        content_type="video/mp4",
        headers=(*always, ("Content-Range", place)),
    )


def _read_range(wanted: str, *, size: int) -> range | None:
    """Read the wanted part: None for the whole, an empty range for what does not exist."""
    match = _RANGE.fullmatch(wanted.replace(" ", ""))
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(min(int(first), size), min(int(last) + 1, size) if last else size)
