"""`kling config check` says whether the token works, and costs nothing."""

import pytest
from ground.replies import DROP, Reply
from ground.run import Program
from ground.service import LoopbackService

PATH = "/v1/videos/effects/kling-check-0"


def test_token_that_works(kling: Program, service: LoopbackService) -> None:
    """A service that knows no such task has taken the token: nothing is bought, none is shown."""
    run = kling("config", "check")
    assert run.code == 0
    assert run.out == f"ok\t{service.base_url}\ttoken ****cdef from KLING_TOKEN\n"
    assert run.err == ""
    assert service.requests == {("GET", PATH): 1}
    assert service.visits[0].token == "sk-test-0123456789abcdef"  # noqa: S105 - of no service


def test_token_that_works_as_json(kling: Program, service: LoopbackService) -> None:
    """The object holds where the token comes from, and only its end."""
    assert kling("config", "check", "--json").json == {
        "schema": "kling/1",
        "ok": True,
        "sandbox": False,
        "base_url": service.base_url,
        "token": "****cdef",
        "source": "KLING_TOKEN",
    }


def test_gateway_says_not_found_in_its_own_way(kling: Program, service: LoopbackService) -> None:
    """A gateway's 400 task_not_exist is as good an answer as a 404."""
    service.on_look(Reply(status=400, json={"code": "task_not_exist", "message": "", "data": None}))
    assert kling("config", "check").code == 0


def test_service_that_finds_the_task(kling: Program, service: LoopbackService) -> None:
    """Whoever shows a task under that id has taken the token too."""
    service.on_look(Reply(json={"task_id": "kling-check-0", "task_status": "submitted"}))
    assert kling("config", "check").code == 0


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(401, 1002, "token_refused"), (403, 1103, "permission_denied"), (429, 1304, "ip_not_allowed")],
)
def test_token_that_is_refused(
    kling: Program, service: LoopbackService, *, status: int, code: int, error: str
) -> None:
    """A refused token ends with 4 and names its source, never its value (fault 17)."""
    service.on_look(
        Reply(status=status, json={"code": code, "message": "no", "request_id": "request-3"})
    )
    run = kling("config", "check", "--json")
    assert run.code == 4
    assert run.json["error"]["code"] == error
    assert run.json["error"]["request_id"] == "request-3"
    assert "sk-test" not in run.out + run.err
    assert "paid" not in run.out + run.err


@pytest.mark.parametrize(
    "reply",
    [
        DROP,
        Reply(status=500),
        Reply(body=b"<html>Log in"),
        Reply(status=404, body=b"<html>Not Found"),
        Reply(status=302, headers={"Location": "https://example.com/login"}),
    ],
    ids=["drop", "500", "login page", "no route", "redirect"],
)
def test_answer_that_tells_nothing(kling: Program, service: LoopbackService, reply: Reply) -> None:
    """What is neither yes nor no ends with 10, and leads to the base URL and its source."""
    service.on_look(reply)
    run = kling("config", "check")
    assert (run.code, run.out) == (10, "")
    assert "Whether the token works is not known." in run.err
    assert f"It is {service.base_url} (from KLING_BASE_URL)" in run.err


def test_no_token(kling: Program) -> None:
    """Without a token nobody is asked (fault 68)."""
    assert kling("config", "check").code == 4


def test_sandbox(kling: Program) -> None:
    """The sandbox is checked without a token, and says what it is."""
    run = kling("config", "check", "--sandbox", "--json")
    assert (run.code, run.json["sandbox"], run.json["base_url"]) == (0, True, "sandbox")
    assert "sandbox" in run.err


def test_sandbox_refuses_as_the_service_does(
    kling: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trouble tokens let a script author see a refused token."""
    monkeypatch.setenv("KLING_TOKEN", "sandbox-1002")
    assert kling("config", "check", "--sandbox").code == 4
