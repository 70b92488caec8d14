import json
from pathlib import Path
from typing import Any

import pytest
from sandbox_caller import ROUTE, Service, encode, make_png, make_request

from kling_cli.sandbox.order import LARGEST_PICTURE
from kling_cli.scenes import PAIR, Scene, catalogue

URL = "https://example.com/photo.jpg"
SINGLE_INPUT: dict[str, object] = {"model_name": "kling-v1-6", "image": URL, "duration": "5"}
PAIR_INPUT: dict[str, object] = {"images": [URL, URL], "duration": "5"}


def fill_in(scene: Scene) -> dict[str, object]:
    """Write the input that the documents ask for."""
    fields: dict[str, object] = {"images": [URL, URL]} if scene.pictures == PAIR else {"image": URL}
    if scene.models:
        fields |= {"model_name": scene.models[-1], "duration": scene.durations[-1]}
    return fields


def test_every_scene_of_the_catalogue_is_known(tmp_path: Path) -> None:
    """Each of the catalogue's scenes is accepted with the fields that it needs."""
    service = Service(tmp_path)
    for scene in catalogue():
        reply = service.create(effect_scene=scene.name, input=fill_in(scene))
        assert reply.status == 200, (scene.name, reply.body)
    assert len(catalogue()) > 300


@pytest.mark.parametrize("scene", [scene for scene in catalogue() if scene.models])
def test_every_listed_value_is_accepted(tmp_path: Path, scene: Scene) -> None:
    """All models, durations and modes that the documents list are taken."""
    service = Service(tmp_path)
    for field, values in (
        ("model_name", scene.models),
        ("duration", scene.durations),
        ("mode", scene.modes),
    ):
        for value in values:
            reply = service.create(effect_scene=scene.name, input=fill_in(scene) | {field: value})
            assert reply.status == 200, reply.body


def test_a_pair_has_default_model_and_mode(tmp_path: Path) -> None:
    """A pair needs pictures and duration only."""
    assert Service(tmp_path).create(effect_scene="hug", input=PAIR_INPUT).status == 200


def drop(fields: dict[str, object], name: str) -> dict[str, object]:
    """Copy the fields without one."""
    return {key: value for key, value in fields.items() if key != name}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"effect_scene": "squash"}, "effect_scene 'squash' is not supported"),
        ({"effect_scene": "\ud800"}, "effect_scene is not valid Unicode"),
        ({"effect_scene": ""}, "effect_scene"),
        ({"effect_scene": None}, "effect_scene"),
        ({"effect_scene": ["squish"]}, "effect_scene"),
        ({"input": None}, "input is required"),
        ({"input": []}, "input is required"),
        ({"model_name": "kling-v1-6"}, "model_name is not a parameter"),
        ({"callback_url": "/done"}, "callback_url must be an http or https URL"),
        ({"callback_url": "ftp://example.com/"}, "callback_url"),
        ({"callback_url": "http://["}, "callback_url"),
        ({"callback_url": "http://"}, "callback_url"),
        ({"callback_url": 7}, "callback_url"),
        ({"external_task_id": 7}, "external_task_id must be a string"),
        ({"external_task_id": ""}, "external_task_id must be a string"),
        ({"external_task_id": None}, "external_task_id must be a string"),
        ({"external_task_id": "\ud800"}, "external_task_id is not valid Unicode"),
        ({"input": drop(SINGLE_INPUT, "model_name")}, "input.model_name must be one of"),
        ({"input": drop(SINGLE_INPUT, "duration")}, 'input.duration must be one of "5"'),
        ({"input": drop(SINGLE_INPUT, "image")}, "a picture must be a string"),
        ({"input": SINGLE_INPUT | {"duration": 5}}, "as a string"),
        ({"input": SINGLE_INPUT | {"duration": "10"}}, "input.duration"),
        ({"input": SINGLE_INPUT | {"duration": ["5"]}}, "input.duration"),
        ({"input": SINGLE_INPUT | {"model_name": "kling-v1"}}, "input.model_name"),
        ({"input": SINGLE_INPUT | {"mode": "std"}}, "input.mode is not a parameter"),
        ({"input": SINGLE_INPUT | {"images": [URL]}}, "input.images is not a parameter"),
        ({"effect_scene": "hug"}, "input.image is not a parameter"),
        ({"effect_scene": "hug", "input": {"images": [URL, URL]}}, "input.duration"),
        ({"effect_scene": "hug", "input": PAIR_INPUT | {"mode": "fast"}}, "input.mode"),
        ({"effect_scene": "hug", "input": PAIR_INPUT | {"images": [URL]}}, "exactly 2"),
        ({"effect_scene": "hug", "input": PAIR_INPUT | {"images": [URL] * 3}}, "exactly 2"),
        ({"effect_scene": "hug", "input": PAIR_INPUT | {"images": URL}}, "exactly 2"),
        ({"effect_scene": "hug", "input": PAIR_INPUT | {"images": [URL, 1]}}, "a string"),
        ({"effect_scene": "fight", "input": PAIR_INPUT}, "input.model_name"),
        (
            {"effect_scene": "summer_fireworks", "input": {"image": URL, "duration": "5"}},
            "input.duration is not a parameter",
        ),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    """Whatever the documents do not allow is 400 with code 1201, and nothing is stored."""
    service = Service(tmp_path)
    reply = service.create(**changes)
    assert reply.verdict == (400, 1201)
    assert words in reply.json["message"]
    assert service.list_tasks().data == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b"1" * 5000],
)
def test_a_body_that_is_no_object_is_refused(tmp_path: Path, body: bytes) -> None:
    """Anything but a JSON object is 400 with code 1200."""
    told = {"Authorization": "Bearer sandbox"}
    assert Service(tmp_path).call("POST", ROUTE, body, **told).verdict == (400, 1200)


