"""A task is followed by the journal and the service together, and neither spoils the other."""

from dataclasses import replace
from pathlib import Path

import pytest
from support import tls
from support.clock import VirtualClock
from support.fault_server import FaultServer
from support.purchases import show
from support.replies import DROP, Reply, describe, wrap
from support.run import PHOTO, Program
from support.service import LoopbackService
from support.shop import Purchase, Rules
from support.steps import answer, read_request

URL = "https://v2.example.com/clip.mp4"
MISSING = Reply(status=404, json={"code": 1203, "message": "task not found"})


def buy(kling: Program) -> str:
    """Buy a task without waiting for it; returns its id."""
    run = kling("effect", "squish", PHOTO, "--no-wait")
    assert run.code == 0
    return run.out.strip()


def buy_in_doubt(kling: Program, service: LoopbackService) -> str:
    """Buy a task whose acceptance nobody hears of; returns its external task id."""
    service.shop.rules = replace(service.shop.rules, lookup_by_external_id=False)
    service.on_create(DROP, purchase=True)
    assert kling("effect", "squish", PHOTO).code == 9
    return str(service.ledger[0].external_task_id)


def test_waiting_uses_one_connection(kling: Program, service: LoopbackService) -> None:
    """All looks of a wait go over one kept connection."""
    service.shop.rules = Rules(task_seconds=200)
    task_id = buy(kling)
    before = service.connections
    assert kling("wait", task_id).code == 0
    assert service.connections == before + 1
    assert service.count("GET") > 10


def test_missing_task_is_lag_to_status_too(
    kling: Program, service: LoopbackService, clock: VirtualClock
) -> None:
    """Within 120 s of its acceptance a task that is not found counts as running (fault 28)."""
    task_id = buy(kling)
    service.on_look(MISSING, times=2)
    run = kling("status", task_id)
    assert (run.code, run.out) == (8, f"{task_id}\tsubmitted\t\n")
    clock.advance(121)
    run = kling("status", task_id, "--json")
    assert run.code == 9
    assert run.json["error"]["code"] == "task_not_found"
    assert service.ledger[0].external_task_id in run.json["error"]["message"]
    assert kling("status", task_id).code == 8, "it must stay in the journal"


def test_missing_for_good_is_unknown(
    kling: Program, service: LoopbackService, clock: VirtualClock
) -> None:
    """Fault 29: an own task not found five times in a row after 120 s ends the wait with 9."""
    task_id = buy(kling)
    service.on_look(MISSING, times=99)
    run = kling("wait", task_id, "--json")
    error = run.json["error"]
    assert (run.code, error["code"], error["charged"]) == (9, "task_not_found", "maybe")
    assert clock.monotonic() > 120
    assert "looks again" in error["hint"]
    service.forget_scripts()


@pytest.mark.usefixtures("service")
def test_slip_in_a_typed_id_is_told_soon(kling: Program, clock: VirtualClock) -> None:
    """Fault 29: an id that nobody knows is refused (6) after seconds, not minutes."""
    run = kling("wait", "169264493753799999", "--json")
    assert (run.code, run.json["error"]["code"]) == (6, "task_not_found")
    assert clock.monotonic() < 10


def test_video_that_was_missing_is_looked_for_again(
    kling: Program, service: LoopbackService, clock: VirtualClock
) -> None:
    """After `result_missing` the next look still finds the video; it is paid for (fault 38)."""
    task_id = buy(kling)
    service.on_look(show("succeed"), times=2)
    assert kling("status", task_id).code == 8, "a success without a video is not done"
    clock.advance(61)
    run = kling("status", task_id, "--json")
    assert run.code == 6
    assert run.json["error"]["code"] == "result_missing"
    assert run.json["error"]["charged"] == "yes"
    assert run.json["error"]["request_id"] == "request-0"
    clock.advance(10)
    service.on_look(show("processing"))
    assert kling("status", task_id).code == 6, "a status that goes backwards is not believed"
    run = kling("wait", task_id)
    assert run.code == 0
    assert run.out.startswith("http")


