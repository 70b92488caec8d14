"""`kling config check` says what this machine would send where, and costs nothing."""

import shlex
import shutil
import sys
from pathlib import Path

import pytest
from ground.replies import DROP, Reply
from ground.run import Program, Run
from ground.service import LoopbackService

PATH = "/v1/videos/effects/kling-check-0"
SUBSCRIPTION = "/v1/dashboard/billing/subscription"
USAGE = "/v1/dashboard/billing/usage"
QUOTA = "/api/usage/token"
TOKEN = "sk-test-0123456789abcdef"  # noqa: S105 - of no service
OWN = Path(sys.executable).with_name("kling")
CALL = f"{shlex.quote(sys.executable)} -m kling_cli"


@pytest.fixture(autouse=True)
def _own_command_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the shell find this program."""
    monkeypatch.setenv("PATH", str(OWN.parent))


def rows(run: Run) -> dict[str, tuple[str, str]]:
    """Read the lines: what they are about, value, and remark."""
    cells = [line.split("\t") for line in run.lines]
    assert [row[0] for row in cells] == [
        "token",
        "base_url",
        "reachable",
        "accepted",
        "balance",
        "command",
    ]
    return {what: (value, remark) for what, value, remark in cells}


def bill(service: LoopbackService, limit: object, used: object) -> None:
    """Let the service be a gateway that tells limit and usage."""
    service.on_path("GET", SUBSCRIPTION, Reply(json={"hard_limit_usd": limit}))
    service.on_path("GET", USAGE, Reply(json={"object": "list", "total_usage": used}))


def test_token_that_works(kling: Program, service: LoopbackService) -> None:
    """A service that knows no such task has taken the token: nothing is bought, none is shown."""
    run = kling("config", "check")
    assert (run.code, run.err) == (0, "")
    assert run.lines == [
        "token\t****cdef\tKLING_TOKEN",
        f"base_url\t{service.base_url}\tKLING_BASE_URL",
        "reachable\tyes\t",
        "accepted\tyes\t",
        "balance\tunknown\tnot told by the service",
        f"command\t{OWN}\tthis program",
    ]
    assert service.requests[("GET", PATH)] == 1
    assert service.count("POST") == 0
    assert {visit.token for visit in service.visits} == {TOKEN}


def test_token_that_works_as_json(kling: Program, service: LoopbackService) -> None:
    """The object holds where each thing comes from, and only the token's end."""
    assert kling("config", "check", "--json").json == {
        "schema": "kling/1",
        "ok": True,
        "exit_code": 0,
        "sandbox": False,
        "token": "****cdef",
        "source": "KLING_TOKEN",
        "base_url": service.base_url,
        "base_url_source": "KLING_BASE_URL",
        "reachable": True,
        "accepted": True,
        "balance": None,
        "command": {"first": str(OWN), "own": str(OWN), "is_own": True, "call": CALL},
        "error": None,
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
    refusal = Reply(status=status, json={"code": code, "message": "no", "request_id": "request-3"})
    service.on_look(refusal, times=2)
    run = kling("config", "check", "--json")
    assert run.code == run.json["exit_code"] == 4
    assert (run.json["reachable"], run.json["accepted"]) == (True, False)
    assert run.json["error"]["code"] == error
    assert run.json["error"]["request_id"] == "request-3"
    assert "sk-test" not in run.out + run.err
    assert "paid" not in run.out + run.err
    shown = rows(kling("config", "check"))
    assert (shown["reachable"], shown["accepted"]) == (("yes", ""), ("no", error))
    assert {visit.path.removeprefix("/kling") for visit in service.visits} == {PATH}


@pytest.mark.parametrize(
    ("reply", "reachable"),
    [
        (DROP, False),
        (Reply(status=500), True),
        (Reply(body=b"<html>Log in"), True),
        (Reply(status=404, body=b"<html>Not Found"), True),
        (Reply(status=302, headers={"Location": "https://example.com/login"}), True),
    ],
    ids=["drop", "500", "login page", "no route", "redirect"],
)
def test_answer_that_tells_nothing(
    kling: Program, service: LoopbackService, *, reply: Reply, reachable: bool
) -> None:
    """What is neither yes nor no ends with 10, and leads to the base URL and its source."""
    service.on_look(reply, times=2)
    run = kling("config", "check")
    assert run.code == 10
    assert "Whether the token works is not known." in run.err
    assert f"It is {service.base_url} (from KLING_BASE_URL)." in run.err
    shown = rows(run)
    assert shown["reachable"] == (("yes", "") if reachable else ("no", "unreachable"))
    assert shown["accepted"] == ("unknown", "unreachable")
    record = kling("config", "check", "--json").json
    assert (record["ok"], record["exit_code"]) == (False, 10)
    assert (record["reachable"], record["accepted"]) == (reachable, None)
    assert record["error"]["code"] == "unreachable"
    assert service.count("GET") == 2


@pytest.mark.usefixtures("service")
def test_no_token(kling: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token nobody is asked, and all else is told (fault 68)."""
    monkeypatch.delenv("KLING_TOKEN")
    run = kling("config", "check")
    assert run.code == 4
    assert "kling config set token" in run.err
    shown = rows(run)
    assert shown["token"] == ("none", "token_missing")
    assert shown["reachable"] == shown["accepted"] == ("unknown", "token_missing")
    record = kling("config", "check", "--json").json
    assert (record["token"], record["source"], record["reachable"]) == (None, None, None)
    assert record["error"]["code"] == "token_missing"


def test_settings_that_cannot_be_read(kling: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the settings themselves are wrong there is nothing to tell but that."""
    monkeypatch.setenv("KLING_BASE_URL", "http://example.com")
    run = kling("config", "check", "--json")
    assert run.code == run.json["exit_code"] == 4
    assert run.json["error"]["code"] == "invalid_setting"


@pytest.mark.parametrize("argv", [("--sandbox",), ("--base-url", "sandbox")])
def test_the_sandbox(kling: Program, service: LoopbackService, argv: tuple[str, ...]) -> None:
    """The sandbox takes its own token, and has no balance."""
    run = kling("config", "check", *argv)
    assert run.code == 0
    shown = rows(run)
    assert shown["base_url"] == ("sandbox", "--sandbox")
    assert shown["token"] == ("****", "sandbox")
    assert shown["balance"][0] == "unknown"
    assert service.visits == []


def test_the_sandbox_refuses_as_the_service_does(
    kling: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trouble tokens let a script author see a refused token."""
    monkeypatch.setenv("KLING_TOKEN", "sandbox-1002")
    run = kling("config", "check", "--sandbox", "--json")
    assert run.code == 4
    assert (run.json["sandbox"], run.json["accepted"]) == (True, False)


# --- the balance --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "used", "left", "shown"),
    [
        (5, 80.0, 4.2, "4.20 left"),
        (5.5, 0, 5.5, "5.50 left"),
        (1, 250, -1.5, "-1.50 left"),
        (10**14, 0, None, "unlimited"),
    ],
)
def test_a_gateway_tells_what_is_left(  # noqa: PLR0913 - a case of a table
    kling: Program,
    service: LoopbackService,
    *,
    limit: float,
    used: float,
    left: float | None,
    shown: str,
) -> None:
    """Limit minus usage is told, in a unit that is the gateway's own, and 100000000 is no limit."""
    for _ in range(2):
        service.on_path("GET", SUBSCRIPTION, Reply(json={"hard_limit_usd": limit}))
        if left is not None:
            service.on_path("GET", USAGE, Reply(json={"total_usage": used}))
    run = kling("config", "check")
    assert run.code == 0
    assert rows(run)["balance"] == (shown, "unit set by the gateway")
    balance = kling("config", "check", "--json").json["balance"]
    assert balance == {"left": left, "unit": "gateway"}
    assert {visit.token for visit in service.visits} == {TOKEN}


@pytest.mark.parametrize(
    ("data", "left", "shown"),
    [
        ({"total_available": 2_100_000, "unlimited_quota": False}, 2_100_000, "2100000.00 left"),
        ({"total_available": 0, "unlimited_quota": True}, None, "unlimited"),
    ],
)
def test_a_gateway_counts_points(
    kling: Program,
    service: LoopbackService,
    data: dict[str, object],
    left: float | None,
    shown: str,
) -> None:
    """Where no bill is told, the quota of the token is, and it is called points."""
    service.on_path("GET", QUOTA, Reply(json={"code": True, "data": data}), times=2)
    assert rows(kling("config", "check"))["balance"] == (shown, "quota points of the gateway")
    balance = kling("config", "check", "--json").json["balance"]
    assert balance == {"left": left, "unit": "quota"}


NONSENSE = [
    Reply(body=b"<html>Log in"),
    Reply(json=[1]),
    Reply(json={"error": {"message": TOKEN}}),
    Reply(status=500, json={"hard_limit_usd": 5}),
    Reply(status=302, headers={"Location": "http://127.0.0.1:9/"}),
    Reply(json={"hard_limit_usd": "5"}),
    Reply(json={"hard_limit_usd": True}),
    Reply(json={"hard_limit_usd": 10**400}),
    DROP,
]


@pytest.mark.parametrize("reply", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_instead_of_a_balance_is_no_error(
    kling: Program, service: LoopbackService, reply: Reply
) -> None:
    """Whatever a service answers there, the token works, and no balance is made up."""
    service.on_path("GET", SUBSCRIPTION, reply)
    run = kling("config", "check", "--json")
    assert (run.code, run.err) == (0, "")
    assert run.json["balance"] is None
    assert TOKEN not in run.out


def test_a_limit_without_its_usage_is_no_balance(kling: Program, service: LoopbackService) -> None:
    """The limit is what was ever granted, so it alone is not told as what is left."""
    bill(service, 5, None)
    assert kling("config", "check", "--json").json["balance"] is None


def test_a_balance_that_takes_long_is_left_out(kling: Program, service: LoopbackService) -> None:
    """The check ends in a few seconds, however long the service thinks about the balance."""
    service.on_path("GET", SUBSCRIPTION, Reply(delay=30, json={"hard_limit_usd": 5}))
    run = kling("config", "check", "--json")
    assert run.code == 0
    assert run.json["balance"] is None
    assert len(service.visits) == 2


def test_a_redirect_of_the_balance_gets_no_token(kling: Program, service: LoopbackService) -> None:
    """The token goes to the host of the base URL alone, also for the balance."""
    with LoopbackService() as other:
        moved = Reply(status=307, headers={"Location": f"{other.url}{SUBSCRIPTION}"})
        service.on_path("GET", SUBSCRIPTION, moved)
        assert kling("config", "check").code == 0
        assert other.visits == []


# --- the command's name -------------------------------------------------------------------------


def plant(directory: Path) -> Path:
    """Put another program of the same name into a directory."""
    directory.mkdir()
    path = directory / "kling"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("service")
def test_another_kling_is_first(
    kling: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where another package's command is found first, both paths and a sure call are told."""
    other = plant(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{other.parent}:{OWN.parent}")
    remark = f"another program or installation; this one is {OWN} or {CALL}"
    run = kling("config", "check")
    assert run.code == 0
    assert rows(run)["command"] == (str(other), remark)
    command = kling("config", "check", "--json").json["command"]
    assert command == {"first": str(other), "own": str(OWN), "is_own": False, "call": CALL}


@pytest.mark.usefixtures("service")
def test_no_kling_on_the_path(
    kling: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the shell finds none, the way to call this program is told."""
    monkeypatch.setenv("PATH", str(tmp_path))
    shown = rows(kling("config", "check"))
    assert shown["command"] == ("none", f"not on PATH; this one is {OWN} or {CALL}")


@pytest.mark.usefixtures("service")
def test_a_link_is_this_program(
    kling: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A link to this program, as pipx makes it, is this program."""
    (tmp_path / "bin").mkdir()
    link = tmp_path / "bin" / "kling"
    link.symlink_to(OWN)
    monkeypatch.setenv("PATH", str(link.parent))
    assert rows(kling("config", "check"))["command"] == (str(link), "this program")


def test_the_call_always_works() -> None:
    """What is told as a sure call starts this program."""
    program, *words = shlex.split(CALL)
    assert shutil.which(program) is not None
    assert words == ["-m", "kling_cli"]
