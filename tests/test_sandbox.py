"""The embedded service: as strict as the documents, over HTTP and for `--sandbox` alike."""

import base64
import io
import json
import os
import re
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

import httpx
import pytest
from PIL import Image
from support.clock import VirtualClock
from support.process import Process
from support.run import PHOTO, Program, run_installed

import kling_cli
from kling_cli.sandbox.app import LARGEST_PICTURE, Sandbox
from kling_cli.sandbox.trouble import CODES, TOKENS
from kling_cli.scenes import PAIR, Scene, catalogue

ROUTE = "/v1/videos/effects"
URL = "https://example.com/photo.jpg"
SINGLE: dict[str, object] = {"model_name": "kling-v1-6", "image": URL, "duration": "5"}
CLIP = Path(kling_cli.__file__).with_name("sandbox").joinpath("clip.mp4").read_bytes()
ABOUT_THE_TOKEN = (1000, 1001, 1002, 1003, 1004, 1103)
BUY = ("effect", "squish", PHOTO, "--sandbox")


def draw(width: int = 640, height: int = 480, picture_format: str = "PNG") -> str:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, picture_format)
    return base64.b64encode(out.getvalue()).decode()


@pytest.fixture
def sandbox(tmp_path: Path, clock: VirtualClock) -> Iterator[httpx.Client]:
    app = Sandbox(tmp_path / "served" / "sandbox.sqlite3", now=clock.time)
    transport = httpx.WSGITransport(app=app)
    with httpx.Client(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


def create(sandbox: httpx.Client, account: str = "sandbox", /, **changes: object) -> httpx.Response:
    body = {"effect_scene": "squish", "input": SINGLE, **changes}
    return sandbox.post(ROUTE, json=body, headers={"Authorization": f"Bearer {account}"})


def look(sandbox: httpx.Client, name: str, account: str = "sandbox") -> dict[str, Any]:
    reply = sandbox.get(f"{ROUTE}/{name}", headers={"Authorization": f"Bearer {account}"})
    told: dict[str, Any] = reply.json()
    return told


def test_another_run_and_another_client_buy_from_it(kling: Program) -> None:
    with Process("sandbox", "--json") as process:
        url = str(json.loads(process.read_line())["url"])
        hint = process.wait_for("KLING_TOKEN=sandbox")
        assert hint == f"KLING_TOKEN=sandbox kling effect SCENE IMAGE --base-url {url}"
        argv = ("effect", "squish", PHOTO, "--base-url", url)
        token = {"KLING_TOKEN": "sandbox"}
        assert run_installed(*argv, "--no-wait", environ=token).code == 0
        time.sleep(3)  # the task's own time
        bought = run_installed(*argv, environ=token)
        assert (bought.code, bought.out) == (0, f"{url}/clip.mp4\n")
        line = process.wait_for("POST")
        assert re.fullmatch(r"\d\d:\d\d:\d\d POST /v1/videos/effects 200", line)
        port = int(url.rpartition(":")[2])
        taken = kling("sandbox", "--port", str(port), "--json")
        assert (taken.code, taken.json["error"]["code"]) == (2, "port_unavailable")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)
        process.kill(signal.SIGTERM)
        run = process.finish()
    assert run.code == 143
    assert "Traceback" not in run.err


def test_the_sandbox_option_answers_with_a_clip(kling: Program, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run = kling(*BUY, "--json")
    finally:
        os.umask(before)
    clip = Path(url2pathname(run.json["videos"][0]["url"].removeprefix("file://")))
    assert (run.code, clip.read_bytes()) == (0, CLIP)
    state = tmp_path / "state"
    for path in state.glob("*.sqlite3*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def fill_in(scene: Scene) -> dict[str, object]:
    fields: dict[str, object] = {"images": [URL, URL]} if scene.pictures == PAIR else {"image": URL}
    if scene.models:
        fields |= {"model_name": scene.models[-1], "duration": scene.durations[-1]}
    return fields


def test_every_scene_and_every_listed_value_is_accepted(sandbox: httpx.Client) -> None:
    for scene in catalogue():
        requests = [fill_in(scene)]
        choices = {"model_name": scene.models, "duration": scene.durations, "mode": scene.modes}
        for name, values in choices.items():
            requests += [fill_in(scene) | {name: value} for value in values]
        for fields in requests:
            reply = create(sandbox, effect_scene=scene.name, input=fields)
            assert reply.status_code == 200, (scene.name, reply.text)


LARGE = base64.b64encode(bytes(LARGEST_PICTURE + 1)).decode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"effect_scene": "squash"}, "effect_scene 'squash' is not supported"),
        ({"input": []}, "input is required"),
        ({"model_name": "kling-v1-6"}, "model_name is not a parameter"),
        ({"callback_url": "/done"}, "callback_url must be an http or https URL"),
        ({"external_task_id": ""}, "external_task_id must be a string"),
        ({"input": SINGLE | {"duration": 5}}, 'input.duration must be one of "5"'),
        ({"input": SINGLE | {"mode": "pro"}}, "input.mode is not a parameter"),
        ({"input": SINGLE | {"image": None}}, "a picture must be a string"),
        ({"input": SINGLE | {"image": f"data:image/png;base64,{draw()}"}}, "valid base64 format"),
        ({"input": SINGLE | {"image": draw(picture_format="GIF")}}, "neither .jpg, .jpeg nor .png"),
        ({"input": SINGLE | {"image": LARGE}}, "larger than 10 MiB"),
        ({"effect_scene": "hug", "input": {"images": [URL], "duration": "5"}}, "exactly 2 strings"),
    ],
)
def test_wrong_field_named(sandbox: httpx.Client, changes: dict[str, object], words: str) -> None:
    reply = create(sandbox, **changes)
    assert (reply.status_code, reply.json()["code"]) == (400, 1201)
    assert words in reply.json()["message"]


