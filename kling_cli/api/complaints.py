"""The words of an answer that is no success: its code, its message, its request id."""

import re
from dataclasses import dataclass, replace

from kling_cli.api.fields import Fields, as_object, read_object, read_text
from kling_cli.text import clean

_FINE_CODES = frozenset({"", "0", "200", "success", "succeed", "ok"})
_LARGEST_CODE = 10**9
_LONGEST_CODE = 100
_LONGEST_ID = 128
_LONGEST_PAGE = 200
_STRANGE_CODE = "?"

_REQUEST_ID = re.compile(r"(?i)request[\s_]id:\s*([\w.-]{1,128})")
_TITLE = re.compile(r"(?i)<title[^>]*>([^<]+)")
_TAG = re.compile(r"<[^>]*>")
# Gateways quote the token that they refuse.
_SECRET = re.compile(r"(?i)\bsk-[\w*-]{4,}|\bbearer\s+\S+")

_EXTERNAL_ID = re.compile(r"(?i)external[\s_-]*(?:task)?[\s_-]*id|外部任务")
_TAKEN = re.compile(r"(?i)exist|duplicat|unique|already|重复|已经?存在|已被?使用|唯一")
_NOT_TAKEN = re.compile(r"(?i)(?:not|n't)[\s_]+(?:\w+[\s_]+)?(?:exist|found)|no such|不存在")
_NO_MONEY = re.compile(
    r"(?i)额度不足|余额不足|额度已用尽|quota is not enough|insufficient (?:user )?(?:quota|balance)"
)
_NO_CHANNEL = re.compile(r"(?i)model_not_found|无可用渠道|no (?:available )?channel")
_TASK = re.compile(r"(?i)task|任务|resource|资源")
_ROUTE = re.compile(r"(?i)invalid url \(")


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What an answer says of itself; a code of success counts as none.

    The words of a page, which anybody on the way may have written, decide nothing: `is_json` tells
    them from those of the service or its gateway.
    """

    code: int | str | None = None
    message: str = ""
    request_id: str | None = None
    is_json: bool = True

    @property
    def tells_duplicate(self) -> bool:
        """Whether it says that the external task id exists already; its code is not documented."""
        names = _EXTERNAL_ID.search(self._text) and _TAKEN.search(self._text)
        return bool(names) and not _NOT_TAKEN.search(self._text)

    @property
    def tells_no_money(self) -> bool:
        """Whether it says, as gateways do without a code, that the balance is used up."""
        return _NO_MONEY.search(self._text) is not None

    @property
    def tells_no_channel(self) -> bool:
        """Whether a gateway says that it has nobody to hand the request to."""
        return _NO_CHANNEL.search(self._text) is not None

    @property
    def tells_no_task(self) -> bool:
        """Whether something that is missing is a task or a model, and not the route to it."""
        return _TASK.search(self._text) is not None and not _ROUTE.search(self._text)

    @property
    def _text(self) -> str:
        return f"{self.code} {self.message}" if self.is_json else ""


def read_complaint(body: Fields) -> Complaint:
    """Read code, message and request id, wherever the service or a gateway puts them."""
    error = as_object(body.get("error"))
    code = read_code(body.get("code")) or read_code(error.get("code"))
    places = (body.get(name) for name in ("error", "message", "msg", "detail"))
    message = read_text([error.get("message"), *places])
    named = _REQUEST_ID.search(message)
    request_id = read_text([body.get("request_id"), error.get("request_id"), named and named[1]])
    complaint = Complaint(
        code=code,
        message=clean(_SECRET.sub("***", message)),
        request_id=clean(request_id, limit=_LONGEST_ID) or None,
    )
    upstream = read_object(message if code == "fail_to_fetch_task" else None)
    if not upstream:
        return complaint
    # The gateway hands on, as a string, all that the service behind it said.
    inner = read_complaint(upstream)
    named_by = inner.request_id or complaint.request_id
    return replace(inner, code=inner.code or code, request_id=named_by)


def read_page(text: str) -> Complaint:
    """Read a web page, or any other text, by its title or its first words."""
    titled = _TITLE.search(text)
    words = titled[1] if titled else _TAG.sub(" ", text)
    return Complaint(message=clean(" ".join(words.split()), limit=_LONGEST_PAGE), is_json=False)


def read_code(value: object) -> int | str | None:
    """Read a code as a number where it is one; None where it is missing or says success."""
    if value is None or value is True:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and abs(value) < _LARGEST_CODE:
        value = str(value)
    if not isinstance(value, str):
        return _STRANGE_CODE
    code = clean(value.strip(), limit=_LONGEST_CODE)
    if code.lower() in _FINE_CODES:
        return None
    return int(code) if re.fullmatch(r"[0-9]{1,9}", code) else code
