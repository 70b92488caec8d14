"""The one video that every task of the sandbox makes."""

import hashlib
import os
import pkgutil
import re
import tempfile
from functools import cache
from pathlib import Path

from kling_cli.errors import LocalError
from kling_cli.sandbox.answers import Answer

NAME = "clip.mp4"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@cache
def read_clip() -> bytes:
    """Read the clip that ships with this program."""
    return pkgutil.get_data("kling_cli.sandbox", NAME) or b""


def locate_clip(directory: Path) -> str:
    """Name a copy of the clip as a `file:` URL; the program itself may be deleted or moved.

    Args:
        directory: where the copy lies, or is put.

    Raises:
        LocalError: it cannot be put there.
    """
    copy = directory.absolute() / NAME
    try:
        if not copy.is_file():
            # Private from its first moment, and renamed, so that nobody ever sees half of it.
            descriptor, part = tempfile.mkstemp(prefix=f".{NAME}.", dir=directory)
            with os.fdopen(descriptor, "wb") as file:
                file.write(read_clip())
            Path(part).replace(copy)
    except OSError as error:
        raise LocalError(
            "sandbox_store", f"The sandbox cannot keep its clip as {str(copy)!a}: {error}."
        ) from error
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
