"""`kling effect` as a user meets it: its options, its refusals, and the installed program."""

import subprocess

import pytest
from support.run import OTHER_PHOTO, PHOTO, Program, command, run_installed
from support.service import LoopbackService
from support.shop import Rules


def test_one_photo_one_url(service: LoopbackService) -> None:
    """The installed program prints the URL and nothing else, and says the rest on stderr."""
    service.shop.rules = Rules(looks_until_done=0)
    run = run_installed("effect", "squish", PHOTO)
    assert (run.code, run.out) == (0, f"{service.url}/videos/{service.ledger[0].task_id}.mp4\n")
    assert service.ledger[0].task_id in run.err


def test_two_processes_at_once_buy_one(service: LoopbackService) -> None:
    """Fault 95: two installed programs with the same request make one purchase."""
    argv = command("effect", "squish", PHOTO, "--no-wait")
    both = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    told = {process.communicate(timeout=60)[0] for process in both}
    assert told == {service.ledger[0].task_id + "\n"}
    assert [process.returncode for process in both] == [0, 0]
    assert len(service.ledger) == 1


def test_the_help_shows_how_it_is_used(kling: Program) -> None:
    """Help is on stdout, and names the promise that matters: bought once."""
    run = subprocess.run(command("effect", "--help"), capture_output=True, text=True, check=True)
    assert "kling effect hug_pro left.jpg right.jpg" in run.stdout
    assert "The same request is bought once" in run.stdout
    for option in ("--no-wait", "--new", "--any-scene", "--pair", "--external-task-id"):
        assert option in run.stdout
    assert kling("effect", "--help").code == 0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("effect",), "Missing argument"),
        (("effect", "squish"), "Missing argument"),
        (("effect", "squish", PHOTO, "--token", "sk"), "There is no --token"),
        (("effect", "squich", PHOTO), "Did you mean squish"),
        (("effect", "squish", PHOTO, "--timeout", "soon"), "--timeout"),
        (("effect", "squish", PHOTO, "-q", "-v"), "contradict each other"),
        (
            ("effect", "squish", PHOTO, "--sandbox", "--base-url", "https://a.example"),
            "two services",
        ),
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


def test_verbose_tells_of_each_exchange(kling: Program, service: LoopbackService) -> None:
    """-v names method, address and status, and no header."""
    run = kling("effect", "squish", PHOTO, "-v")
    assert f"POST {service.base_url}/v1/videos/effects: HTTP 200" in run.err
    assert "Bearer" not in run.err


def test_a_name_that_begins_with_a_dash_goes_behind_two(
    kling: Program, service: LoopbackService
) -> None:
    """Fault 58: after -- nothing is an option; the missing file is told by its name."""
    run = kling("effect", "squish", "--", "-photo.jpg")
    assert (run.code, service.visits) == (3, [])
    assert "-photo.jpg" in run.err
