"""One table of the service's errors and their meaning.

These decide, in this order: an external task id that already exists; a status after which the
outcome is unknown (3xx, 408, 409, 425, 499, 5xx, ...); a known code; words that gateways use
instead of a code; the status alone.
"""

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from kling_cli.api.parse import Fields, get_object, get_text, parse_task, unwrap_object
from kling_cli.errors import KlingError, LaterError, RefusedError, SetupError, UnknownError
from kling_cli.text import clean

if TYPE_CHECKING:
    from kling_cli.api.transport import Reply


class Kind(StrEnum):
    """The outcome of a request that returned no task."""

    NOT_SENT = "not sent"
    BUSY = "busy"
    REFUSED = "refused"
    AUTH = "auth"
    NOT_FOUND = "not found"
    DUPLICATE = "duplicate"
    AMBIGUOUS = "ambiguous"


class ApiError(Exception):
    """A request returned no task; `retry_after` is the service's Retry-After in seconds.

    In a check, only AUTH and NOT_FOUND say something about the task.
    """

    def __init__(self, kind: Kind, error: KlingError, *, retry_after: float | None = None) -> None:
        super().__init__(error.message)
        self.kind = kind
        self.error = error
        self.retry_after = retry_after


_NO_MODEL = ("model_not_found", "model_price_error")
# The service behind the gateway may have accepted the task before these errors.
_INTERNAL = (
    *range(500, 600),
    5000,
    "do_request_failed",
    "build_request_failed",
    "read_response_body_failed",
    "unmarshal_response_failed",
    "get_task_failed",
)
# Each row has a message, in which {source} is the source of the token, and what selects it: codes
# of the service (numbers from 1000), codes of gateways (words), and HTTP statuses without a code; a
# later row overrides an earlier one. Four of the codes with status 429 are about the account, so
# waiting does not help.
_TABLE: dict[Kind, dict[str, tuple[str, tuple[int | str, ...]]]] = {
    Kind.AUTH: {
        "token_refused": ("Token refused (from {source}).", (401, *range(1000, 1005))),
        "permission_denied": ("Token refused (from {source}) for this API or model.", (403, 1103)),
        "ip_not_allowed": ("This IP address is not on the service's allow-list.", (1304,)),
    },
    Kind.REFUSED: {
        "account_abnormal": ("The account is in an abnormal state.", (1100,)),
        "balance_exhausted": ("The balance or resource pack is exhausted.", (402, 1101, 1102)),
        "bad_parameter": ("The service refused a parameter.", (1200, 1201, "invalid_request")),
        "request_refused": ("The service refused the request.", (400, 422, "invalid_api_platform")),
        "policy_refused": ("The service's policy refused the request.", (1300,)),
        "content_refused": ("The service's content check refused the request.", (1301,)),
        "request_too_large": ("The request is too large for the service.", (413,)),
        "model_refused": ("The service does not offer this model.", _NO_MODEL),
        "no_effects_route": ("This base_url has no effects endpoint.", (404, 405, 1202)),
        "proxy_refused": ("A proxy in front of the service refused the request.", ()),
    },
    Kind.NOT_FOUND: {
        "not_found": ("The service has no such task, model or scene.", (1203, "task_not_exist"))
    },
    Kind.BUSY: {
        "rate_limited": ("The service's rate limit was reached.", (429, 1302)),
        "concurrency_limit": ("The account's limit of parallel tasks was reached.", (1303,)),
        "service_maintenance": ("The service is under maintenance.", (5001,)),
        "model_unavailable": ("The gateway has no channel for this model at the moment.", ()),
    },
    Kind.DUPLICATE: {
        "duplicate_external_id": ("A task with this external task id already exists.", ())
    },
    Kind.AMBIGUOUS: {
        "redirected": ("Got a redirect, which kling does not follow.", tuple(range(300, 400))),
        "service_error": ("The service had an internal error.", _INTERNAL),
        "service_timeout": ("The service took too long to respond.", (408, 504, 524, 5002)),
        "foreign_page": ("Got a web page instead of an API response.", ()),
        "bad_response": ("The service's response is not valid.", ()),
    },
}
_KINDS = {name: kind for kind, rows in _TABLE.items() for name in rows}
_WORDS = {name: words for rows in _TABLE.values() for name, (words, _) in rows.items()}
_NAMES = {key: name for rows in _TABLE.values() for name, (_, keys) in rows.items() for key in keys}

