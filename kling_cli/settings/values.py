"""What each setting may be: text becomes a value, or is refused with the reason."""

import re
from urllib.parse import SplitResult, urlsplit

SANDBOX = "sandbox"
DEFAULT_BASE_URL = "https://api.gpt.ge/kling"
LONGEST_TIMEOUT = 365 * 24 * 3600.0
MOST_JOBS = 64

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]{1,4})?) ?([smh]?)")
_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.?")
_ENDPOINT = re.compile(r"/v1(?:/videos(?:/effects)?)?$")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class InvalidValueError(ValueError):
    """A value that a setting cannot have; the text goes on from the setting's name: must be ..."""


def parse_duration(text: str) -> float | None:
    """Read a duration as seconds; None is no limit, written as 0.

    Raises:
        InvalidValueError: it is none, or longer than a year.
    """
    match = _DURATION.fullmatch(text.strip())
    # A number of hundreds of digits would be infinite; no system call takes that.
    seconds = float(match[1]) * _SECONDS[match[2]] if match else LONGEST_TIMEOUT + 1
    if seconds > LONGEST_TIMEOUT:
        raise InvalidValueError(
            "must be a duration such as 90s, 20m or 1.5h, or a number of seconds; "
            "a year at most, and 0 is no limit"
        )
    return seconds or None


def format_duration(seconds: float | None) -> str:
    """Write a duration as `parse_duration` reads it, in the largest unit that comes out even."""
    if seconds is None:
        return "0"
    for unit in ("h", "m"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.15g}s"


def parse_base_url(text: str) -> str:
    """Read what stands before `/v1/videos/effects`, or the word for the embedded sandbox.

    Two spellings of one address come out equal, so that they can be compared.

    Raises:
        InvalidValueError: the token must not be sent there.
    """
    text = text.strip()
    if text == SANDBOX:
        return text
    parts, port = _split(text)
    host = parts.hostname or ""
    if "@" in parts.netloc:
        raise InvalidValueError("must not hold a user name or a password")
    if "?" in text or "#" in text:
        raise InvalidValueError("must not hold a query (?) or a fragment (#)")
    if not _is_host(host):
        raise InvalidValueError(f"must name a host, as {DEFAULT_BASE_URL} does")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise InvalidValueError(
            f"must begin with https://, or be the word {SANDBOX}; "
            "http:// is for this machine's own loopback alone"
        )
    path = parts.path.rstrip("/")
    shown_host = f"[{host}]" if ":" in host else host
    shown_port = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    url = f"{parts.scheme}://{shown_host}{shown_port}"
    if _ENDPOINT.search(path):
        shorter = url + _ENDPOINT.sub("", path)
        raise InvalidValueError(f"must end before /v1/videos/effects: {shorter}")
    return url + path


def parse_model(text: str) -> str:
    """Read a model's name; the service knows which ones there are.

    Raises:
        InvalidValueError: it is no printable word.
    """
    word = text.strip()
    if not word.isprintable() or len(word.split()) != 1:
        raise InvalidValueError("must be one printable word such as kling-v1-6")
    return word


def parse_jobs(text: str) -> int:
    """Read how many tasks may be under way at once.

    Raises:
        InvalidValueError: it is no number in that range.
    """
    match = re.fullmatch(r"[0-9]{1,4}", text.strip())
    jobs = int(match[0]) if match else 0
    if not 1 <= jobs <= MOST_JOBS:
        raise InvalidValueError(f"must be a whole number from 1 to {MOST_JOBS}")
    return jobs


def parse_output(text: str) -> str:
    """Read where videos are saved: a file, a directory, or `-` for standard output.

    Raises:
        InvalidValueError: it is empty, or no path can be spelt like that.
    """
    if not text.strip() or "\0" in text:
        raise InvalidValueError("must be a file, a directory, or - for standard output")
    return text


def _split(text: str) -> tuple[SplitResult, int | None]:
    reason = f"must be a URL such as {DEFAULT_BASE_URL}, or the word {SANDBOX}"
    if not _URL.fullmatch(text):
        raise InvalidValueError(reason)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InvalidValueError(reason) from None
    return parts, port


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST.fullmatch(host) is not None
    from ipaddress import IPv6Address

    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
