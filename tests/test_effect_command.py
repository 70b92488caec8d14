"""`kling effect` as a user meets it: its options, its refusals, and the installed program."""

import pytest
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("effect",), "Missing argument"),
        (("effect", "squish"), "Missing argument"),
        (("effect", "squish", PHOTO, "--token", "sk"), "There is no --token"),
        (("effect", "squich", PHOTO), "Did you mean squish"),
        (("effect", "squish", PHOTO, "--timeout", "soon"), "--timeout"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_starts(
    kling: Program, service: LoopbackService, argv: tuple[object, ...], words: str
) -> None:
    """It ends with 2, what is wrong is on stderr, and under --json it is one object."""
    run = kling(*map(str, argv), "--json")
    assert (run.code, run.json["exit_code"], run.json["ok"]) == (2, 2, False)
    assert words in run.err
    assert service.visits == []


@pytest.mark.parametrize("more", [(), ("--any-scene",)])
def test_a_pair_of_a_scene_for_one_is_refused(
    kling: Program, service: LoopbackService, more: tuple[str, ...]
) -> None:
    """--pair never turns into two tasks without a word: that would be paid twice."""
    run = kling("effect", "squish", PHOTO, OTHER_PHOTO, "--pair", *more)
    assert (run.code, service.visits) == (2, [])
    assert "squish takes one picture" in run.err
    assert "Leave --pair out" in run.err


def test_a_pair_of_a_scene_for_two_is_no_contradiction(
    kling: Program, service: LoopbackService
) -> None:
    """--pair says of hug what the catalogue says anyway."""
    assert kling("effect", "hug", PHOTO, OTHER_PHOTO, "--pair").code == 0
    assert len(service.ledger) == 1


def test_a_name_that_begins_with_a_dash_goes_behind_two(
    kling: Program, service: LoopbackService
) -> None:
    """Fault 58: after -- nothing is an option; the missing file is told by its name."""
    run = kling("effect", "squish", "--", "-photo.jpg")
    assert (run.code, service.visits) == (3, [])
    assert "-photo.jpg" in run.err
