"""Check requests against the service's OpenAPI document (effects.openapi.json)."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

EFFECTS = "/v1/videos/effects"

_API_PATH = re.compile(rf"(?:.*)({EFFECTS}(?:/[^/?]+)?)(\?.*)?", re.DOTALL)
_URL = ("http://", "https://")
# Checking 13 MB of base64 is slow and its errors are unreadable, so only the beginning is checked
# after decoding the whole. A multiple of four, so that it is valid base64.
_KEPT = 16
_SHOWN = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The body of a create request; a picture in it is `sha256:<hex>` of its bytes, or its URL."""

    effect_scene: str
    input: Mapping[str, object]
    images: tuple[str, ...]
    external_task_id: str | None
    callback_url: str | None


@dataclass(slots=True, kw_only=True)
class _Request:
    method: str
    path: str
    content_type: str
    body: bytes
    parameters: RequestParameters
    host_url: str = "http://127.0.0.1"


def find_path(target: str) -> str | None:
    """Remove the base path and the query from a request target; None outside the API."""
    matched = _API_PATH.fullmatch(target)
    return matched[1] if matched else None


def check_request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Order | None:
    """Check one request with any base URL against the document; return the order of a create."""
    place = find_path(path)
    if place is None:
        raise AssertionError(f"{method} {path[:_SHOWN]} is no path of the document")
    given = {name.lower(): value for name, value in headers.items()}
    order, kept = _read_order(body) if method == "POST" else (None, body)
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
        raise AssertionError(f"{method} {place} breaks the document: {_explain(error)}") from None
    return order


@cache
def _document() -> OpenAPI:
    text = Path(__file__).with_name("effects.openapi.json").read_text(encoding="utf-8")
    return OpenAPI.from_dict(json.loads(text))


def _read_order(body: bytes) -> tuple[Order, bytes]:
    """Read the order of a create request, and its body with shortened pictures."""
    try:
        content = json.loads(body)
        given = content["input"]
        pictures: list[str] = given["images"] if "images" in given else [given["image"]]
        names = [_name(each) for each in pictures]
    except (ValueError, KeyError, TypeError) as error:
        raise AssertionError(f"the body is no create request: {error!r:.{_SHOWN}}") from None
    cut = [each if each.startswith(_URL) else each[:_KEPT] for each in pictures]

    def replace(images: list[str]) -> dict[str, object]:
        return {**given, **({"images": images} if "images" in given else {"image": images[0]})}

    order = Order(
        effect_scene=content.get("effect_scene", ""),
        input=replace(names),
        images=tuple(names),
        external_task_id=content.get("external_task_id"),
        callback_url=content.get("callback_url"),
    )
    return order, json.dumps({**content, "input": replace(cut)}).encode()


def _name(image: str) -> str:
    if image.startswith(_URL):
        return image
    # Strict: the service refuses a line break or a data: prefix with 1201.
    return f"sha256:{hashlib.sha256(base64.b64decode(image, validate=True)).hexdigest()}"


def _explain(error: BaseException) -> str:
    cause = error.__cause__ or error
    reasons = [str(getattr(each, "message", each)) for each in getattr(cause, "schema_errors", ())]
    return "; ".join(reasons or [str(cause)])[:_SHOWN]
