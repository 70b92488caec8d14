"""Standard output: lines, rows, and JSON objects."""

import io
import json
from pathlib import Path

import jsonschema
import pytest
from ground.run import SCHEMA
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.errors import KlingError, LocalError, TaskFailedError
from kling_cli.outcome import Outcome
from kling_cli.output import Printer
from kling_cli.purchase import Purchase, Stage
from kling_cli.results import format_time, shape_error, shape_result, tell_status
from kling_cli.task import TaskStatus, Video

PURCHASE = Purchase(
    external_task_id="kling-1",
    fingerprint="f",
    base_url="https://h",
    effect_scene="squish",
    stage=Stage.SUCCEED,
    task_id="t-1",
    images=(
        {
            "source": "a.jpg",
            "kind": "file",
            "format": "JPEG",
            "width": 1,
            "height": 2,
            "bytes": 3,
            "sha256": "a" * 64,
            "fixes": [],
        },
    ),
    videos=(Video(id="v", url="https://h/v.mp4", duration=5.0),),
    created_at=1_700_000_000.0,
    updated_at=1_700_000_083.4,
)
KEYS = SCHEMA["$defs"]["result"]["required"]
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


def write(*cells: str) -> str:
    """Write a row, and give the bytes as text."""
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", errors="strict")
    Printer(stream, is_json=False).write_row(*cells)
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


@given(st.lists(ANY_TEXT, min_size=1, max_size=4))
def test_no_content_can_break_a_row(cells: list[str]) -> None:
    """Faults 58 and 101: whatever the cells hold, a row is one line with so many cells."""
    line = write(*cells)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert line.count("\t") == len(cells) - 1
    assert all(each.isprintable() for each in line[:-1].split("\t"))


@given(ANY_TEXT)
def test_json_is_printable_ascii_on_one_line(text: str) -> None:
    """Fault 101: a JSON line holds no byte but printable ASCII, and loses nothing of a text."""
    stream = io.StringIO()
    Printer(stream, is_json=True).write_record({"text": text})
    line = stream.getvalue()
    assert line.endswith("\n")
    assert all(" " <= each <= "~" for each in line[:-1])
    # JSON pairs two halves of a character that stand side by side.
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert json.loads(line) == {"schema": "kling/1", "text": expected}


def test_a_number_that_json_lacks_is_never_written() -> None:
    """No NaN gets into a line that claims to be JSON."""
    with pytest.raises(ValueError, match="JSON"):
        Printer(io.StringIO(), is_json=True).write_record({"elapsed": float("nan")})


def test_a_long_url_is_whole() -> None:
    """Fault 116: no line is wrapped or cut, however long a URL is."""
    url = "https://h/" + "x" * 8000
    assert write(url, "a.jpg") == f"{url}\ta.jpg\n"


