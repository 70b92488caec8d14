"""The service as a WSGI application: routes, authorization, and what each call does."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from kling_cli.sandbox import HOST, trouble
from kling_cli.sandbox.answers import Answer, RefusalError, answer_json, refuse, wrap
from kling_cli.sandbox.clip import NAME, locate_clip, send_clip
from kling_cli.sandbox.look import show_accepted, show_task, show_through_gateway
from kling_cli.sandbox.order import read_order
from kling_cli.sandbox.store import Store, StoredTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

_ROUTE = "/v1/videos/effects"
# Two pictures of 10 MiB are 28 MB of base64.
LARGEST_BODY = 40_000_000
_LAST_PAGE = 1000
_LARGEST_PAGE = 500
_USUAL_PAGE = 30
# Python refuses to read a number of thousands of digits.
_MOST_DIGITS = 18


class Sandbox:
    """The application; it keeps nothing but what its store keeps, and starts no thread."""

    def __init__(self, store: Store, *, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one call.

        Raises:
            ConnectionResetError: the token asked for a lost reply; the task was accepted.
            LocalError: the store cannot be used.
        """
        try:
            answer = self._answer(environ)
        except RefusalError as refusal:
            answer = refusal.answer
        body = send(answer, start_response)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _answer(self, environ: WSGIEnvironment) -> Answer:
        method, path = environ["REQUEST_METHOD"], _read_path(environ)
        # The route may stand behind a base path, as it does at a gateway (/kling).
        _, route, rest = path.partition(_ROUTE)
        if not route and path.endswith(f"/{NAME}") and method in ("GET", "HEAD"):
            wanted, if_range = environ.get("HTTP_RANGE", ""), environ.get("HTTP_IF_RANGE", "")
            return send_clip(wanted, if_range=if_range)
        creates = method == "POST" and not rest
        looks = method == "GET" and (not rest or (rest.startswith("/") and rest != "/"))
        if not route or not (creates or looks):
            raise refuse(1202)
        token = trouble.admit(environ.get("HTTP_AUTHORIZATION", ""))
        if creates:
            return self._create(token, environ)
        if rest:
            return self._look(token, rest[1:], environ)
        return self._list(token, environ)

    def _create(self, token: str, environ: WSGIEnvironment) -> Answer:
        order = read_order(_read_body(environ))
        trouble.meet_create(token, order.external_task_id, store=self._store)
        ends_after, failure = trouble.choose_end(token, pictures_fit=order.pictures_fit)
        task = StoredTask(
            # 18 digits, more than a JavaScript number holds: an id is a string.
            task_id=str(10**17 + secrets.randbelow(9 * 10**17)),
            external_task_id=order.external_task_id,
            duration=order.duration,
            created_at=self._tell_time(),
            ends_after=ends_after,
            failure=failure,
        )
        if not self._store.add(token, task):
            raise refuse(1201, f"external_task_id {order.external_task_id!a} already exists")
        if trouble.loses_reply(token):
            raise ConnectionResetError("the sandbox lost this reply, as its token asked")
        return answer_json(wrap(show_accepted(task)))

    def _look(self, token: str, name: str, environ: WSGIEnvironment) -> Answer:
        trouble.meet_look(token, name, store=self._store)
        task, at = self._store.find(token, name), self._tell_time()
        if task is None or trouble.hides(token, name, task, at=at):
            raise refuse(1203, "task not found")
        url = self._name_video(task, environ)
        if token == trouble.GATEWAY:
            return answer_json(show_through_gateway(task, at=at, url=url))
        return answer_json(wrap(show_task(task, at=at, url=url)))

    def _list(self, token: str, environ: WSGIEnvironment) -> Answer:
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        page = _read_query(query, "pageNum", usual=1, largest=_LAST_PAGE)
        size = _read_query(query, "pageSize", usual=_USUAL_PAGE, largest=_LARGEST_PAGE)
        tasks, at = self._store.list_page(token, page=page, size=size), self._tell_time()
        return answer_json(
            wrap([show_task(task, at=at, url=self._name_video(task, environ)) for task in tasks])
        )

    def _tell_time(self) -> int:
        return round(self._now() * 1000)

    def _name_video(self, task: StoredTask, environ: WSGIEnvironment) -> str:
        host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
        if HOST in (environ["SERVER_NAME"], host.partition(":")[0]):
            return locate_clip(self._store.path.parent)
        return f"{environ['wsgi.url_scheme']}://{host}/{NAME}?task={task.task_id}"


def send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    """Hand an answer over as WSGI wants it: status and headers first, then the body."""
    start_response(
        f"{answer.status} {HTTPStatus(answer.status).phrase}",
        [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("X-Kling-Sandbox", "1"),
            *answer.headers,
        ],
    )
    return [answer.body]


def _read_path(environ: WSGIEnvironment) -> str:
    """Read the path, of which WSGI hands over bytes as Latin-1 and some callers real text."""
    path = str(environ.get("PATH_INFO", ""))
    try:
        return path.encode("latin-1").decode()
    except UnicodeError:
        return path


def _read_body(environ: WSGIEnvironment) -> bytes:
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise refuse(1200, "Content-Type must be application/json")
    length = read_number(environ.get("CONTENT_LENGTH", ""))
    if length is None:
        raise refuse(1200, "Content-Length is required", status=411)
    if length > LARGEST_BODY:
        raise refuse(1200, f"the body is larger than {LARGEST_BODY} bytes", status=413)
    body: bytes = environ["wsgi.input"].read(length)
    return body


def _read_query(query: dict[str, list[str]], name: str, *, usual: int, largest: int) -> int:
    number = read_number(query[name][-1]) if name in query else usual
    if number is None or not 1 <= number <= largest:
        raise refuse(1201, f"{name} must be a number from 1 to {largest}")
    return number


def read_number(text: str) -> int | None:
    """Read a decimal number, None for anything else; a very long one is cut but stays large."""
    return int(text[:_MOST_DIGITS]) if text.isascii() and text.isdecimal() else None
