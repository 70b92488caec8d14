"""Bought once: accepted, refused, known already, reused; and what a failing journal changes."""

import re

import pytest
from support.clock import VirtualClock
from support.fault_server import FaultServer
from support.purchases import (
    DAY,
    TOKEN,
    break_journal,
    find_video,
    full_at,
    journal_path,
    list_stages,
    show,
)
from support.replies import DROP, Reply, refuse
from support.run import PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules
from support.steps import Step, answer, buy, drain, read_head, read_request
from support.wire import Connection

from kling_cli.models import Stage

RANDOM_ID = re.compile(r"kling-[0-9a-f]{26}")
DERIVED_ID = re.compile(r"kling-[a-z2-7]{26}")
HTML = {"Content-Type": "text/html"}
SOURCE = "Token refused (from KLING_TOKEN)"
TAKEN = "external_task_id already exists"


def test_the_id_is_told_before_any_waiting(kling: Program, service: LoopbackService) -> None:
    run = kling("effect", "squish", PHOTO)
    sale = service.ledger[0]
    assert (run.code, run.out) == (0, find_video(service) + "\n")
    assert f"submitted, task {sale.task_id} ({sale.external_task_id})" in run.err.splitlines()[0]
    assert DERIVED_ID.fullmatch(sale.external_task_id or "")


