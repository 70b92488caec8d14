"""The service as a WSGI application: routes, validation of requests, and state of tasks."""

import binascii
import json
import secrets
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_cli.sandbox.store import Store, StoredTask
from kling_cli.sandbox.trouble import TOKENS, RefusalError, authorize
from kling_cli.scenes import PAIR, Scene, catalogue

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

# A request for this host never leaves the process; its videos have file: URLs.
HOST = "sandbox.invalid"
_ROUTE = "/v1/videos/effects"
CLIP = Path(__file__).with_name("clip.mp4")
LARGEST_PICTURE = 10 * 1024 * 1024
_PROCESSING_AFTER = 1_000  # milliseconds after acceptance


class Sandbox:
    """The application; all its state is in its store.

    Args:
        path: the file with its tasks, shared by all processes.
        now: seconds since the epoch.

    Raises:
        LocalError: the file cannot be used; calls may raise it, too.
    """

    def __init__(self, path: Path, *, now: Callable[[], float]) -> None:
        self._store = Store(path)
        self._now = now
        with self._store.open():
            pass

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Handle one request; a ConnectionResetError simulates a lost response."""
        status, content_type = HTTPStatus.OK, "application/json; charset=utf-8"
        try:
            answer = self._answer(environ)
        except RefusalError as refusal:
            status, answer = HTTPStatus(refusal.status), refusal.body
        if isinstance(answer, bytes):
            content, content_type = answer, "video/mp4"
        else:
            content = json.dumps(answer).encode()
        headers = [("Content-Type", content_type), ("Content-Length", str(len(content)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [content]

    def _answer(self, environ: "WSGIEnvironment") -> Mapping[str, object] | bytes:
        # Read the body first: a client that is still uploading would not see a refusal.
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        # The route may have a base path, such as a gateway's /kling.
        _, route, rest = path.partition(_ROUTE)
        if method == "GET" and path == "/clip.mp4":
            return CLIP.read_bytes()
        is_create = method == "POST" and route and not rest
        is_look = method == "GET" and rest.startswith("/")
        if not is_create and not is_look:
            raise RefusalError(1202, "the requested method or path does not exist")
        account = authorize(environ.get("HTTP_AUTHORIZATION", ""))
        task = self._look(account, rest[1:], environ) if is_look else self._create(account, body)
        request_id = str(uuid.uuid4())
        return {"code": 0, "message": "SUCCEED", "request_id": request_id, "data": task}

    def _create(self, account: str, body: bytes) -> dict[str, object]:
        external_task_id, duration, pictures_fit = _check_request(body)
        now = round(self._now() * 1000)
        if code := TOKENS[account]:
            raise RefusalError(code)
        failure = None
        if account == "sandbox-failed":
            failure = "Failure to pass the risk control system"
        elif not pictures_fit:
            # The real service also accepts such a picture, and fails only minutes later.
            failure = "Image pixel is invalid"
        task = StoredTask(
            # 18 digits do not fit into a JavaScript number, so that ids must stay strings.
            task_id=str(10**17 + secrets.randbelow(9 * 10**17)),
            external_task_id=external_task_id,
            duration=duration,
            created_at=now,
            ends_after=3_600_000 if account == "sandbox-slow" else 3_000,
            failure=failure,
        )
        if not self._store.add(account, task):
            raise RefusalError(1201, f"external_task_id {external_task_id!a} already exists")
        if account in ("sandbox-lost-reply", "sandbox-no-lookup"):
            raise ConnectionResetError("the sandbox lost this reply, as its token asked")
        return _show_task(task, at=now, url="")

    def _look(self, account: str, name: str, environ: "WSGIEnvironment") -> dict[str, object]:
        task, now = self._store.find(account, name), round(self._now() * 1000)
        if task is None or (account == "sandbox-no-lookup" and name != task.task_id):
            raise RefusalError(1203, "task not found")
        is_embedded = environ["SERVER_NAME"] == HOST
        url = self._copy_clip() if is_embedded else f"http://{environ['HTTP_HOST']}/clip.mp4"
        return _show_task(task, at=now, url=url)

    def _copy_clip(self) -> str:
        """Copy the clip next to the store, where it survives an uninstall, and return its URL."""
        clip = self._store.path.absolute().with_name("sandbox.mp4")
        if not clip.exists():
            part = clip.with_name(f".{uuid.uuid4().hex}.part")
            part.write_bytes(CLIP.read_bytes())
            part.replace(clip)
        return clip.as_uri()


def _show_task(task: StoredTask, *, at: int, url: str) -> dict[str, object]:
    """Format a task at a time (ms since the epoch); its state depends on its age."""
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
    """Validate a request; return external task id, duration, and whether the pictures fit."""
    request: object = None
    with suppress(ValueError, RecursionError):
        request = json.loads(body)
    if not isinstance(request, dict):
        raise RefusalError(1200, "the body must be a JSON object")
    fields = request.pop("input", None)
    _refuse_others(request, "effect_scene", "callback_url", "external_task_id")
    for name, value in request.items():
        if not isinstance(value, str) or not value:
            raise RefusalError(1201, f"{name} must be a string that is not empty")
    wanted = request.get("effect_scene")
    scene = next((scene for scene in catalogue() if scene.name == wanted), None)
    if scene is None:
        raise RefusalError(1201, f"effect_scene {wanted!a:.80} is not supported")
    if not isinstance(fields, dict):
        raise RefusalError(1201, "input is required and must be an object")
    if not _is_web_url(request.get("callback_url", "https://")):
        raise RefusalError(1201, "callback_url must be an http or https URL")
    _check_choices(fields, scene)
    pictures: Any = fields.get("images") if scene.pictures == PAIR else [fields.get("image")]
    if not isinstance(pictures, list) or len(pictures) != scene.pictures:
        raise RefusalError(1201, "input.images must be an array of exactly 2 strings")
    fit = [_check_picture(picture) for picture in pictures]
    return request.get("external_task_id"), str(fields.get("duration", "5")), all(fit)


def _refuse_others(fields: Mapping[str, object], *allowed: str, where: str = "") -> None:
    for name in fields:
        if name not in allowed:
            raise RefusalError(1201, f"{where}{name} is not a parameter of this request")


def _check_choices(fields: Mapping[str, object], scene: Scene) -> None:
    is_pair = scene.pictures == PAIR
    every = {"model_name": scene.models, "duration": scene.durations, "mode": scene.modes}
    choices = {name: values for name, values in every.items() if values}
    _refuse_others(fields, "images" if is_pair else "image", *choices, where="input.")
    # In the documentation only model and mode of pairs have defaults.
    defaults = {"model_name": "kling-v1", "mode": "std"} if is_pair else {}
    for name, values in choices.items():
        if fields.get(name, defaults.get(name)) not in values:
            listed = ", ".join(f'"{choice}"' for choice in values)
            raise RefusalError(1201, f"input.{name} must be one of {listed}, as a string")


def _check_picture(text: object) -> bool:
    """Check a picture, and return whether its sides fit; a URL is not fetched."""
    if not isinstance(text, str):
        raise RefusalError(1201, "a picture must be a string: base64, or a URL")
    if _is_web_url(text):
        return True
    content = b""
    with suppress(ValueError):
        content = binascii.a2b_base64(text, strict_mode=True)
    if not content:
        raise RefusalError(1201, "File is not in a valid base64 format")
    if len(content) > LARGEST_PICTURE:
        raise RefusalError(1201, f"the picture is larger than 10 MiB ({LARGEST_PICTURE} bytes)")
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"):  # a large one is never decoded here
            width, height = Image.open(BytesIO(content), formats=("JPEG", "PNG")).size
    except (OSError, ValueError, Image.DecompressionBombError):
        raise RefusalError(1201, "the picture is neither .jpg, .jpeg nor .png") from None
    shorter, longer = sorted((width, height))
    return shorter >= 300 and longer * 2 <= shorter * 5


def _is_web_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))
