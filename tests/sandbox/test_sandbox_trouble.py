from pathlib import Path

import pytest
from sandbox_caller import ROUTE, Service, encode, make_png

from kling_cli.sandbox.trouble import TROUBLES

# The service's table of codes, as its documents list it.
CODES = {
    1000: 401,
    1001: 401,
    1002: 401,
    1003: 401,
    1004: 401,
    1100: 429,
    1101: 429,
    1102: 429,
    1103: 403,
    1200: 400,
    1201: 400,
    1202: 404,
    1203: 404,
    1300: 400,
    1301: 400,
    1302: 429,
    1303: 429,
    1304: 429,
    5000: 500,
    5001: 503,
    5002: 504,
}
ABOUT_THE_TOKEN = (1000, 1001, 1002, 1003, 1004, 1103)


@pytest.mark.parametrize(("code", "status"), CODES.items())
def test_every_code_of_the_service_can_be_met(tmp_path: Path, code: int, status: int) -> None:
    """A token with a code is refused with it at create; one about the token at look-ups too."""
    service = Service(tmp_path)
    token = f"sandbox-{code}"
    reply = service.create(token, external_task_id="mine-1")
    assert reply.verdict == (status, code)
    assert reply.json["message"]
    assert reply.json["request_id"]
    expected = (status, code) if code in ABOUT_THE_TOKEN else (404, 1203)
    assert service.look("mine-1", token).verdict == expected
    assert service.list_tasks(who=token).status == (status if code in ABOUT_THE_TOKEN else 200)


def test_the_parallel_limit_has_the_words_of_the_service() -> None:
    """1303 reads as the real one does."""
    assert "parallel task over resource pack limit" in TROUBLES["sandbox-1303"]


def test_the_list_of_troubles_is_whole_and_for_people() -> None:
    """Every trouble is a token with one line that says what it does."""
    assert set(TROUBLES) == {f"sandbox-{code}" for code in CODES} | {
        "sandbox-failed",
        "sandbox-slow",
        "sandbox-busy",
        "sandbox-lost-reply",
        "sandbox-lag",
        "sandbox-html",
        "sandbox-no-lookup",
        "sandbox-no-balance",
        "sandbox-gateway",
        "sandbox-flaky",
    }
    for line in TROUBLES.values():
        assert 10 < len(line) < 90
        assert "\n" not in line


@pytest.mark.parametrize(
    "token", sorted(set(TROUBLES) - {"sandbox-lost-reply", "sandbox-no-lookup"})
)
def test_an_invalid_request_is_told_first(tmp_path: Path, token: str) -> None:
    """A trouble that is not about the token never hides a mistake in the request."""
    reply = Service(tmp_path).create(token, effect_scene="squash")
    code = token.removeprefix("sandbox-")
    about = code.isdecimal() and int(code) in ABOUT_THE_TOKEN
    assert reply.json["code"] == (int(code) if about else 1201)


def test_a_failed_task_gives_the_reason(tmp_path: Path) -> None:
    """`sandbox-failed` is accepted, runs, and fails at the risk control."""
    service = Service(tmp_path)
    task_id = service.create("sandbox-failed").data["task_id"]
    service.clock.time += 2
    task = service.look(task_id, "sandbox-failed").data
    assert (task["task_status"], task["task_status_msg"]) == ("processing", "")
    service.clock.time += 1
    reply = service.look(task_id, "sandbox-failed")
    assert reply.status == 200
    assert reply.data["task_status"] == "failed"
    assert reply.data["task_status_msg"] == "Failure to pass the risk control system"
    assert reply.data["task_result"] == {}


def test_a_slow_task_takes_an_hour(tmp_path: Path) -> None:
    """`sandbox-slow` is processed for an hour, then done."""
    service = Service(tmp_path)
    task_id = service.create("sandbox-slow").data["task_id"]
    service.clock.time += 3599
    assert service.look(task_id, "sandbox-slow").data["task_status"] == "processing"
    service.clock.time += 1
    assert service.look(task_id, "sandbox-slow").data["task_status"] == "succeed"


