"""Colours, links and annotations: what standard error is made of besides words."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from ground.replies import refuse
from ground.run import PHOTO, Program, run_installed
from ground.service import LoopbackService
from ground.shop import Rules
from ground.terminal import Terminal

ARGV = ("effect", "squish", PHOTO, "--sandbox")
QUIET_STARTS = ("kling: ", "::")


def run_in_terminal(environ: Mapping[str, str], *argv: str) -> bytes:
    """Run a refused command in a terminal, and give all bytes that it got."""
    with Terminal("effect", "squich", "photo.jpg", *argv, environ=environ) as terminal:
        assert terminal.finish() == 2
        return terminal.raw


def test_our_own_words_have_colours_on_a_terminal() -> None:
    """What went wrong stands out in red, and what to do in another colour; the rest is plain."""
    raw = run_in_terminal({})
    assert b"kling: \x1b[31merror:\x1b[0m No scene" in raw
    assert b"kling: \x1b[36mhint:\x1b[0m " in raw
    assert raw.count(b"\x1b[") == 4


@pytest.mark.parametrize(
    "environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CLICOLOR": "0"}, {"TERM": ""}]
)
def test_who_wants_no_colours_gets_not_one_escape_byte(environ: dict[str, str]) -> None:
    """Fault 115: neither colour nor link nor cursor movement, whatever else is asked for."""
    assert b"\x1b" not in run_in_terminal(environ)


def test_no_color_silences_a_whole_run() -> None:
    """Fault 115: under NO_COLOR a run on a terminal has no escape byte from beginning to end."""
    with Terminal(*ARGV, environ={"NO_COLOR": "1", "FORCE_COLOR": "1"}) as terminal:
        assert terminal.finish() == 0
        assert b"\x1b" not in terminal.raw


@pytest.mark.parametrize("name", ["FORCE_COLOR", "CLICOLOR_FORCE"])
def test_colours_can_be_asked_for_in_a_pipe(name: str) -> None:
    """Fault 115: a CI log gets the colours that it asks for, but no animation and no link."""
    run = run_installed("effect", "squich", "photo.jpg", environ={name: "1", "CI": "true"})
    assert "\x1b[31merror:\x1b[0m" in run.err
    done = run_installed(*ARGV, environ={name: "1"})
    assert (done.code, "\x1b" in done.out) == (0, False)
    assert re.sub(r"\x1b\[[0-9]+m", "", done.err).isprintable() or "\x1b" not in done.err


def test_foreign_words_get_no_colour(kling: Program, service: LoopbackService) -> None:
    """Fault 101: a message of the service cannot paint, link or command anything."""
    message = "error: \x1b[32mfine\x1b]8;;https://evil.example\x1b\\"
    service.on_create(refuse(400, 1201, message))
    run = kling("effect", "squish", PHOTO)
    assert run.code == 6
    assert r"\x1b[32mfine" in run.err
    assert "\x1b" not in run.err


class TestWorkflow:
    """In a GitHub workflow, and nowhere else, errors become annotations."""

    @pytest.mark.parametrize("value", [None, "", "false", "1"])
    def test_elsewhere_there_is_none(
        self,
        kling: Program,
        service: LoopbackService,
        monkeypatch: pytest.MonkeyPatch,
        value: str | None,
    ) -> None:
        """Without GITHUB_ACTIONS=true no line begins like a command."""
        if value is not None:
            monkeypatch.setenv("GITHUB_ACTIONS", value)
        service.shop.rules = Rules(failure="blocked")
        assert "::" not in kling("effect", "squish", PHOTO).err

    def test_a_failure_is_annotated_in_our_own_words(
        self, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fault 103: nothing of the service's message, which may be a command, is in it."""
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        service.shop.rules = Rules(failure="blocked\n::add-mask::x")
        run = kling("effect", "squish", PHOTO)
        lines = run.err.splitlines()
        assert run.code == 5
        assert lines[0] == "::group::kling"
        assert lines[-1] == "::endgroup::"
        (annotation,) = [line for line in lines if line.startswith("::error")]
        assert annotation == (
            "::error title=kling task_failed::the service ended the task as failed"
        )
        assert all(line.startswith(("kling: ", "::group", "::end", "::error ")) for line in lines)
        assert "::" not in run.out

    def test_a_failure_before_any_task_is_annotated(
        self, kling: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also a wrong command; there is nothing to fold then."""
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        run = kling("effect", "squich", "a.jpg")
        assert run.err.splitlines()[-1].startswith("::error title=kling ")
        assert "::group" not in run.err

    def test_quiet_leaves_the_annotation(
        self, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """-q leaves errors only: the group folds nothing and is left out."""
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        service.shop.rules = Rules(failure="blocked")
        run = kling("effect", "squish", PHOTO, "-q")
        assert "::error" in run.err
        assert "::group" not in run.err


def test_a_saved_clip_is_offered_by_its_file(tmp_path: Path) -> None:
    """Under -o the link leads to the file, also where its name has a blank in it."""
    with Terminal(*ARGV, "-o", f"{tmp_path}/my clip.mp4") as terminal:
        assert terminal.finish() == 0
        link = (tmp_path / "my clip.mp4").as_uri()
        assert f"\x1b]8;;{link}\x1b\\".encode() in terminal.raw


def test_quiet_offers_nothing() -> None:
    """-q leaves errors only, also on a terminal."""
    with Terminal(*ARGV, "-q") as terminal:
        assert terminal.finish() == 0
        assert b"\x1b" not in terminal.raw
