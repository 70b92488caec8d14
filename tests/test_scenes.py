"""The catalogue of scenes, `kling scenes`, and the fields that each scene takes in a request."""

import pytest
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService

from kling_cli.scenes import catalogue, find

PAIR_OF_PHOTOS = (PHOTO, OTHER_PHOTO)
SINGLE = {"model_name": "kling-v1-6", "image": "picture", "duration": "5"}
DOUBLE = {"model_name": "kling-v1-6", "mode": "std", "images": ["picture"] * 2, "duration": "5"}


def test_each_scene_can_be_found() -> None:
    names = [scene.name for scene in catalogue()]
    assert len(names) == len(set(names))
    for scene in catalogue():
        assert find(scene.name) is find(scene.name.upper()) is scene
        assert find(scene.name.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")) is scene
        assert scene.title is None or find(scene.title).title == scene.title


@pytest.mark.parametrize(
    ("typed", "guess"),
    [
        ("SQUICH", "Did you mean squish"),
        ("heart-gesture", "Did you mean heart_gesture"),
        ("anime", "Did you mean anime_figure"),
        ("\x1b[31m0000000", r"Unknown scene '\\x1b[31m0000000'."),
    ],
)
def test_an_unknown_scene_names_the_nearest(kling: Program, typed: str, guess: str) -> None:
    run = kling("effect", typed, PHOTO, "--json")
    assert (run.code, run.json["error"]["code"]) == (2, "unknown_scene")
    assert guess in run.err
    assert ("Did you mean" in run.err) == guess.startswith("Did")
    assert "kling scenes" in run.err
    assert "--any-scene" in run.err


@pytest.mark.parametrize("scene", ["", "squish ", "a\x1b[31mb"])
def test_any_scene_sends_no_broken_name(kling: Program, scene: str) -> None:
    run = kling("effect", scene, PHOTO, "--any-scene", "--dry-run", "--json")
    assert (run.code, run.json["error"]["code"]) == (2, "invalid_scene")


def test_a_scene_behind_its_picture_is_named(kling: Program) -> None:
    run = kling("effect", "my photo.jpg", "squish")
    assert (run.code, run.err) == (
        2,
        "error: The scene comes before the pictures.\nhint: kling effect squish 'my photo.jpg'\n",
    )


def test_all_scenes_are_listed(kling: Program) -> None:
    every = kling("scenes", "--all").lines
    present = [scene.name for scene in catalogue() if not scene.ended]
    ended = [scene.name for scene in catalogue() if scene.ended]
    assert [line.split("\t")[0] for line in every] == present + ended
    assert kling("scenes").lines == every[: len(present)]
    assert {line.count("\t") for line in every} == {6}
    squish = next(line for line in every if line.startswith("squish\t"))
    assert squish.split("\t")[1:4] == ["1", "older", "捏捏乐"]
    kiss = next(line for line in every if line.startswith("kiss\t"))
    assert kiss.endswith("2026-01-30\tkiss_pro")


def test_scenes_can_be_found(kling: Program) -> None:
    assert [line.split("\t")[0] for line in kling("scenes", "Y_SQUI").lines] == ["jelly_squish"]
    assert [line.split("\t")[0] for line in kling("scenes", "捏捏").lines] == ["squish"]
    assert {line.split("\t")[1] for line in kling("scenes", "--pair").lines} == {"2"}
    assert kling("scenes", "fast-food").err == "No scene matches. kling scenes lists all.\n"


def test_scenes_have_objects(kling: Program) -> None:
    assert len(kling("scenes", "--all", "--json").lines) == len(catalogue())
    (hug,) = (each for each in kling("scenes", "hug", "--all", "--json").records if each["modes"])
    assert (hug["name"], hug["images"], hug["modes"]) == ("hug", 2, ["std", "pro"])
    assert (hug["ended"], hug["successor"]) == ("2026-01-30", "hug_pro")


@pytest.mark.parametrize(
    ("argv", "model", "scene", "fields"),
    [
        (("squish", PHOTO), "", "squish", SINGLE),
        (("捏捏", PHOTO), "", "squish", SINGLE),  # the beginning of one title alone
        # Present-day scenes take pictures alone.
        (("pet_bee_pro", PHOTO), "kling-v1-6", "pet_bee_pro", {"image": "picture"}),
        (("hug_pro", *PAIR_OF_PHOTOS), "", "hug_pro", {"images": ["picture"] * 2}),
        (("new", PHOTO, "--any-scene"), "kling-v1-6", "new", {"image": "picture"}),
        (
            ("new", *PAIR_OF_PHOTOS, "--any-scene", "--pair"),
            *("", "new", {"images": ["picture"] * 2}),
        ),
        # The service's own default would be its oldest model; so the model is always named.
        (("hug", *PAIR_OF_PHOTOS), "", "hug", DOUBLE),
        (("hug", *PAIR_OF_PHOTOS), "kling-v1", "hug", {**DOUBLE, "model_name": "kling-v1"}),
        (
            ("hug", *PAIR_OF_PHOTOS, "--model=kling-v1-5", "--mode=pro", "--duration=10"),
            *("kling-v1", "hug"),
            {**DOUBLE, "model_name": "kling-v1-5", "mode": "pro", "duration": "10"},
        ),
    ],
)
def test_a_scene_is_sent_with_its_fields(
    kling: Program,
    service: LoopbackService,
    argv: tuple[str, ...],
    model: str,
    scene: str,
    fields: dict[str, object],
) -> None:
    run = kling("effect", *argv, "--no-wait", KLING_MODEL=model)
    assert run.code == 0, run.err
    (sale,) = service.ledger
    sent = dict(sale.input)
    if "image" in sent:
        sent["image"] = "picture"
    else:
        sent["images"] = ["picture"] * len(sale.images)
    assert (sale.effect_scene, sent) == (scene, fields)


def test_the_callback_url_goes_along(kling: Program, service: LoopbackService) -> None:
    """It is no part of the request's identity."""
    url = "https://me.example/hook?key=1"
    run = kling("effect", "squish", PHOTO, "--callback-url", url)
    assert service.ledger[0].callback_url == url
    assert "key=1" not in run.err
    assert kling("effect", "squish", PHOTO).code == 0
    assert len(service.ledger) == 1


def test_the_order_of_the_two_counts(kling: Program, service: LoopbackService) -> None:
    """Left and right stay so, and exchanged they are another request."""
    assert kling("effect", "hug", PHOTO, OTHER_PHOTO, "--no-wait").code == 0
    assert kling("effect", "hug", OTHER_PHOTO, PHOTO, "--no-wait").code == 0
    first, second = [sale.images for sale in service.ledger]
    assert first == second[::-1]


@pytest.mark.parametrize("count", [1, 3])
def test_a_pair_is_exactly_two(kling: Program, service: LoopbackService, count: int) -> None:
    run = kling("effect", "hug", *[PHOTO] * count)
    assert (run.code, service.visits) == (2, [])
    assert f"hug takes two pictures (left, right), got {count}." in run.err


@pytest.mark.parametrize(
    ("argv", "model", "code", "words"),
    [
        (("squish", "--mode", "pro"), "", "invalid_mode", "squish takes no mode"),
        (("squish", "--duration", "10"), "", "invalid_duration", "squish takes duration 5,"),
        (("squish", "--model", "kling-v1"), "", "invalid_model", "squish takes model kling-v1-6,"),
        (("squish",), "kling-v1", "invalid_model", "kling-v1-6, but KLING_MODEL is kling-v1."),
        (("pet_bee_pro", "--model", "kling-v1-6"), "", "invalid_model", "takes no model"),
        (("hug", "--mode", "\x1b[31m"), "", "invalid_mode", "std, pro, but --mode is \\x1b[31m"),
    ],
)
def test_a_field_that_the_scene_does_not_take_is_a_usage_error(
    kling: Program,
    service: LoopbackService,
    argv: tuple[str, ...],
    model: str,
    code: str,
    words: str,
) -> None:
    run = kling("effect", argv[0], PHOTO, OTHER_PHOTO, *argv[1:], "--json", KLING_MODEL=model)
    assert (run.code, run.json["error"]["code"], service.visits) == (2, code, [])
    assert words in run.err
    assert "--any-scene" in run.err
    assert "\x1b" not in run.err
