"""The request's body: the fields that each scene takes, in the shape that the service wants."""

import pytest
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService

BASE_URL = "https://service.example"


def buy_input(kling: Program, service: LoopbackService, *argv: object) -> dict[str, object]:
    """Buy, and give the input that the service received, with each picture as a mark."""
    run = kling("effect", *map(str, argv), "--no-wait")
    assert run.code == 0, run.err
    (sale,) = service.ledger
    return {
        key: ["picture"] * len(sale.images)
        if key == "images"
        else "picture"
        if key == "image"
        else value
        for key, value in sale.input.items()
    }


class TestSingle:
    """One picture, one task."""

    def test_the_older_scenes_take_three_fields(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Exactly what the service's documents say, the duration as text."""
        told = buy_input(kling, service, "squish", PHOTO)
        assert told == {"model_name": "kling-v1-6", "image": "picture", "duration": "5"}
        assert service.ledger[0].effect_scene == "squish"

    def test_present_day_scenes_take_the_picture_alone(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fields that the provider has dropped are not sent."""
        assert buy_input(kling, service, "pet_bee_pro", PHOTO) == {"image": "picture"}

    def test_the_chinese_title_is_a_name(self, kling: Program, service: LoopbackService) -> None:
        """捏捏乐 is squish."""
        buy_input(kling, service, "捏捏乐", PHOTO)
        assert service.ledger[0].effect_scene == "squish"

    def test_a_scene_that_the_catalogue_lacks_is_sent_as_it_is(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """--any-scene sends the name and the picture."""
        told = buy_input(kling, service, "brand-new", PHOTO, "--any-scene")
        assert told == {"image": "picture"}
        assert service.ledger[0].effect_scene == "brand-new"

    def test_a_picture_by_address_stays_an_address(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Where the service can fetch the picture itself, it is given the address, unchanged."""
        url = service.publish("/p/photo.jpg?signature=1", PHOTO.read_bytes())
        assert kling("effect", "squish", url, "--no-check-url").code == 0
        assert service.ledger[0].images == (url,)

    def test_the_callback_url_goes_along(self, kling: Program, service: LoopbackService) -> None:
        """The service is told where to report, and the address is no part of the request's id."""
        url = "https://me.example/hook?key=1"
        run = kling("effect", "squish", PHOTO, "--callback-url", url)
        assert service.ledger[0].callback_url == url
        assert "key=1" not in run.err
        assert kling("effect", "squish", PHOTO).code == 0
        assert len(service.ledger) == 1


class TestPair:
    """Two people, one task."""

    def test_all_fields_are_sent(self, kling: Program, service: LoopbackService) -> None:
        """The service's own default would be its oldest model; so the model is always named."""
        assert buy_input(kling, service, "hug", PHOTO, OTHER_PHOTO) == {
            "model_name": "kling-v1-6",
            "mode": "std",
            "images": ["picture", "picture"],
            "duration": "5",
        }

    def test_the_order_of_the_two_counts(self, kling: Program, service: LoopbackService) -> None:
        """Left and right stay so, and exchanged they are another request."""
        assert kling("effect", "hug", PHOTO, OTHER_PHOTO, "--no-wait").code == 0
        assert kling("effect", "hug", OTHER_PHOTO, PHOTO, "--no-wait").code == 0
        first, second = [sale.images for sale in service.ledger]
        assert first == second[::-1]

    def test_the_user_may_choose(self, kling: Program, service: LoopbackService) -> None:
        """Model, mode and duration are taken as given."""
        wishes = ("--model", "kling-v1-5", "--mode", "pro", "--duration", "10")
        told = buy_input(kling, service, "hug", PHOTO, OTHER_PHOTO, *wishes)
        assert (told["model_name"], told["mode"], told["duration"]) == ("kling-v1-5", "pro", "10")

    def test_present_day_scenes_take_the_pictures_alone(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fields that the provider has dropped are not sent."""
        told = buy_input(kling, service, "hug_pro", PHOTO, OTHER_PHOTO)
        assert told == {"images": ["picture", "picture"]}

    def test_an_unknown_scene_may_take_two(self, kling: Program, service: LoopbackService) -> None:
        """--any-scene --pair sends two pictures in one task."""
        told = buy_input(kling, service, "new-hug", PHOTO, OTHER_PHOTO, "--any-scene", "--pair")
        assert told == {"images": ["picture", "picture"]}

    @pytest.mark.parametrize("count", [1, 3])
    def test_it_takes_exactly_two(
        self, kling: Program, service: LoopbackService, count: int
    ) -> None:
        """One or three pictures are refused before anything starts."""
        run = kling("effect", "hug", *[PHOTO] * count)
        assert (run.code, service.visits) == (2, [])
        assert f"hug takes two pictures, left and right, not {count}." in run.err


class TestRefusedFields:
    """A field that a scene does not take, or not with this value, is refused before anything."""

    @pytest.mark.parametrize(
        ("argv", "code", "words"),
        [
            (("squish", "--mode", "pro"), "invalid_mode", "squish takes no mode"),
            (("squish", "--duration", "10"), "invalid_duration", "squish takes 5;"),
            (("squish", "--model", "kling-v1"), "invalid_model", "squish takes kling-v1-6;"),
            (("pet_bee_pro", "--model", "kling-v1-6"), "invalid_model", "takes no model"),
            (("pet_bee_pro", "--duration", "5"), "invalid_duration", "takes no duration"),
            (("hug", "--mode", "turbo"), "invalid_mode", "hug takes std, pro;"),
            (("hug", "--mode", "\x1b[31m"), "invalid_mode", "--mode says \\x1b[31m"),
        ],
    )
    def test_it_is_a_usage_error(
        self,
        kling: Program,
        service: LoopbackService,
        argv: tuple[str, ...],
        code: str,
        words: str,
    ) -> None:
        """What the scene takes is named, and so is the way to send it all the same."""
        run = kling("effect", argv[0], PHOTO, OTHER_PHOTO, *argv[1:], "--json")
        assert (run.code, run.json["error"]["code"], service.visits) == (2, code, [])
        assert words in run.err
        assert "--any-scene" in run.err
        assert "\x1b" not in run.err


class TestModelSetting:
    """KLING_MODEL is meant for the scenes that take a model."""

    def test_it_is_used(
        self, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A scene with several models gets the one of the settings."""
        monkeypatch.setenv("KLING_MODEL", "kling-v1")
        assert buy_input(kling, service, "hug", PHOTO, OTHER_PHOTO)["model_name"] == "kling-v1"

    def test_the_flag_is_above_it(
        self, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """--model wins."""
        monkeypatch.setenv("KLING_MODEL", "kling-v1")
        told = buy_input(kling, service, "hug", PHOTO, OTHER_PHOTO, "--model", "kling-v1-5")
        assert told["model_name"] == "kling-v1-5"

    @pytest.mark.parametrize("argv", [("pet_bee_pro",), ("brand-new", "--any-scene")])
    def test_a_scene_without_models_does_without(
        self,
        kling: Program,
        service: LoopbackService,
        monkeypatch: pytest.MonkeyPatch,
        argv: tuple[str, ...],
    ) -> None:
        """A setting for the older scenes does not get in the way of the others."""
        monkeypatch.setenv("KLING_MODEL", "kling-v1-6")
        assert buy_input(kling, service, argv[0], PHOTO, *argv[1:]) == {"image": "picture"}

    def test_a_wrong_one_is_named_with_its_source(
        self, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The user learns where the refused model was set."""
        monkeypatch.setenv("KLING_MODEL", "kling-v1")
        run = kling("effect", "squish", PHOTO)
        assert (run.code, service.visits) == (2, [])
        assert "squish takes kling-v1-6; KLING_MODEL says kling-v1." in run.err
