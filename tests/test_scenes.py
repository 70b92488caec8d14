"""The catalogue of scenes."""

import pytest

from kling_cli.errors import UsageError
from kling_cli.scenes import PAIR, SINGLE, Scene, catalogue, find


@pytest.mark.parametrize("scene", catalogue(), ids=lambda scene: scene.name)
def test_each_scene_can_be_found(scene: Scene) -> None:
    """Every scene is found by its name and by its Chinese title, and needs one picture or two."""
    assert find(scene.name) is scene
    assert scene.pictures in (SINGLE, PAIR)
    assert scene.listed in ("current", "older", None)
    if scene.title is not None:
        assert find(scene.title).title == scene.title


def test_names_are_unique() -> None:
    """No two scenes share a name."""
    names = [scene.name for scene in catalogue()]
    assert len(names) == len(set(names))
    assert {"squish", "hug"} <= set(names)


def test_a_scene_tells_what_it_takes() -> None:
    """The two-people scenes know their models, durations and modes."""
    hug = find("hug")
    assert hug.pictures == PAIR
    assert find("squish").pictures == SINGLE
    assert hug.models
    assert hug.durations
    assert hug.modes


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [("sqish", "squish"), ("SQUISH", "squish"), ("heart-gesture", "heart_gesture")],
)
def test_an_unknown_scene_names_the_nearest(typed: str, nearest: str) -> None:
    """A slip in a scene's name is answered with the name that was meant."""
    with pytest.raises(UsageError) as caught:
        find(typed)
    assert f"Did you mean {nearest}" in caught.value.message
    assert caught.value.code == "unknown_scene"
    assert "kling scenes" in caught.value.hint
    assert "--any-scene" in caught.value.hint


def test_a_scene_like_no_other_gets_no_wild_guess() -> None:
    """A name that resembles none is refused without a suggestion, and cleaned."""
    with pytest.raises(UsageError) as caught:
        find("\x1b[31m0000000")
    assert "Did you mean" not in caught.value.message
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize(("pair", "pictures"), [(False, SINGLE), (True, PAIR)])
def test_any_scene_takes_a_name_as_it_is(pair: bool, pictures: int) -> None:  # noqa: FBT001 - a parameter
    """The provider's catalogue changes monthly, so a name that ours lacks can still be sent."""
    assert find("brand_new", any_scene=True, pair=pair) == Scene(
        name="brand_new", pictures=pictures
    )


def test_any_scene_still_knows_the_catalogue() -> None:
    """A name that the catalogue has keeps what the catalogue knows of it."""
    assert find("hug", any_scene=True) is find("hug")


def test_a_curly_apostrophe_is_an_apostrophe() -> None:
    """A title copied from a web page is found although its apostrophe is curly."""
    with_apostrophe = [scene for scene in catalogue() if "'" in scene.name + (scene.title or "")]
    for scene in with_apostrophe:
        assert find(scene.name.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")) is scene
    with pytest.raises(UsageError):
        find("no\N{RIGHT SINGLE QUOTATION MARK}scene")