@pytest.mark.parametrize("changes", [{}, {"external_task_id": "mine-1"}])
def test_a_busy_service_accepts_the_third_submission(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    """`sandbox-busy` refuses twice with 1303, across processes, and stores nothing then."""
    for _ in range(2):
        assert Service(tmp_path).create("sandbox-busy", **changes).verdict == (429, 1303)
    assert Service(tmp_path).list_tasks(who="sandbox-busy").data == []
    assert Service(tmp_path).create("sandbox-busy", **changes).status == 200


def test_each_external_id_meets_the_busy_service_anew(tmp_path: Path) -> None:
    """The counting of `sandbox-busy` is by external id."""
    service = Service(tmp_path)
    for name in ("a", "b"):
        told = [service.create("sandbox-busy", external_task_id=name).status for _ in range(3)]
        assert told == [429, 429, 200]


def test_a_lost_reply_leaves_a_task_behind(tmp_path: Path) -> None:
    """`sandbox-lost-reply` resets the connection, and the external id finds the task."""
    service = Service(tmp_path)
    with pytest.raises(ConnectionResetError):
        service.create("sandbox-lost-reply", external_task_id="mine-1")
    assert service.look("mine-1", "sandbox-lost-reply").data["task_status"] == "submitted"
    again = service.create("sandbox-lost-reply", external_task_id="mine-1")
    assert again.verdict == (400, 1201)


def test_without_look_up_only_the_list_and_the_task_id_help(tmp_path: Path) -> None:
    """`sandbox-no-lookup` loses the reply, and the external id finds nothing, ever."""
    service = Service(tmp_path)
    who = "sandbox-no-lookup"
    with pytest.raises(ConnectionResetError):
        service.create(who, external_task_id="mine-1")
    service.clock.time += 9000
    assert service.look("mine-1", who).verdict == (404, 1203)
    (task,) = service.list_tasks(who=who).data
    assert task["task_info"] == {"external_task_id": "mine-1"}
    assert service.look(task["task_id"], who).data["task_status"] == "succeed"


def test_a_lagging_service_finds_the_task_later(tmp_path: Path) -> None:
    """`sandbox-lag` does not know a new task for three seconds, by neither id."""
    service = Service(tmp_path)
    task_id = service.create("sandbox-lag", external_task_id="mine-1").data["task_id"]
    service.clock.time += 2.999
    for name in (task_id, "mine-1"):
        assert service.look(name, "sandbox-lag").verdict == (404, 1203)
    service.clock.time += 0.001
    for name in (task_id, "mine-1"):
        assert service.look(name, "sandbox-lag").data["task_id"] == task_id


def test_a_proxy_page_is_no_json(tmp_path: Path) -> None:
    """`sandbox-html` answers a submission with a page and accepts nothing."""
    service = Service(tmp_path)
    reply = service.create("sandbox-html")
    assert reply.status == 502
    assert reply.headers["Content-Type"].startswith("text/html")
    assert reply.body.startswith(b"<html>")
    assert service.list_tasks(who="sandbox-html").data == []


def test_an_empty_balance_has_the_form_of_a_gateway(tmp_path: Path) -> None:
    """`sandbox-no-balance` is a 403 that is about money, as a gateway says it."""
    service = Service(tmp_path)
    reply = service.create("sandbox-no-balance")
    error = reply.json["error"]
    assert reply.status == 403
    assert list(reply.json) == ["error"]
    assert (error["type"], error["code"]) == ("new_api_error", "insufficient_user_quota")
    assert "额度不足" in error["message"]
    assert service.list_tasks(who="sandbox-no-balance").data == []


@pytest.mark.parametrize(
    ("age", "sides", "status", "progress", "times", "reason"),
    [
        (0, 640, "SUBMITTED", "10%", (1_700_000_000, 0, 0), ""),
        (1, 640, "IN_PROGRESS", "30%", (1_700_000_000, 1_700_000_001, 0), ""),
        (3, 640, "SUCCESS", "100%", (1_700_000_000, 1_700_000_001, 1_700_000_003), ""),
        (1, 9, "IN_PROGRESS", "30%", (1_700_000_000, 1_700_000_001, 0), ""),
        (
            3,
            9,
            "FAILURE",
            "100%",
            (1_700_000_000, 1_700_000_001, 1_700_000_003),
            "Image pixel is invalid",
        ),
    ],
)
def test_a_gateway_wraps_the_answer(  # noqa: PLR0913, PLR0917 - one for each column of the table
    tmp_path: Path,
    age: int,
    sides: int,
    status: str,
    progress: str,
    times: tuple[int, int, int],
    reason: str,
) -> None:
    """`sandbox-gateway` puts the native envelope into the task of a gateway, times in seconds."""
    service = Service(tmp_path)
    fields = {
        "model_name": "kling-v1-6",
        "image": encode(make_png(sides, 480)),
        "duration": "5",
    }
    task_id = service.create("sandbox-gateway", input=fields).data["task_id"]
    service.clock.time += age
    envelope = service.look(task_id, "sandbox-gateway").json
    outer = envelope["data"]
    assert (envelope["code"], envelope["message"]) == ("success", "")
    assert (outer["task_id"], outer["status"], outer["progress"]) == (task_id, status, progress)
    assert (outer["submit_time"], outer["start_time"], outer["finish_time"]) == times
    assert outer["fail_reason"] == reason
    native = outer["data"]
    assert native["code"] == 0
    assert native["data"]["task_id"] == task_id
    assert native["data"]["task_status_msg"] == reason
    assert bool(native["data"]["task_result"]) == (status == "SUCCESS")


def test_every_second_look_meets_a_page(tmp_path: Path) -> None:
    """`sandbox-flaky` answers the 2nd, 4th, ... look with 503, whichever process looks."""
    task_id = Service(tmp_path).create("sandbox-flaky").data["task_id"]
    replies = [Service(tmp_path).look(task_id, "sandbox-flaky") for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 503, 200, 503]
    assert replies[1].headers["Content-Type"].startswith("text/html")
    told = {"Authorization": "Bearer sandbox-flaky"}
    assert [Service(tmp_path).call("GET", ROUTE, **told).status for _ in range(2)] == [200, 200]
