"""Check URLs of pictures, and the pictures behind them.

The service fetches the picture itself, and reports an unusable URL only minutes after the task was
created. So the beginning of the picture is checked first.
"""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kling_cli.errors import InputError
from kling_cli.images import Header, decoding
from kling_cli.images.preflight import find_notes, find_problems, read_header, refuse
from kling_cli.models import Picture
from kling_cli.text import without_query

if TYPE_CHECKING:
    from kling_cli.api.transport import Transport

# Enough for nearly every header.
_HEADER_BYTES = 1 << 18
# A server that ignores this is cut off.
_HEADERS = {"Range": f"bytes=0-{_HEADER_BYTES - 1}"}
_SIZE = re.compile(r"(?:^|bytes [0-9-]+/)([0-9]{1,15})")
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?")
_SKIP_CHECK = "If the service can fetch it anyway, use --no-check-url."


def validate_url(url: str, *, allow_private: bool) -> InputError | None:
    """Find what makes a URL unusable for the service, without any network access.

    Args:
        url: of a picture, of a redirect, or for callbacks.
        allow_private: the service is on this machine, and reaches what is on it.

    Returns:
        None, or an error with code `url_invalid`, `url_with_credentials` or `url_private`, in
        words that do not quote the URL, because its query may be secret.
    """
    # Some programs read a backslash as a slash, and so see another host.
    odd = next((c for c in url if c.isspace() or not c.isprintable() or c == "\\"), "")
    scheme = url.partition(":")[0].lower()
    host, text = _parse_host(url), ""
    if scheme in ("data", "file"):
        text = "the service cannot read local files: pass the path of the file"
    elif odd:
        text = f"it contains the character U+{ord(odd):04X}, which must be percent-encoded"
    elif scheme not in ("http", "https"):
        text = "it does not begin with https:// or http://"
    elif not host:
        text = "its host or port is not valid"
    if text:
        return InputError("url_invalid", text)
    if "@" in urlsplit(url).netloc:
        text = "it contains a user name or password, which the service would see"
        hint = "Use a URL that works without one."
        return InputError("url_with_credentials", text, hint=hint)
    if not allow_private and _is_private(host):
        text = f"the service cannot reach {host}, an address of this machine or network"
        return InputError("url_private", text, hint=_SKIP_CHECK)
    return None


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or literal address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".").rpartition(".")[2] == "localhost"


def prepare_url(
    url: str, *, transport: "Transport", allow_private: bool, check: bool, seconds: float = 20.0
) -> Picture:
    """Check a picture by its URL, which is sent exactly as it was given.

    Args:
        url: its address.
        transport: for hosts other than the service; never sends a token.
        allow_private: the service is on this machine, and reaches what is on it.
        check: fetch the picture; without it only the URL is checked, and any host accepted.
        seconds: the limit for all requests together.

    Raises:
        InputError: with a code of `validate_url`, `url_not_found`, `url_unreachable` or one of a
            file's. Its message is one line, without the URL's query.
        SetupError: a proxy or certificate variable cannot be used.
    """
    from kling_cli.api.transport import ExchangeError

    name = without_query(url)
    if problem := validate_url(url, allow_private=allow_private or not check):
        raise refuse(name, [problem])
    if not check:
        return Picture(source=url, kind="url", url=url)
    try:
        header, size = transport.fetch(url, headers=_HEADERS, read=_read_answer, seconds=seconds)
    except InputError as error:
        raise refuse(name, [error]) from None
    except ExchangeError as error:
        problem = InputError("url_unreachable", str(error), hint=_SKIP_CHECK)
        raise refuse(name, [problem]) from None
    if problems := find_problems(header, size=size):
        refused = refuse(name, problems)
        if refused.hint:
            # A picture behind a URL cannot be repaired in place.
            refused.hint = "Download it and pass the file with --fix."
        raise refused
    return Picture(
        source=url,
        kind="url",
        url=url,
        format=header.format,
        width=header.width or None,
        height=header.height or None,
        size=size,
        notes=find_notes(header, size=size),
    )


def _parse_host(url: str) -> str:
    """Parse the host of a URL; empty if host or port are invalid."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        return host if parts.port != 0 and (":" in host or _HOST.fullmatch(host)) else ""
    except ValueError:
        return ""


def _is_private(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host.rpartition(".")[2] in ("localhost", "local")
    return not address.is_global or address.is_multicast


def _read_answer(
    status: int, headers: Mapping[str, str], pieces: Iterator[bytes]
) -> tuple[Header, int | None]:
    """Read the beginning of a picture; return its header and its size in bytes."""
    if not 200 <= status < 300:
        code = "url_not_found" if status in (404, 410) else "url_unreachable"
        raise InputError(code, f"its server responded with HTTP {status}", hint=_SKIP_CHECK)
    length = "Content-Range" if status == 206 else "Content-Length"
    told = _SIZE.fullmatch(headers.get(length, ""))
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) >= _HEADER_BYTES:
            break
    if not content:
        raise InputError("image_empty", "the file is empty")
    try:
        with decoding():
            header, _ = read_header(bytes(content))
    except InputError as error:
        if error.code != "image_damaged" or len(content) < _HEADER_BYTES:
            raise
        # The header is longer than what was read, so there is nothing to refuse.
        header = Header("JPEG")
    return header, int(told[1]) if told else None
