"""Names of saved videos, derived from the user's input and never from a server's."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePath, PurePosixPath
from urllib.parse import unquote, urlsplit

_EXTENSION = ".mp4"
# In bytes; together with the extension and a number they stay below 255.
_MAX_STEM = 180
_MAX_SCENE = 50
_RESERVED = re.compile(r'[<>:"/\\|?*]')


def name_clip(sources: Sequence[str], scene: str) -> str:
    """Name the clip of these pictures, each as the user passed it."""
    stems = [_cut(_stem(source), _MAX_STEM // len(sources)) for source in sources]
    return "-".join([*stems, _cut(scene, _MAX_SCENE)]) + _EXTENSION


def name_task(task_id: str) -> str:
    """Name the clip of a task of which only the id is known."""
    return _cut(task_id, _MAX_STEM) + _EXTENSION


def distinguish(names: Iterable[str]) -> list[str]:
    """Number the names that repeat an earlier one, also on a file system that folds case."""
    counts: Counter[str] = Counter()
    distinct = []
    for name in names:
        folded = unicodedata.normalize("NFC", name).casefold()
        counts[folded] += 1
        number = f"-{counts[folded]}" if counts[folded] > 1 else ""
        distinct.append(f"{name.removesuffix(_EXTENSION)}{number}{_EXTENSION}")
    return distinct


def _stem(source: str) -> str:
    if source == "-":
        return "stdin"
    if "://" in source:
        return unquote(PurePosixPath(urlsplit(source).path).stem)
    return PurePath(source).stem


def _cut(text: str, most: int) -> str:
    """Turn a text into a valid part of a file name with a maximum length in bytes."""
    text = _RESERVED.sub("_", " ".join(text.split()))
    text = "".join(filter(str.isprintable, text)).lstrip(".- ")
    return text.encode()[:most].decode(errors="ignore").rstrip() or "clip"
