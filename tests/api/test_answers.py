"""A body of any shape that the service or a relay is known to send becomes the right task."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_cli.api.answers import (
    collect_ids,
    is_known_word,
    is_plain_http,
    is_safe_id,
    judge_url,
    parse_task,
    parse_tasks,
)
from kling_cli.task import Task, TaskStatus, Video

CLIP = "https://clips.example/a.mp4"
COPY = "https://relay.example/copy.mp4"
MILLISECONDS = 1727338013674
SECONDS = 1727338013.674


def wrap(data: object) -> dict[str, object]:
    """Put a task into the service's own envelope."""
    return {"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": data}


def finish(task_id: object = "8602", **more: object) -> dict[str, object]:
    """Make a finished task with one video, as the service tells it."""
    videos = [{"id": "v-1", "url": CLIP, "duration": "5.041"}]
    return {
        "task_id": task_id,
        "task_status": "succeed",
        "task_status_msg": "",
        "task_result": {"videos": videos},
        **more,
    }


def relay(status: str, data: object = None, **more: object) -> dict[str, object]:
    """Put what the service said into a relay's envelope."""
    told = {"task_id": "task_7", "status": status, "data": data, **more}
    return {"code": "success", "message": "", "data": told}


def read(body: object) -> Task:
    """Read a body that must tell of a task."""
    task = parse_task(body)
    assert task is not None
    return task


def test_an_acceptance_is_read_whole() -> None:
    """The service's own answer to a submission gives id, status, times and request id."""
    data = {
        "task_id": "CmYgjmbyMToAAAAAAF6svw",
        "task_status": "submitted",
        "task_info": {"external_task_id": "kling-abc"},
        "created_at": MILLISECONDS,
        "updated_at": MILLISECONDS + 1000,
    }
    assert read(wrap(data)) == Task(
        task_id="CmYgjmbyMToAAAAAAF6svw",
        status=TaskStatus.SUBMITTED,
        external_task_id="kling-abc",
        word="submitted",
        created_at=SECONDS,
        updated_at=SECONDS + 1,
        request_id="r-1",
    )


def test_a_bare_acceptance_counts_as_submitted() -> None:
    """An id without any status is a task that was accepted."""
    task = read({"status": "success", "data": {"task_id": "5"}})
    assert (task.status, task.word) == (TaskStatus.SUBMITTED, "")


SUCCESSES = {
    "native": wrap(finish()),
    "array of one": wrap([finish()]),
    "callback, bare": finish(),
    "relay around an envelope": relay("SUCCESS", wrap(finish("8602")), progress="100%"),
    "relay around a bare task": relay("SUCCESS", finish("8602")),
    "relay inside a relay": relay("SUCCESS", relay("SUCCESS", wrap(finish("8602")))),
    "string of JSON": {
        "code": 0,
        "status": "ok",
        "data": {"status": "SUCCESS", "resp_data": json.dumps(wrap(finish()))},
    },
    "URL as the reason": relay("SUCCESS", None, fail_reason=CLIP),
    "result_url": relay("SUCCESS", None, fail_reason="", result_url=CLIP),
    "video_url": {"data": {"task_id": "1", "status": "SUCCESS", "video_url": CLIP}},
    "simple": {
        "code": "success",
        "data": {
            "task_id": "1",
            "status": "succeeded",
            "url": CLIP,
            "format": "mp4",
            "error": None,
        },
    },
    "flat": {"task_id": "1", "status": "completed", "url": CLIP, "metadata": {"duration": 5}},
    "OpenAI style": {
        "id": "1",
        "object": "video",
        "status": "completed",
        "progress": 100,
        "metadata": {"url": CLIP},
    },
    "200 style": {
        "code": 200,
        "msg": "success",
        "data": {"taskId": "1", "state": "completed", "resultUrls": [CLIP], "failMsg": None},
    },
    "new style": wrap([{"id": "1", "status": "succeeded", "outputs": [{"id": "o", "url": CLIP}]}]),
}


