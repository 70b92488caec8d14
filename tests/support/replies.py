"""Scripted responses of a simulated server."""

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from support.shop import Purchase

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_FRAMING = {"content-length", "transfer-encoding"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP response, or how the connection ends instead.

    `json` is any JSON value, or a function that makes one of the purchase (None where nothing was
    bought). A Content-Length or Transfer-Encoding among the headers is sent as it stands, even
    when it lies; the connection is closed after a lie. `delay` is in seconds, before the answer.
    Endings: `keep` the connection, `close` it after the answer, `drop` it without one, `reset` it
    without one.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    json: object | Callable[[Purchase | None], object] = None
    delay: float = 0
    ending: Literal["keep", "close", "drop", "reset"] = "keep"

    def frame(self, purchase: Purchase | None = None) -> bytes:
        body, headers = self.body, dict(self.headers)
        if self.json is not None:
            value = self.json(purchase) if callable(self.json) else self.json
            body = json.dumps(value).encode()
            headers = {"Content-Type": "application/json", **headers}
        if not _FRAMING & set(map(str.lower, headers)) and (
            body or self.status not in _WITHOUT_BODY
        ):
            headers["Content-Length"] = str(len(body))
        if self.ending == "close":
            headers["Connection"] = "close"
        known = self.status in HTTPStatus._value2member_map_
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase if known else 'Unknown'}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    @property
    def is_last(self) -> bool:
        """Whether the connection ends after this response."""
        return self.ending != "keep" or bool(_FRAMING & set(map(str.lower, self.headers)))


DROP = Reply(ending="drop")
RESET = Reply(ending="reset")


def refuse(status: int, code: int, message: str) -> Reply:
    body = {"code": code, "message": message, "request_id": f"request-{code}"}
    return Reply(status=status, json=body)


def wrap(data: object, *, request_id: str = "request-0") -> dict[str, object]:
    return {"code": 0, "message": "SUCCEED", "request_id": request_id, "data": data}


def describe(
    purchase: Purchase,
    status: str = "submitted",
    *,
    updated_at: float | None = None,
    video_url: str | None = None,
    message: str | None = None,
) -> dict[str, object]:
    """Write a task as the service does; `updated_at` is in seconds, as the purchase's time is."""
    own_id = purchase.external_task_id
    task: dict[str, object] = {
        "task_id": purchase.task_id,
        "task_status": status,
        "task_info": {} if own_id is None else {"external_task_id": own_id},
        "created_at": int(purchase.bought_at * 1000),
        "updated_at": int((updated_at or purchase.bought_at) * 1000),
    }
    if message is not None:
        task["task_status_msg"] = message
    if video_url is not None:
        video = {"id": f"video-{purchase.task_id}", "url": video_url, "duration": "5.041"}
        task["task_result"] = {"videos": [video]}
    return task


def accept(purchase: Purchase | None) -> dict[str, object]:
    """Build the response to a create request, for `Reply(json=accept)` after a purchase."""
    assert purchase is not None
    return wrap(describe(purchase))


def serve_file(content: bytes, *, media_type: str, headers: Mapping[str, str]) -> Reply:
    """Answer a GET for a file with its ETag, whole or from a byte on, by its headers."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    told = {"Content-Type": media_type, "ETag": tag, "Accept-Ranges": "bytes"}
    asked = _RANGE.fullmatch(headers.get("range", ""))
    if asked is None or headers.get("if-range", tag) != tag:
        return Reply(headers=told, body=content)
    first = int(asked[1])
    last = min(int(asked[2] or len(content)), len(content) - 1)
    if first > last:
        return Reply(status=416, headers={**told, "Content-Range": f"bytes */{len(content)}"})
    told["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return Reply(status=206, headers=told, body=content[first : last + 1])


DONE = wrap({"task_id": "8153", "task_status": "succeed", "url": "https://v2.example.com/clip.mp4"})
_TEXT = json.dumps(DONE)
_GZIP = gzip.compress(bytes(1 << 24))
# Responses that a client must not believe, by the number of the fault.
UNREADABLE = {
    "fault 31: 204": Reply(status=204),
    "fault 32: a page": Reply(body=b"<!DOCTYPE html><html><title>Sign in</title></html>"),
    "fault 33: empty": Reply(),
    "fault 33: cut short": Reply(body=_TEXT[:40].encode(), headers={"Content-Length": "400"}),
    "fault 33: chunk cut": Reply(body=b"40\r\n{", headers={"Transfer-Encoding": "chunked"}),
    **{f"fault 34: {text}": Reply(body=text.encode()) for text in ("null", "[]", '"ok"', "7")},
    "fault 34: byte-order mark": Reply(body=b"\xef\xbb\xbf" + _TEXT.encode()),
    "fault 34: UTF-16": Reply(body=_TEXT.encode("utf-16")),
    "fault 34: bad UTF-8": Reply(body=_TEXT.encode().replace(b"clip", b"cl\xffip")),
    "fault 34: lone surrogate": Reply(json={"message": "\ud800"}),
    "fault 34: NaN": Reply(body=_TEXT.replace("0", "NaN", 1).encode()),
    "fault 34: a key twice": Reply(body=_TEXT.replace("{", '{"code": 0,', 1).encode()),
    "fault 34: nested": Reply(body=b"[" * 200_000),
    "fault 34: a number of 5,000 digits": Reply(body=_TEXT.replace("0", "1" * 5000, 1).encode()),
    "fault 35: a code unknown here": Reply(json={"code": 4711, "message": "?", "data": None}),
    "fault 36: data null": Reply(json=wrap(None)),
    "fault 36: no id": Reply(json=wrap({"task_status": "submitted"})),
    **{
        f"fault 36: id {task_id[:8]!r}": Reply(json=wrap({"task_id": task_id}))
        for task_id in ("x" * 10_000, "a/b", "..", "\x1b[2J", "a?b")
    },
    "fault 104: above 1 MiB": Reply(json={**DONE, "more": "x" * 1_100_000}),
    "fault 105: a bomb": Reply(headers={"Content-Encoding": "gzip"}, body=_GZIP),
    "fault 106: a header of 300 kB": Reply(headers={"X": "x" * 300_000}),
    "fault 106: many headers": Reply(headers={f"X-{n}": "b" for n in range(100_000)}),
}
