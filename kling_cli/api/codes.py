"""Service codes and HTTP statuses: what an answer that is no success means.

What decides, in this order: a status after which nobody knows what was made (3xx, 408, 409, 425,
499, 5xx, ...); an external task id that exists already; a code of known meaning; words that
gateways use instead of a code; the bare status.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from kling_cli.api.answers import parse_task
from kling_cli.api.complaints import Complaint, read_code, read_complaint, read_page
from kling_cli.api.fields import Fields, as_object, read_text
from kling_cli.api.wording import WORDINGS
from kling_cli.errors import KlingError, LaterError, RefusedError, SetupError, UnknownError
from kling_cli.task import Task
from kling_cli.text import clean
from kling_cli.transport.reply import Reply


class Kind(StrEnum):
    """What an answer that is no success means for the request."""

    REFUSED = "refused"
    AUTH = "auth"
    BALANCE = "balance"
    BUSY = "busy"
    DUPLICATE = "duplicate"
    NOT_FOUND = "not_found"
    NO_ROUTE = "no_route"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An answer that is no success.

    `is_page` tells a proxy's web page from the service's JSON; `location` is the host that a
    redirect leads to.
    """

    kind: Kind
    http_status: int
    service_code: int | str | None = None
    message: str = ""
    request_id: str | None = None
    is_page: bool = False
    location: str | None = None


# The numbers are the service's own, the words its gateways'. Four of the codes that come with 429
# are about the account: no waiting changes them.
CODES: Mapping[int | str, tuple[Kind, str]] = {
    1000: (Kind.AUTH, "token_refused"),
    1001: (Kind.AUTH, "token_refused"),
    1002: (Kind.AUTH, "token_refused"),
    1003: (Kind.AUTH, "token_refused"),
    1004: (Kind.AUTH, "token_refused"),
    1100: (Kind.BALANCE, "account_abnormal"),
    1101: (Kind.BALANCE, "balance_exhausted"),
    1102: (Kind.BALANCE, "balance_exhausted"),
    1103: (Kind.AUTH, "permission_denied"),
    1200: (Kind.REFUSED, "bad_parameter"),
    1201: (Kind.REFUSED, "bad_parameter"),
    1202: (Kind.NO_ROUTE, "no_effects_route"),
    1203: (Kind.NOT_FOUND, "not_found"),
    1300: (Kind.REFUSED, "policy_refused"),
    1301: (Kind.REFUSED, "content_refused"),
    1302: (Kind.BUSY, "rate_limited"),
    1303: (Kind.BUSY, "concurrency_limit"),
    1304: (Kind.AUTH, "ip_not_allowed"),
    5000: (Kind.AMBIGUOUS, "service_error"),
    5001: (Kind.BUSY, "service_maintenance"),
    5002: (Kind.AMBIGUOUS, "service_timeout"),
    "insufficient_user_quota": (Kind.BALANCE, "balance_exhausted"),
    "insufficient_quota": (Kind.BALANCE, "balance_exhausted"),
    "quota_not_enough": (Kind.BALANCE, "balance_exhausted"),
    "pre_consume_token_quota_failed": (Kind.BALANCE, "balance_exhausted"),
    "task_not_exist": (Kind.NOT_FOUND, "not_found"),
    "invalid_request": (Kind.REFUSED, "bad_parameter"),
    "invalid_api_platform": (Kind.REFUSED, "request_refused"),
    "model_not_found": (Kind.REFUSED, "model_refused"),
    "model_price_error": (Kind.REFUSED, "model_refused"),
    # A gateway's own trouble may come after the service behind it accepted the task.
    "do_request_failed": (Kind.AMBIGUOUS, "service_error"),
    "build_request_failed": (Kind.AMBIGUOUS, "service_error"),
    "read_response_body_failed": (Kind.AMBIGUOUS, "service_error"),
    "unmarshal_response_failed": (Kind.AMBIGUOUS, "service_error"),
    "get_task_failed": (Kind.AMBIGUOUS, "service_error"),
}

# Statuses that say by themselves that nothing was made; every other one leaves a doubt.
_STATUSES: Mapping[int, tuple[Kind, str]] = {
    400: (Kind.REFUSED, "request_refused"),
    401: (Kind.AUTH, "token_refused"),
    402: (Kind.BALANCE, "balance_exhausted"),
    403: (Kind.AUTH, "permission_denied"),
    404: (Kind.NO_ROUTE, "no_effects_route"),
    405: (Kind.NO_ROUTE, "no_effects_route"),
    413: (Kind.REFUSED, "request_too_large"),
    422: (Kind.REFUSED, "request_refused"),
    429: (Kind.BUSY, "rate_limited"),
}
# The error that each kind ends in, and its code where neither table above knows one. A duplicate
# ends in doubt too: the task that holds the id may be ours, and paid for.
_KINDS: Mapping[Kind, tuple[type[KlingError], str]] = {
    Kind.REFUSED: (RefusedError, "request_refused"),
    Kind.AUTH: (SetupError, "token_refused"),
    Kind.BALANCE: (LaterError, "balance_exhausted"),
    Kind.BUSY: (LaterError, "model_unavailable"),
    Kind.DUPLICATE: (UnknownError, "duplicate_external_id"),
    Kind.NOT_FOUND: (RefusedError, "not_found"),
    Kind.NO_ROUTE: (RefusedError, "no_effects_route"),
    Kind.AMBIGUOUS: (UnknownError, "bad_response"),
}

_ANSWERED = frozenset({200, 201, 202, 203})
_REDIRECTS = range(300, 400)
_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = range(500, 600)
_DOUBTFUL = frozenset({408, 409, 425, 499})
_LATE = frozenset({408, 504, 524})
_TELLS_DUPLICATE = frozenset({400, 409, 422}) | _ANSWERED

