"""The effects service on loopback: a real HTTP/1.1 server with a ledger, strict and scriptable."""

import base64
import itertools
import json
import re
import socket
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import Self
from urllib.parse import unquote

from support.loopback import Loopback, Visit, report
from support.openapi import EFFECTS, check_request, find_path
from support.replies import Reply, describe, refuse, serve_file, wrap
from support.shop import Purchase, Rules, SaleRefusedError, Shop

# A file that looks like a video: it begins with an `ftyp` box.
VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0\0\x10\x08mdat" + bytes(4096)

_VIDEO_PATH = re.compile(r"/videos/([^/?]+)\.mp4")


class LoopbackService:
    """Simulate the service, as a context manager.

    Requests are accepted below any base URL. At the end of the context it raises AssertionError if
    a request violated the OpenAPI document, an unexpected path was called, a token was sent with
    a file request, or a scripted reply was not used.
    """

    def __init__(
        self, rules: Rules | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.shop = Shop(rules or Rules(), clock=clock)
        self.breaches: list[str] = []
        self._created = b""
        self._clock = clock
        self.video = VIDEO
        self._published: dict[str, tuple[bytes, str]] = {}
        self._scripts: defaultdict[str, deque[tuple[Reply, bool]]] = defaultdict(deque)
        self._request_ids = itertools.count(1)
        self._loopback = Loopback(answer=self._answer, complain=self.breaches.append)

    def __enter__(self) -> Self:
        self._loopback.open()
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self._loopback.close()
        left = [f"{len(queue)} unused for {name}" for name, queue in self._scripts.items() if queue]
        report([*self.breaches, *(f"scripted replies: {each}" for each in left)], error)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._loopback.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/kling"

    @property
    def ledger(self) -> list[Purchase]:
        return self.shop.ledger

    @property
    def visits(self) -> list[Visit]:
        return self._loopback.visits.copy()

    @property
    def requests(self) -> Counter[tuple[str, str]]:
        """The number of calls by method and path; API paths are without the base URL."""
        return Counter((visit.method, find_path(visit.path) or visit.path) for visit in self.visits)

    @property
    def connections(self) -> int:
        return self._loopback.opened

    @property
    def running(self) -> int:
        return self.shop.count_running()

    @property
    def pictures(self) -> list[bytes]:
        fields = json.loads(self._created)["input"]
        return [base64.b64decode(text) for text in fields.get("images") or [fields["image"]]]

    def count(self, method: str) -> int:
        return sum(visit.method == method for visit in self.visits)

    def on_create(self, reply: Reply, *, purchase: bool = False, times: int = 1) -> None:
        """Answer the next create requests with this.

        With `purchase`, the task is created anyway, before any delay and regardless of the rules
        for duplicates.
        """
        self._scripts["create"].extend([(reply, purchase)] * times)

    def on_look(self, reply: Reply, *, times: int = 1) -> None:
        self._scripts["look"].extend([(reply, False)] * times)

    def on_video(self, reply: Reply, *, times: int = 1) -> None:
        self._scripts["video"].extend([(reply, False)] * times)

    def on_path(self, method: str, path: str, reply: Reply, *, times: int = 1) -> None:
        """Expect calls of a path outside the API, and answer with this."""
        self._scripts[f"{method} {path}"].extend([(reply, False)] * times)

    def forget_scripts(self) -> None:
        self._scripts.clear()

    def publish(self, path: str, content: bytes, *, media_type: str = "image/jpeg") -> str:
        self._published[path] = (content, media_type)
        return self.url + path

    def adopt(self, connection: socket.socket) -> None:
        self._loopback.adopt(connection)

    def describe(self, purchase: Purchase, status: str) -> dict[str, object]:
        done, failed = status == "succeed", status == "failed"
        shown = describe(
            purchase,
            status,
            updated_at=self._clock(),
            video_url=f"{self.url}/videos/{purchase.task_id}.mp4" if done else None,
            message=self.shop.rules.failure if failed else None,
        )
        return {**shown, **(self.shop.rules.deduction if done else {})}

    def _answer(self, visit: Visit, body: bytes) -> tuple[Reply, Purchase | None]:
        place = find_path(visit.path)
        if place is None:
            return self._answer_elsewhere(visit), None
        try:
            if "transfer-encoding" in visit.headers:
                raise AssertionError(f"{visit.method} {visit.path} comes without Content-Length")
            order = check_request(visit.method, visit.path, visit.headers, body)
        except AssertionError as breach:
            self.breaches.append(str(breach))
            return refuse(400, 1200, str(breach)), None
        if order is None:
            return self._look(unquote(place.removeprefix(f"{EFFECTS}/")))
        self._created = body
        scripted = self._take("create")
        if scripted is not None:
            reply, buys = scripted
            return reply, self.shop.note(order, token=visit.token) if buys else None
        try:
            sold = self.shop.sell(order, token=visit.token)
        except SaleRefusedError as error:
            return refuse(*error.args), None
        return self._wrap(self.describe(sold, "submitted")), sold

    def _take(self, name: str) -> tuple[Reply, bool] | None:
        try:
            return self._scripts[name].popleft()
        except IndexError:
            return None

    def _look(self, wanted: str) -> tuple[Reply, Purchase | None]:
        found = self.shop.find(wanted)
        scripted = self._take("look")
        if scripted is not None:
            return scripted[0], found
        if found is None:
            return refuse(404, 1203, "task not found"), None
        return self._wrap(self.describe(found, self.shop.look(found))), found

    def _answer_elsewhere(self, visit: Visit) -> Reply:
        path = visit.path.partition("?")[0]
        if scripted := self._take(f"{visit.method} {path}"):
            return scripted[0]
        video = _VIDEO_PATH.fullmatch(path)
        file = self._published.get(path)
        if visit.method != "GET" or not (file or video):
            self.breaches.append(f"unexpected call: {visit.method} {path}")
            return refuse(404, 1202, "path not found")
        if "authorization" in visit.headers:
            self.breaches.append(f"a token went to the file {path}")
        if file is not None:
            return serve_file(file[0], media_type=file[1], headers=visit.headers)
        if scripted := self._take("video"):
            return scripted[0]
        if video is None or self.shop.find(video[1]) is None:
            return refuse(404, 1203, "no such video")
        return serve_file(self.video, media_type="video/mp4", headers=visit.headers)

    def _wrap(self, data: object) -> Reply:
        return Reply(json=wrap(data, request_id=f"request-{next(self._request_ids)}"))
