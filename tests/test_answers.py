"""Answers of any shape, and of any malice, become the right task, or no task at all."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.replies import Reply, wrap
from support.run import PHOTO, Program
from support.service import LoopbackService

from kling_cli.api.parse import collect_ids, is_known_word, is_result_url, is_safe_id, parse_task
from kling_cli.models import Stage, Task

CLIP = "https://clips.example/a.mp4"
COPY = "https://relay.example/copy.mp4"
MILLISECONDS = 1727338013674
SECONDS = 1727338013.674


def finish(task_id: object = "8602", **more: object) -> dict[str, object]:
    videos = [{"id": "v-1", "url": CLIP, "duration": "5.041"}]
    return {
        "task_id": task_id,
        "task_status": "succeed",
        "task_status_msg": "",
        "task_result": {"videos": videos},
        **more,
    }


def relay(status: str, data: object = None, **more: object) -> dict[str, object]:
    told = {"task_id": "task_7", "status": status, "data": data, **more}
    return {"code": "success", "message": "", "data": told}


def read(body: object) -> Task:
    task = parse_task(body)
    assert task is not None
    return task


def test_an_envelope_status_is_no_verdict() -> None:
    """The word around a task is about the exchange; an id without one was accepted."""
    task = read({"status": "success", "data": {"task_id": "5"}})
    assert (task.status, task.word) == (Stage.SUBMITTED, "")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("SUBMITTED queued NOT_START pending", Stage.SUBMITTED),
        ("In_Progress generating Running", Stage.PROCESSING),
        ("SUCCESS done finished", Stage.SUCCEED),
        ("Fail canceled CANCELLED Expired", Stage.FAILED),
        ("paused", Stage.PROCESSING),
    ],
)
def test_synonyms_are_understood(words: str, status: Stage) -> None:
    """Status words count in any case, and an unknown one is no verdict (fault 37)."""
    for word in words.split():
        task = read(wrap({"task_id": "1", "task_status": word}))
        assert (task.status, task.word) == (status, word)
        assert is_known_word(task.word) == (word != "paused")


@pytest.mark.parametrize(
    ("outer", "inner", "status"),
    [
        ("IN_PROGRESS", finish(), Stage.SUCCEED),
        ("FAILURE", finish(), Stage.SUCCEED),
        ("FAILURE", {"task_id": "1", "task_status": "processing"}, Stage.FAILED),
        ("SUCCESS", {"task_id": "1", "task_status": "processing"}, Stage.PROCESSING),
        ("SUCCESS", {"task_id": "1", "task_status": "failed"}, Stage.FAILED),
        ("SUCCESS", finish(task_status="odd"), Stage.SUCCEED),
        ("QUEUED", {}, Stage.SUBMITTED),
        ("UNKNOWN", {"task_id": "1", "task_status": "processing"}, Stage.PROCESSING),
    ],
)
def test_relay_against_service(outer: str, inner: dict[str, object], status: Stage) -> None:
    """The service's verdict counts; the relay's failure ends what the service has running."""
    assert read(relay(outer, inner)).status is status


@pytest.mark.parametrize(
    "task_id",
    [
        "a/b", "..", "a..b", "a\x1b[0m", "a?b", "", "é", "x" * 10_240, "a\n",
        True, None, 1.5, 0, 10**128, ["1"],
    ],
)  # fmt: skip
def test_an_unsafe_id_is_no_id(task_id: object) -> None:
    """An id that could escape from a URL or a path never gets anywhere (fault 36)."""
    body = wrap({"task_id": task_id, "task_status": "submitted"})
    assert parse_task(body) is None
    assert collect_ids(body) == frozenset()


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        (wrap(finish(task_result={"videos": [{"url": CLIP}, {"url": COPY}]})), [CLIP, COPY]),
        (relay("SUCCESS", wrap(finish()), result_url=COPY), [CLIP]),
        (relay("SUCCESS", None, fail_reason="none"), []),
        ({"task_id": "1", "status": "processing", "url": CLIP}, []),
        (wrap(finish(task_result=None)), []),
        (wrap(finish(task_result={"videos": [{}, {"url": ""}, {"url": 5}]})), []),
        (wrap(finish(task_result={"images": [{"url": "https://x.example/a.png"}]})), []),
    ],
)
def test_each_video_of_a_finished_task_is_delivered_once(body: object, urls: list[str]) -> None:
    """Two videos stay two, a relay's copy is no second, images are none (faults 38, 39)."""
    assert [video.url for video in read(body).videos] == urls


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("5.041", 5.041), (5, 5.0), ("nan", None), ("-2", None), ("five", None), (None, None),
        (True, None), (10**400, None),
    ],
)  # fmt: skip
def test_a_duration_is_seconds_or_nothing(told: object, seconds: float | None) -> None:
    videos = [{"url": CLIP, "duration": told}]
    assert read(wrap(finish(task_result={"videos": videos}))).videos[0].duration == seconds


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (MILLISECONDS, SECONDS), (99_999_999_999, 99_999_999_999.0),
        (100_000_000_000, 100_000_000.0), ("1727338014", 1727338014.0), (0, None), ("soon", None),
    ],
)  # fmt: skip
def test_times_are_told_apart_by_size(told: object, seconds: float | None) -> None:
    assert read({"task_id": "1", "created_at": told}).created_at == seconds
    # A relay's own times stand in for the service's.
    assert read(relay("SUCCESS", submit_time=told)).created_at == seconds
    assert read(relay("SUCCESS", start_time=1, finish_time=told)).updated_at == (seconds or 1.0)


