"""The fields of one object in an answer, read without trust: texts, times, messages, videos."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from kling_cli.task import Video
from kling_cli.transport.reply import decode

Fields = Mapping[str, object]

# A relay nests once or twice; more than this is no answer but an attack.
_DEEPEST = 8

# Relays tell seconds, the service milliseconds, sometimes under the same key: the size decides.
_MILLISECONDS_FROM = 10**11
_LATEST_TIME = 10**14

# What an envelope says of the exchange, never the reason of a failed task.
_PLEASANTRIES = frozenset({"succeed", "success", "ok"})


def unfold(body: object) -> list[Fields]:
    """List the objects that an answer nests under `data` or `resp_data`, the outermost first."""
    layers: list[Fields] = []
    fields = as_object(body)
    while fields and len(layers) < _DEEPEST:
        layers.append(fields)
        fields = read_object(fields.get("data")) or read_object(fields.get("resp_data"))
    return layers


def as_object(value: object) -> Fields:
    """Take an object as it is, and anything else as an empty one."""
    return cast("Fields", value) if isinstance(value, dict) else {}


def read_object(value: object) -> Fields:
    """Take an object, also from a list of one or a string of JSON; anything else as an empty one.

    Of a list of several none is the one asked for, so it counts as empty too.
    """
    if isinstance(value, str):
        try:
            value = decode(value.encode())
        except ValueError:
            return {}
    if isinstance(value, list):
        entries = cast("list[object]", value)
        value = entries[0] if len(entries) == 1 else None
    return as_object(value)


def read_text(values: Iterable[object]) -> str:
    """Take the first that is text and not blank, or an empty text."""
    texts = (value.strip() for value in values if isinstance(value, str))
    # A lone surrogate parses as JSON, and then neither a terminal nor a database takes it.
    return next(filter(None, texts), "").encode("utf-8", "backslashreplace").decode()


def read_message(fields: Fields, *, succeeded: bool) -> str:
    """Read why a task stands as it does; after success `fail_reason` is no reason."""
    error = fields.get("error")
    reasons = (
        fields.get("task_status_msg"),
        None if succeeded else fields.get("fail_reason"),
        error if isinstance(error, str) else as_object(error).get("message"),
        fields.get("failMsg"),
        fields.get("message"),
    )
    message = read_text(reasons)
    return "" if message.lower() in _PLEASANTRIES else message


def read_time(layers: Sequence[Fields], keys: Sequence[str]) -> float | None:
    """Read the first time under any of the keys, in seconds since the epoch."""
    for value in (fields.get(key) for fields in layers for key in keys):
        seconds = _read_seconds(value)
        if seconds is not None and 0 < seconds < _LATEST_TIME:
            return seconds / 1000 if seconds >= _MILLISECONDS_FROM else seconds
    return None


def read_videos(fields: Fields) -> tuple[Video, ...]:
    """Read the finished videos, each URL once, from the first place that names any.

    A further place is a relay's own copy of the same clips, and no second video.
    """
    reason = fields.get("fail_reason")
    places = (
        as_object(fields.get("task_result")).get("videos"),
        fields.get("outputs"),
        fields.get("resultUrls"),
        fields.get("result_url"),
        fields.get("video_url"),
        fields.get("url"),
        fields.get("metadata"),
        # Older relays put the URL of a finished video where the reason of a failed one stands.
        reason if isinstance(reason, str) and re.match(r"(?i)https?://", reason) else None,
    )
    for place in places:
        entries = cast("list[object]", place) if isinstance(place, list) else [place]
        videos: dict[str, Video] = {}
        for video in filter(None, map(_read_video, entries)):
            videos.setdefault(video.url, video)
        if videos:
            return tuple(videos.values())
    return ()


def _read_video(entry: object) -> Video | None:
    fields = {"url": entry} if isinstance(entry, str) else as_object(entry)
    url = read_text([fields.get("url")])
    if not url:
        return None
    name = read_text([fields.get("id")]) or None
    return Video(url=url, id=name, duration=_read_seconds(fields.get("duration")))


def _read_seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
