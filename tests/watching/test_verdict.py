"""What a task amounts to is told in one way, wherever it is asked."""

from dataclasses import replace

import pytest

from kling_cli.errors import ExitCode
from kling_cli.purchase import RESULT_LIFE_SECONDS, Purchase, Stage
from kling_cli.task import Video
from kling_cli.watching.verdict import judge

DONE = Purchase(
    external_task_id="kling-mine",
    fingerprint="f",
    base_url="https://example.com",
    effect_scene="squish",
    stage=Stage.SUCCEED,
    task_id="815",
    videos=(Video(url="https://example.com/v.mp4"),),
    finished_at=1000.0,
)


def test_a_video_that_can_be_used_is_no_error() -> None:
    """A finished task with good URLs is what was bought."""
    assert judge(DONE, now=1001) is None


@pytest.mark.parametrize(
    ("stage", "code", "exit_code", "charged"),
    [
        (Stage.CLAIMED, "submission_unknown", ExitCode.UNKNOWN, "maybe"),
        (Stage.SENDING, "submission_unknown", ExitCode.UNKNOWN, "maybe"),
        (Stage.UNKNOWN, "submission_unknown", ExitCode.UNKNOWN, "maybe"),
        (Stage.SUBMITTED, "pending", ExitCode.PENDING, "yes"),
        (Stage.PROCESSING, "pending", ExitCode.PENDING, "yes"),
        (Stage.FAILED, "task_failed", ExitCode.TASK_FAILED, "no"),
    ],
)
def test_each_stage_has_its_error(
    stage: Stage, code: str, exit_code: ExitCode, charged: str
) -> None:
    """Each stage short of success has its own code, exit code and word on money."""
    error = judge(replace(DONE, stage=stage), now=1001)
    assert error is not None
    assert (error.code, error.exit_code, error.charged) == (code, exit_code, charged)
    assert "815" in error.message


@pytest.mark.parametrize(
    ("ending", "said"),
    [(None, "failed"), ("cancelled", "was cancelled"), ("expired", "expired")],
)
@pytest.mark.parametrize(
    ("message", "reason"),
    [("", "; it gave no reason."), ("Risk control.", ": Risk control.")],
)
def test_failures_tell_what_the_service_told(
    ending: str | None, said: str, message: str, reason: str
) -> None:
    """The reason is the service's own, and a missing one is called missing (faults 42-44)."""
    error = judge(
        replace(DONE, stage=Stage.FAILED, message=message),
        now=1001,
        ending=ending,
        request_id="request-7",
    )
    assert error is not None
    assert error.code == f"task_{ending or 'failed'}"
    assert error.message == f"Task 815 {said} at the service{reason}"
    assert error.request_id == "request-7"
    assert "buys a new one" in error.hint


def test_a_failed_task_without_an_id_of_the_service_is_named() -> None:
    """A task that only its external id names is told by that."""
    error = judge(replace(DONE, stage=Stage.FAILED, task_id=None), now=1001)
    assert error is not None
    assert "kling-mine" in error.message


@pytest.mark.parametrize(("extra", "code"), [(0.0, None), (1.0, "result_expired")])
def test_results_live_thirty_days(extra: float, code: str | None) -> None:
    """Up to the 30th day the result counts, then it is gone for good (fault 47)."""
    error = judge(DONE, now=1000 + RESULT_LIFE_SECONDS + extra)
    assert (error.code if error else None) == code


def test_success_without_a_video_is_no_success() -> None:
    """Success that names no video is told as paid for, with the request id (fault 38)."""
    error = judge(replace(DONE, videos=()), now=1001, request_id="request-7")
    assert error is not None
    assert (error.code, error.charged, error.request_id) == ("result_missing", "yes", "request-7")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://user:secret@example.com/v.mp4",
        "https://example.com/\x1b]52;c;aGk=\x07",
        "https://example.com/" + "v" * 1_000_000,
        "ftp://example.com/v.mp4",
        "https:///v.mp4",
        "https://[::1/v.mp4",
    ],
)
def test_bad_result_urls_are_refused(url: str) -> None:
    """A URL that nobody should open is refused, shortened and cleaned (fault 40)."""
    bad = replace(DONE, videos=(*DONE.videos, Video(url=url)))
    error = judge(bad, now=1001)
    assert error is not None
    assert (error.code, error.exit_code, error.charged) == (
        "invalid_result_url",
        ExitCode.REFUSED,
        "yes",
    )
    assert len(error.message) < 1000
    assert error.message.isprintable()
    assert "secret" not in error.message


def test_only_the_sandbox_makes_files() -> None:
    """A file: URL is good from the embedded sandbox alone (fault 40)."""
    clip = replace(DONE, videos=(Video(url="file:///tmp/clip.mp4"),))
    assert judge(clip, now=1001, is_sandbox=True) is None
