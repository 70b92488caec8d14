"""The token chooses trouble, as card numbers do in the sandbox of a payment service."""

import uuid
from collections.abc import Mapping

PLAIN = "sandbox"

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

# What each does is told by `kling sandbox --help`.
TROUBLES = (
    *("sandbox-failed", "sandbox-slow", "sandbox-busy"),
    *("sandbox-lost-reply", "sandbox-no-lookup", "sandbox-lag"),
    *(f"sandbox-{code}" for code in CODES),
)


class RefusalError(Exception):
    """The call ends here, with one of `CODES`; a message replaces the code's own."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(code)
        self.status, words = CODES[code]
        request_id = str(uuid.uuid4())
        self.body = {"code": code, "message": message or words, "request_id": request_id}


def authorize(authorization: str) -> str:
    """Read the token of a call, and refuse those whose trouble is about the token itself."""
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    if not scheme:
        raise RefusalError(1001)
    if scheme.lower() != "bearer" or token not in (PLAIN, *TROUBLES):
        message = f"authorization is invalid: the sandbox accepts the tokens {PLAIN}, "
        raise RefusalError(1002, message + ", ".join(TROUBLES))
    if get_code(token) in _ABOUT_THE_TOKEN:
        raise RefusalError(get_code(token))
    return token


def get_code(token: str) -> int:
    """Return the code of the service that a token asks for, 0 for none."""
    word = token.removeprefix(f"{PLAIN}-")
    return int(word) if word.isdecimal() else 0