@pytest.mark.parametrize("body", SUCCESSES.values(), ids=SUCCESSES)
def test_every_shape_of_success_gives_the_video(body: object) -> None:
    """Whatever the gateway wraps around it, a finished task is done and its video is there."""
    task = read(body)
    assert task.status is TaskStatus.SUCCEED
    assert [video.url for video in task.videos] == [CLIP]
    assert task.message == ""


FAILURES = {
    "native": wrap({"task_id": "1", "task_status": "failed", "task_status_msg": "Image bad"}),
    "relay": relay("FAILURE", None, fail_reason="Image bad"),
    "relay, raw refusal inside": relay("FAILURE", {"code": 1301, "message": "Image bad"}),
    "simple": {"data": {"task_id": "1", "status": "failed", "error": {"message": "Image bad"}}},
    "error as text": {"task_id": "1", "status": "error", "error": "Image bad"},
    "200 style": {"code": 200, "data": {"taskId": "1", "state": "failed", "failMsg": "Image bad"}},
    "new style": wrap([{"id": "1", "status": "failed", "message": "Image bad"}]),
}


@pytest.mark.parametrize("body", FAILURES.values(), ids=FAILURES)
def test_every_shape_of_failure_gives_the_reason(body: object) -> None:
    """A failed task is failed even at code 0 and "SUCCEED", and its reason is shown (fault 42)."""
    task = read(body)
    assert (task.status, task.message, task.videos) == (TaskStatus.FAILED, "Image bad", ())


def test_a_failure_without_reason_has_no_message() -> None:
    """An envelope's "SUCCEED" is never taken for the reason of a failure (fault 43)."""
    body = relay("FAILURE", {"code": 0, "message": "SUCCEED", "data": None})
    assert read(body).message == ""


@pytest.mark.parametrize(
    ("word", "status", "ending"),
    [
        ("SUBMITTED", TaskStatus.SUBMITTED, None),
        ("queued", TaskStatus.SUBMITTED, None),
        ("NOT_START", TaskStatus.SUBMITTED, None),
        ("pending", TaskStatus.SUBMITTED, None),
        ("In Progress", TaskStatus.PROCESSING, None),
        ("in-progress", TaskStatus.PROCESSING, None),
        ("generating", TaskStatus.PROCESSING, None),
        ("Running", TaskStatus.PROCESSING, None),
        ("SUCCESS", TaskStatus.SUCCEED, None),
        ("done", TaskStatus.SUCCEED, None),
        ("finished", TaskStatus.SUCCEED, None),
        ("Fail", TaskStatus.FAILED, None),
        ("canceled", TaskStatus.FAILED, "cancelled"),
        ("CANCELLED", TaskStatus.FAILED, "cancelled"),
        ("Expired", TaskStatus.FAILED, "expired"),
    ],
)
def test_synonyms_are_understood(word: str, status: TaskStatus, ending: str | None) -> None:
    """Status words count in any case, and a cancelled or expired task is told apart (fault 44)."""
    task = read(wrap({"task_id": "1", "task_status": word}))
    assert (task.status, task.ending, task.word) == (status, ending, word)
    assert is_known_word(task.word)


@pytest.mark.parametrize("word", ["UNKNOWN", "paused by staff", "x" * 5000])
def test_an_unknown_word_is_still_running(word: str) -> None:
    """A word without a meaning here is no verdict, and is kept for the warning (fault 37)."""
    task = read(wrap({"task_id": "1", "task_status": word}))
    assert task.status is TaskStatus.PROCESSING
    assert task.word == word[:100]
    assert not is_known_word(task.word)


