"""Tokens that simulate failures, like the test card numbers of a payment service."""

import uuid

# The service's codes by HTTP status. Status 429 does not always mean "later": four of its codes are
# about the account.
_STATUSES = {
    400: (1200, 1201, 1300, 1301),
    401: (1000, 1001, 1002, 1003, 1004),
    403: (1103,),
    404: (1202, 1203),
    429: (1100, 1101, 1102, 1302, 1303, 1304),
    500: (5000,),
    503: (5001,),
    504: (5002,),
}
CODES = {code: status for status, codes in _STATUSES.items() for code in codes}

_NO_CODE = ("sandbox", "sandbox-failed", "sandbox-slow", "sandbox-lost-reply", "sandbox-no-lookup")
# The code for each token, or None; `kling sandbox --help` describes the tokens.
TOKENS = dict.fromkeys(_NO_CODE) | {f"sandbox-{code}": code for code in CODES}


class RefusalError(Exception):
    """The request is refused with one of `CODES`."""

    def __init__(self, code: int, message: str = "refused, as the sandbox token requests") -> None:
        super().__init__(code)
        self.status = CODES[code]
        self.body = {"code": code, "message": message, "request_id": str(uuid.uuid4())}


def authorize(authorization: str) -> str:
    """Check the token of a request, and refuse tokens that simulate a bad token."""
    if not authorization:
        raise RefusalError(1001, "authorization is empty")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or token not in TOKENS:
        message = f"authorization is invalid: the sandbox accepts the tokens {', '.join(TOKENS)}"
        raise RefusalError(1002, message)
    code = TOKENS[token]
    if code and CODES[code] in (401, 403):
        raise RefusalError(code)
    return token
