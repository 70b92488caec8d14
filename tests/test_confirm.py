"""One question before several tasks are bought, where a person can answer it."""

import re
import time
from pathlib import Path

import pytest
from support.photos import make_photos
from support.run import PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules
from support.terminal import Terminal

SQUISH = ("effect", "squish", "--no-wait")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return make_photos(tmp_path / "photos", 4)


@pytest.fixture(autouse=True)
def _finish_at_once(service: LoopbackService) -> None:
    service.shop.rules = Rules(looks_until_done=0)


@pytest.mark.parametrize("answer", ["y\r", " YES \r"])
def test_yes_buys(service: LoopbackService, photos: list[Path], answer: str) -> None:
    with Terminal(*SQUISH, *photos) as terminal:
        question = terminal.wait_for("Buy?")
        assert question == "4 photos, 4 new tasks. Buy? [y/N]"
        assert service.visits == []
        assert not terminal.is_cursor_hidden
        terminal.type(answer)
        assert terminal.finish() == 0
    assert len(service.ledger) == 4


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("\r", id="nothing"),
        pytest.param("yessir\r", id="something else"),
        pytest.param("\x04", id="Ctrl-D"),
        pytest.param("y\x03", id="Ctrl-C on second thought"),
    ],
)
def test_any_other_buys_nothing(service: LoopbackService, photos: list[Path], answer: str) -> None:
    """It ends with 130 like any stop; the message begins a line of its own."""
    with Terminal(*SQUISH, *photos) as terminal:
        terminal.wait_for("Buy?")
        for key in answer:  # as fast as a person types, and not before the program can read
            time.sleep(0.1)
            terminal.type(key)
        assert terminal.finish() == 130
        lines = terminal.lines
        assert {"Nothing was bought.", "Stopped. Nothing was sent."} & set(lines)
        assert not any(re.match(r"[⠀-⣿] ", line) for line in lines)
        assert not terminal.is_cursor_hidden
    assert service.visits == []


def test_the_question_counts_each_kind(
    kling: Program, service: LoopbackService, photos: list[Path], tmp_path: Path
) -> None:
    assert kling(*SQUISH, photos[0]).code == 0
    twin = tmp_path / "twin.jpg"
    twin.write_bytes(photos[1].read_bytes())
    sent = len(service.visits)
    inputs = (*photos, twin, photos[0], tmp_path / "missing.jpg")
    with Terminal(*SQUISH, *inputs, "--json", "-q") as terminal:
        question = terminal.wait_for("Buy?")
        assert question == "7 photos, 3 new tasks, 1 already made, 1 refused. Buy? [y/N]"
        terminal.type("n\r")
        assert terminal.finish() == 130
        assert '"exit_code": 130' in "".join(terminal.lines)
    assert len(service.visits) == sent


@pytest.mark.parametrize(
    ("before", "more"), [(3, ""), (4, ""), (0, "--yes"), (0, "--dry-run"), (0, "--sandbox")]
)
def test_some_runs_never_ask(
    kling: Program, service: LoopbackService, photos: list[Path], before: int, more: str
) -> None:
    """One new task or none, --yes, a rehearsal and the sandbox; else nobody reads the question."""
    for photo in photos[:before]:
        assert kling(*SQUISH, photo).code == 0
    with Terminal(*SQUISH, *photos, *more.split()) as terminal:
        assert terminal.finish() == 0
        assert "Buy?" not in "\n".join(terminal.lines)
    assert len(service.ledger) == (0 if more in ("--dry-run", "--sandbox") else 4)


def test_one_ended_scene_is_asked_about(service: LoopbackService, photos: list[Path]) -> None:
    """The warning with date and successor stands before the question; a no buys nothing."""
    with Terminal("effect", "kiss", *photos[:2]) as terminal:
        terminal.wait_for("2 photos, 1 new task. Buy? [y/N]")
        assert (
            "! The provider ended kiss on 2026-01-30. Its successor is kiss_pro." in terminal.lines
        )
        terminal.type("n\r")
        assert terminal.finish() == 130
    assert service.visits == []


HOST = "https://api-singapore.klingai.com"


@pytest.mark.parametrize(
    ("scene", "base_url", "warning"),
    [
        (
            "pet_lion",
            "https://api.gpt.ge/kling",
            "ended pet_lion on 2026-01-30. Its successor is pet_lion_pro.",
        ),
        ("celebration", "https://kling.ai.example", "ended celebration on 2025-12-30."),
        ("squish", HOST, "retired kling-v1-6, the model of squish, on 2026-09-15."),
        ("squish", "https://kling.ai.example", None),
        ("pet_lion_pro", HOST, None),
    ],
)
def test_what_has_ended_is_warned_about(
    kling: Program, monkeypatch: pytest.MonkeyPatch, scene: str, base_url: str, warning: str | None
) -> None:
    monkeypatch.setenv("KLING_TOKEN", "sk-anywhere")
    run = kling("effect", scene, PHOTO, "--base-url", base_url, "--dry-run", "--json")
    warnings = [f"The provider {warning}"] if warning else []
    assert (run.code, run.json["warnings"]) == (0, warnings)
    said = [line for line in run.err.splitlines() if "The provider" in line]
    assert said == [f"warning: {one}" for one in warnings]


def test_a_rerun_warns_of_nothing(
    kling: Program, service: LoopbackService, photos: list[Path]
) -> None:
    """The rerun of an ended scene buys nothing, so it has nothing to warn about."""
    first = kling("effect", "kiss", *photos[:2], "--json", "--no-wait")
    again = kling("effect", "kiss", *photos[:2], "--json", "--no-wait")
    assert (len(first.json["warnings"]), again.json["warnings"]) == (1, [])
    assert len(service.ledger) == 1