def test_video_that_never_comes_is_told_after_a_minute(
    kling: Program, service: LoopbackService, clock: VirtualClock
) -> None:
    """`wait` gives a success a minute to name its video, then exits 6 and names the ids (38)."""
    task_id = buy(kling)
    clock.advance(120)
    service.on_look(show("succeed"), times=99)
    started = clock.monotonic()
    run = kling("wait", task_id, "--json")
    assert run.code == 6
    assert run.json["error"]["code"] == "result_missing"
    assert run.json["task_id"] == task_id
    assert 60 <= clock.monotonic() - started <= 77
    service.forget_scripts()
    assert kling("wait", task_id).lines[0].startswith("http")


@pytest.mark.parametrize("word", ["reviewing", "moderating\x1b[31m"])
def test_unknown_word_is_told_once(kling: Program, service: LoopbackService, word: str) -> None:
    """An unknown status counts as running, with one warning for it, cleaned (fault 37)."""
    task_id = buy(kling)
    service.on_look(show(word), times=3)
    run = kling("wait", task_id, "--json")
    assert run.code == 0
    (warning,) = run.json["warnings"]
    assert word[:9] in warning
    assert run.err.count("an unknown status") == 1
    assert "\x1b" not in run.err


def test_flapping_status_ends_nothing(kling: Program, service: LoopbackService) -> None:
    """A status that goes backwards is shown, and the wait goes on to the end (fault 48)."""
    task_id = buy(kling)
    for status in ("processing", "submitted", "processing"):
        service.on_look(show(status))
    run = kling("wait", task_id)
    assert run.code == 0
    told = [line.rpartition(" ")[2] for line in run.err.splitlines()]
    assert told == ["processing", "submitted", "processing", "succeed"]


def test_terminal_status_is_final(kling: Program, service: LoopbackService) -> None:
    """What has failed once stays failed, whatever the service says later (fault 48)."""
    task_id = buy(kling)
    service.on_look(show("failed", task_status_msg="Risk control"))
    for command in ("status", "wait", "status"):
        assert kling(command, task_id).code == 5
    assert service.count("GET") == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [("failed", "task_failed"), ("cancelled", "task_cancelled"), ("expired", "task_expired")],
)
def test_ends_have_codes_of_their_own(
    kling: Program, service: LoopbackService, status: str, code: str
) -> None:
    """Failed, cancelled and expired end with 5, each with its code and its reason (42-44)."""
    task_id = buy(kling)
    service.on_look(show(status, task_status_msg="Failure to pass the risk control system"))
    run = kling("wait", task_id, "--json")
    assert run.code == 5
    error = run.json["error"]
    assert (error["code"], error["charged"]) == (code, "no")
    assert "risk control" in error["message"]
    assert "buys a new one" in error["hint"]
    assert error["request_id"] == "request-0"


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("command", ["status", "wait"])
def test_old_results_are_gone(kling: Program, clock: VirtualClock, command: str) -> None:
    """A result older than 30 days is told as deleted, not handed out as a dead URL (fault 47)."""
    task_id = buy(kling)
    assert kling("wait", task_id).code == 0
    clock.advance(30 * 24 * 3600 + 10)
    run = kling(command, task_id, "--json")
    assert run.code == 6
    assert run.json["error"]["code"] == "result_expired"
    assert kling(command, task_id).out == ""


def test_two_videos_are_both_told(kling: Program, service: LoopbackService) -> None:
    """Two videos are two lines, and a list in JSON (fault 39)."""
    task_id = buy(kling)
    videos = [{"id": str(number), "url": f"{URL}?{number}"} for number in (1, 2)]
    service.on_look(show("succeed", task_result={"videos": videos}))
    assert kling("wait", task_id).lines == [f"{URL}?1", f"{URL}?2"]
    assert kling("status", task_id).lines == [f"{task_id}\tsucceed\t{URL}?{n}" for n in (1, 2)]
    assert len(kling("status", task_id, "--json").json["videos"]) == 2


