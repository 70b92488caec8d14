"""An answer of the service, read without trust: its size, encoding and JSON."""

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from kling_cli.text import clean
from kling_cli.transport.hiding import hide

_LONGEST = 1024 * 1024
_SHOWN = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back: `body` is the decoded JSON where `readable`, `text` its beginning.

    `retry_after` is in seconds, as the service asked for it, not yet capped; `location` is the
    host that a redirect leads to.
    """

    status: int
    body: object = None
    readable: bool = True
    text: str = ""
    retry_after: float | None = None
    location: str | None = None


def read(
    status: int, headers: Mapping[str, str], pieces: Iterable[bytes], *, secret: str = ""
) -> Reply:
    """Read an answer; one in a content encoding, or above 1 MiB, counts as unreadable.

    Args:
        status: the HTTP status.
        headers: by name, in any case.
        pieces: the body; not read to its end where it is too long.
        secret: hidden wherever the answer quotes it, as gateways do with a token that they refuse.
    """
    # Some gateways compress although `identity` was asked for, and a few kB can hold gigabytes.
    encoded = headers.get("Content-Encoding", "").lower() not in ("", "identity")
    content = b"" if encoded else _take(pieces)
    reply = Reply(
        status=status,
        readable=False,
        # Hidden before it is cut, or the beginning of a secret could stand at the end.
        text=clean(hide(content.decode("utf-8", "backslashreplace"), secret)[:_SHOWN]),
        retry_after=read_retry_after(headers.get("Retry-After", "")),
        location=_read_host(hide(headers.get("Location", ""), secret)),
    )
    if encoded or len(content) > _LONGEST:
        return reply
    try:
        return replace(reply, body=_hide_within(decode(content), secret), readable=True)
    except (ValueError, RecursionError):
        return reply


def decode(content: bytes) -> object:
    """Decode one JSON value from UTF-8.

    Raises:
        ValueError: it is no JSON, or JSON that two readers may read differently: another encoding,
            a byte-order mark, NaN, a key given twice, nesting or numbers beyond all reason.
    """
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_read_float,
            object_pairs_hook=_refuse_repeated_keys,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_retry_after(value: str) -> float | None:
    """Read a Retry-After, seconds or a date (RFC 9110 section 10.2.3); None where it is neither."""
    if value.isdecimal() and value.isascii():
        return float(value)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return max(seconds, 0.0)


def _take(pieces: Iterable[bytes]) -> bytes:
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > _LONGEST:
            break
    return bytes(content)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _read_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number beyond all reason")
    return number


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    decoded = dict(pairs)
    if len(decoded) != len(pairs):
        raise ValueError("a key is given twice")
    return decoded


def _hide_within(body: object, secret: str) -> object:
    """Hide a secret in every text of a decoded body, however the body had spelt it."""
    spelt = json.dumps(body)
    hidden = hide(spelt, secret)
    return body if hidden == spelt else decode(hidden.encode())


def _read_host(url: str) -> str | None:
    try:
        return clean(urlsplit(url).hostname or "") or None
    except ValueError:
        return None
