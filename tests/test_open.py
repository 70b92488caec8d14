"""`--open`: the videos are shown by the system's own program."""

import time
from pathlib import Path

import pytest
from support.photos import make_photos
from support.run import PHOTO, Program
from support.service import LoopbackService

# What shows the video outlives the command.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list that the system's program for opening things writes here."""
    log, program = tmp_path / "opened", tmp_path / "bin" / "xdg-open"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$1" >> "{log}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return log


def read_opened(log: Path, *, count: int) -> list[str]:
    """Read what was opened; nobody waits for a program that shows something."""
    for _ in range(100):
        if log.exists() and len(lines := log.read_text().splitlines()) == count:
            return sorted(lines)
        time.sleep(0.05)
    raise AssertionError(f"{count} were not opened")


def test_each_saved_clip_is_opened(
    kling: Program, service: LoopbackService, tmp_path: Path, opened: Path
) -> None:
    clips = tmp_path / "clips"
    run = kling("effect", "squish", *make_photos(tmp_path, 2), "-o", f"{clips}/", "--open")
    assert run.code == 0
    assert read_opened(opened, count=2) == sorted(str(path) for path in clips.iterdir())
    assert len(service.ledger) == 2


def test_without_a_file_the_url_is_opened(
    kling: Program, service: LoopbackService, opened: Path
) -> None:
    task_id = kling("effect", "squish", PHOTO, "--no-wait").out.strip()
    run = kling("wait", task_id, "--open")
    assert read_opened(opened, count=1) == run.lines
    assert len(service.ledger) == 1


def test_more_than_ten_are_refused(
    kling: Program, service: LoopbackService, tmp_path: Path, opened: Path
) -> None:
    run = kling("effect", "squish", *make_photos(tmp_path, 11), "--open")
    assert (run.code, service.visits, opened.exists()) == (2, [], False)
    assert "--open opens 10 videos at most, but there are 11 tasks." in run.err
