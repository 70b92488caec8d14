"""What the user orders: the scene, the fields of its input, and the pictures of each task."""

from collections.abc import Sequence
from dataclasses import dataclass

from kling_cli.errors import UsageError
from kling_cli.scenes import PAIR, Scene
from kling_cli.task import Picture, Request
from kling_cli.text import clean

# The service's own default for two people is the oldest model, and one gateway names none at all:
# so the model is always sent.
_PREFERRED_MODEL = "kling-v1-6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The fields that the user asked for; `model_source` names where the model was set."""

    model: str | None = None
    model_source: str = "--model"
    duration: str | None = None
    mode: str | None = None
    callback_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A scene with fields that it takes; pictures make a request of it."""

    base_url: str
    scene: Scene
    model: str | None
    duration: str | None
    mode: str | None
    callback_url: str | None

    def make_request(self, pictures: tuple[Picture, ...]) -> Request:
        """Make the request for one task."""
        return Request(
            base_url=self.base_url,
            scene=self.scene,
            pictures=pictures,
            model=self.model,
            duration=self.duration,
            mode=self.mode,
            callback_url=self.callback_url,
        )


def take_order(scene: Scene, wish: Wish, *, base_url: str, any_scene: bool = False) -> Order:
    """Settle the fields of the input.

    Scenes of the older catalogue take model, duration and, for two people, mode; the provider's
    present-day scenes take pictures alone.

    Args:
        scene: what to make.
        wish: what the user asked for.
        base_url: the service.
        any_scene: send what the catalogue does not know as it is.

    Raises:
        UsageError: the scene does not take a field, or not this value of it.
    """
    # A model from settings is meant for the scenes that take one; a flag is meant for this one.
    model = wish.model
    if not scene.models and wish.model_source != "--model":
        model = None
    if not any_scene:
        _check(scene, "model", model, scene.models, source=wish.model_source)
        _check(scene, "duration", wish.duration, scene.durations, source="--duration")
        _check(scene, "mode", wish.mode, scene.modes, source="--mode")
    default = _PREFERRED_MODEL if _PREFERRED_MODEL in scene.models else None
    return Order(
        base_url=base_url,
        scene=scene,
        model=model or default or next(iter(scene.models), None),
        duration=wish.duration or next(iter(scene.durations), None),
        mode=wish.mode or next(iter(scene.modes), None),
        callback_url=wish.callback_url,
    )


def group_sources(scene: Scene, sources: Sequence[str]) -> list[tuple[str, ...]]:
    """Group the pictures: two for one task of a scene for two people, else one for each task.

    Raises:
        UsageError: a scene for two people was not given exactly two.
    """
    if scene.pictures != PAIR:
        return [(source,) for source in sources]
    if len(sources) != PAIR:
        raise UsageError(
            "two_pictures_needed",
            f"{clean(scene.name)} takes exactly two pictures, left and right; "
            f"{len(sources)} {'was' if len(sources) == 1 else 'were'} given.",
            hint=f"kling effect {clean(scene.name)} left.jpg right.jpg",
        )
    return [tuple(sources)]


def _check(
    scene: Scene, field: str, value: str | None, allowed: tuple[str, ...], *, source: str
) -> None:
    if value is None or value in allowed:
        return
    takes = f"takes {', '.join(allowed)}" if allowed else f"takes no {field}"
    raise UsageError(
        f"invalid_{field}",
        f"{scene.name} {takes}; {source} says {clean(value, limit=80)}.",
        hint=f"Leave it out, or send it as it is with --any-scene: kling scenes {scene.name}",
    )
