"""A create request, checked as strictly as the service's documents say."""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from kling_cli.sandbox.answers import refuse
from kling_cli.sandbox.picture import Header, read_header
from kling_cli.scenes import PAIR, Scene, catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_PICTURE = 10 * 1024 * 1024
_LONGEST_BASE64 = (LARGEST_PICTURE + 2) // 3 * 4
_NOT_BASE64 = "File is not in a valid base64 format"
_DEFAULT_DURATION = "5"
_DEFAULTS = {"model_name": "kling-v1", "mode": "std"}
_TOP_LEVEL = ("effect_scene", "input", "callback_url", "external_task_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A request that the service accepts; its pictures may still turn out to be of bad size."""

    effect_scene: str
    external_task_id: str | None
    duration: str
    pictures_fit: bool


def read_order(body: bytes) -> Order:
    """Read and check the body of a create request.

    Raises:
        RefusalError: the first thing that the service would refuse, by its name.
    """
    request = _read_object(body)
    _refuse_others(request, allowed=_TOP_LEVEL, where="")
    scene = _find_scene(_read_text(request, "effect_scene"))
    fields = request.get("input")
    if not isinstance(fields, dict):
        raise refuse(1201, "input is required and must be an object")
    callback = _read_text(request, "callback_url") if "callback_url" in request else None
    if callback is not None and not _is_web_address(callback):
        raise refuse(1201, "callback_url must be an http or https URL")
    external = _read_text(request, "external_task_id") if "external_task_id" in request else None
    duration, fit = _check_input(cast("Mapping[str, object]", fields), scene)
    return Order(
        effect_scene=scene.name, external_task_id=external, duration=duration, pictures_fit=fit
    )


def _read_object(body: bytes) -> Mapping[str, object]:
    try:
        request: object = json.loads(body)
    except (ValueError, RecursionError):
        raise refuse(1200, "the body is not valid JSON") from None
    if not isinstance(request, dict):
        raise refuse(1200, "the body must be a JSON object")
    return cast("Mapping[str, object]", request)


def _refuse_others(fields: Mapping[str, object], *, allowed: tuple[str, ...], where: str) -> None:
    for name in fields:
        if name not in allowed:
            raise refuse(1201, f"{where}{name} is not a parameter of this request")


def _read_text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise refuse(1201, f"{name} must be a string that is not empty")
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        raise refuse(1201, f"{name} is not valid Unicode") from None
    return value


def _find_scene(name: str) -> Scene:
    for scene in catalogue():
        if scene.name == name:
            return scene
    raise refuse(1201, f"effect_scene {name[:80]!a} is not supported")


def _check_input(fields: Mapping[str, object], scene: Scene) -> tuple[str, bool]:
    pictures = "images" if scene.pictures == PAIR else "image"
    choices = {
        "model_name": scene.models,
        "duration": scene.durations,
        "mode": scene.modes,
    }
    taken = tuple(name for name, values in choices.items() if values)
    _refuse_others(fields, allowed=(pictures, *taken), where="input.")
    # Only a pair's model and mode have defaults in the documents; a duration has none anywhere.
    defaults = _DEFAULTS if scene.pictures == PAIR else {}
    for name in taken:
        value = fields.get(name, defaults.get(name))
        if value not in choices[name] or not isinstance(value, str):
            listed = ", ".join(f'"{choice}"' for choice in choices[name])
            raise refuse(1201, f"input.{name} must be one of {listed}, as a string")
    headers = [_check_picture(picture) for picture in _list_pictures(fields, scene)]
    fit = all(header is None or header.is_acceptable for header in headers)
    return str(fields.get("duration", _DEFAULT_DURATION)), fit


def _list_pictures(fields: Mapping[str, object], scene: Scene) -> list[str]:
    if scene.pictures == PAIR:
        given = fields.get("images")
        if not isinstance(given, list) or len(cast("list[object]", given)) != PAIR:
            raise refuse(1201, "input.images must be an array of exactly 2 strings")
        pictures = cast("list[object]", given)
    else:
        pictures = [fields.get("image")]
    if not all(isinstance(picture, str) for picture in pictures):
        raise refuse(1201, "a picture must be a string: base64, or a URL")
    return cast("list[str]", pictures)


def _check_picture(text: str) -> Header | None:
    """Read a picture's header; None for a URL, which this service does not fetch."""
    if _is_web_address(text):
        return None
    if len(text) > _LONGEST_BASE64:
        raise refuse(1201, "the picture is larger than 10 MiB (10485760 bytes)")
    try:
        content = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise refuse(1201, _NOT_BASE64) from None
    if not content:
        raise refuse(1201, _NOT_BASE64)
    if len(content) > LARGEST_PICTURE:
        raise refuse(1201, "the picture is larger than 10 MiB (10485760 bytes)")
    header = read_header(content)
    if header is None:
        raise refuse(1201, "the picture is neither .jpg, .jpeg nor .png")
    return header


def _is_web_address(text: str) -> bool:
    if not text.lower().startswith(("http://", "https://")):
        return False
    try:
        return bool(urlsplit(text).hostname) and not any(letter.isspace() for letter in text)
    except ValueError:
        return False
