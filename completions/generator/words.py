"""The words that a value may be, with what there is to say about each."""

from collections.abc import Iterable

from generator.commands import Kind

from kling_cli.commands.completion import SCRIPTS
from kling_cli.scenes import PAIR, Scene, catalogue
from kling_cli.settings.keys import KEYS

Words = dict[str, str]


def list_words() -> dict[Kind, Words]:
    """List every word of each kind that has a fixed list, and its description."""
    scenes = catalogue()
    return {
        Kind.SCENES: _list_scenes(scenes),
        Kind.KEYS: {key.name: key.description for key in KEYS},
        Kind.SHELLS: dict.fromkeys(SCRIPTS, ""),
        Kind.MODELS: _collect(scene.models for scene in scenes),
        Kind.DURATIONS: _collect(scene.durations for scene in scenes),
        Kind.MODES: _collect(scene.modes for scene in scenes),
    }


def _list_scenes(scenes: tuple[Scene, ...]) -> Words:
    names = {scene.name: _describe(scene, scene.title) for scene in scenes}
    titles = {scene.title: _describe(scene, scene.name) for scene in scenes if scene.title}
    return names | titles


def _describe(scene: Scene, other_name: str | None) -> str:
    pictures = "two pictures" if scene.pictures == PAIR else None
    return "; ".join(part for part in (other_name, pictures, scene.note) if part)


def _collect(groups: Iterable[tuple[str, ...]]) -> Words:
    return dict.fromkeys(sorted({word for group in groups for word in group}, key=_in_order), "")


def _in_order(word: str) -> tuple[int, str]:
    return len(word), word
