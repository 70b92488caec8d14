"""`kling tasks` and `kling status`: what this machine has bought, and one look at it."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import VirtualClock
from support.purchases import break_journal, journal_path
from support.replies import DROP
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules

BOTH = pytest.mark.parametrize("command", ["status", "wait"])


def buy(kling: Program, *photos: Path) -> list[str]:
    return [kling("effect", "squish", photo, "--no-wait").out.strip() for photo in photos]


def fill(kling: Program, service: LoopbackService, clock: VirtualClock) -> list[str]:
    assert kling("effect", "squish", PHOTO).code == 0
    clock.advance(60)
    service.shop.rules = Rules(failure="Risk control")
    assert kling("effect", "squish", OTHER_PHOTO).code == 5
    clock.advance(60)
    service.shop.rules = Rules(task_seconds=10_000)
    assert kling("effect", "expansion", PHOTO, "--no-wait").code == 0
    return [purchase.task_id for purchase in service.ledger]


def test_rows_and_objects(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    done, failed, running = fill(kling, service, clock)
    run = kling("tasks")
    assert (run.code, run.err) == (0, "")
    rows = [line.split("\t") for line in run.lines]
    assert [row[:3] for row in rows] == [
        [running, "submitted", "expansion"],
        [failed, "failed", "squish"],
        [done, "succeed", "squish"],
    ]
    own_id = service.ledger[0].external_task_id
    assert rows[2][3:6] == ["2026-11-22T00:00:00Z", str(PHOTO), own_id]
    records = kling("tasks", "--json").records
    assert [(record["task_id"], record["exit_code"]) for record in records] == [
        (running, 8),
        (failed, 5),
        (done, 0),
    ]
    assert records[1]["error"]["message"].endswith("Risk control.")
    assert records[2]["videos"][0]["url"].endswith(".mp4")
    assert records[2]["images"][0]["source"] == str(PHOTO)


def test_unfinished_tasks(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    *_, running = fill(kling, service, clock)
    service.shop.rules = Rules(lookup_by_external_id=False)
    service.on_create(DROP, purchase=True)
    assert kling("effect", "fuzzyfuzzy", PHOTO).code == 9
    rows = [line.split("\t") for line in kling("tasks", "--unfinished").lines]
    assert [row[:2] for row in rows] == [["-", "unknown"], [running, "submitted"]]
    assert rows[0][5] == service.ledger[-1].external_task_id
    records = kling("tasks", "--unfinished", "--json").records
    assert [record["exit_code"] for record in records] == [9, 8]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("tasks",), "No tasks found. --sandbox lists the sandbox's tasks.\n"),
        (
            ("tasks", "--unfinished"),
            "No unfinished tasks found. --sandbox lists the sandbox's tasks.\n",
        ),
        (("tasks", "-q"), ""),
        (("status",), "This machine has no unfinished tasks.\n"),
    ],
)
def test_empty(kling: Program, service: LoopbackService, argv: tuple[str, ...], line: str) -> None:
    run = kling(*argv)
    assert (run.code, run.out, run.err) == (0, "", line)
    assert kling(*argv, "--json", "-q") == replace(run, err="")
    assert service.visits == []


@pytest.mark.usefixtures("service")
def test_the_sandbox_has_a_list_of_its_own(kling: Program) -> None:
    real = kling("effect", "squish", PHOTO, "--json").json["task_id"]
    tried = kling("effect", "squish", PHOTO, "--sandbox", "--json").json["task_id"]
    assert [record["task_id"] for record in kling("tasks", "--json").records] == [real]
    record = kling("tasks", "--sandbox", "--json").json
    assert (record["task_id"], record["sandbox"], record["ok"]) == (tried, True, True)


def test_the_list_is_chosen(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    """By ids of both kinds, by scene, and to the newest few."""
    done, failed, running = fill(kling, service, clock)
    own_id = service.ledger[1].external_task_id

    def list_ids(*argv: str) -> list[str]:
        return [line.split("\t")[0] for line in kling("tasks", *argv).lines]

    assert list_ids(done, str(own_id)) == [failed, done]
    assert list_ids("--scene", "expansion") == [running]
    assert list_ids("--scene", "squish", "--limit", "1") == [failed]


@pytest.mark.usefixtures("service")
def test_the_saved_clip_is_listed_while_it_is_there(kling: Program, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    assert kling("effect", "squish", PHOTO, "-o", clip).code == 0
    assert kling("tasks").lines[0].split("\t")[7] == str(clip)
    assert kling("tasks", "--json").json["videos"][0]["file"] == str(clip)
    clip.unlink()
    assert kling("tasks").lines[0].split("\t")[7] == ""


def test_a_running_task(kling: Program, service: LoopbackService) -> None:
    (task_id,) = buy(kling, PHOTO)
    name = str(service.ledger[0].external_task_id)
    run = kling("status", name, task_id, name)
    assert (run.code, run.out, run.err) == (8, f"{task_id}\tprocessing\t\n", "")
    assert service.count("GET") == 1
    service.shop.rules = Rules(looks_until_done=9)
    result = kling("status", task_id, "--json").json
    assert (result["exit_code"], result["task_status"]) == (8, "processing")
    assert (result["effect_scene"], result["external_task_id"]) == ("squish", name)
    error = result["error"]
    assert (error["code"], error["charged"]) == ("pending", "yes")
    assert (error["hint"], task_id in error["message"]) == (f"kling wait {task_id}", True)
    assert "fail" not in error["message"]


def test_several_tasks_keep_their_order(kling: Program, service: LoopbackService) -> None:
    service.shop.rules = Rules(looks_until_done=9)
    first, second = buy(kling, PHOTO, OTHER_PHOTO)
    assert [line.split("\t")[0] for line in kling("status").lines] == [second, first]
    assert kling("wait", second).code == 0
    run = kling("status", second, first, "nobodys")
    assert [line.split("\t")[:2] for line in run.lines] == [
        [second, "succeed"],
        [first, "processing"],
        ["nobodys", "unknown"],
    ]
    assert run.code == 8
    assert "error: nobodys: The service does not know task nobodys." in run.err
    assert len(service.ledger) == 2


@BOTH
@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a?b=1", "\x1b[31m", "%2e%2e", "x" * 129])
def test_unsafe_ids(kling: Program, service: LoopbackService, command: str, name: str) -> None:
    """Fault 36: what cannot be an id is a usage error before anybody is asked."""
    run = kling(command, "--json", "--", name)
    assert (run.code, run.json["error"]["code"]) == (2, "invalid_task_id")
    assert "\x1b" not in run.err
    assert service.visits == []


@BOTH
def test_a_task_of_another_service(kling: Program, service: LoopbackService, command: str) -> None:
    (task_id,) = buy(kling, PHOTO)
    run = kling(command, task_id, "--base-url", "https://example.com/kling")
    assert run.code == 2
    assert f"bought at {service.base_url}, not at https://example.com/kling" in run.err
    assert service.count("GET") == 0
    assert kling(command, task_id, "--base-url", service.base_url).code in (0, 8)


def test_sandbox_and_service_do_not_mix(kling: Program, service: LoopbackService) -> None:
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
    run = kling("wait", sandboxed, "--json")
    assert (run.code, run.json["sandbox"]) == (0, True)
    assert "This is the sandbox" in run.err


@BOTH
def test_a_claim_never_sent(kling: Program, service: LoopbackService, command: str) -> None:
    buy(kling, PHOTO)
    claim = "stage = 'claimed', task_id = NULL, external_task_id = 'kling-claimed'"
    break_journal(f"UPDATE purchases SET {claim}")
    run = kling(command, "kling-claimed", "--json")
    assert (run.code, run.json["error"]["charged"]) == (6, "no")
    assert kling("status").out == ""


@pytest.mark.parametrize("argv", [("tasks",), ("status",), ("effect", "squish", PHOTO)])
def test_a_damaged_journal(
    kling: Program, service: LoopbackService, argv: tuple[str | Path, ...]
) -> None:
    """Fault 79: it stops every command before anything is sent, and stays as it is."""
    journal_path().parent.mkdir()
    path = journal_path()
    path.write_bytes(b"garbage " * 1000)
    run = kling(*argv, "--json")
    assert (run.code, run.json["error"]["code"]) == (11, "journal_damaged")
    assert f"mv {path} {path}.old" in run.json["error"]["hint"]
    assert path.read_bytes() == b"garbage " * 1000
    assert service.visits == []
