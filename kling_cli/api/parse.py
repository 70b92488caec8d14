"""Parse the service's responses into tasks, without trusting them.

Native envelopes, a relay's envelope around them, flat and OpenAI-style objects are all read in the
same way: as nested objects, of which the innermost is the service's own task.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import cast

from kling_cli.models import Cost, Stage, Task, Video

Fields = Mapping[str, object]

# A shorter one is not a secret but a common word, such as the sandbox's token "sandbox".
_SHORTEST_SECRET = 8

# With a host, and without a user name or password.
_RESULT_URL = re.compile(r"(?i)https?://[^\s/?#@\\]+(?:[/?#][^\s\\]*)?")

# Ids look like base64, digits, UUIDs or task_.... Each must be safe in a URL path, and must not
# begin like an option of a shell command or a command of a CI system.
_SAFE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~+=:@-]{0,127}")

# Relays send seconds, the service milliseconds, sometimes in the same field; the size decides.
_FIRST_MILLISECONDS = 10**11
_CREATED_KEYS = ("created_at", "create_time", "submit_time")
_UPDATED_KEYS = ("updated_at", "update_time", "completed_at", "finish_time", "start_time")

_VIDEO_KEYS = ("outputs", "resultUrls", "result_url", "video_url", "url", "metadata")
_SYNONYMS = {
    Stage.SUBMITTED: "submitted queued pending not_start",
    Stage.PROCESSING: "processing in_progress running generating",
    Stage.SUCCEED: "succeed succeeded success completed finished done",
    Stage.FAILED: "failed failure fail error cancelled canceled expired",
}
_STATUSES = {word: status for status, words in _SYNONYMS.items() for word in words.split()}


def hide_secret(text: str, secret: str) -> str:
    """Hide a secret in a text, also escaped as JSON, URLs and HTML do it.

    Gateways quote a token that they refuse.
    """
    if len(secret) < _SHORTEST_SECRET:
        return text
    patterns = (
        rf"(?:\\*{re.escape(character)}|\\+u{ord(character):04x}|\\+x{ord(character):02x}"
        rf"|%(?:25)*{ord(character):02x}|&#0*{ord(character)};|&#x0*{ord(character):x};)"
        for character in secret
    )
    return re.sub("".join(patterns), "***", text, flags=re.IGNORECASE)


def decode_json(text: str) -> object:
    """Decode one JSON value.

    Raises:
        ValueError: it is not JSON, or ambiguous: a byte-order mark, NaN, a duplicate key, or
            extreme nesting or numbers.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_parse_pairs)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def get_object(value: object) -> Fields:
    """Return an object unchanged, and anything else as an empty one."""
    return cast("Fields", value) if isinstance(value, dict) else {}


def unwrap_object(value: object) -> Fields:
    """Return an object, also from a list with one item or a JSON string; else an empty one.

    A list with several items counts as empty, because none of them is certainly the right one.
    """
    if isinstance(value, str):
        with suppress(ValueError):
            value = decode_json(value)
    if isinstance(value, list):
        value = cast("list[object]", value)[0] if len(value) == 1 else None
    return get_object(value)


def get_text(*values: object) -> str:
    """Return the first text that is not blank, or an empty one."""
    texts = (value.strip() for value in values if isinstance(value, str))
    # JSON may contain a lone surrogate, which neither a terminal nor a database accepts.
    return next(filter(None, texts), "").encode("utf-8", "backslashreplace").decode()


def parse_task(body: object) -> Task | None:
    """Parse the task of a response; None if there is none with an id."""
    layers = list(_unfold(body))
    # An envelope's "status": "success" is about the request, not about the task inside.
    outer_first = [each for each in layers if _ids(each) or not unwrap_object(each.get("data"))]
    inner_first = outer_first[::-1]
    # A relay may use its own, outer id, and only that one works for look-ups.
    task_id = next(filter(None, map(_task_id, outer_first)), None)
    external_task_id = next(filter(None, map(_external_task_id, inner_first)), None)
    if task_id is None and external_task_id is None:
        return None
    word = _choose_word(inner_first)
    is_done = _parse_status(word) is Stage.SUCCEED
    messages = (_message(fields, is_done=is_done) for fields in inner_first)
    videos = (_parse_videos(fields) for fields in inner_first if is_done)
    return Task(
        task_id=task_id,
        status=_parse_status(word),
        external_task_id=external_task_id,
        word=word,
        message=next(filter(None, messages), "")[:2000],
        videos=next(filter(None, videos), ()),
        created_at=_parse_time(inner_first, _CREATED_KEYS),
        updated_at=_parse_time(inner_first, _UPDATED_KEYS),
        request_id=get_text(*(fields.get("request_id") for fields in layers)) or None,
        cost=next(filter(None, map(_parse_cost, inner_first)), None),
    )


def collect_ids(body: object) -> frozenset[str]:
    """Collect every id in a response: the relay's, the service's and the external one."""
    return frozenset(name for fields in _unfold(body) for name in _ids(fields))


