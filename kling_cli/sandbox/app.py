"""The service as a WSGI application: routes, the check of requests, and the state of tasks."""

import binascii
import json
import re
import secrets
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kling_cli.sandbox import trouble
from kling_cli.sandbox.store import Store, StoredTask
from kling_cli.sandbox.trouble import Answer, RefusalError, refuse
from kling_cli.scenes import PAIR, Scene, catalogue

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# A request for this host never left the process; its videos are files, not web addresses.
HOST = "sandbox.invalid"
_ROUTE = "/v1/videos/effects"
_CLIP = Path(__file__).with_name("clip.mp4")
# Two pictures of 10 MiB are 28 MB of base64.
LARGEST_BODY = 40_000_000
LARGEST_PICTURE = 10 * 1024 * 1024
_SHORTEST_SIDE = 300
# Milliseconds after acceptance.
_PROCESSING_AFTER = 1_000
_DEFAULTS = {"model_name": "kling-v1", "mode": "std"}


def create_app(store: Path, *, now: Callable[[], float]) -> "WSGIApplication":
    """Make the service over a file that keeps its tasks, for every process that names it.

    Raises:
        LocalError: the file cannot be used; a call raises it too, when the file fails later.
    """
    sandbox = _Sandbox(store, now)
    with sandbox.store.open():
        return sandbox


