"""From the claim to the video: waited for or not, taken up, reused, and how tasks end."""

import pytest
from support.clock import VirtualClock
from support.purchases import DAY, find_video
from support.run import PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules


def test_a_result_is_told_at_once(kling: Program, service: LoopbackService) -> None:
    """The same command again asks nobody, says that it costs nothing, and names --new."""
    assert kling("effect", "squish", PHOTO).code == 0
    visits = len(service.visits)
    run = kling("effect", "squish", PHOTO)
    assert (run.code, run.lines, len(service.visits)) == (0, [find_video(service)], visits)
    assert "was bought before; this run costs nothing. --new buys it again." in run.err


def test_a_copy_of_the_picture_is_the_same_request(
    kling: Program, service: LoopbackService
) -> None:
    """The picture's bytes count, not its name."""
    assert kling("effect", "squish", PHOTO).code == 0
    run = kling("effect", "squish", "-", stdin=PHOTO.read_bytes())
    assert (run.lines, len(service.ledger)) == ([find_video(service)], 1)


@pytest.mark.parametrize(("days", "sales"), [(29, 1), (31, 2)])
def test_a_deleted_result_is_bought_again(
    kling: Program, clock: VirtualClock, service: LoopbackService, days: int, sales: int
) -> None:
    """Fault 47: after 30 days the same command says so and buys anew; before, it is free."""
    assert kling("effect", "squish", PHOTO).code == 0
    clock.advance(days * DAY)
    run = kling("effect", "squish", PHOTO)
    assert (run.lines, len(service.ledger)) == ([find_video(service, sales - 1)], sales)
    assert ("is over 30 days old and deleted; buying a new one." in run.err) == (sales == 2)


def test_a_running_task_is_taken_up(kling: Program, service: LoopbackService) -> None:
    """Fault 46: done after our timeout, the same command prints its URL without a POST."""
    service.shop.rules = Rules(task_seconds=600)
    first = kling("effect", "squish", PHOTO, "--timeout", "60s")
    again = kling("effect", "squish", PHOTO)
    assert (first.code, again.code, again.lines) == (8, 0, [find_video(service)])
    assert service.count("POST") == 1
    assert "was bought before" in again.err


def test_no_wait_prints_the_task_id_each_time(kling: Program, service: LoopbackService) -> None:
    """Nothing is looked at; run again, it prints the same id, of a finished task, too."""
    names = {kling("effect", "squish", PHOTO, "--no-wait").out for _ in range(2)}
    assert service.count("GET") == 0
    assert kling("effect", "squish", PHOTO).code == 0
    names.add(kling("effect", "squish", PHOTO, "--no-wait").out)
    assert names == {service.ledger[0].task_id + "\n"}


def test_the_same_command_buys_a_failed_task_anew(kling: Program, service: LoopbackService) -> None:
    """Fault 42: the reason is shown, nothing is charged, and a rerun buys a new task."""
    service.shop.rules = Rules(failure="Content policy: blocked")
    run = kling("effect", "squish", PHOTO, "--json")
    error = run.json["error"]
    assert (run.code, error["code"], error["charged"]) == (5, "task_failed", "no")
    assert "Content policy: blocked" in error["message"]
    service.shop.rules = Rules()
    again = kling("effect", "squish", PHOTO)
    assert (again.lines, len(service.ledger)) == ([find_video(service, 1)], 2)
    assert "failed; buying a new one." in again.err