def is_safe_id(text: str) -> bool:
    """Tell whether an id may be put into a URL, a path or a command line."""
    return _SAFE_ID.fullmatch(text) is not None and ".." not in text


def is_known_word(word: str) -> bool:
    """Tell whether a status is known; an unknown one counts as still running."""
    return word.lower() in _STATUSES


def is_result_url(url: str) -> bool:
    """Tell whether a video's URL is a plain web address, which may be printed and opened."""
    is_plain = len(url) <= 8192 and url.isprintable()
    return is_plain and _RESULT_URL.fullmatch(url) is not None


def is_plain_http(url: str) -> bool:
    """Tell whether a valid URL is fetched without TLS."""
    return url[:5].lower() == "http:"


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _parse_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is given twice")
    return fields


def _unfold(body: object) -> Iterator[Fields]:
    """List the objects nested under `data` or `resp_data`, the outermost first."""
    fields = get_object(body)
    while fields:
        yield fields
        fields = unwrap_object(fields.get("data")) or unwrap_object(fields.get("resp_data"))


def _parse_id(value: object) -> str | None:
    # Some gateways send 0 for "none".
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        value = str(value)
    return value if isinstance(value, str) and is_safe_id(value) else None


def _task_id(fields: Fields) -> str | None:
    named = _parse_id(fields.get("task_id")) or _parse_id(fields.get("taskId"))
    # An `id` belongs to the task only if there is a status next to it.
    return named or (_parse_id(fields.get("id")) if _word(fields) else None)


def _external_task_id(fields: Fields) -> str | None:
    info = get_object(fields.get("task_info"))
    values = [each.get("external_task_id") for each in (info, fields)]
    return next(filter(None, map(_parse_id, [*values, fields.get("external_id")])), None)


def _ids(fields: Fields) -> list[str]:
    return [name for name in (_task_id(fields), _external_task_id(fields)) if name]


def _word(fields: Fields) -> str:
    return get_text(fields.get("task_status"), fields.get("status"), fields.get("state"))


def _parse_status(word: str) -> Stage:
    # An acceptance may have an id and no status; an unknown status does not end a wait.
    return _STATUSES.get(word.lower(), Stage.PROCESSING if word else Stage.SUBMITTED)


def _choose_word(inner_first: Sequence[Fields]) -> str:
    """Choose the status of a task for which relay and service may have different ones."""
    named = [fields for fields in inner_first if _word(fields)]
    named = [fields for fields in named if is_known_word(_word(fields))] or named
    for fields in named:
        if _parse_status(_word(fields)) is Stage.SUCCEED and _parse_videos(fields):
            return _word(fields)
    words = [_word(fields) for fields in named] or [""]
    # A relay gives up on, and refunds, a task that the service still counts as running.
    given_up = [word for word in words if _parse_status(word) is Stage.FAILED]
    return given_up[0] if given_up and not _parse_status(words[0]).is_final else words[0]


def _message(fields: Fields, *, is_done: bool) -> str:
    """Return the message of a task; `fail_reason` is ignored once it has succeeded."""
    error = fields.get("error")
    return get_text(
        fields.get("task_status_msg"),
        None if is_done else fields.get("fail_reason"),
        error if isinstance(error, str) else get_object(error).get("message"),
        fields.get("failMsg"),
        fields.get("message"),
    )


def _parse_time(layers: Sequence[Fields], keys: Sequence[str]) -> float | None:
    numbers = (_parse_number(fields.get(key)) for fields in layers for key in keys)
    seconds = next(filter(None, numbers), None)
    return seconds / 1000 if seconds and seconds >= _FIRST_MILLISECONDS else seconds


def _parse_number(value: object) -> float | None:
    """Return a finite number that is not negative, also from text; else None."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            number = float(value)
            return number if 0 <= number < math.inf else None
    return None


def _parse_cost(fields: Fields) -> Cost | None:
    balance = get_object(fields.get("final_balance_deduction"))
    values = (fields.get("final_unit_deduction"), balance.get("quota"), balance.get("list_price"))
    cost = Cost(*map(_parse_number, values))
    return cost if cost != Cost() else None


def _parse_videos(fields: Fields) -> tuple[Video, ...]:
    """Return the finished videos, from the first place that has any.

    Other places contain a relay's copies of the same clips.
    """
    result = get_object(fields.get("task_result"))
    # Older relays put the URL of a finished video into the reason of a failure.
    reason = get_text(fields.get("fail_reason"))
    url_as_reason = reason if re.match(r"(?i)https?://", reason) else None
    places = (result.get("videos"), *map(fields.get, _VIDEO_KEYS), url_as_reason)
    for place in places:
        entries = cast("list[object]", place) if isinstance(place, list) else [place]
        videos = []
        for entry in entries:
            video = {"url": entry} if isinstance(entry, str) else get_object(entry)
            if url := get_text(video.get("url")):
                name, duration = get_text(video.get("id")), _parse_number(video.get("duration"))
                videos.append(Video(url=url, id=name or None, duration=duration))
        if videos:
            return tuple(videos)
    return ()