def test_the_same_request_has_the_same_id_on_every_machine(
    service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without our journal the derived id still meets the earlier purchase: bought once."""
    assert Program()("effect", "squish", PHOTO).code == 0
    monkeypatch.setenv("KLING_STATE_DIR", f"{journal_path().parent}-of-another-machine")
    run = Program()("effect", "squish", PHOTO, "--json")
    assert (run.code, run.json["reused"]) == (0, True)
    assert run.json["videos"][0]["url"] == find_video(service)
    assert (service.count("POST"), len(service.ledger)) == (2, 1)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        # Rows of faults 16, 17, 18, 23 and 27; all the answers are with the network's.
        (refuse(400, 1201, "bad model"), "bad model"),
        *((refuse(401, code, "?"), SOURCE) for code in (1001, 1002, 1003)),
        (refuse(429, 1101, "arrears"), "balance or resource pack"),
        (Reply(status=413, headers=HTML), "too large for the service"),
        (Reply(status=404, headers=HTML), "no effects endpoint"),
    ],
)
def test_a_refusal_ends_the_run_and_leaves_nothing(
    kling: Program, clock: VirtualClock, service: LoopbackService, reply: Reply, words: str
) -> None:
    service.on_create(reply)
    run = kling("effect", "squish", PHOTO, "--json")
    assert (run.json["error"]["charged"], words in run.err) == ("no", True)
    assert (clock.sleeps, service.count("POST"), list_stages()) == ((), 1, [])
    assert (run.json["effect_scene"], len(run.json["images"])) == ("squish", 1)
    assert TOKEN not in run.out + run.err
    assert kling("effect", "squish", PHOTO).lines == [find_video(service)]


def test_an_early_refusal_ends_the_upload(kling: Program, service: LoopbackService) -> None:
    """Fault 23: a 413 that comes while the picture is still going out is the answer."""
    early = (read_head, answer(Reply(status=413, ending="keep")), drain)
    with FaultServer(early, service=service) as server:
        run = kling("effect", "squish", PHOTO, KLING_BASE_URL=server.base_url)
    assert run.code == 6
    assert "too large for the service" in run.err


def test_a_duplicate_without_look_up_is_unknown(kling: Program, service: LoopbackService) -> None:
    """Fault 22: without a look-up by external id it is paid for, perhaps, and never resent."""
    service.shop.rules = Rules(lookup_by_external_id=False)
    service.on_create(refuse(400, 1201, TAKEN), purchase=True)
    assert kling("effect", "squish", PHOTO).code == 9
    assert kling("effect", "squish", PHOTO).code == 9
    assert service.count("POST") == 1


@pytest.mark.parametrize("is_expired", [False, True])
def test_another_machines_dead_task_is_bought_once_more(
    kling: Program, clock: VirtualClock, service: LoopbackService, *, is_expired: bool
) -> None:
    then = int((clock.time() - 31 * DAY) * 1000)
    service.on_create(refuse(400, 1201, TAKEN), purchase=True)
    service.on_look(show("succeed", updated_at=then) if is_expired else show("failed"))
    run = kling("effect", "squish", PHOTO)
    old, new = service.ledger
    assert (run.code, run.lines) == (0, [find_video(service, 1)])
    assert service.count("POST") == 2
    assert RANDOM_ID.fullmatch(new.external_task_id or "")
    fate = "was deleted after 30 days" if is_expired else "failed"
    assert f"The earlier task {old.task_id} {fate}; buying a new one." in run.err


def test_without_a_durable_step_nothing_is_sent(kling: Program, service: LoopbackService) -> None:
    """Faults 94 and 96: no POST begins, the claim is dropped, and the next run sends it."""
    break_journal(full_at(Stage.SENDING))
    run = kling("effect", "squish", PHOTO, "--json")
    assert (run.code, service.count("POST")) == (11, 0)
    error = run.json["error"]
    assert (error["code"], error["charged"]) == ("journal_write_failed", "no")
    assert "Nothing was sent." in run.err
    assert list_stages() == []
    break_journal("DROP TRIGGER full_sending")
    assert kling("effect", "squish", PHOTO).lines == [find_video(service)]
    assert len(service.ledger) == 1


def test_an_accepted_task_needs_no_journal(kling: Program, service: LoopbackService) -> None:
    """Fault 78: the id is on stderr with a warning, and the wait goes on to the video."""
    for stage in (Stage.SUBMITTED, Stage.PROCESSING, Stage.SUCCEED):
        break_journal(full_at(stage))
    run = kling("effect", "squish", PHOTO, "--json")
    assert (run.code, service.count("POST")) == (0, 1)
    assert any(service.ledger[0].task_id in warning for warning in run.json["warnings"])


def test_a_doubt_that_cannot_be_written_is_kept(kling: Program, service: LoopbackService) -> None:
    """The row then says that it was being sent, which leaves looks alone to every rerun."""
    break_journal(full_at(Stage.UNKNOWN))
    service.on_create(DROP)
    assert [kling("effect", "squish", PHOTO).code for _ in range(2)] == [9, 9]
    assert (service.count("POST"), list_stages()) == (1, [Stage.SENDING])


@pytest.mark.parametrize(
    ("steps", "code"),
    [((buy,), 0), ((answer(refuse(401, 1002, "no")),), 4)],
    ids=["lost reply", "refusal"],
)
def test_a_journal_that_vanishes_meanwhile_changes_no_answer(
    kling: Program, service: LoopbackService, steps: tuple[Step, ...], code: int
) -> None:

    def lose_journal(_connection: Connection) -> None:
        break_journal("DROP TABLE purchases")

    with FaultServer((read_request, lose_journal, *steps), service=service) as server:
        run = kling("effect", "squish", PHOTO, KLING_BASE_URL=server.base_url)
    assert run.code == code
    assert run.lines == ([] if code else [find_video(service)])
    assert ("Token refused" in run.err) == bool(code)


def test_a_result_is_told_at_once(kling: Program, service: LoopbackService) -> None:
    assert kling("effect", "squish", PHOTO).code == 0
    visits = len(service.visits)
    run = kling("effect", "squish", PHOTO)
    assert (run.code, run.lines, len(service.visits)) == (0, [find_video(service)], visits)
    assert "already exists, so this run costs nothing. Use --new for another one." in run.err


@pytest.mark.parametrize(("days", "sales"), [(29, 1), (31, 2)])
def test_a_deleted_result_is_bought_again(
    kling: Program, clock: VirtualClock, service: LoopbackService, days: int, sales: int
) -> None:
    """Fault 47: after 30 days the same command says so and buys anew; before, it is free."""
    assert kling("effect", "squish", PHOTO).code == 0
    clock.advance(days * DAY)
    run = kling("effect", "squish", PHOTO)
    assert (run.lines, len(service.ledger)) == ([find_video(service, sales - 1)], sales)
    assert ("was deleted after 30 days; buying a new one." in run.err) == (sales == 2)


def test_a_running_task_is_taken_up(kling: Program, service: LoopbackService) -> None:
    """Fault 46: done after our timeout, the same command prints its URL without a POST."""
    service.shop.rules = Rules(task_seconds=600)
    first = kling("effect", "squish", PHOTO, "--timeout", "60s")
    again = kling("effect", "squish", PHOTO)
    assert (first.code, again.code, again.lines) == (8, 0, [find_video(service)])
    assert service.count("POST") == 1
    assert "already exists" in again.err


def test_no_wait_prints_the_task_id_each_time(kling: Program, service: LoopbackService) -> None:
    names = {kling("effect", "squish", PHOTO, "--no-wait").out for _ in range(2)}
    assert service.count("GET") == 0
    assert kling("effect", "squish", PHOTO).code == 0
    names.add(kling("effect", "squish", PHOTO, "--no-wait").out)
    assert names == {service.ledger[0].task_id + "\n"}