@pytest.mark.parametrize(
    ("outer", "inner", "status"),
    [
        ("IN_PROGRESS", finish(), TaskStatus.SUCCEED),
        ("FAILURE", finish(), TaskStatus.SUCCEED),
        ("FAILURE", {"task_id": "1", "task_status": "processing"}, TaskStatus.FAILED),
        ("SUCCESS", {"task_id": "1", "task_status": "processing"}, TaskStatus.PROCESSING),
        ("SUCCESS", {"task_id": "1", "task_status": "failed"}, TaskStatus.FAILED),
        ("FAILURE", {"task_id": "1", "task_status": "succeed"}, TaskStatus.SUCCEED),
        ("SUCCESS", finish(task_status="odd"), TaskStatus.SUCCEED),
        ("QUEUED", {}, TaskStatus.SUBMITTED),
    ],
)
def test_relay_and_service_may_disagree(
    outer: str, inner: dict[str, object], status: TaskStatus
) -> None:
    """The service's verdict counts; the relay's failure ends what the service has running."""
    assert read(relay(outer, inner)).status is status


def test_an_envelope_status_is_no_verdict() -> None:
    """An envelope's "error" around a task that runs says nothing about that task."""
    body = {"status": "error", "data": {"task_id": "1", "task_status": "processing"}}
    assert read(body).status is TaskStatus.PROCESSING


def test_the_relays_id_is_the_one_to_ask_for() -> None:
    """A relay's own id comes out, and every id is known for recognising the task (fault 41)."""
    info = {"external_task_id": "kling-abc"}
    body = relay("SUCCESS", wrap(finish("8602", task_info=info)), id=12)
    task = read(body)
    assert (task.task_id, task.external_task_id) == ("task_7", "kling-abc")
    assert collect_ids(body) == {"task_7", "8602", "kling-abc"}


@pytest.mark.parametrize(
    "told",
    [{"task_info": {"external_task_id": "e"}}, {"external_task_id": "e"}, {"external_id": "e"}],
)
def test_an_external_id_alone_is_a_task(told: dict[str, object]) -> None:
    """A task that only its external id names is recognised, without any id of the service."""
    task = read(wrap({"task_status": "submitted", **told}))
    assert (task.task_id, task.external_task_id) == (None, "e")


@pytest.mark.parametrize(
    "task_id",
    [
        "815336894036197446",
        "CjNQ+w==",
        "task_Ab-9",
        "123e4567-e89b-12d3-a456-426614174000",
        "a" * 128,
    ],
)
def test_ids_of_any_make_are_kept(task_id: str) -> None:
    """Digits, base64, UUIDs and a relay's ids come through unchanged."""
    assert is_safe_id(task_id)
    assert read(wrap({"task_id": task_id})).task_id == task_id


def test_a_number_becomes_a_string() -> None:
    """An id that a gateway sends as a number loses no digit (fault 36)."""
    assert read({"data": {"task_id": 815336894036197446}}).task_id == "815336894036197446"


@pytest.mark.parametrize(
    "task_id",
    [
        "a/b", "..", ".", "a..b", "a\x1b[0m", "a?b", "", " ", "é", "x" * 10_240, "a\n",
        True, None, 1.5, 0, -1, 10**128, ["1"], {"a": 1},
    ],
)  # fmt: skip
def test_an_unsafe_id_is_no_id(task_id: object) -> None:
    """An id that could escape from a URL or a path never gets anywhere (fault 36)."""
    body = wrap({"task_id": task_id, "task_status": "submitted"})
    assert parse_task(body) is None
    assert collect_ids(body) == frozenset()


def test_an_endless_number_is_no_id() -> None:
    """A number of thousands of digits is refused without being written out (fault 36)."""
    assert parse_task(wrap({"task_id": 10**5000})) is None


@pytest.mark.parametrize(
    "body",
    [
        None, True, 0, 1.5, "", '{"task_id": "1"}', [], [{"task_id": "1"}], {}, {"data": None},
        {"code": 0, "data": []}, {"code": 0, "data": "not JSON"}, {"id": "chatcmpl-1"},
        {"code": 1203, "message": "task not found", "request_id": "r"},
        wrap([{"task_id": "1"}, {"task_id": "2"}]),
        wrap('{"task_id": "1", "task_id": "2"}'), wrap("\ud800"), wrap("[" * 100_000),
    ],
)  # fmt: skip
def test_what_tells_of_no_single_task_is_none(body: object) -> None:
    """Without one task that has an id there is none (faults 34, 36)."""
    assert parse_task(body) is None


