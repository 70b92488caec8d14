"""What is sent again, and when: only what was provably not sent, and what was clearly too busy."""

import signal
import socket
from dataclasses import replace

import pytest
from support.clock import VirtualClock
from support.process import Process
from support.purchases import HookClock, find_video, list_stages
from support.replies import Reply, refuse
from support.run import PHOTO, Program, Run
from support.service import LoopbackService

TOO_MANY = refuse(429, 1303, "parallel task over resource pack limit")


def find_closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_an_unreachable_service_charges_nothing(
    kling: Program, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 2: it says so, tries three times until the timeout, and leaves no trace."""
    monkeypatch.setenv("KLING_TOKEN", "sk-test")
    monkeypatch.setenv("KLING_BASE_URL", f"http://127.0.0.1:{find_closed_port()}/kling")
    run = kling("effect", "squish", PHOTO, "--json", "--timeout", "14s")
    assert (run.code, clock.sleeps) == (10, (3, 11))
    assert (run.json["error"]["code"], run.json["error"]["charged"]) == ("not_sent", "no")
    assert (run.json["task_id"], run.json["task_status"]) == (None, None)
    assert (run.json["effect_scene"], run.json["images"][0]["width"]) == ("squish", 512)
    assert "127.0.0.1 refused" in run.json["error"]["message"]
    assert "Nothing was sent or charged. Retrying in 3 s." in run.err
    assert list_stages() == []


def test_a_busy_service_is_asked_again(kling: Program, service: LoopbackService) -> None:
    """Fault 19: reason and pause are told, and the task is bought once it can be."""
    service.on_create(TOO_MANY, times=2)
    run = kling("effect", "squish", PHOTO)
    assert (run.code, run.lines) == (0, [find_video(service)])
    assert (service.count("POST"), len(service.ledger)) == (3, 1)
    assert run.err.count("Retrying in 2 s.") == run.err.count("Retrying in 4 s.") == 1


@pytest.mark.parametrize(
    ("told", "pause"),
    [
        pytest.param("7", 7.0, id="fault 19"),
        pytest.param("86400", 120.0, id="fault 20: too long"),
        pytest.param("0", 1.0, id="fault 20: none"),
        pytest.param("-5", 2.0, id="fault 20: negative"),
    ],
)
def test_the_service_may_choose_the_pause(
    kling: Program, clock: VirtualClock, service: LoopbackService, told: str, pause: float
) -> None:
    """Retry-After is obeyed between 1 s and 120 s; what cannot be read falls back on ours."""
    service.on_create(Reply(status=429, headers={"Retry-After": told}))
    run = kling("effect", "squish", PHOTO)
    assert run.code == 0
    assert clock.sleeps[0] == pytest.approx(pause, rel=0.1)
    assert f"Retrying in {clock.sleeps[0]:.0f} s." in run.err


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "86400"}])
def test_a_limit_that_outlasts_the_timeout_is_for_later(
    kling: Program, clock: VirtualClock, service: LoopbackService, headers: dict[str, str]
) -> None:
    """Faults 19 and 20: at --timeout it ends with 7, and a rerun begins afresh."""
    service.on_create(replace(TOO_MANY, headers=headers), times=2 if headers else 5)
    run = kling("effect", "squish", PHOTO, "--timeout", "20s", "--json")
    assert (run.code, run.json["error"]["code"]) == (7, "concurrency_limit")
    assert (run.json["error"]["charged"], clock.monotonic()) == ("no", 20.0)
    assert (list_stages(), service.ledger) == ([], [])
    assert f"Retrying in {clock.sleeps[-1]:.0f} s." in run.err
    assert kling("effect", "squish", PHOTO).lines == [find_video(service)]


def test_ctrl_c_after_refusals_says_that_nothing_was_bought(service: LoopbackService) -> None:
    """Fault 87: who stops it after a refusal has sent much, and nothing was accepted."""
    service.on_create(Reply(status=429, headers={"Retry-After": "60"}))
    with Process("effect", "squish", PHOTO) as process:
        process.wait_for("Retrying in 60 s.")
        process.kill(signal.SIGINT)
        run = process.finish()
    assert (run.code, service.count("POST"), list_stages()) == (130, 1, [])
    assert "Stopped. Nothing was bought.\n" in run.err
    assert "Nothing was sent" not in run.err


def test_a_run_whose_request_another_sent_waits_for_it(service: LoopbackService) -> None:
    """Fault 95: it sends nothing any more, and prints the other's video: one purchase."""
    service.on_create(TOO_MANY)
    runs: list[Run] = []
    clock = HookClock(lambda: runs.append(Program()("effect", "squish", PHOTO, "--no-wait")))
    run = Program(clock=clock)("effect", "squish", PHOTO, "--json")
    assert [other.code for other in runs] == [0]
    assert (run.code, run.json["reused"]) == (0, True)
    assert run.json["videos"][0]["url"] == find_video(service)
    assert (service.count("POST"), len(service.ledger)) == (2, 1)


def test_a_run_whose_claim_another_has_dropped_claims_again(service: LoopbackService) -> None:
    """Fault 96: a run that found the same claim and was refused leaves the first one free."""
    service.on_create(TOO_MANY)
    service.on_create(refuse(429, 1101, "account in arrears"))
    runs: list[Run] = []
    clock = HookClock(lambda: runs.append(Program()("effect", "squish", PHOTO)))
    run = Program(clock=clock)("effect", "squish", PHOTO, "--json")
    assert [other.code for other in runs] == [7]
    assert (run.code, run.json["reused"], len(service.ledger)) == (0, False, 1)
