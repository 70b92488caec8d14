"""--timeout is for each task, and once one has run into it the batch buys nothing new."""

import itertools
import threading
from collections import Counter
from pathlib import Path

import pytest
from support.photos import make_photos
from support.quick import QuickClock
from support.replies import Reply, accept, describe, refuse, wrap
from support.run import Program, Run
from support.service import LoopbackService
from support.shop import Purchase, Rules

SQUISH = ("effect", "squish")
NEVER = Rules(looks_until_done=1_000_000)
BATCH = ("--jobs", "2", "--timeout", "3s")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return make_photos(tmp_path / "photos", 8)


@pytest.fixture
def stuck(service: LoopbackService) -> LoopbackService:
    both = threading.Barrier(2, timeout=30)

    def accept_together(sale: Purchase | None) -> object:
        both.wait()
        return accept(sale)

    service.shop.rules = NEVER
    service.on_create(Reply(json=accept_together), purchase=True, times=2)
    return service


def count_codes(run: Run) -> Counter[tuple[int, str]]:
    return Counter((one["exit_code"], (one["error"] or {}).get("code", "")) for one in run.records)


def test_a_timeout_ends_buying(kling: Program, stuck: LoopbackService, photos: list[Path]) -> None:
    """Two of eight tasks run into the timeout: two purchases, and 8; a rerun buys the rest once."""
    run = kling(*SQUISH, *photos, *BATCH, "--json")
    assert (run.code, len(stuck.ledger), stuck.count("POST")) == (8, 2, 2)
    assert count_codes(run) == {(8, "pending"): 2, (7, "not_started"): 6}
    left = [one for one in run.records if one["exit_code"] == 7]
    assert {(one["error"]["charged"], one["task_id"], one["reused"]) for one in left} == {
        ("no", None, False)
    }
    assert "6 not started" in run.err
    # Two errors name the tasks that go on; one speaks for the six others.
    errors = [line for line in run.err.splitlines() if line.startswith("error: ")]
    assert (len(errors), sum("--timeout" in line for line in errors)) == (3, 1)
    assert all(sale.task_id in run.err for sale in stuck.ledger)
    assert {one["images"][0]["source"] for one in run.records} == set(map(str, photos))
    stuck.shop.rules = Rules()
    run = kling(*SQUISH, *photos)
    assert (run.code, len(run.lines), len(stuck.ledger)) == (0, 8, 8)
    assert len({sale.images for sale in stuck.ledger}) == 8


def test_earlier_ones_are_told(
    kling: Program, service: LoopbackService, photos: list[Path]
) -> None:
    """A task of an earlier run costs nothing, so it is looked at, and its URL is printed."""
    assert kling(*SQUISH, photos[6]).code == 0
    service.shop.rules = NEVER
    assert kling(*SQUISH, photos[7], "--no-wait").code == 0
    run = kling(*SQUISH, *photos, "--jobs", "1", "--timeout", "3s", "--json")
    assert (run.code, len(service.ledger)) == (8, 3)
    assert count_codes(run) == {(0, ""): 1, (8, "pending"): 2, (7, "not_started"): 5}


def test_waiting_for_a_place_is_not_sent(service: LoopbackService, photos: list[Path]) -> None:
    """The place of the task that has run into the timeout stays empty.

    The first task ends in the midst of the second's time; the third finds the account full, and
    would have time left when the second's is over.
    """
    looks = itertools.count(1)

    def tell(sale: Purchase | None) -> object:
        assert sale is not None
        if sale != service.ledger[0] or next(looks) < 2:
            return wrap(describe(sale, "processing"))
        return wrap(service.describe(sale, "succeed"))

    service.on_create(Reply(json=accept), purchase=True, times=2)
    service.on_create(refuse(429, 1303, "parallel task over resource pack limit"))
    service.on_look(Reply(json=tell), times=100)
    kling = Program(clock=QuickClock(speed=15))
    run = kling(*SQUISH, *photos[:3], "--jobs", "2", "--timeout", "40s", "--json")
    service.forget_scripts()
    assert (run.code, len(service.ledger), service.count("POST")) == (8, 2, 3)
    assert count_codes(run) == {(0, ""): 1, (8, "pending"): 1, (7, "not_started"): 1}


def test_a_busy_service_is_not_asked_for_each_photo(
    kling: Program, service: LoopbackService, photos: list[Path]
) -> None:
    service.shop.rules = Rules(concurrency_limit=0)
    run = kling(*SQUISH, *photos, "--jobs", "1", "--timeout", "20s", "--json")
    assert (run.code, service.ledger) == (7, [])
    assert count_codes(run) == {(7, "concurrency_limit"): 1, (7, "not_started"): 7}