def test_an_external_id_is_taken_once(sandbox: httpx.Client) -> None:
    assert create(sandbox, external_task_id="mine").status_code == 200
    assert "already exists" in create(sandbox, external_task_id="mine").text


@pytest.mark.parametrize(
    ("sides", "fits"),
    [((300, 300), True), ((299, 400), False), ((750, 300), True), ((751, 300), False)],
)
def test_a_bad_size_fails_later(
    sandbox: httpx.Client, clock: VirtualClock, sides: tuple[int, int], *, fits: bool
) -> None:
    """As the real service does, it accepts bad sides and says so only when the task ends."""
    fields = SINGLE | {"image": draw(*sides, "JPEG")}
    task_id = create(sandbox, input=fields).json()["data"]["task_id"]
    clock.advance(3)
    task = look(sandbox, task_id)["data"]
    assert task["task_status"] == ("succeed" if fits else "failed")
    assert task["task_status_msg"] == ("" if fits else "Image pixel is invalid")


@pytest.mark.parametrize(
    ("header", "code", "words"),
    [
        ("", 1001, "empty"),
        ("Basic sandbox", 1002, "accepts the tokens sandbox"),
        ("Bearer sk-real-token-0123456789", 1002, "lost-reply"),
    ],
)
def test_real_tokens_are_refused(sandbox: httpx.Client, header: str, code: int, words: str) -> None:
    """Fault 76: a real token is refused, and not repeated."""
    reply = sandbox.get(f"{ROUTE}/1", headers={"Authorization": header} if header else {})
    assert (reply.status_code, reply.json()["code"]) == (401, code)
    assert words in reply.json()["message"]
    assert "0123456789" not in reply.text


def test_the_help_names_each_trouble(kling: Program) -> None:
    words = kling("sandbox", "--help").out.split()
    assert set(TOKENS) <= {*words, *(f"sandbox-{word}" for word in words)}


@pytest.mark.parametrize("code", CODES)
def test_every_code_of_the_service_can_be_met(sandbox: httpx.Client, code: int) -> None:
    """A wrong request is refused first, but for codes about the token, which come always."""
    token, status = f"sandbox-{code}", CODES[code]
    reply = create(sandbox, token)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    is_about_token = code in ABOUT_THE_TOKEN
    assert create(sandbox, token, effect_scene="?").json()["code"] == (
        code if is_about_token else 1201
    )
    assert look(sandbox, "mine", token)["code"] == (code if is_about_token else 1203)


@pytest.mark.parametrize(
    ("token", "code", "words"),
    [
        ("sandbox-failed", 5, "Failure to pass the risk control system"),
        ("sandbox-slow", 8, "kling wait"),
        ("sandbox-lost-reply", 0, "The response was lost"),
        ("sandbox-no-lookup", 9, "--new"),
        ("sandbox-1303", 7, "limit of parallel tasks"),
        ("sandbox-1301", 6, "content"),
        ("sandbox-1002", 4, "token"),
    ],
)
def test_each_trouble_is_an_account_of_its_own(
    kling: Program, token: str, code: int, words: str
) -> None:
    run = kling(*BUY, "--timeout", "5m", KLING_TOKEN=token)
    assert run.code == code
    assert words in run.err
    plain = kling(*BUY, "--json")
    assert (plain.code, plain.json["reused"]) == (0, False)
    assert plain.json["task_id"] not in run.err


@pytest.mark.parametrize("argv", [BUY, ("sandbox",)])
def test_a_broken_store_is_named(kling: Program, tmp_path: Path, argv: tuple[str, ...]) -> None:
    """A damaged store is exit 11 with the way out, and is never overwritten."""
    store = tmp_path / "state" / "sandbox.sqlite3"
    store.parent.mkdir()
    store.write_bytes(b"no database at all, but long enough to tell" * 50)
    run = kling(*argv, "--json")
    assert run.code == 11
    assert "sandbox.sqlite3" in run.err
    assert "It contains only the sandbox's tasks and can be deleted." in run.err
    assert store.read_bytes().startswith(b"no database")