def test_nesting_has_an_end() -> None:
    """An answer nested beyond all reason tells of no task, and is not followed to its end."""
    body: dict[str, object] = {"task_id": "1"}
    for _ in range(50):
        body = {"data": body}
    assert parse_task(body) is None


def test_a_list_gives_its_tasks_in_order() -> None:
    """The list call's tasks are all read; what is no task among them is left out."""
    body = wrap([{"task_id": "2"}, None, {"no": "task"}, finish("1"), "x"])
    assert [task.task_id for task in parse_tasks(body)] == ["2", "1"]


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (wrap([]), []),
        (wrap([finish("1")]), ["1"]),
        (wrap(finish("1")), ["1"]),
        ({"code": "success", "data": wrap([{"task_id": "1"}, {"task_id": "2"}])}, ["1", "2"]),
        (None, []),
    ],
)
def test_a_list_of_any_size_is_read(body: object, ids: list[str]) -> None:
    """No task, one task and a list inside a relay's envelope are lists too."""
    assert [task.task_id for task in parse_tasks(body)] == ids


def videos_of(*entries: object) -> tuple[Video, ...]:
    """Read the videos of a finished task whose result lists these entries."""
    return read(wrap(finish(task_result={"videos": list(entries)}))).videos


def test_all_videos_come_in_order_and_once() -> None:
    """Two videos stay two, in their order; the same URL told twice is one (fault 39)."""
    entries = ({"url": CLIP, "id": "a"}, {"url": COPY}, {"url": CLIP, "id": "b"})
    assert videos_of(*entries) == (Video(url=CLIP, id="a"), Video(url=COPY))


def test_a_relays_copy_is_no_second_video() -> None:
    """A clip that the relay also keeps under its own URL is delivered once."""
    body = relay("SUCCESS", wrap(finish()), result_url=COPY)
    assert [video.url for video in read(body).videos] == [CLIP]


def test_a_running_task_has_no_videos() -> None:
    """A URL beside a running status is not delivered."""
    assert read({"task_id": "1", "status": "processing", "url": CLIP}).videos == ()


@pytest.mark.parametrize(
    "result",
    [
        None, {}, {"videos": None}, {"videos": []}, {"videos": [{}]}, {"videos": [{"url": ""}]},
        {"videos": [{"url": 5}]}, {"images": [{"index": 0, "url": "https://x.example/a.png"}]}, [],
    ],
)  # fmt: skip
def test_success_without_a_video_has_none(result: object) -> None:
    """A success that names no video, or only images, is told as it is (fault 38)."""
    task = read(wrap(finish(task_result=result)))
    assert (task.status, task.videos) == (TaskStatus.SUCCEED, ())


def test_a_reason_that_is_no_url_is_no_video() -> None:
    """Words in the place where older relays put the URL are never taken for one."""
    assert read(relay("SUCCESS", None, fail_reason="none")).videos == ()


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("5.041", 5.041), (5, 5.0), ("0", 0.0), ("nan", None), ("inf", None), ("-2", None),
        (-1, None), ("five", None), (None, None), (True, None), ([5], None), (10**400, None),
        ("9" * 5000, None),
    ],
)  # fmt: skip
def test_a_duration_is_seconds_or_nothing(told: object, seconds: float | None) -> None:
    """A duration comes as a string of seconds; what is none is left out."""
    assert videos_of({"url": CLIP, "duration": told})[0].duration == seconds


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (MILLISECONDS, SECONDS), (1727338013, 1727338013.0), (99_999_999_999, 99_999_999_999.0),
        (100_000_000_000, 100_000_000.0), ("1727338014", 1727338014.0),
        (0, None), (-5, None), (10**20, None), (10**400, None), ("soon", None), (True, None),
    ],
)  # fmt: skip
def test_times_are_told_apart_by_size(told: object, seconds: float | None) -> None:
    """Milliseconds and seconds both come out as seconds; nonsense as nothing."""
    assert read({"task_id": "1", "created_at": told}).created_at == seconds