def test_a_full_device_is_told_with_what_was_lost() -> None:
    """Fault 84: what standard output did not take stands in the error, for standard error."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        with pytest.raises(LocalError) as caught:
            Printer(full, is_json=False).write_line("https://h/v.mp4")
        assert "https://h/v.mp4" in caught.value.message
        assert caught.value.code == "output_failed"
        assert "costs nothing" in caught.value.hint
        with pytest.raises(OSError, match="No space"):
            full.close()


def test_a_closed_output_is_refused_before_anything_begins() -> None:
    """Fault 86: what could not tell its result does not start."""
    Printer(io.StringIO(), is_json=False).check()
    with Path("/dev/null").open(encoding="utf-8") as unwritable:
        with pytest.raises(LocalError) as caught:
            Printer(unwritable, is_json=False).check()
        assert caught.value.code == "output_closed"
        with pytest.raises(LocalError):
            Printer(unwritable, is_json=False).write_line("x")


PLANNED = {"url": "https://h/v1/videos/effects", "body": {"effect_scene": "squish"}}


def test_a_success_has_every_key() -> None:
    """A result object tells everything of a task, each key in its documented form."""
    outcome = Outcome(
        purchase=PURCHASE, elapsed=83.44, is_reused=True, plan="reuse", request=PLANNED
    )
    result = shape_result(outcome, is_sandbox=True, warnings=["careful"])
    assert list(result) == KEYS[1:]
    assert result == {
        "ok": True,
        "exit_code": 0,
        "sandbox": True,
        "task_id": "t-1",
        "external_task_id": "kling-1",
        "effect_scene": "squish",
        "task_status": "succeed",
        "task_status_msg": "",
        "created_at": "2023-11-14T22:13:20Z",
        "updated_at": "2023-11-14T22:14:43Z",
        "elapsed": 83.4,
        "reused": True,
        "plan": "reuse",
        "request": PLANNED,
        "images": list(PURCHASE.images),
        "videos": [{"id": "v", "url": "https://h/v.mp4", "duration": 5.0, "file": None}],
        "error": None,
        "warnings": ["careful"],
    }
    jsonschema.validate({"schema": "kling/1", **result}, SCHEMA)


def test_a_failure_has_every_key() -> None:
    """Where no task came about the same keys are there, and null where nothing is known."""
    error = TaskFailedError("task_failed", "It failed.", hint="again", request_id="r")
    result = shape_result(Outcome(error=error, effect_scene="squish"), is_sandbox=False)
    assert list(result) == KEYS[1:]
    assert (result["ok"], result["exit_code"]) == (False, 5)
    assert result["effect_scene"] == "squish"
    assert result["task_id"] is result["created_at"] is result["task_status"] is None
    assert result["error"] == {
        "code": "task_failed",
        "message": "It failed.",
        "hint": "again",
        "charged": "no",
        "http_status": None,
        "service_code": None,
        "request_id": "r",
    }
    jsonschema.validate({"schema": "kling/1", **result}, SCHEMA)


def test_a_task_of_another_machine_has_null_for_what_is_not_known() -> None:
    """An id typed by hand has no scene and no external id of ours: null, and not an empty word."""
    stranger = Purchase(
        external_task_id="",
        fingerprint="",
        base_url="https://h",
        effect_scene="",
        stage=Stage.SUBMITTED,
        task_id="t",
    )
    result = shape_result(Outcome(purchase=stranger), is_sandbox=False)
    assert result["external_task_id"] is result["effect_scene"] is result["created_at"] is None


@pytest.mark.parametrize(
    ("stage", "status"),
    [
        ("claimed", "unknown"),
        ("sending", "unknown"),
        ("unknown", "unknown"),
        ("submitted", "submitted"),
        ("processing", "processing"),
        ("succeed", "succeed"),
        ("failed", "failed"),
    ],
)
def test_status_words_are_the_service_s(stage: str, status: str) -> None:
    """What may not have arrived is `unknown`; all else is told in the service's own words."""
    purchase = Purchase(
        external_task_id="k",
        fingerprint="f",
        base_url="b",
        effect_scene="s",
        stage=Stage(stage),
    )
    assert tell_status(purchase) is TaskStatus(status)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, None),
        (1.0, "1970-01-01T00:00:01Z"),
        (1_790_000_000.9, "2026-09-21T14:13:20Z"),
        (1e300, None),
        (1e15, None),
        (float("nan"), None),
    ],
)
def test_times_are_utc(seconds: float, shown: str | None) -> None:
    """A time is RFC 3339 in UTC, and null where it is not known or in no calendar."""
    assert format_time(seconds) == shown


def test_an_error_object_tells_all() -> None:
    """Each argument of an error has its key in the JSON object."""
    error = KlingError(
        "c", "m", hint="h", charged="maybe", http_status=429, service_code=1303, request_id="r"
    )
    assert shape_error(error) == {
        "code": "c",
        "message": "m",
        "hint": "h",
        "charged": "maybe",
        "http_status": 429,
        "service_code": 1303,
        "request_id": "r",
    }
