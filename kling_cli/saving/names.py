"""Our own file names: from what the user gave, never from what a server said."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePath, PurePosixPath
from urllib.parse import unquote

from kling_cli.saving.part import SUFFIX

EXTENSION = ".mp4"
STANDARD_INPUT = "-"
_NAMELESS = "clip"
# The most bytes of a name on the file systems in use; what tells two inputs apart needs a few.
_MOST_BYTES = 255 - len(SUFFIX) - len("-1000000")
_MOST_SCENE_BYTES = 60
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# Windows keeps these characters to itself, and these names whatever follows their first dot.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9\xb9\xb2\xb3])\s*(\.|$)", re.IGNORECASE)
# How Python spells a byte that is not UTF-8.
_UNDECODABLE = re.compile(r"[\udc80-\udcff]")


def name_clip(sources: Sequence[str], scene: str) -> str:
    """Name the clip that is made of these pictures.

    Args:
        sources: each a path, a web address, or `-` for standard input, as it was given.
        scene: what was made of them.
    """
    ending = f"-{_cut(_clean(scene), _MOST_SCENE_BYTES)}{EXTENSION}"
    room = _MOST_BYTES - _count_bytes(ending) - len(sources)
    stems = [_cut(_clean(_find_stem(source)), room // len(sources)) for source in sources]
    return _avoid_devices("-".join(stems) + ending)


def name_task(task_id: str, scene: str | None = None) -> str:
    """Name the clip of a task of which nothing is known but its id, and perhaps its scene."""
    stem = _cut(_clean(task_id), _MOST_BYTES - _MOST_SCENE_BYTES - len(EXTENSION) - 1)
    ending = f"-{_cut(_clean(scene), _MOST_SCENE_BYTES)}" if scene else ""
    return _avoid_devices(f"{stem}{ending}{EXTENSION}")


def tell_apart(names: Iterable[str]) -> list[str]:
    """Number the names that meet an earlier one, also on a file system that folds letters."""
    taken = set[str]()
    counts = dict[str, int]()
    apart = list[str]()
    for name in names:
        stem = name.removesuffix(EXTENSION)
        wanted = _fold(name)
        candidate = name
        while _fold(candidate) in taken:
            # Counted on, or a thousand inputs of one name would be compared a million times.
            counts[wanted] = counts.get(wanted, 1) + 1
            candidate = f"{stem}-{counts[wanted]}{EXTENSION}"
        taken.add(_fold(candidate))
        apart.append(candidate)
    return apart


def _find_stem(source: str) -> str:
    if source == STANDARD_INPUT:
        return "stdin"
    if _URL.match(source):
        path = source.partition("://")[2].partition("#")[0].partition("?")[0]
        return unquote(PurePosixPath(path).stem)
    return PurePath(source).stem


def _clean(text: str) -> str:
    text = "".join(filter(_is_fit, _FORBIDDEN.sub("_", " ".join(text.split()))))
    return text.lstrip(".- ").rstrip(" ") or _NAMELESS


def _is_fit(character: str) -> bool:
    return character.isprintable() or _UNDECODABLE.match(character) is not None


def _cut(text: str, most: int) -> str:
    """Cut a text to so many bytes of a file name, and between two characters."""
    text = text[:most]
    while _count_bytes(text) > most:
        text = text[:-1]
    return text


def _count_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _avoid_devices(name: str) -> str:
    return f"_{name}" if _DEVICE.match(name) else name


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
