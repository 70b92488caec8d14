"""`kling status`: one look at each task, a row for each, and an exit code for all."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import START
from support.replies import DROP
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules

from kling_cli.journal import Journal
from kling_cli.models import Purchase as PurchaseRow
from kling_cli.models import Stage


def buy(kling: Program, *photos: Path) -> list[str]:
    """Buy a task for each photo without waiting; returns their ids in order."""
    return [kling("effect", "squish", photo, "--no-wait").out.strip() for photo in photos]


def test_running_task(kling: Program, service: LoopbackService) -> None:
    """A task that goes on is a row with an empty third cell, exit 8, and no talk."""
    (task_id,) = buy(kling, PHOTO)
    run = kling("status", task_id)
    assert (run.code, run.out, run.err) == (8, f"{task_id}\tprocessing\t\n", "")
    assert service.count("GET") == 1


def test_running_task_as_json(kling: Program, service: LoopbackService) -> None:
    """The object of a running task tells how to go on, and that it is paid for."""
    (task_id,) = buy(kling, PHOTO)
    result = kling("status", task_id, "--json").json
    assert (result["ok"], result["exit_code"], result["task_status"]) == (False, 8, "processing")
    assert (result["effect_scene"], result["reused"]) == ("squish", True)
    assert result["external_task_id"] == service.ledger[0].external_task_id
    error = result["error"]
    assert (error["code"], error["charged"]) == ("pending", "yes")
    assert (error["hint"], task_id in error["message"]) == (f"kling wait {task_id}", True)
    assert "fail" not in error["message"]


def test_finished_task(kling: Program, service: LoopbackService) -> None:
    """A finished task's row ends with the URL, and the exit code is 0."""
    service.shop.rules = Rules(looks_until_done=0)
    (task_id,) = buy(kling, PHOTO)
    run = kling("status", task_id)
    assert run.out == f"{task_id}\tsucceed\t{service.url}/videos/{task_id}.mp4\n"
    assert (run.code, run.err) == (0, "")


def test_failed_task(kling: Program, service: LoopbackService) -> None:
    """A failed task's row ends with the reason on one line, and the exit code is 5."""
    service.shop.rules = Rules(looks_until_done=0, failure="Not\tthis\n\x1b[31mpicture")
    (task_id,) = buy(kling, PHOTO)
    run = kling("status", task_id)
    assert run.out == f"{task_id}\tfailed\tNot this \\x1b[31mpicture\n"
    assert (run.code, run.err) == (5, "")


def test_several_tasks_keep_their_order(kling: Program, service: LoopbackService) -> None:
    """Rows come in the order of the arguments; the exit code is the one costliest to ignore."""
    first, second = buy(kling, PHOTO, OTHER_PHOTO)
    assert kling("wait", second).code == 0
    run = kling("status", second, first, "nobodys")
    assert [line.split("\t")[:2] for line in run.lines] == [
        [second, "succeed"],
        [first, "processing"],
        ["nobodys", "unknown"],
    ]
    assert run.code == 8
    assert "error: nobodys: The service does not know task nobodys." in run.err
    records = kling("status", second, first, "nobodys", "--json").records
    assert [record["exit_code"] for record in records] == [0, 0, 6]
    assert len(service.ledger) == 2


def test_without_arguments_all_unfinished(kling: Program, service: LoopbackService) -> None:
    """Without TASK each unfinished task of this machine is looked at, the newest first."""
    service.shop.rules = Rules(task_seconds=1000)
    first, second = buy(kling, PHOTO, OTHER_PHOTO)
    assert [line.split("\t")[0] for line in kling("status").lines] == [second, first]


def test_nothing_unfinished(kling: Program, service: LoopbackService) -> None:
    """With nothing unfinished nobody is asked, stdout stays empty, and a line says so."""
    run = kling("status")
    assert (run.code, run.out) == (0, "")
    assert run.err == "No task of this machine is unfinished.\n"
    assert kling("status", "--json", "-q") == replace(run, err="")
    assert service.visits == []


def test_both_ids_are_one_task(kling: Program, service: LoopbackService) -> None:
    """A task named by both of its ids is looked at and told once."""
    (task_id,) = buy(kling, PHOTO)
    name = str(service.ledger[0].external_task_id)
    run = kling("status", name, task_id, name)
    assert run.out == f"{task_id}\tprocessing\t\n"


