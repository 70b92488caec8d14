"""The service's answers read: a body of any known shape becomes a task.

Native envelopes, a relay's task envelope around them, flat and OpenAI-style objects are taken
apart in one way: as a row of nested objects, the innermost being the service's own task.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, cast
from urllib.parse import urlsplit

from kling_cli.api.fields import (
    Fields,
    as_object,
    read_message,
    read_object,
    read_text,
    read_time,
    read_videos,
    unfold,
)
from kling_cli.task import Task, TaskStatus
from kling_cli.text import clean

_LONGEST_URL = 8192
_LONGEST_MESSAGE = 2000
_LONGEST_WORD = 100
_LONGEST_REQUEST_ID = 128

# Ids look like base64, digits, UUIDs or task_...; each must survive in a URL path as it is,
# and begin so that neither a shell takes it for an option nor a CI system for a command.
_SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~+=:@-]{0,127}")
_LARGEST_ID = 10**128

_CREATED_KEYS = ("created_at", "create_time", "submit_time")
_UPDATED_KEYS = ("updated_at", "update_time", "completed_at", "finish_time", "start_time")

_STATUS_KEYS = ("task_status", "status", "state")
_STATUSES = {
    TaskStatus.SUBMITTED: "submitted queued pending not_start",
    TaskStatus.PROCESSING: "processing in_progress running generating",
    TaskStatus.SUCCEED: "succeed succeeded success completed finished done",
    TaskStatus.FAILED: "failed failure fail error cancelled canceled expired",
}
_WORDS = {word: status for status, words in _STATUSES.items() for word in words.split()}
_ENDINGS: Mapping[str, Literal["cancelled", "expired"]] = {
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "expired": "expired",
}


def parse_task(body: object) -> Task | None:
    """Read the one task that an answer tells of; None where it tells of none that has an id."""
    layers = unfold(body)
    tellers = [fields for fields in layers if not _is_envelope(fields)]
    inner_first = tellers[::-1]
    # A relay may hand out an id of its own: that outer one is what its look-up takes.
    task_id = next(filter(None, map(_read_task_id, tellers)), None)
    external_task_id = next(filter(None, map(_read_external_id, inner_first)), None)
    if task_id is None and external_task_id is None:
        return None
    word = _choose_word(inner_first)
    status = _read_status(word)
    succeeded = status is TaskStatus.SUCCEED
    messages = [read_message(fields, succeeded=succeeded) for fields in inner_first]
    videos = [read_videos(fields) for fields in inner_first if succeeded]
    request_id = read_text(fields.get("request_id") for fields in layers)
    return Task(
        task_id=task_id,
        status=status,
        external_task_id=external_task_id,
        word=word,
        message=next(filter(None, messages), "")[:_LONGEST_MESSAGE],
        ending=_ENDINGS.get(_normalise(word)),
        videos=next(filter(None, videos), ()),
        created_at=read_time(inner_first, _CREATED_KEYS),
        updated_at=read_time(inner_first, _UPDATED_KEYS),
        request_id=request_id[:_LONGEST_REQUEST_ID] or None,
    )


def parse_tasks(body: object) -> tuple[Task, ...]:
    """Read every task of a list answer, in its order; what is no task is left out."""
    innermost = unfold(body)[-1:]
    listed = innermost[0].get("data") if innermost else None
    entries = cast("list[object]", listed) if isinstance(listed, list) else [body]
    return tuple(filter(None, map(parse_task, entries)))


def collect_ids(body: object) -> frozenset[str]:
    """Collect every id that an answer tells: the relay's, the service's and the external one."""
    layers = unfold(body)
    told = [*map(_read_task_id, layers), *map(_read_external_id, layers)]
    return frozenset(filter(None, told))


def is_safe_id(text: str) -> bool:
    """Tell whether an id may be put into a URL, a path or a command line."""
    return _SAFE_ID.fullmatch(text) is not None and ".." not in text and text != "."


def is_known_word(word: str) -> bool:
    """Tell whether a status word has a meaning here; one without counts as still running."""
    return _normalise(word) in _WORDS


def judge_url(url: str, *, allow_file: bool) -> str | None:
    """Say what is wrong with a result URL, as words that follow "the URL"; None when it is good.

    Args:
        url: as the service told it.
        allow_file: whether `file:` is good too, as it is from the embedded sandbox alone.
    """
    if len(url) > _LONGEST_URL:
        return f"has {len(url)} characters; {_LONGEST_URL} is the most"
    if clean(url, limit=_LONGEST_URL) != url or "\\" in url or any(map(str.isspace, url)):
        return "contains a space, a backslash or a character that cannot be shown"
    try:
        parts = urlsplit(url)
        # Reading the port is what checks it.
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "cannot be read"
    problem = None
    if parts.scheme not in ({"https", "http", "file"} if allow_file else {"https", "http"}):
        problem = f"begins with {parts.scheme or 'no scheme'}, not with https"
    elif "@" in parts.netloc:
        problem = "carries a user name or a password"
    elif parts.scheme != "file" and not is_whole:
        problem = "names no host that can be reached"
    return problem


def is_plain_http(url: str) -> bool:
    """Tell whether a good URL goes over the wire unprotected, which deserves a warning."""
    return url[:5].lower() == "http:"


def _is_envelope(fields: Fields) -> bool:
    # An envelope's own "status": "success" is about the exchange, not about the task inside.
    is_named = _read_task_id(fields) or _read_external_id(fields)
    return not is_named and bool(read_object(fields.get("data")))


def _read_id(value: object) -> str | None:
    # A 0 is what some gateways send for "none".
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST_ID:
        return str(value)
    return value if isinstance(value, str) and is_safe_id(value) else None


def _read_task_id(fields: Fields) -> str | None:
    named = _read_id(fields.get("task_id")) or _read_id(fields.get("taskId"))
    # A bare `id` may be anything's; beside a status it is the task's.
    return named or (_read_id(fields.get("id")) if _read_word(fields) else None)


def _read_external_id(fields: Fields) -> str | None:
    info = as_object(fields.get("task_info"))
    told = (info.get("external_task_id"), fields.get("external_task_id"), fields.get("external_id"))
    return next(filter(None, map(_read_id, told)), None)


def _read_word(fields: Fields) -> str:
    return read_text(fields.get(key) for key in _STATUS_KEYS)[:_LONGEST_WORD]


def _normalise(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")


def _read_status(word: str) -> TaskStatus:
    # A bare acceptance has an id and no word at all; an unknown word is no verdict.
    return _WORDS.get(_normalise(word), TaskStatus.PROCESSING if word else TaskStatus.SUBMITTED)


def _choose_word(inner_first: Sequence[Fields]) -> str:
    told = [(fields, word) for fields in inner_first if (word := _read_word(fields))]
    told = [(fields, word) for fields, word in told if is_known_word(word)] or told
    for fields, word in told:
        if _read_status(word) is TaskStatus.SUCCEED and read_videos(fields):
            return word
    words = [word for _, word in told]
    innermost = words[0] if words else ""
    if _read_status(innermost).is_final:
        return innermost
    # A relay gives up on, and refunds, a task that the service still counts as running.
    return next((word for word in words if _read_status(word) is TaskStatus.FAILED), innermost)
