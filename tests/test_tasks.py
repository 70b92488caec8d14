"""`kling tasks`: what this machine has bought, from its own memory alone."""

from pathlib import Path

import pytest
from support.clock import VirtualClock
from support.replies import DROP
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules


def fill(kling: Program, service: LoopbackService, clock: VirtualClock) -> list[str]:
    """Buy one task that succeeds, one that fails, one that runs; returns their ids in order."""
    assert kling("effect", "squish", PHOTO).code == 0
    clock.advance(60)
    service.shop.rules = Rules(failure="Risk control")
    assert kling("effect", "squish", OTHER_PHOTO).code == 5
    clock.advance(60)
    service.shop.rules = Rules(task_seconds=10_000)
    assert kling("effect", "expansion", PHOTO, "--no-wait").code == 0
    return [purchase.task_id for purchase in service.ledger]


def test_rows(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    """A row has id, status, scene, time, picture and external id; the newest is the first."""
    done, failed, running = fill(kling, service, clock)
    names = [purchase.external_task_id for purchase in service.ledger]
    run = kling("tasks")
    assert (run.code, run.err) == (0, "")
    rows = [line.split("\t") for line in run.lines]
    assert [row[:3] for row in rows] == [
        [running, "submitted", "expansion"],
        [failed, "failed", "squish"],
        [done, "succeed", "squish"],
    ]
    assert rows[2][3:6] == ["2026-11-22T00:00:00Z", str(PHOTO), names[0]]
    assert rows[1][4] == str(OTHER_PHOTO)


def test_objects(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    """Each JSON object tells a task as `status --json` would, with that task's own exit code."""
    done, failed, running = fill(kling, service, clock)
    run = kling("tasks", "--json")
    assert run.code == 0
    assert [(record["task_id"], record["exit_code"]) for record in run.records] == [
        (running, 8),
        (failed, 5),
        (done, 0),
    ]
    assert run.records[1]["error"]["message"].endswith("Risk control.")
    assert run.records[2]["videos"][0]["url"].endswith(".mp4")
    assert run.records[2]["images"][0]["source"] == str(PHOTO)


def test_unfinished(kling: Program, service: LoopbackService, clock: VirtualClock) -> None:
    """--unfinished leaves out what has ended, and keeps what may have been accepted."""
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
    ("option", "line"),
    [
        ((), "No task is known. --sandbox lists those of the sandbox.\n"),
        (("--unfinished",), "No unfinished task is known. --sandbox lists those of the sandbox.\n"),
        (("-q",), ""),
    ],
)
def test_nothing_there(kling: Program, option: tuple[str, ...], line: str) -> None:
    """With nothing bought stdout is empty and the exit code is 0; stderr says why."""
    run = kling("tasks", *option)
    assert (run.code, run.out, run.err) == (0, "", line)
    assert kling("tasks", "--json", *option).records == []


def test_asks_nobody(
    kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works without a token and without a service."""
    task_id = kling("effect", "squish", PHOTO, "--no-wait").out.strip()
    monkeypatch.delenv("KLING_TOKEN")
    monkeypatch.setenv("KLING_BASE_URL", "https://nobody.invalid")
    assert kling("tasks").out.startswith(f"{task_id}\tsubmitted\t")
    assert service.count("GET") == 0


@pytest.mark.usefixtures("service")
def test_the_sandbox_has_a_list_of_its_own(kling: Program) -> None:
    """What was bought is not mixed with what was tried."""
    real = kling("effect", "squish", PHOTO, "--json").json["task_id"]
    tried = kling("effect", "squish", PHOTO, "--sandbox", "--json").json["task_id"]
    assert [record["task_id"] for record in kling("tasks", "--json").records] == [real]
    record = kling("tasks", "--sandbox", "--json").json
    assert (record["task_id"], record["sandbox"], record["ok"]) == (tried, True, True)


def test_the_list_is_filtered(
    kling: Program, service: LoopbackService, clock: VirtualClock
) -> None:
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
    """The path where a clip was saved last is in the list and in its object."""
    clip = tmp_path / "clip.mp4"
    assert kling("effect", "squish", PHOTO, "-o", clip).code == 0
    assert kling("tasks").lines[0].split("\t")[7] == str(clip)
    assert kling("tasks", "--json").json["videos"][0]["file"] == str(clip)
    clip.unlink()
    assert kling("tasks").lines[0].split("\t")[7] == ""
