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
        ("anime", "Did you mean anime_figure"),
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


@pytest.mark.parametrize("scene", ["", " ", "squish ", "a\x1b[31mb", "a\nb"])
def test_any_scene_sends_no_broken_name(kling: Program, scene: str) -> None:
    """An empty name, spaces around it and control characters are slips, not scenes."""
    run = kling("effect", scene, PHOTO, "--any-scene", "--dry-run", "--json")
    assert (run.code, run.json["error"]["code"]) == (2, "invalid_scene")


def test_a_scene_behind_its_picture_is_named(kling: Program) -> None:
    """The hint is the command with the two in order."""
    run = kling("effect", "my photo.jpg", "squish")
    assert (run.code, run.err) == (
        2,
        "error: SCENE comes before IMAGE.\nhint: kling effect squish 'my photo.jpg'\n",
    )


def test_a_part_of_a_chinese_title_is_enough(kling: Program) -> None:
    """捏捏 is the beginning of one title alone."""
    assert kling("effect", "捏捏", PHOTO, "--sandbox", "--json").json["effect_scene"] == "squish"


def test_all_scenes_are_listed(kling: Program) -> None:
    """Each is one line of seven cells; those that have ended come last, and only with --all."""
    every = kling("scenes", "--all").lines
    present = [scene.name for scene in catalogue() if not scene.ended]
    ended = [scene.name for scene in catalogue() if scene.ended]
    assert [line.split("\t")[0] for line in every] == present + ended
    assert kling("scenes").lines == every[: len(present)]
    assert {line.count("\t") for line in every} == {6}
    squish = next(line for line in every if line.startswith("squish\t"))
    assert squish.split("\t")[1:4] == ["1", "older", "捏捏乐"]
    assert next(line for line in every if line.startswith("kiss\t")).endswith(
        "2026-01-30\tkiss_pro"
    )


def test_scenes_can_be_found(kling: Program) -> None:
    """By a part of their name or title in any case, and by the number of their pictures."""
    assert [line.split("\t")[0] for line in kling("scenes", "Y_SQUI").lines] == ["jelly_squish"]
    assert [line.split("\t")[0] for line in kling("scenes", "捏捏").lines] == ["squish"]
    assert {line.split("\t")[1] for line in kling("scenes", "--pair").lines} == {"2"}
    assert "kiss" not in [line.split("\t")[0] for line in kling("scenes", "kiss").lines]
    assert kling("scenes", "fast-food").err == "No scene matches. kling scenes lists all.\n"


def test_scenes_have_objects(kling: Program) -> None:
    """Under --json each scene is one object with the fields that its input takes."""
    assert len(kling("scenes", "--all", "--json").lines) == len(catalogue())
    (hug,) = (each for each in kling("scenes", "hug", "--all", "--json").records if each["modes"])
    assert (hug["name"], hug["images"], hug["modes"]) == ("hug", 2, ["std", "pro"])
    assert (hug["ended"], hug["successor"]) == ("2026-01-30", "hug_pro")
