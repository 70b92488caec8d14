"""What is left to spend, where a gateway tells it; whoever does not is asked no further."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from kling_cli.api.fields import Fields, as_object
from kling_cli.secret import Token
from kling_cli.transport.exchange import ExchangeError, Transport

# Two or three short questions: a service that cannot answer them keeps nobody waiting.
_SECONDS = 2.0
_LIMIT_PATH = "/v1/dashboard/billing/subscription"
_USAGE_PATH = "/v1/dashboard/billing/usage"
_QUOTA_PATH = "/api/usage/token"
_UNLIMITED = 100_000_000
# Beyond this a number is no balance, and beyond Python's floats no number to divide.
_LARGEST = 10**15
_ANSWERED = 200

# The gateway's currency is its operator's to choose; a quota is counted in points of its own.
Unit = Literal["gateway", "quota"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What is left, in the gateway's own unit; None where nothing limits it."""

    left: float | None
    unit: Unit


def find_balance(transport: Transport, *, base_url: str, token: Token) -> Balance | None:
    """Ask the gateway at the base URL's own scheme, host and port; None where it tells nothing.

    Its paths stand at the root, whatever path the base URL has.
    """
    parts = urlsplit(base_url)
    asker = _Asker(transport, origin=f"{parts.scheme}://{parts.netloc}", token=token)
    try:
        return _read_bill(asker) or _read_quota(asker)
    except ExchangeError:
        return None


class _Asker:
    def __init__(self, transport: Transport, *, origin: str, token: Token) -> None:
        self._transport = transport
        self._origin = origin
        self._token = token

    def ask(self, path: str) -> Fields:
        reply = self._transport.look(
            self._origin + path,
            headers={"Authorization": f"Bearer {self._token.reveal()}"},
            seconds=_SECONDS,
        )
        return as_object(reply.body) if reply.status == _ANSWERED else {}


def _read_bill(asker: _Asker) -> Balance | None:
    limit = _read_number(asker.ask(_LIMIT_PATH).get("hard_limit_usd"))
    if limit is None:
        return None
    if limit >= _UNLIMITED:
        return Balance(left=None, unit="gateway")
    hundredths = _read_number(asker.ask(_USAGE_PATH).get("total_usage"))
    # The limit is what was ever granted: without what is used of it, it tells nothing.
    if hundredths is None:
        return None
    return Balance(left=round(limit - hundredths / 100, 2), unit="gateway")


def _read_quota(asker: _Asker) -> Balance | None:
    quota = as_object(asker.ask(_QUOTA_PATH).get("data"))
    if quota.get("unlimited_quota") is True:
        return Balance(left=None, unit="quota")
    left = _read_number(quota.get("total_available"))
    return None if left is None else Balance(left=left, unit="quota")


def _read_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -_LARGEST < value < _LARGEST else None
