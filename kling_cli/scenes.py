"""The catalogue of effect scenes (scenes.tsv beside this file).

The provider changes its scenes monthly and offers no list, so the catalogue is only advice: a scene
that is not in it can still be sent.
"""

import pkgutil
import re
from functools import cache
from typing import NamedTuple

from kling_cli.errors import UsageError
from kling_cli.text import clean

PAIR = 2

# The provider's own hosts; a gateway may keep a model or a scene for longer.
_PROVIDER = re.compile(r"(.+\.)?(klingai\.com|kling\.ai)")
_RETIRED_MODELS = {"kling-v1-5": "2026-09-15", "kling-v1-6": "2026-09-15"}


class Scene(NamedTuple):
    """One effect: its name, its number of pictures, and the fields of its input."""

    name: str
    pictures: int
    models: tuple[str, ...] = ()
    durations: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    title: str | None = None
    listed: str | None = None
    ended: str | None = None
    successor: str | None = None
    note: str | None = None

    @property
    def is_pair(self) -> bool:
        """Whether it takes two pictures, left and right, for one task."""
        return self.pictures == PAIR


@cache
def catalogue() -> tuple[Scene, ...]:
    """Read the scenes that ship with this program, in the catalogue's order."""
    text = (pkgutil.get_data("kling_cli", "scenes.tsv") or b"").decode()
    return tuple(_parse(line) for line in text.splitlines()[1:])


def find(name: str, *, any_scene: bool = False, pair: bool = False) -> Scene:
    """Find a scene by its name or its Chinese title.

    Args:
        name: as the user typed it.
        any_scene: accept a name that is not in the catalogue.
        pair: such a scene takes two pictures.

    Raises:
        UsageError: unknown scene; the message suggests similar names.
    """
    wanted = name.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").lower()
    for scene in catalogue():
        if wanted in (scene.name, scene.title):
            return scene
    if any_scene:
        if not name.isprintable() or name.strip() != name or not name:
            message = f"{clean(name, limit=80)!r} is not a valid scene name."
            hint = "A scene name has no space around it and no control characters."
            raise UsageError("invalid_scene", message, hint=hint)
        return Scene(name, PAIR if pair else 1)
    titled = [scene for scene in search(wanted) if not wanted.isascii()]
    if len(titled) == 1:
        return titled[0]
    raise UsageError(
        "unknown_scene",
        f"Unknown scene {clean(name, limit=80)!r}.{_suggest(wanted)}",
        hint="kling scenes lists all scenes; --any-scene sends a name that is not listed.",
    )


def search(text: str) -> list[Scene]:
    """Search for scenes whose name or title contains a text, in any case."""
    part = text.lower()
    return [scene for scene in catalogue() if part in scene.name or part in (scene.title or "")]


def find_end(scene: Scene, *, model: str | None, host: str) -> str | None:
    """Describe when the provider ended a scene or retired its model, if it did."""
    retired = _RETIRED_MODELS.get(model or "") if _PROVIDER.fullmatch(host) else None
    if scene.ended:
        end = f"The provider ended {scene.name} on {scene.ended}."
    elif retired:
        end = f"The provider retired {model}, the model of {scene.name}, on {retired}."
    else:
        return None
    return f"{end} Its successor is {scene.successor}." if scene.successor else end


def _parse(line: str) -> Scene:
    name, pictures, *cells = line.split("\t")
    models, durations, modes = (tuple(cell.split(",")) if cell != "-" else () for cell in cells[:3])
    words = (cell if cell != "-" else None for cell in cells[3:])
    return Scene(name, int(pictures), models, durations, modes, *words)


def _suggest(name: str) -> str:
    import difflib

    names = [scene.name for scene in catalogue() if not scene.ended]
    near = sorted((each for each in names if name and name in each), key=lambda it: it.find(name))
    near += difflib.get_close_matches(name.replace("-", "_"), names, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(dict.fromkeys(near[:3]))}?" if near else ""