class _Sandbox:
    """The application; it keeps nothing but what its store keeps, and starts no thread."""

    def __init__(self, store: Path, now: Callable[[], float]) -> None:
        self.store = Store(store)
        self._now = now

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one call; a ConnectionResetError stands for a reply that is lost."""
        try:
            answer = self._answer(environ)
        except RefusalError as refusal:
            answer = refusal.answer
        return send(answer, start_response)

    def _answer(self, environ: "WSGIEnvironment") -> Answer:
        # Read first: a refusal of an upload that is still under way would not arrive.
        body = _read_body(environ)
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        # The route may stand behind a base path, as it does at a gateway (/kling).
        _, route, rest = path.partition(_ROUTE)
        if method == "GET" and not route and path.endswith(f"/{_CLIP.name}"):
            return Answer(200, _CLIP.read_bytes(), "video/mp4")
        is_create = method == "POST" and route and not rest
        is_look = method == "GET" and route and rest.startswith("/") and rest != "/"
        if not is_create and not is_look:
            raise refuse(1202)
        token = trouble.authorize(environ.get("HTTP_AUTHORIZATION", ""))
        if is_look:
            return self._look(token, rest[1:], environ)
        content_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise refuse(1200, "Content-Type must be application/json")
        return self._create(token, body)

    def _create(self, token: str, body: bytes) -> Answer:
        external_task_id, duration, pictures_fit = _check_request(body)
        now = self._now_ms()
        trouble.refuse_create(token, self.store, now=now)
        ends_after, failure = trouble.get_ending(token, pictures_fit=pictures_fit)
        task = StoredTask(
            # 18 digits, more than a JavaScript number holds: an id is a string.
            task_id=str(10**17 + secrets.randbelow(9 * 10**17)),
            external_task_id=external_task_id,
            duration=duration,
            created_at=now,
            ends_after=ends_after,
            failure=failure,
        )
        if not self.store.add(token, task):
            raise refuse(1201, f"external_task_id {external_task_id!a} already exists")
        if trouble.loses_reply(token):
            raise ConnectionResetError("the sandbox lost this reply, as its token asked")
        shown = _show_task(task, at=task.created_at, url="")
        del shown["task_status_msg"], shown["task_result"]
        return _answer_json(shown)

    def _look(self, token: str, name: str, environ: "WSGIEnvironment") -> Answer:
        task, at = self.store.find(token, name), self._now_ms()
        if task is None or trouble.hides(token, name, task, at=at):
            raise refuse(1203, "task not found")
        is_embedded = environ["SERVER_NAME"] == HOST
        url = self.store.copy_clip() if is_embedded else f"http://{environ['HTTP_HOST']}/clip.mp4"
        return _answer_json(_show_task(task, at=at, url=url))

    def _now_ms(self) -> int:
        return round(self._now() * 1000)


def send(answer: Answer, start_response: "StartResponse") -> list[bytes]:
    """Send an answer as WSGI wants it: status and headers first, then the body."""
    start_response(
        f"{answer.status} {HTTPStatus(answer.status).phrase}",
        [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("X-Kling-Sandbox", "1"),
        ],
    )
    return [answer.body]


def _read_body(environ: "WSGIEnvironment") -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not 0 <= length <= LARGEST_BODY:
        raise refuse(1200, f"Content-Length must be at most {LARGEST_BODY}", status=413)
    return cast("bytes", environ["wsgi.input"].read(length))


def _answer_json(data: Mapping[str, object]) -> Answer:
    body = {"code": 0, "message": "SUCCEED", "request_id": str(uuid.uuid4()), "data": data}
    return Answer(200, json.dumps(body).encode())


def _show_task(task: StoredTask, *, at: int, url: str) -> dict[str, object]:
    """Show a task at a time in milliseconds since the epoch; its state follows from its age."""
    age = at - task.created_at
    status, since = "submitted", 0
    if age >= task.ends_after:
        status, since = "failed" if task.failure else "succeed", task.ends_after
    elif age >= _PROCESSING_AFTER:
        status, since = "processing", _PROCESSING_AFTER
    video = {"id": str(int(task.task_id) + 1), "url": url, "duration": f"{task.duration}.041"}
    external = {"external_task_id": task.external_task_id} if task.external_task_id else {}
    return {
        "task_id": task.task_id,
        "task_status": status,
        "task_status_msg": (task.failure or "") if status == "failed" else "",
        "task_info": external,
        "task_result": {"videos": [video]} if status == "succeed" else {},
        "created_at": task.created_at,
        "updated_at": task.created_at + since,
    }


def _check_request(body: bytes) -> tuple[str | None, str, bool]:
    """Check a create request; return external task id, duration and whether the pictures fit."""
    try:
        request: object = json.loads(body)
    except (ValueError, RecursionError):
        raise refuse(1200, "the body is not valid JSON") from None
    if not isinstance(request, dict):
        raise refuse(1200, "the body must be a JSON object")
    _refuse_others(request, "effect_scene", "input", "callback_url", "external_task_id")
    name = _read_text(request, "effect_scene")
    scene = next((scene for scene in catalogue() if scene.name == name), None)
    if scene is None:
        raise refuse(1201, f"effect_scene {name[:80]!a} is not supported")
    fields = request.get("input")
    if not isinstance(fields, dict):
        raise refuse(1201, "input is required and must be an object")
    if "callback_url" in request and not _is_web_url(_read_text(request, "callback_url")):
        raise refuse(1201, "callback_url must be an http or https URL")
    external_task_id = None
    if "external_task_id" in request:
        external_task_id = _read_text(request, "external_task_id")
    _check_choices(fields, scene)
    fit = [_check_picture(picture) for picture in _list_pictures(fields, scene)]
    return external_task_id, str(fields.get("duration", "5")), all(fit)


def _refuse_others(fields: Mapping[str, object], *allowed: str, where: str = "") -> None:
    for name in fields:
        if name not in allowed:
            raise refuse(1201, f"{where}{name} is not a parameter of this request")


def _read_text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise refuse(1201, f"{name} must be a string that is not empty")
    return value


def _check_choices(fields: Mapping[str, object], scene: Scene) -> None:
    is_pair = scene.pictures == PAIR
    every = {"model_name": scene.models, "duration": scene.durations, "mode": scene.modes}
    choices = {name: values for name, values in every.items() if values}
    _refuse_others(fields, "images" if is_pair else "image", *choices, where="input.")
    # Only a pair's model and mode have defaults in the documents; a duration has none anywhere.
    defaults = _DEFAULTS if is_pair else {}
    for name, values in choices.items():
        if fields.get(name, defaults.get(name)) not in values:
            listed = ", ".join(f'"{choice}"' for choice in values)
            raise refuse(1201, f"input.{name} must be one of {listed}, as a string")


def _list_pictures(fields: Mapping[str, object], scene: Scene) -> list[str]:
    pictures: Any = [fields.get("image")]
    if scene.pictures == PAIR:
        pictures = fields.get("images")
        if not isinstance(pictures, list) or len(pictures) != PAIR:
            raise refuse(1201, "input.images must be an array of exactly 2 strings")
    if not all(isinstance(picture, str) for picture in pictures):
        raise refuse(1201, "a picture must be a string: base64, or a URL")
    return list(pictures)


def _check_picture(text: str) -> bool:
    """Check a picture, and return whether its sides fit; a URL is not fetched."""
    if _is_web_url(text):
        return True
    try:
        content = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        content = b""
    if not content:
        raise refuse(1201, "File is not in a valid base64 format")
    if len(content) > LARGEST_PICTURE:
        raise refuse(1201, f"the picture is larger than 10 MiB ({LARGEST_PICTURE} bytes)")
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"):  # a large one is never decoded here
            width, height = Image.open(BytesIO(content), formats=("JPEG", "PNG")).size
    except (OSError, ValueError, Image.DecompressionBombError):
        raise refuse(1201, "the picture is neither .jpg, .jpeg nor .png") from None
    shorter, longer = sorted((width, height))
    return shorter >= _SHORTEST_SIDE and longer * 2 <= shorter * 5


def _is_web_url(text: str) -> bool:
    return re.fullmatch(r"https?://[^\s/?#]+\S*", text, re.IGNORECASE) is not None
