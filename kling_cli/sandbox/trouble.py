"""The token chooses trouble, as card numbers do in the sandbox of a payment service."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from kling_cli.sandbox.store import Store, StoredTask

PLAIN = "sandbox"
# Milliseconds after acceptance.
ENDED_AFTER = 3_000
_HOUR = 3_600_000
_LAG = 3_000

# The service's own table: code, HTTP status and words. HTTP 429 alone does not mean "later": four
# of its codes are about the account, not about speed.
CODES: Mapping[int, tuple[int, str]] = {
    1000: (401, "authentication failed"),
    1001: (401, "authorization is empty"),
    1002: (401, "authorization is invalid"),
    1003: (401, "authorization is not valid yet"),
    1004: (401, "authorization has expired"),
    1100: (429, "account exception"),
    1101: (429, "account in arrears"),
    1102: (429, "resource pack depleted or expired"),
    1103: (403, "no permission for this API or model"),
    1200: (400, "invalid request parameters"),
    1201: (400, "model is not supported"),
    1202: (404, "the requested method or path does not exist"),
    1203: (404, "the requested resource does not exist"),
    1300: (400, "the request violates the platform policy"),
    1301: (400, "the request violates the content security policy"),
    1302: (429, "too many requests in a short time"),
    1303: (429, "parallel task over resource pack limit"),
    1304: (429, "the IP address is not on the allow-list"),
    5000: (500, "internal error"),
    5001: (503, "the service is under maintenance"),
    5002: (504, "internal timeout, the service has a backlog"),
}
# The codes that the service gives to every call, because they are about the token.
_ABOUT_THE_TOKEN = (1000, 1001, 1002, 1003, 1004, 1103)

TROUBLES: Mapping[str, str] = {
    "sandbox-failed": "the task is accepted and fails after 3 seconds",
    "sandbox-slow": "the task is accepted and goes on for an hour",
    "sandbox-busy": "one task at a time: the next submission meets the limit (1303)",
    "sandbox-lost-reply": "the task is accepted, but the reply is lost",
    "sandbox-no-lookup": "as sandbox-lost-reply, and no look-up by external task id finds it",
    "sandbox-lag": "the task is accepted, but look-ups do not find it for 3 seconds",
    **{
        f"sandbox-{code}": f"refused: {message} (HTTP {status}, code {code})"
        for code, (status, message) in CODES.items()
    },
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"


class RefusalError(Exception):
    """The call ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refuse(code: int, message: str = "", *, status: int = 0) -> RefusalError:
    """Make a refusal with one of `CODES`; message and status replace the code's own."""
    usual_status, usual_message = CODES[code]
    request_id = str(uuid.uuid4())
    body = {"code": code, "message": message or usual_message, "request_id": request_id}
    return RefusalError(Answer(status or usual_status, json.dumps(body).encode()))


def authorize(authorization: str) -> str:
    """Read the token of a call, and refuse those whose trouble is about the token itself."""
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if not scheme:
        raise refuse(1001)
    if scheme.lower() != "bearer" or token not in (PLAIN, *TROUBLES):
        message = f"authorization is invalid: the sandbox accepts the tokens {PLAIN}, "
        raise refuse(1002, message + ", ".join(TROUBLES))
    if _get_code(token) in _ABOUT_THE_TOKEN:
        raise refuse(_get_code(token))
    return token


def refuse_create(account: str, store: Store, *, now: int) -> None:
    """Raise the refusal that a valid create request meets with this token's account, if any."""
    if code := _get_code(account):
        raise refuse(code)
    if account == "sandbox-busy" and store.count_running(account, now=now):
        raise refuse(1303)


def get_ending(account: str, *, pictures_fit: bool) -> tuple[int, str | None]:
    """Return when an accepted task ends, in milliseconds, and why it fails, if it does."""
    if not pictures_fit:
        # The real service, too, accepts such a picture and says so only minutes later.
        return ENDED_AFTER, "Image pixel is invalid"
    if account == "sandbox-failed":
        return ENDED_AFTER, "Failure to pass the risk control system"
    return (_HOUR if account == "sandbox-slow" else ENDED_AFTER), None


def loses_reply(account: str) -> bool:
    """Whether the reply to an accepted submission never arrives."""
    return account in ("sandbox-lost-reply", "sandbox-no-lookup")


def hides(account: str, name: str, task: StoredTask, *, at: int) -> bool:
    """Whether a look-up by this name, at this time in milliseconds, does not see the task."""
    if account == "sandbox-no-lookup":
        return name != task.task_id
    return account == "sandbox-lag" and at - task.created_at < _LAG


def _get_code(token: str) -> int:
    word = token.removeprefix(f"{PLAIN}-")
    return int(word) if word.isdecimal() else 0