def test_plain_http_from_a_secure_service_is_warned_of(
    kling: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video over http is handed out with a warning where the service itself is secure."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.write_authority(tmp_path)))
    monkeypatch.setenv("KLING_TOKEN", "sk-test-0123456789abcdef")
    done = wrap({"task_id": "815", "task_status": "succeed", "url": "http://example.com/v.mp4"})
    script = [read_request, answer(Reply(json=done, ending="close"))]
    with FaultServer(script, tls=tls.make_context()) as server:
        run = kling("wait", "815", "--base-url", server.base_url, "--json")
    assert run.code == 0
    assert len(run.json["warnings"]) == 1
    assert "http" in run.json["warnings"][0]


def test_doubtful_task_is_found_by_its_external_id(
    kling: Program, service: LoopbackService
) -> None:
    """`kling wait` without arguments looks for what may have been bought, and finds it."""
    name = buy_in_doubt(kling, service)
    assert kling("status").lines == [f"{name}\tunknown\t"]
    service.shop.rules = Rules()
    assert kling("wait").code == 0
    assert kling("tasks", "--json").json["task_id"] == service.ledger[0].task_id
    assert len(service.ledger) == 1


def test_task_id_found_by_hand_ends_the_doubt(kling: Program, service: LoopbackService) -> None:
    """A user who finds the task id at the service gives it once; the request is known then."""
    name = buy_in_doubt(kling, service)
    task_id = service.ledger[0].task_id
    assert kling("wait", task_id).code == 0
    assert kling("status", name).lines[0].startswith(f"{task_id}\tsucceed\t")
    assert kling("effect", "squish", PHOTO).code == 0
    assert len(service.ledger) == 1


def test_task_of_another_leaves_our_row_alone(kling: Program, service: LoopbackService) -> None:
    """A second task under our external id never takes our own task's place in the journal."""
    service.shop.rules = Rules(deduplicate="ignore", looks_until_done=0)
    mine = buy(kling)
    stranger = "1" + mine[1:]
    body = {**describe(service.ledger[0], "failed"), "task_id": stranger}
    service.on_look(Reply(json=wrap(body)))
    run = kling("status", stranger, "--json")
    assert (run.code, run.json["task_id"]) == (5, stranger)
    assert run.json["external_task_id"] == service.ledger[0].external_task_id
    assert kling("tasks", "--json").json["task_id"] == mine
    assert kling("tasks", "--json").json["task_status"] == "submitted"


def test_first_look_counts_from_the_acceptance(
    kling: Program, service: LoopbackService, clock: VirtualClock
) -> None:
    """A task that had to wait for its slot is as young as any other when it is accepted."""
    looked: list[float] = []

    def note(purchase: Purchase | None) -> object:
        assert purchase is not None
        looked.append(clock.time() - purchase.bought_at)
        return wrap(describe(purchase, "processing"))

    busy = {"code": 1303, "message": "parallel task over resource pack limit"}
    service.on_create(Reply(status=429, json=busy, headers={"Retry-After": "100"}))
    service.on_look(Reply(json=note), times=2)
    assert kling("effect", "squish", PHOTO).code == 0
    assert looked[0] == pytest.approx(2)
    assert 13 < looked[1] - looked[0] < 17


def test_foreign_task_told_by_its_external_id_gets_its_own(
    kling: Program, service: LoopbackService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An external id of another machine works, and the answer tells the task's own id."""
    task_id = buy(kling)
    name = str(service.ledger[0].external_task_id)
    monkeypatch.setenv("KLING_STATE_DIR", str(tmp_path / "other"))
    result = kling("status", name, "--json").json
    assert (result["task_id"], result["external_task_id"]) == (task_id, name)
    assert result["created_at"] == "2026-11-22T00:00:00Z"
    assert kling("wait", name).code == 0
    assert kling("tasks").out == ""
