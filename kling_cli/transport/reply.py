"""An answer of the service, read without trust: its size, encoding and JSON."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

from kling_cli.text import clean

_LONGEST = 1024 * 1024
_SHOWN = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back: `body` is the decoded JSON where `readable`, `text` its beginning.

    `retry_after` is in seconds, as the service asked for it, not yet capped.
    """

    status: int
    body: object = None
    readable: bool = True
    text: str = ""
    retry_after: float | None = None


def read(status: int, headers: Mapping[str, str], pieces: Iterable[bytes]) -> Reply:
    """Read an answer; one in a content encoding, or above 1 MiB, counts as unreadable."""
    # Some gateways compress although `identity` was asked for, and a few kB can hold gigabytes.
    encoded = headers.get("Content-Encoding", "identity").lower() != "identity"
    content = b"" if encoded else _take(pieces)
    reply = Reply(
        status=status,
        readable=False,
        text=clean(content[:_SHOWN].decode("utf-8", "backslashreplace")),
        retry_after=_read_retry_after(headers.get("Retry-After", "")),
    )
    if encoded or len(content) > _LONGEST:
        return reply
    try:
        return replace(reply, body=decode(content), readable=True)
    except ValueError:
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
            object_pairs_hook=_refuse_repeated_keys,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _take(pieces: Iterable[bytes]) -> bytes:
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) > _LONGEST:
            break
    return bytes(content)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _refuse_repeated_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    decoded = dict(pairs)
    if len(decoded) != len(pairs):
        raise ValueError("a key is given twice")
    return decoded


def _read_retry_after(value: str) -> float | None:
    """Read seconds or a date (RFC 9110 section 10.2.3); None where it is neither."""
    if value.isdecimal() and value.isascii():
        return float(value)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return max(seconds, 0.0)
