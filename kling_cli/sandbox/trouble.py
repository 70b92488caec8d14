"""The token chooses trouble, as card numbers do in the sandbox of a payment service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kling_cli.sandbox.answers import CODES, RefusalError, refuse, refuse_as_gateway, refuse_as_page
from kling_cli.sandbox.look import ENDED_AFTER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kling_cli.sandbox.store import Store, StoredTask

PLAIN = "sandbox"
_PREFIX = "sandbox-"
FAILED = "sandbox-failed"
SLOW = "sandbox-slow"
BUSY = "sandbox-busy"
LOST_REPLY = "sandbox-lost-reply"
NO_LOOKUP = "sandbox-no-lookup"
LAG = "sandbox-lag"
PAGE = "sandbox-html"
NO_BALANCE = "sandbox-no-balance"
GATEWAY = "sandbox-gateway"
FLAKY = "sandbox-flaky"

# The codes that the service gives to every call, because they are about the token.
_ABOUT_THE_TOKEN = (1000, 1001, 1002, 1003, 1004, 1103)
_BUSY_FIRST = 2
_SLOW_ENDS_AFTER = 3_600_000
_LAG = 3_000
_BAD_PICTURE = "Image pixel is invalid"
_RISK_CONTROL = "Failure to pass the risk control system"

TROUBLES: Mapping[str, str] = {
    FAILED: "the task is accepted and fails after 3 seconds",
    SLOW: "the task is accepted and goes on for an hour",
    BUSY: "the first 2 submissions of a request meet the limit of parallel tasks (1303)",
    LOST_REPLY: "the task is accepted, but the reply to its submission is lost",
    NO_LOOKUP: "as sandbox-lost-reply, and no look-up by external task id finds the task",
    LAG: "the task is accepted, but look-ups do not find it for 3 seconds",
    PAGE: "a submission meets a proxy's HTML page (HTTP 502) and no task comes about",
    NO_BALANCE: "a submission meets a gateway's empty balance (HTTP 403)",
    GATEWAY: "look-ups are answered in a gateway's envelope",
    FLAKY: "every second look-up meets a proxy's HTML page (HTTP 503)",
    **{
        f"{_PREFIX}{number}": f"refused: {code.message} (HTTP {code.status}, code {number})"
        for number, code in CODES.items()
    },
}


def admit(authorization: str) -> str:
    """Read the token of a call from its Authorization header.

    Raises:
        RefusalError: there is no token, it is none of the sandbox, or its trouble is about the
            token itself.
    """
    scheme, _, token = authorization.strip().partition(" ")
    if not scheme:
        raise refuse(1001)
    token = token.strip()
    if scheme.lower() != "bearer" or not (token == PLAIN or token.startswith(_PREFIX)):
        raise refuse(1002, f"{CODES[1002].message}: the sandbox takes the token {PLAIN}")
    if token != PLAIN and token not in TROUBLES:
        words = ", ".join(word.removeprefix(_PREFIX) for word in TROUBLES)
        raise refuse(1002, f"{CODES[1002].message}: {PLAIN}- goes on with one of {words}")
    code = _read_code(token)
    if code in _ABOUT_THE_TOKEN:
        raise refuse(code)
    return token


def meet_create(token: str, external_task_id: str | None, *, store: Store) -> None:
    """Let a valid create request meet the trouble that keeps it from being accepted.

    Raises:
        RefusalError: nothing was accepted.
    """
    trouble = _find_create_trouble(token)
    if trouble is not None:
        raise trouble
    if token == BUSY and store.count(token, external_task_id or "") <= _BUSY_FIRST:
        raise refuse(1303)


def choose_end(token: str, *, pictures_fit: bool) -> tuple[int, str | None]:
    """Choose when an accepted task ends, in milliseconds, and why it fails, if it does."""
    if not pictures_fit:
        # The real service, too, accepts such a picture and says so only minutes later.
        return ENDED_AFTER, _BAD_PICTURE
    if token == FAILED:
        return ENDED_AFTER, _RISK_CONTROL
    return (_SLOW_ENDS_AFTER if token == SLOW else ENDED_AFTER), None


def loses_reply(token: str) -> bool:
    """Whether the reply to an accepted submission never arrives."""
    return token in (LOST_REPLY, NO_LOOKUP)


def meet_look(token: str, name: str, *, store: Store) -> None:
    """Let a look-up meet the trouble that keeps it from being answered.

    Raises:
        RefusalError: a page instead of an answer.
    """
    if token == FLAKY and store.count(token, name) % 2 == 0:
        raise refuse_as_page(503, "503 Service Temporarily Unavailable")


def hides(token: str, name: str, task: StoredTask, *, at: int) -> bool:
    """Whether a look-up by this name, at this time in milliseconds, does not see the task."""
    if token == NO_LOOKUP:
        return name != task.task_id
    return token == LAG and at - task.created_at < _LAG


def _find_create_trouble(token: str) -> RefusalError | None:
    if token == PAGE:
        return refuse_as_page(502, "502 Bad Gateway")
    if token == NO_BALANCE:
        message = "用户额度不足, 剩余额度: \N{FULLWIDTH DOLLAR SIGN}0.000000"
        return refuse_as_gateway(403, code="insufficient_user_quota", message=message)
    code = _read_code(token)
    return None if code is None else refuse(code)


def _read_code(token: str) -> int | None:
    word = token.removeprefix(_PREFIX)
    return int(word) if word.isdecimal() else None