_ADVICE = re.compile(r"(?i)\b(?:re)?try(?:ing)?(?:\W+again)?(?:\W+later)?\b|请?稍?[后候]?[再重]试")


def judge_reply(reply: Reply) -> tuple[Fault | None, Task | None]:
    """Judge an answer: what is wrong with it, None if nothing is, and the task that it tells of.

    At a look only AUTH and NOT_FOUND mean anything; each other fault is a look that failed. At a
    submission NOT_FOUND is a refusal: the service knows no such model.
    """
    body = as_object(reply.body) if reply.readable else as_object(None)
    is_object = reply.readable and isinstance(reply.body, dict)
    task = parse_task(body)
    if is_object and reply.status in _ANSWERED and _is_fine(body, has_task=task is not None):
        return None, task
    complaint = read_complaint(body) if is_object else read_page(reply.text)
    is_page = not is_object and re.match(r"(?:\\ufeff|\s)*<", reply.text) is not None
    kind = _judge(reply.status, complaint, is_page=is_page)
    is_certain = kind not in {Kind.DUPLICATE, Kind.NOT_FOUND, Kind.AMBIGUOUS}
    if is_certain and task is not None and task.task_id is not None:
        kind = Kind.AMBIGUOUS  # a refusal that names a task contradicts itself
    fault = Fault(
        kind=kind,
        http_status=reply.status,
        service_code=complaint.code,
        message=complaint.message,
        request_id=complaint.request_id,
        is_page=is_page,
        location=reply.location if reply.status in _REDIRECTS else None,
    )
    return fault, task


def explain(fault: Fault, *, token_source: str) -> KlingError:
    """Put a fault into words: what happened, what to do next, whether money may be spent.

    Args:
        fault: as the answer was judged.
        token_source: where the token came from, such as `KLING_TOKEN`; never the token.
    """
    code = _choose_code(fault)
    wording = WORDINGS[code]
    says = wording.says.replace("{source}", clean(token_source))
    words = clean(fault.message)
    leads = f" It leads to {fault.location}." if fault.location else ""
    if fault.kind is Kind.AMBIGUOUS:
        # To follow the service's advice to send again may buy a second time.
        words = _ADVICE.sub("[...]", words)
    details = [f"HTTP {fault.http_status}"]
    if fault.service_code is not None:
        details.append(f"code {clean(str(fault.service_code))}")
    if fault.request_id and f"id: {fault.request_id}" not in words:
        details.append(f"request id {clean(fault.request_id)}")
    quoted = f" The {'page' if fault.is_page else 'service'} said: {words}" if words else ""
    return _KINDS[fault.kind][0](
        code,
        f"{says}{leads}{quoted} ({', '.join(details)})",
        hint=wording.hint,
        charged="maybe" if fault.kind in {Kind.AMBIGUOUS, Kind.DUPLICATE} else "no",
        http_status=fault.http_status,
        service_code=fault.service_code,
        request_id=fault.request_id,
    )


def _is_fine(body: Fields, *, has_task: bool) -> bool:
    if read_code(body.get("code")) is not None or body.get("success") is False:
        return False
    error = body.get("error")
    return has_task or not (read_text([error]) or any(as_object(error).values()))


def _judge(status: int, complaint: Complaint, *, is_page: bool) -> Kind:
    known, _ = CODES.get(complaint.code or "", (None, ""))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        # The one 5xx that can say that nothing was made.
        is_busy = known is Kind.BUSY or complaint.tells_no_channel
        return Kind.BUSY if is_busy else Kind.AMBIGUOUS
    if status in _TELLS_DUPLICATE and complaint.tells_duplicate:
        return Kind.DUPLICATE
    if status in _ANSWERED:
        return known or Kind.AMBIGUOUS
    if status in _DOUBTFUL or status not in _CLIENT_ERRORS:
        return Kind.AMBIGUOUS
    return _judge_refusal(status, complaint, known=known, is_page=is_page)


def _judge_refusal(status: int, complaint: Complaint, *, known: Kind | None, is_page: bool) -> Kind:
    # A gateway's "invalid_request" under 401 is about the token.
    is_token = status == HTTPStatus.UNAUTHORIZED and known is Kind.REFUSED
    if known is not None and not is_token and status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return known
    if complaint.tells_no_money:
        return Kind.BALANCE
    if status == HTTPStatus.FORBIDDEN and is_page:
        return Kind.REFUSED  # a firewall's page: another token would not change it
    if status == HTTPStatus.NOT_FOUND and complaint.tells_no_task:
        return Kind.NOT_FOUND
    return _STATUSES.get(status, (Kind.AMBIGUOUS, ""))[0]


def _choose_code(fault: Fault) -> str:
    status = fault.http_status
    by_status = _STATUSES.get(status)
    if fault.kind is Kind.REFUSED and status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "request_too_large"
    if fault.kind is Kind.REFUSED and fault.is_page:
        return "proxy_refused"
    for row in (CODES.get(fault.service_code or ""), by_status):
        if row is not None and row[0] is fault.kind:
            return row[1]
    if fault.kind is Kind.AMBIGUOUS:
        return _name_doubt(status, is_page=fault.is_page)
    return _KINDS[fault.kind][1]


def _name_doubt(status: int, *, is_page: bool) -> str:
    if status in _LATE:
        return "service_timeout"
    if status in _REDIRECTS:
        return "redirected"
    if status in _SERVER_ERRORS:
        return "service_error"
    return "foreign_page" if is_page else "bad_response"
