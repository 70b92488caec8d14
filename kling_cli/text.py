"""Make text safe to show, and format durations, sizes and times."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

_MEGABYTE = 1_000_000
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,4})?) ?([smh]?)")


def clean(text: str, *, limit: int = 500) -> str:
    r"""Show foreign text on one line: white space as spaces, unprintable characters as `\x1b`.

    Control, format (such as bidi overrides), private and unassigned characters are unprintable,
    because they can change what a terminal shows.

    Args:
        text: any text, even with undecodable bytes as surrogates.
        limit: the maximum length; a longer text ends with three dots.
    """
    text = text[: limit + 1]
    # Most text is harmless, and this is called very often.
    shown = text if text.isprintable() else "".join(map(_escape, text))
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def without_query(url: str) -> str:
    """Show a URL without user, query and fragment, which may be secret."""
    if url[:5].lower() == "data:":
        return f"{clean(url.partition(',')[0], limit=80)},..."
    try:
        parts = urlsplit(url)
    except ValueError:
        return clean(url.partition("?")[0].partition("#")[0].rpartition("@")[2])
    host = parts.netloc.rpartition("@")[2]
    masked = "?..." if parts.query else ""
    return clean(urlunsplit((parts.scheme, host, parts.path, "", ""))) + masked


def end_sentence(text: str) -> str:
    """End a text as a sentence, so that another can follow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def parse_duration(text: str) -> float | None:
    """Parse a duration in seconds; 0 means no limit and returns None.

    Raises:
        ValueError: it is not a duration; the message says what it must be.
    """
    match = _DURATION.fullmatch(text.strip())
    if not match:
        raise ValueError("must be a duration such as 90s, 20m or 1.5h, or a number of seconds")
    return float(match[1]) * _SECONDS[match[2]] or None


def format_elapsed(seconds: float) -> str:
    """Format elapsed seconds as 0:42 or 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_about(seconds: float) -> str:
    """Format a usual duration roughly: 45 s, 2 min."""
    if seconds < 90:
        return f"{max(round(seconds / 5) * 5, 5)} s"
    return f"{round(seconds / 60)} min"


def format_transfer(done: int, total: int | None, *, seconds: float) -> str:
    """Format the transferred and total bytes, and the speed."""
    size = f"{done / _MEGABYTE:.1f} MB"
    if total:
        size = f"{done / _MEGABYTE:.1f}/{total / _MEGABYTE:.1f} MB"
    # A shorter time gives no useful speed.
    return f"{size} {done / _MEGABYTE / seconds:.1f} MB/s" if seconds >= 0.5 else size


def format_count(number: float, thing: str) -> str:
    """Format a number of things, such as `1 task` or `3 tasks`."""
    return f"{number:g} {thing}" if number == 1 else f"{number:g} {thing}s"


def format_units(units: float | None) -> str:
    """Format the cost of a task, such as `2 units`; empty if unknown."""
    return "" if units is None else format_count(units, "unit")


def format_costs(costs: Sequence[float | None]) -> str:
    """Sum up the cost of tasks; empty if the service reports none."""
    known = [units for units in costs if units is not None]
    if not known:
        return ""
    unknown = len(costs) - len(known)
    return format_units(sum(known)) + (f", cost of {unknown} unknown" if unknown else "")


def format_ago(seconds: float) -> str:
    """Format how long ago something was, in its largest unit."""
    for unit, length in (("day", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            number = int(seconds / length)
            return f"{format_count(number, unit) if unit == 'day' else f'{number} {unit}'} ago"
    return "just now"


def format_time(seconds: float | None) -> str | None:
    """Format seconds since the epoch by RFC 3339, in UTC; None for an unknown time."""
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return None  # a service may send an impossible time


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else repr(character)[1:-1]