def test_a_relays_times_are_read() -> None:
    """A relay's submit and finish times, in seconds, stand in for the service's own."""
    task = read(relay("SUCCESS", None, submit_time=100, start_time=150, finish_time=200))
    assert (task.created_at, task.updated_at) == (100.0, 200.0)


def test_half_characters_do_not_get_in() -> None:
    """A lone surrogate in a text can be printed and stored like any other text."""
    task = read(wrap({"task_id": "1", "task_status": "failed", "task_status_msg": "a\ud800"}))
    assert task.message == "a\\ud800"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://clips.example/a.mp4", None),
        ("HTTPS://clips.example:8443/a.mp4?x-kcdn-pid=112452", None),
        ("javascript:alert(1)", "begins with javascript"),
        ("file:///etc/passwd", "begins with file"),
        ("a.mp4", "no scheme"),
        ("https://me:secret@clips.example/a.mp4", "user name"),
        ("https://@clips.example/a.mp4", "user name"),
        ("https://clips.example/\x1b[0m", "cannot be shown"),
        ("https://clips.example/\u202egpj", "cannot be shown"),
        ("https://clips.example/a b", "space"),
        ("https://clips.example\\@evil.example/", "backslash"),
        ("https:///a.mp4", "no host"),
        ("https://clips.example:0/", "no host"),
        ("https://clips.example:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://clips.example/" + "a" * 8200, "8192"),
        ("", "no scheme"),
    ],
)
def test_a_result_url_is_judged(url: str, words: str | None) -> None:
    """Only a web address that shows what it is may be printed or opened (fault 40)."""
    problem = judge_url(url, allow_file=False)
    assert (problem is None) if words is None else (problem is not None and words in problem)
    assert problem is None or "secret" not in problem


def test_the_sandbox_may_give_a_file() -> None:
    """A file: URL is good where the caller says so, and a web address stays good there."""
    assert judge_url("file:///tmp/clip.mp4", allow_file=True) is None
    assert judge_url(CLIP, allow_file=True) is None
    assert judge_url("ftp://clips.example/a", allow_file=True) is not None


def test_plain_http_is_told_apart() -> None:
    """A caller can warn of an address that goes over the wire unprotected."""
    assert is_plain_http("HTTP://clips.example/a.mp4")
    assert not is_plain_http(CLIP)


KEYS = st.sampled_from(
    [
        "task_id", "taskId", "id", "data", "resp_data", "task_status", "status", "state",
        "task_status_msg", "fail_reason", "error", "failMsg", "message", "msg", "task_result",
        "videos", "images", "outputs", "resultUrls", "result_url", "video_url", "url",
        "metadata", "duration", "created_at", "updated_at", "submit_time", "finish_time",
        "task_info", "external_task_id", "external_id", "request_id", "code",
    ]
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([CLIP, "succeed", "failed", "odd", "1", "../x", "\ud800", 10**400, "\x1b[2J"])
    | st.sampled_from(list(SUCCESSES.values())).map(json.dumps)
)
BODIES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner), max_leaves=25
)


@settings(max_examples=200, deadline=None)
@given(BODIES)
def test_any_json_at_all_is_read_without_a_fall(body: object) -> None:
    """Whatever JSON arrives, reading it ends, and every text and id in the result is sound."""
    told = [task for task in (parse_task(body), *parse_tasks(body)) if task is not None]
    for task in told:
        ids = [task.task_id, task.external_task_id]
        assert any(ids)
        assert all(is_safe_id(one) for one in ids if one is not None)
        texts = [
            task.word,
            task.message,
            task.request_id or "",
            *(video.url for video in task.videos),
        ]
        assert all(text.encode().decode() == text for text in texts)
        assert task.status in (*TaskStatus,)
        times = (task.created_at, task.updated_at, *(video.duration for video in task.videos))
        assert all(time is None or 0 <= time < float("inf") for time in times)
    assert all(is_safe_id(one) for one in collect_ids(body))
