"""A caller of the sandbox without any HTTP client: WSGI in, status, headers and JSON out."""

import base64
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from kling_cli.sandbox import HOST, create_app

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

ROUTE = "/v1/videos/effects"


def make_png(width: int = 640, height: int = 480) -> bytes:
    """Write the beginning of a PNG of this size."""
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + sides + b"\x08\x02\x00\x00\x00"


def encode(content: bytes) -> str:
    """Encode a picture as a request carries it."""
    return base64.b64encode(content).decode()


def make_request(**changes: object) -> dict[str, object]:
    """Make a valid request, with these top-level changes."""
    picture = encode(make_png())
    fields = {"model_name": "kling-v1-6", "image": picture, "duration": "5"}
    return {"effect_scene": "squish", "input": fields, **changes}


@dataclass
class Clock:
    """A clock that a test moves by hand; seconds since the epoch."""

    time: float = 1_700_000_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.time


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer of the sandbox."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - a test looks into whatever came back
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def data(self) -> Any:  # noqa: ANN401 - likewise
        """The task, or the tasks, inside the native envelope."""
        assert self.json["code"] == 0
        return self.json["data"]

    @property
    def verdict(self) -> tuple[int, int]:
        """HTTP status and the service's code."""
        return self.status, self.json["code"]


@dataclass
class Service:
    """A sandbox with its own store and clock."""

    directory: Path
    clock: Clock = field(default_factory=Clock)
    host: str = HOST

    def __post_init__(self) -> None:
        """Create the application."""
        self.store = self.directory / "state" / "sandbox.sqlite"
        self.app: WSGIApplication = create_app(self.store, now=self.clock)

    def call(self, method: str, target: str, body: bytes = b"", /, **headers: str) -> Reply:
        """Make one call; a header's name is written as in `If_Range`."""
        path, _, query = target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": self.host,
            "SERVER_PORT": "80",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
        }
        for name, value in headers.items():
            key = name.upper()
            environ[key if key in environ else f"HTTP_{key}"] = value
        heard: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, lines: list[tuple[str, str]], *_rest: object) -> Any:  # noqa: ANN401 - WSGI's own
            heard.append((status, lines))

        pieces = b"".join(self.app(environ, start_response))
        (status, lines), *_ = heard
        return Reply(status=int(status[:3]), headers=dict(lines), body=pieces)

    def create(self, who: str = "sandbox", /, **changes: object) -> Reply:
        """Submit a valid request with these top-level changes."""
        body = json.dumps(make_request(**changes)).encode()
        return self.call("POST", ROUTE, body, Authorization=f"Bearer {who}")

    def look(self, name: str, who: str = "sandbox") -> Reply:
        """Look at a task by either id."""
        return self.call("GET", f"{ROUTE}/{name}", Authorization=f"Bearer {who}")

    def list_tasks(self, query: str = "", who: str = "sandbox") -> Reply:
        """List the tasks of a token."""
        return self.call("GET", ROUTE + query, Authorization=f"Bearer {who}")