@pytest.mark.parametrize(
    "name", ["", ".", "../../etc/passwd", "a b", "a?b=1", "\x1b[31m", "a/b", "%2e%2e", "x" * 129]
)
@pytest.mark.parametrize("command", ["status", "wait"])
def test_unsafe_ids_are_refused(
    kling: Program, service: LoopbackService, command: str, name: str
) -> None:
    """What cannot be an id is a usage error before anybody is asked (fault 36)."""
    run = kling(command, "--json", "--", name)
    assert run.code == 2
    assert run.json["error"]["code"] == "invalid_task_id"
    assert "\x1b" not in run.err
    assert service.visits == []


@pytest.mark.parametrize("command", ["status", "wait"])
def test_task_of_another_service(kling: Program, service: LoopbackService, command: str) -> None:
    """A task is asked of its own service only; an option that names another one is refused."""
    (task_id,) = buy(kling, PHOTO)
    run = kling(command, task_id, "--base-url", "https://example.com/kling")
    assert run.code == 2
    assert f"bought at {service.base_url}, not at https://example.com/kling" in run.err
    assert service.count("GET") == 0
    assert kling(command, task_id, "--base-url", service.base_url).code in (0, 8)


def test_task_of_the_sandbox(kling: Program) -> None:
    """A sandbox task is asked of the sandbox, and needs no option to say so."""
    task_id = kling("effect", "squish", PHOTO, "--no-wait", "--sandbox").out.strip()
    run = kling("status", task_id)
    assert (run.code, run.out) == (8, f"{task_id}\tsubmitted\t\n")
    assert "This is the sandbox" in run.err
    run = kling("wait", task_id, "--json")
    assert (run.code, run.json["sandbox"]) == (0, True)
    assert run.json["videos"][0]["url"].startswith("file:")


def test_sandbox_and_service_do_not_mix(kling: Program, service: LoopbackService) -> None:
    """A sandbox task is never asked of the service: not beside others, not by an option."""
    service.shop.rules = Rules(task_seconds=1000)
    sandboxed = kling("effect", "squish", PHOTO, "--no-wait", "--sandbox").out.strip()
    (task_id,) = buy(kling, PHOTO)
    assert kling("status", sandboxed, "--base-url", service.base_url).code == 2
    assert kling("status", task_id, "--sandbox").code == 2
    assert service.count("GET") == 0
    run = kling("status", task_id, sandboxed, "--json")
    assert [record["sandbox"] for record in run.records] == [False, True]
    assert kling("status").lines == [f"{task_id}\tprocessing\t"]
    assert kling("status", "--sandbox").lines == [f"{sandboxed}\tsubmitted\t"]
    assert service.count("GET") == 2


def test_service_that_cannot_be_reached(kling: Program, service: LoopbackService) -> None:
    """One failed look is exit 10, no row, and no word that the task has ended."""
    (task_id,) = buy(kling, PHOTO)
    service.on_look(DROP, times=2)
    run = kling("status", task_id)
    assert (run.code, run.out) == (10, "")
    assert f"Task {task_id} goes on and is paid for." in run.err
    assert f"kling wait {task_id}" in run.err
    assert kling("status", task_id, "--json").json["task_status"] == "submitted"


def test_no_token(kling: Program) -> None:
    """Without a token a look is impossible, and the ways to give one are told (fault 68)."""
    run = kling("status", "815", "--json")
    assert run.code == 4
    assert run.json["error"]["code"] == "token_missing"


@pytest.mark.parametrize("command", ["status", "wait"])
def test_claim_that_was_never_sent(
    kling: Program, service: LoopbackService, tmp_path: Path, command: str
) -> None:
    """What a killed run claimed and never sent is refused as unknown to all: nothing is paid."""
    journal = Journal(tmp_path / "state" / "journal.sqlite3", now=lambda: START)
    journal.claim(
        PurchaseRow(
            external_task_id="kling-claimed",
            fingerprint="f",
            base_url=service.base_url,
            effect_scene="squish",
            stage=Stage.CLAIMED,
            created_at=START,
        )
    )
    journal.close()
    run = kling(command, "kling-claimed", "--json")
    assert run.code == 6
    assert run.json["error"]["charged"] == "no"
    assert kling("status").out == ""