_ACCOUNT = ("account_abnormal", "balance_exhausted")
_ERRORS: dict[Kind, type[KlingError]] = {
    Kind.AUTH: SetupError,
    Kind.BUSY: LaterError,
    Kind.DUPLICATE: UnknownError,
    Kind.AMBIGUOUS: UnknownError,
}
_FIND = "It may have been accepted. The same command looks it up instead of sending it again."
_LOOK_AT_ACCOUNT = "Check the account and its resource packs at the service. Nothing was charged."
# By row, or by kind for rows without a hint of their own.
_HINTS = {
    Kind.AUTH: "Store a valid token: kling config set token. For a JWT, also check your clock.",
    "ip_not_allowed": "Add it in the service's console. Waiting does not help.",
    Kind.REFUSED: "Change the request (scene, picture or --model) as the service's message says.",
    "account_abnormal": _LOOK_AT_ACCOUNT,
    "balance_exhausted": _LOOK_AT_ACCOUNT,
    "no_effects_route": "Check base_url (kling config list); leave out /v1/videos/effects.",
    "proxy_refused": "Try another network: something between you and the service responded.",
    Kind.NOT_FOUND: "Check the id, the scene (kling scenes) and --model.",
    Kind.BUSY: "Nothing was charged. Try again later, or use a longer --timeout or fewer --jobs.",
    Kind.DUPLICATE: "kling status looks it up. Nothing was sent twice.",
    Kind.AMBIGUOUS: _FIND,
    "redirected": f"Check base_url with kling config list. {_FIND}",
    "foreign_page": f"It may be a login page or a proxy; open the address in a browser. {_FIND}",
}

_SUCCESSES = frozenset({200, 201, 202, 203})
_MAY_BE_DUPLICATE = frozenset({400, 409, 422}) | _SUCCESSES
# Client errors after which the outcome is unknown.
_DOUBTFUL = frozenset({408, 409, 425, 499})

_REQUEST_ID = re.compile(r"(?i)request[\s_]id:\s*([\w.-]{1,128})")
_TITLE = re.compile(r"(?i)<title[^>]*>([^<]+)")
# Gateways quote a token that they refuse.
_SECRET = re.compile(r"(?i)\bsk-[\w*-]{4,}|\bbearer\s+\S+")
_ADVICE = re.compile(r"(?i)\b(?:re)?try(?:ing)?(?:\W+again)?(?:\W+later)?\b|请?稍?[后候]?[再重]试")

_EXTERNAL_ID = re.compile(r"(?i)external[\s_-]*(?:task)?[\s_-]*id|外部任务")
_EXISTS = re.compile(r"(?i)exist|duplicat|unique|already|重复|已经?存在|已被?使用|唯一")
_MISSING = re.compile(r"(?i)(?:not|n't)[\s_]+(?:\w+[\s_]+)?(?:exist|found)|no such|不存在")
_NO_BALANCE = re.compile(
    r"(?i)额度不足|余额不足|额度已用尽|quota[ _](?:is[ _])?not[ _]enough|token_quota_failed"
    r"|insufficient[ _](?:user[ _])?(?:quota|balance)"
)
_NO_CHANNEL = re.compile(r"(?i)model_not_found|无可用渠道|no (?:available )?channel")
_RESOURCE = re.compile(r"(?i)^(?!.*invalid url \().*(?:task|任务|resource|资源)")


