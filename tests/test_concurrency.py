"""What the account allows: the service's limit slows a batch down, and trouble ends it in order."""

import itertools
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from support.photos import make_photos
from support.purchases import list_stages
from support.quick import QuickClock
from support.replies import DROP, Reply, accept, describe, refuse, wrap
from support.run import Program, Run
from support.service import LoopbackService
from support.shop import Purchase, Rules

TOO_MANY = refuse(429, 1303, "parallel task over resource pack limit")
NO_SLOT = "Waiting for a running task to end."


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return make_photos(tmp_path / "photos", 12)


def list_codes(run: Run) -> dict[str, int]:
    return {Path(one["images"][0]["source"]).name: one["exit_code"] for one in run.records}


def test_the_limit_slows_a_batch_down_and_fails_nothing(
    kling: Program, service: LoopbackService, photos: list[Path]
) -> None:
    """Fault 19: twelve photos through three places are twelve purchases and few refusals."""
    service.shop.rules = Rules(concurrency_limit=3, task_seconds=40)
    run = kling("effect", "squish", *photos, "--jobs", "6", "--json")
    assert run.code == 0
    assert {one["exit_code"] for one in run.records} == {0}
    names = {sale.external_task_id for sale in service.ledger}
    assert len(run.records) == len(service.ledger) == len(names) == 12
    assert 12 + 1 <= service.count("POST") <= 12 + 8
    assert NO_SLOT in run.err


def test_a_limit_is_lifted(kling: Program, service: LoopbackService, photos: list[Path]) -> None:
    """Places come back when another program's tasks end: one more is tried each minute."""
    service.shop.rules = Rules(task_seconds=900)
    service.on_create(TOO_MANY, times=3)
    run = kling("effect", "squish", *photos[:6], "--jobs", "6")
    assert (run.code, len(service.ledger)) == (0, 6)
    first = service.ledger[0].bought_at
    # All six ran at once at last, long before the first was done.
    assert max(sale.bought_at - first for sale in service.ledger) < 600


def test_no_place_in_time(kling: Program, service: LoopbackService, photos: list[Path]) -> None:
    """Who finds no place in time ends with 7 and without a claim; a rerun buys it."""
    service.shop.rules = Rules(concurrency_limit=1, task_seconds=300)
    run = kling("effect", "squish", *photos[:2], "--jobs", "2", "--timeout", "50s", "--json")
    assert (run.code, sorted(list_codes(run).values())) == (8, [7, 8])
    (late,) = [one["error"] for one in run.records if one["exit_code"] == 7]
    # Which of the two is over first is up to the threads.
    words = {"concurrency_limit": "Nothing was accepted.", "not_started": "Not submitted"}
    assert (words[late["code"]] in late["message"], late["charged"]) == (True, "no")
    assert len(list_stages()) == len(service.ledger) == 1
    assert kling("effect", "squish", *photos[:2], "--timeout", "20m").code == 0
    assert len(service.ledger) == 2


@pytest.mark.parametrize(
    ("rules", "ending"),
    [
        pytest.param(Rules(failure="Risk control"), (None, [5] * 5), id="its task failed"),
        pytest.param(Rules(lookup_by_external_id=False), (DROP, [0, 0, 0, 0, 9]), id="unknown"),
        pytest.param(Rules(), (refuse(400, 1201, "image"), [0, 0, 0, 0, 6]), id="refused"),
    ],
)
def test_a_place_is_given_back_after_every_end(
    kling: Program,
    service: LoopbackService,
    photos: list[Path],
    rules: Rules,
    ending: tuple[Reply | None, list[int]],
) -> None:
    reply, codes = ending
    service.shop.rules = replace(rules, concurrency_limit=1, task_seconds=20)
    if reply is not None:
        service.on_create(reply)
    run = kling("effect", "squish", *photos[:5], "--jobs", "2", "--json")
    assert sorted(list_codes(run).values()) == codes


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        pytest.param(refuse(429, 1101, "account in arrears"), 7, id="1101"),
        pytest.param(refuse(401, 1002, "authorization invalid"), 4, id="401"),
        pytest.param(refuse(429, 1304, "ip whitelist"), 4, id="1304"),
    ],
)
def test_trouble_with_the_account_stops_new_submissions(
    kling: Program, service: LoopbackService, photos: list[Path], *, reply: Reply, code: int
) -> None:
    service.shop.rules = Rules(task_seconds=60)
    for photo in photos[:2]:
        assert kling("effect", "squish", photo, "--no-wait").code == 0
    service.on_create(reply, times=3)  # as many as may be on their way at that moment
    sent = service.count("POST")
    run = kling("effect", "squish", *photos, "--jobs", "3", "--json")
    assert run.code == code
    codes = list_codes(run)
    assert len(run.records) == len(codes) == 12
    assert [codes[photo.name] for photo in photos] == [0, 0, *[code] * 10]
    service.forget_scripts()
    assert service.count("POST") - sent <= 3
    assert len(service.ledger) == len(list_stages()) == 2
    refused = [one["error"] for one in run.records if one["exit_code"]]
    assert {one["charged"] for one in refused} == {"no"}
    assert {one["service_code"] for one in refused} == {refused[0]["service_code"]}
    later = [one for one in refused if one["message"].startswith("Not sent, because an earlier")]
    assert len(later) >= 7


SQUISH = ("effect", "squish")
NEVER = Rules(looks_until_done=1_000_000)
BATCH = ("--jobs", "2", "--timeout", "3s")


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
    run = kling(*SQUISH, *photos[:8], *BATCH, "--json")
    assert (run.code, len(stuck.ledger), stuck.count("POST")) == (8, 2, 2)
    assert count_codes(run) == {(8, "pending"): 2, (7, "not_started"): 6}
    left = [one for one in run.records if one["exit_code"] == 7]
    assert {(one["error"]["charged"], one["task_id"], one["reused"]) for one in left} == {
        ("no", None, False)
    }
    assert "6 not started" in run.err
    # Two errors name the tasks that go on; one speaks for the six others.
    errors = [line for line in run.err.splitlines() if line.startswith("error: ")]
    assert (len(errors), sum("timed out" in line for line in errors)) == (3, 1)
    assert all(sale.task_id in run.err for sale in stuck.ledger)
    assert {one["images"][0]["source"] for one in run.records} == set(map(str, photos[:8]))
    stuck.shop.rules = Rules()
    run = kling(*SQUISH, *photos[:8])
    assert (run.code, len(run.lines), len(stuck.ledger)) == (0, 8, 8)
    assert len({sale.images for sale in stuck.ledger}) == 8


def test_earlier_ones_are_told(
    kling: Program, service: LoopbackService, photos: list[Path]
) -> None:
    """A task of an earlier run costs nothing, so it is looked at, and its URL is printed."""
    assert kling(*SQUISH, photos[6]).code == 0
    service.shop.rules = NEVER
    assert kling(*SQUISH, photos[7], "--no-wait").code == 0
    run = kling(*SQUISH, *photos[:8], "--jobs", "1", "--timeout", "3s", "--json")
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
    run = kling(*SQUISH, *photos[:8], "--jobs", "1", "--timeout", "20s", "--json")
    assert (run.code, service.ledger) == (7, [])
    assert count_codes(run) == {(7, "concurrency_limit"): 1, (7, "not_started"): 7}
