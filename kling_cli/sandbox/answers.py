"""What the service says: envelopes, codes, and the ways that a gateway says the same."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One whole answer: HTTP status, body, and the headers beside its length."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class RefusalError(Exception):
    """The call ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An error of the service: the HTTP status that it travels with, and its words."""

    status: int
    message: str


# The service's own table. HTTP 429 alone does not mean "try again": four of its codes are about
# the account, not about speed.
CODES: Mapping[int, Code] = {
    1000: Code(status=401, message="authentication failed"),
    1001: Code(status=401, message="authorization is empty"),
    1002: Code(status=401, message="authorization is invalid"),
    1003: Code(status=401, message="authorization is not valid yet"),
    1004: Code(status=401, message="authorization has expired"),
    1100: Code(status=429, message="account exception"),
    1101: Code(status=429, message="account in arrears"),
    1102: Code(status=429, message="resource pack depleted or expired"),
    1103: Code(status=403, message="no permission for this API or model"),
    1200: Code(status=400, message="invalid request parameters"),
    1201: Code(status=400, message="model is not supported"),
    1202: Code(status=404, message="the requested method or path does not exist"),
    1203: Code(status=404, message="the requested resource does not exist"),
    1300: Code(status=400, message="the request violates the platform policy"),
    1301: Code(status=400, message="the request violates the content security policy"),
    1302: Code(status=429, message="too many requests in a short time"),
    1303: Code(status=429, message="parallel task over resource pack limit"),
    1304: Code(status=429, message="the IP address is not on the allow-list"),
    5000: Code(status=500, message="internal error"),
    5001: Code(status=503, message="the service is under maintenance"),
    5002: Code(status=504, message="internal timeout, the service has a backlog"),
}


def answer_json(body: object, *, status: int = 200) -> Answer:
    """Make an answer of any JSON value."""
    return Answer(status=status, body=json.dumps(body).encode())


def wrap(data: object) -> dict[str, object]:
    """Put a task, or a list of them, into the service's envelope."""
    return {"code": 0, "message": "SUCCEED", "request_id": str(uuid.uuid4()), "data": data}


def refuse(code: int, message: str | None = None, *, status: int | None = None) -> RefusalError:
    """Make the refusal with one of the service's codes.

    Args:
        code: one of `CODES`.
        message: instead of the code's own words.
        status: instead of the code's own HTTP status.
    """
    body = {
        "code": code,
        "message": message or CODES[code].message,
        "request_id": str(uuid.uuid4()),
    }
    return RefusalError(answer_json(body, status=status or CODES[code].status))


def refuse_as_gateway(status: int, *, code: str, message: str) -> RefusalError:
    """Make the refusal of a gateway that never asked the service."""
    error = {
        "message": f"{message} (request id: {uuid.uuid4().hex})",
        "type": "new_api_error",
        "code": code,
    }
    return RefusalError(answer_json({"error": error}, status=status))


def refuse_as_page(status: int, title: str) -> RefusalError:
    """Make the page of a proxy that answers people, not programs."""
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return RefusalError(Answer(status=status, body=page.encode(), content_type=HTML))