def find_error(reply: "Reply", *, token_source: str) -> ApiError | None:
    """Find the error of a response; None for a success.

    Args:
        reply: the response.
        token_source: the source of the token, such as `KLING_TOKEN`; never the token.
    """
    body = get_object(reply.body)
    task = parse_task(body)
    has_failed = body.get("success") is False or (task is None and body.get("error"))
    is_success = reply.status in _SUCCESSES and _parse_code(body.get("code")) is None
    if body and is_success and not has_failed:
        return None
    code, message, request_id = _parse_words(body)
    is_page = not body and reply.text.startswith("<")
    if not body:
        title = _TITLE.search(reply.text)
        shown = title[1] if title else re.sub(r"<[^>]*>", " ", reply.text)
        message = clean(" ".join(shown.split()), limit=200)
    # Ignore the words of a page, which anything on the way may have written.
    name = _classify(reply.status, code, f"{code} {message}" if body else "", is_page=is_page)
    is_verdict = _KINDS[name] in (Kind.REFUSED, Kind.AUTH, Kind.BUSY)
    if is_verdict and task is not None and task.task_id is not None:
        name = "bad_response"  # a refusal that contains a task contradicts itself
    kind = _KINDS[name]
    error_class = LaterError if name in _ACCOUNT else _ERRORS.get(kind, RefusedError)
    if kind is Kind.AMBIGUOUS:  # the service's advice to try again could buy twice
        message = _ADVICE.sub("[...]", message)
    text = _WORDS[name].replace("{source}", clean(token_source))
    if reply.location:
        text += f" It points to {reply.location}."
    if message:
        text += f" The {'page' if is_page else 'service'} said: {message}"
    details = f"HTTP {reply.status}"
    if code is not None:
        details += f", code {code}"
    if request_id and request_id not in message:
        details += f", request id {request_id}"
    error = error_class(
        name,
        f"{text} ({details})",
        hint=_HINTS.get(name) or _HINTS[kind],
        charged="maybe" if error_class is UnknownError else "no",
        http_status=reply.status,
        service_code=code,
        request_id=request_id or None,
    )
    return ApiError(kind, error, retry_after=reply.retry_after)


def _classify(status: int, code: int | str | None, text: str, *, is_page: bool) -> str:
    """Return the name of the row for a response."""
    is_status = isinstance(code, int) and code < 1000  # some gateways repeat it in the body
    known = None if code is None or is_status else _NAMES.get(code)
    # The row of the status alone; without one, the outcome is unknown.
    bare = _NAMES.get(status, "foreign_page" if is_page else "bad_response")
    if status == 503:  # the only 5xx that can mean that nothing was created
        if known is not None and _KINDS[known] is Kind.BUSY:
            return known
        return "model_unavailable" if _NO_CHANNEL.search(text) else bare
    says_exists = _EXTERNAL_ID.search(text) and _EXISTS.search(text) and not _MISSING.search(text)
    if status in _MAY_BE_DUPLICATE and says_exists:
        return "duplicate_external_id"
    if known is not None and status in _SUCCESSES:
        return known
    if status in _DOUBTFUL or not 400 <= status < 500:
        return bare
    if known is not None:
        return known
    if _NO_BALANCE.search(text):
        return "balance_exhausted"
    if is_page and status in (400, 403, 422):
        return "proxy_refused"
    if status == 404 and _RESOURCE.search(text):
        return "not_found"
    return bare


def _parse_words(body: Fields) -> tuple[int | str | None, str, str]:
    """Parse code, message and request id from any place that services and gateways use.

    The code is None if it is missing or means success.
    """
    error = get_object(body.get("error"))
    code = _parse_code(body.get("code")) or _parse_code(error.get("code"))
    places = (body.get(name) for name in ("error", "message", "msg", "detail"))
    message = get_text(error.get("message"), *places)
    quoted = _REQUEST_ID.search(message)
    request_id = get_text(body.get("request_id"), error.get("request_id"), quoted and quoted[1])
    # Here the gateway passes on the whole response of the service as a string.
    if code == "fail_to_fetch_task" and (upstream := unwrap_object(message)):
        inner_code, message, inner_id = _parse_words(upstream)
        return inner_code or code, message, inner_id or request_id
    return code, clean(_SECRET.sub("***", message)), clean(request_id, limit=128)


def _parse_code(value: object) -> int | str | None:
    """Return a code, as a number if possible; None if it is missing or means success."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    code = clean("" if value is None else str(value))
    if code.lower() in ("", "0", "200", "success", "succeed", "ok"):
        return None
    return int(code) if re.fullmatch(r"[0-9]{1,9}", code) else code
