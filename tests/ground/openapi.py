"""Requests checked against the OpenAPI document of the service (effects.openapi.json beside it)."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

EFFECTS = "/v1/videos/effects"

_API_PATH = re.compile(rf"(?:.*)({EFFECTS}(?:/[^/?]+)?)(\?.*)?", re.DOTALL)
_URL = ("http://", "https://")
# Schema checks over 13 MB of base64 are slow and their complaints unreadable: once the whole has
# been decoded, its beginning stands for it. A multiple of four, so that it is base64 itself.
_KEPT = 16
_SHOWN = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The body of a create request; each picture in it is `sha256:<hex>` or its URL."""

    effect_scene: str
    input: Mapping[str, object]
    images: tuple[str, ...]
    external_task_id: str | None
    callback_url: str | None


@dataclass(slots=True, kw_only=True)
class _Request:
    """A request as openapi-core wants to read it, and to write to it."""

    method: str
    path: str
    content_type: str
    body: bytes
    parameters: RequestParameters
    host_url: str = "http://127.0.0.1"


def find_path(target: str) -> str | None:
    """Cut the base URL's path and the query off a request target; None outside the API."""
    matched = _API_PATH.fullmatch(target)
    return matched[1] if matched else None


def check_request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Order | None:
    """Check one request, whatever its base URL, against the document.

    Returns:
        What a create request orders; None for a look.

    Raises:
        AssertionError: the request breaks the document; the message says how, without the token
            and without the pictures.
    """
    place = find_path(path)
    if place is None:
        raise AssertionError(f"{method} {path[:_SHOWN]} is no path of the document")
    given = {name.lower(): value for name, value in headers.items()}
    order, kept = _read_body(body) if method == "POST" else (None, body)
    if method != "POST" and body:
        raise AssertionError(f"{method} {place} carries a body of {len(body)} bytes")
    request = _Request(
        method=method.lower(),
        path=place,
        content_type=given.get("content-type", "").lower(),
        body=kept,
        parameters=RequestParameters(
            query=ImmutableMultiDict(parse_qsl(urlsplit(path).query, keep_blank_values=True)),
            header=Headers(list(headers.items())),
            path={"id": unquote(place[len(EFFECTS) + 1 :])} if place != EFFECTS else {},
        ),
    )
    try:
        _document().validate_request(request)
    except OpenAPIError as error:
        reason = "; ".join(dict.fromkeys(_explain(error)))
        raise AssertionError(f"{method} {place} breaks the document: {reason}") from None
    return order


@cache
def _document() -> OpenAPI:
    text = Path(__file__).with_name("effects.openapi.json").read_text(encoding="utf-8")
    return OpenAPI.from_dict(json.loads(text))


def _read_body(body: bytes) -> tuple[Order | None, bytes]:
    """Read a create request's body: what it orders, and itself with the pictures cut short."""
    try:
        content: object = json.loads(
            body.decode(), object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant
        )
    except ValueError as error:
        raise AssertionError(f"the body is no JSON in UTF-8: {str(error)[:_SHOWN]}") from None
    if not isinstance(content, dict):
        return None, body
    fields = cast("dict[str, Any]", content)
    if not isinstance(fields.get("input"), dict):
        return None, body
    shown: dict[str, Any] = dict(fields["input"])
    kept = dict(shown)
    images: list[str] = []
    if isinstance(shown.get("image"), str):
        shown["image"], kept["image"] = _shorten(shown["image"])
        images.append(shown["image"])
    pictures = shown.get("images")
    if isinstance(pictures, list) and _are_texts(cast("list[object]", pictures)):
        pairs = [_shorten(each) for each in cast("list[str]", pictures)]
        shown["images"], kept["images"] = [name for name, _ in pairs], [cut for _, cut in pairs]
        images += shown["images"]
    order = Order(
        effect_scene=fields.get("effect_scene", ""),
        input=shown,
        images=tuple(images),
        external_task_id=fields.get("external_task_id"),
        callback_url=fields.get("callback_url"),
    )
    return order, json.dumps({**fields, "input": kept}).encode()


def _are_texts(values: list[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _shorten(image: str) -> tuple[str, str]:
    """Name a picture by its hash or URL, and cut its base64 down to a valid beginning."""
    if image.startswith(_URL):
        return image, image
    try:
        # Strict: a line break or a data: prefix is answered with 1201 by the service.
        content = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError) as error:
        raise AssertionError(
            f"a picture is neither a URL nor strict base64 ({error}); it begins {image[:24]!r}"
        ) from None
    return f"sha256:{hashlib.sha256(content).hexdigest()}", image[:_KEPT]


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError(f"a key stands twice among {[name for name, _ in pairs]}")
    return content


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _explain(error: BaseException) -> list[str]:
    """Tell an error of openapi-core by the innermost complaints that led to it."""
    schema_errors = getattr(error, "schema_errors", None)
    if schema_errors:
        return [reason for each in schema_errors for reason in _explain(each)]
    if getattr(error, "context", None):
        return _explain_nearest(error)
    if error.__cause__ is not None:
        return _explain(error.__cause__)
    place = ".".join(str(part) for part in getattr(error, "absolute_path", ()))
    message = str(getattr(error, "message", error))[:_SHOWN]
    return [f"{place}: {message}" if place else message]


def _explain_nearest(error: BaseException) -> list[str]:
    """Of several forms that did not fit, tell what is wrong with the one that nearly did."""
    forms: dict[object, list[str]] = {}
    for each in getattr(error, "context", ()):
        forms.setdefault(each.relative_schema_path[0], []).extend(_explain(each))
    # The form of another scene does not fit either; that is no news.
    return min(
        forms.values(),
        key=lambda reasons: (any("effect_scene" in reason for reason in reasons), len(reasons)),
    )
