"""The catalogue of scenes, and `kling scenes`."""

import pytest
from support.run import PHOTO, Program

from kling_cli.scenes import PAIR, Scene, catalogue, find


def test_each_scene_can_be_found() -> None:
    """By its name in any case, by its title, and with an apostrophe as a web page spells it."""
    names = [scene.name for scene in catalogue()]
    assert len(names) == len(set(names))
    for scene in catalogue():
        assert find(scene.name) is find(scene.name.upper()) is scene
        assert find(scene.name.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")) is scene
        assert scene.title is None or find(scene.title).title == scene.title
        assert scene.pictures in (1, PAIR)
        assert scene.listed in ("current", "older", None)


@pytest.mark.parametrize(
    ("typed", "guess"),
    [
        ("sqish", "Did you mean squish"),
        ("SQUICH", "Did you mean squish"),
        ("heart-gesture", "Did you mean heart_gesture"),
        ("\x1b[31m0000000", r"Unknown scene '\\x1b[31m0000000'."),
    ],
)
def test_an_unknown_scene_names_the_nearest(kling: Program, typed: str, guess: str) -> None:
    """A slip in a name is answered with the name that was meant, without a wild guess."""
    run = kling("effect", typed, PHOTO, "--json")
    assert (run.code, run.json["error"]["code"]) == (2, "unknown_scene")
    assert guess in run.err
    assert ("Did you mean" in run.err) == guess.startswith("Did")
    assert "kling scenes" in run.err
    assert "--any-scene" in run.err


def test_any_scene_takes_a_name_as_it_is() -> None:
    """A name that the catalogue lacks can be sent; one that it has keeps what is known of it."""
    assert find("Brand_new", any_scene=True, pair=True) == Scene("Brand_new", PAIR)
    assert find("hug", any_scene=True) is find("hug")


def test_all_scenes_are_listed(kling: Program) -> None:
    """Without a name every scene is listed, one a line, with five cells."""
    run = kling("scenes")
    assert (run.code, run.err) == (0, "")
    assert [line.split("\t")[0] for line in run.lines] == [scene.name for scene in catalogue()]
    assert {line.count("\t") for line in run.lines} == {4}
    (squish,) = (line for line in run.lines if line.startswith("squish\t"))
    assert squish.split("\t")[1:4] == ["1", "older", "捏捏乐"]


def test_scenes_have_objects(kling: Program) -> None:
    """Under --json each scene is one object with the fields that its input takes."""
    assert len(kling("scenes", "--json").lines) == len(catalogue())
    hug, squish = kling("scenes", "hug", "捏捏乐", "--json").records
    assert (hug["name"], hug["images"], hug["modes"]) == ("hug", 2, ["std", "pro"])
    assert (squish["name"], squish["images"], squish["title"]) == ("squish", 1, "捏捏乐")