@pytest.mark.parametrize(
    ("url", "is_usable"),
    [
        ("http://clips.example/a.mp4", True),
        ("HTTPS://clips.example:8443/a.mp4?x-kcdn-pid=112452&to=a@b", True),
        ("javascript:alert(1)", False),
        ("file:///etc/passwd", False),
        ("https://me:secret@clips.example/a.mp4", False),
        ("https://clips.example/\u202egpj", False),
        ("https://clips.example/a b", False),
        ("https://clips.example\\@evil.example/", False),
        ("https:///a.mp4", False),
        ("https://clips.example/" + "a" * 8200, False),
    ],
)
def test_a_result_url_is_validated(url: str, *, is_usable: bool) -> None:
    """Only a web address that shows what it is may be printed or opened (fault 40)."""
    assert is_result_url(url) == is_usable


KEYS = st.sampled_from(
    [
        "task_id", "taskId", "id", "data", "resp_data", "task_status", "status", "state", "error",
        "task_status_msg", "fail_reason", "failMsg", "message", "task_result", "videos", "outputs",
        "resultUrls", "video_url", "url", "metadata", "duration", "created_at", "finish_time",
        "task_info", "external_task_id", "request_id",
    ]
)  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from([CLIP, "succeed", "failed", "odd", "1", "../x", "\ud800", 10**400, "\x1b[2J"])
    | st.just(json.dumps(wrap(finish())))
)  # fmt: skip
BODIES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner), max_leaves=25
)


@settings(max_examples=200, deadline=None)
@given(BODIES)
def test_any_json_at_all_is_read_without_a_fall(body: object) -> None:
    task = parse_task(body)
    if task is not None:
        assert task.task_id or task.external_task_id
        urls = [video.url for video in task.videos]
        texts = [task.word, task.message, task.request_id or "", *urls]
        assert all(text.encode().decode() == text for text in texts)
        times = (task.created_at, task.updated_at, *(video.duration for video in task.videos))
        assert all(time is None or 0 <= time < float("inf") for time in times)
    assert all(is_safe_id(one) for one in collect_ids(body))


TOKEN = "sk-test-0123456789abcdef"
DONE, FAILED = f"task_7\tsucceed\t{CLIP}", "task_7\tfailed\tImage bad"
RELAYED = relay("SUCCESS", wrap(finish()))


@pytest.mark.parametrize(
    ("body", "row"),
    [
        (relay("SUCCESS", RELAYED), DONE),
        ({"code": "success", "data": json.dumps(RELAYED["data"])}, DONE),
        (relay("SUCCESS", video_url=CLIP), DONE),
        (relay("FAILURE", {"code": 1301, "message": "Image bad"}), FAILED),
        ({"task_id": "task_7", "status": "error", "error": "Image bad"}, FAILED),
        (wrap([{"id": "task_7", "status": "failed", "message": "Image bad"}]), FAILED),
    ],
)
def test_the_rarer_shapes(kling: Program, service: LoopbackService, body: object, row: str) -> None:
    """Relays within relays, errors in odd places; test_looks has the usual shapes (fault 41)."""
    service.on_look(Reply(json=body))
    assert kling("status", "task_7").lines == [row]


@pytest.mark.parametrize("asked", ["task_7", "CjNQ+w==", "kling-abc"])
def test_any_of_its_ids_is_the_task(kling: Program, service: LoopbackService, asked: str) -> None:
    """A relay answers with an id of its own, around the service's two (faults 36, 41)."""
    info = {"external_task_id": "kling-abc"}
    service.on_look(Reply(json=relay("SUCCESS", wrap(finish("CjNQ+w==", task_info=info)))))
    assert kling("status", asked).code == 0
    (visit,) = service.visits  # base64 is one step of a path, and asks for nothing else
    assert visit.path == f"/kling/v1/videos/effects/{quote(asked, safe='')}"


QUOTES = {
    "escaped": '{"message": "\\u0073k\\u002dtest-0123456789abcdef"}',
    "as hexadecimal entities": f"<p>{''.join(f'&#x{ord(each):02X};' for each in TOKEN)}</p>",
    "in a URL, quoted twice": f"GET /?token={TOKEN.replace('-', '%252D')}",
    "with a backslash": TOKEN.replace("-", "\\-"),
    "at the cut": "x" * 490 + TOKEN,
    "of somebody else": json.dumps({"message": "invalid token sk-ab****3456, go"}),
    "in a header": json.dumps({"message": "invalid Bearer very.secret"}),
}


@pytest.mark.parametrize("body", QUOTES.values(), ids=QUOTES)
@pytest.mark.parametrize("status", [401, 500])
def test_quoted_tokens(kling: Program, service: LoopbackService, status: int, body: str) -> None:
    """However an answer spells the token, and wherever its text is cut (fault 76)."""
    service.on_create(Reply(status=status, body=body.encode()))
    run = kling("effect", "squish", PHOTO, "--json")
    shown = f"{run.out}{run.err}".lower()
    assert not any(part in shown for part in (TOKEN[:8], TOKEN[8:], "3456,", "very.secret"))
    assert not any(part in shown for part in ("u0073", "%73", "&#115", "&#x73"))


def test_an_external_id_alone_is_looked_up(kling: Program, service: LoopbackService) -> None:
    """A task without an id of its own is accepted, but cannot be followed (fault 36)."""
    service.on_create(Reply(json=wrap({"external_id": "e"})), purchase=True)
    run = kling("effect", "squish", PHOTO, "--no-wait")
    assert (run.code, run.lines) == (0, [service.ledger[0].task_id])
    assert "has no task id" in run.err