@pytest.mark.parametrize(
    "image",
    [
        "data:image/png;base64," + encode(make_png()),
        encode(make_png())[:20] + "\n" + encode(make_png())[20:],
        encode(make_png()) + "\n",
        encode(make_png()).rstrip("=") + "=" * 9,
        "photo.jpg",
        "/home/me/photo.jpg",
        "file:///photo.jpg",
        "https://exa mple.com/",
        "火",
        "",
    ],
)
def test_a_picture_that_is_neither_base64_nor_url_is_refused(tmp_path: Path, image: str) -> None:
    """The service's own words for a data: prefix, a line break or a path."""
    reply = Service(tmp_path).create(input=SINGLE_INPUT | {"image": image})
    assert reply.verdict == (400, 1201)
    assert reply.json["message"] == "File is not in a valid base64 format"


def test_a_picture_is_known_by_its_content(tmp_path: Path) -> None:
    """Base64 of something else than JPEG or PNG is refused at once."""
    reply = Service(tmp_path).create(input=SINGLE_INPUT | {"image": encode(b"GIF89a" + b"x" * 99)})
    assert reply.verdict == (400, 1201)
    assert "neither .jpg, .jpeg nor .png" in reply.json["message"]


@pytest.mark.parametrize(
    ("size", "status"),
    [
        (LARGEST_PICTURE, 200),
        (LARGEST_PICTURE + 1, 400),
        (LARGEST_PICTURE + 2, 400),
        (LARGEST_PICTURE + 99, 400),
    ],
)
def test_ten_mebibytes_are_the_most(tmp_path: Path, size: int, status: int) -> None:
    """The limit is on the decoded bytes, and the limit itself passes."""
    reply = Service(tmp_path).create(input=SINGLE_INPUT | {"image": encode(make_png().ljust(size))})
    assert reply.status == status
    if status == 400:
        assert "larger than 10 MiB" in reply.json["message"]


@pytest.mark.parametrize(
    ("sides", "word"),
    [
        ((300, 300), "succeed"),
        ((750, 300), "succeed"),
        ((300, 750), "succeed"),
        ((299, 400), "failed"),
        ((400, 299), "failed"),
        ((751, 300), "failed"),
        ((300, 751), "failed"),
        ((0, 0), "failed"),
    ],
)
def test_a_picture_of_bad_size_fails_late(
    tmp_path: Path, sides: tuple[int, int], word: str
) -> None:
    """The service accepts any size and tells of a bad one only when the task ends."""
    service = Service(tmp_path)
    task_id = service.create(input=SINGLE_INPUT | {"image": encode(make_png(*sides))}).data[
        "task_id"
    ]
    assert service.look(task_id).data["task_status"] == "submitted"
    service.clock.time += 3
    task = service.look(task_id).data
    assert task["task_status"] == word
    assert task["task_status_msg"] == ("" if word == "succeed" else "Image pixel is invalid")


def test_one_bad_picture_of_a_pair_is_enough(tmp_path: Path) -> None:
    """A pair fails when either of its pictures has a bad size."""
    service = Service(tmp_path)
    pair: dict[str, Any] = {"images": [URL, encode(make_png(10, 10))], "duration": "5"}
    task_id = service.create(effect_scene="kiss", input=pair).data["task_id"]
    service.clock.time += 3
    assert service.look(task_id).data["task_status_msg"] == "Image pixel is invalid"


def test_a_callback_is_taken_and_never_made(tmp_path: Path) -> None:
    """A callback address is checked, and the sandbox connects to nobody."""
    reply = Service(tmp_path).create(callback_url="https://127.0.0.1:9/done")
    assert reply.status == 200


def test_the_store_keeps_no_picture(tmp_path: Path) -> None:
    """No byte of a picture outlives its request."""
    service = Service(tmp_path)
    body = json.dumps(make_request()).encode()
    service.call("POST", ROUTE, body, Authorization="Bearer sandbox")
    kept = b"".join(path.read_bytes() for path in service.store.parent.iterdir())
    assert b"PNG" not in kept
    assert encode(make_png())[:20].encode() not in kept
