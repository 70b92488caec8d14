"""The commands `kling config ...`, and the check of a token that costs nothing."""

import time
from pathlib import Path

import pytest
from support.replies import DROP, Reply
from support.run import Program, run_installed
from support.service import LoopbackService
from support.terminal import Terminal

TOKEN = "sk-test-0123456789abcdef"
MASKED = "****cdef"
LOOK = "/v1/videos/effects/kling-check-0"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "config.toml"


@pytest.fixture
def home(service: LoopbackService, kling: Program, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("KLING_TOKEN")
    monkeypatch.delenv("KLING_BASE_URL")
    assert kling("config", "set", "base_url", service.base_url).code == 0
    return service.base_url


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("get", "tokn"), "Settings: token, base_url"),
        (("set", "tokn", "x"), "Settings: token, base_url"),
        (("unset", "\x1bzzzz"), "Unknown setting."),
        (("set", "jobs", "many"), "whole number from 1 to 64"),
        (("set", "base_url", "https://u:pass@h"), "without user name"),
        (("set", "token", TOKEN), "process list"),
        (("set", "token", "Bearer", TOKEN), "kling config set token asks"),
        (("set", TOKEN), "Unknown setting."),
    ],
)
def test_a_slip_is_refused(kling: Program, file: Path, argv: tuple[str, ...], words: str) -> None:
    """Fault 76: an unknown key, a wrong value or a token as an argument changes nothing."""
    run = kling("config", *argv)
    assert (run.code, run.out) == (2, "")
    assert words in run.err
    assert "pass@" not in run.err
    assert TOKEN not in run.out + run.err
    assert not file.exists()


def test_what_cannot_be_used_is_marked(kling: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row and its object have the problem, the others are as ever; the exit code is 4."""
    monkeypatch.setenv("KLING_JOBS", "many")
    monkeypatch.setenv("KLING_TOKEN", "sk é")
    run = kling("config", "list")
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in run.lines}
    assert run.code == 4
    assert rows["jobs"][1].startswith("KLING_JOBS: jobs must be a whole number from 1 to 64,")
    assert rows["token"][1].startswith("The token from KLING_TOKEN contains character U+0020")
    assert rows["timeout"] == ["30m", "default"]
    problems = {
        record["key"]: record["problem"] for record in kling("config", "list", "--json").records
    }
    assert [key for key, problem in problems.items() if problem] == ["token", "jobs"]


def test_a_value_is_stored_and_removed(kling: Program, file: Path) -> None:
    assert kling("config", "path").out == f"{file}\n"
    assert not file.exists()
    for _ in range(2):
        assert kling("config", "unset", "timeout").err == f"timeout is not set in {file}.\n"
        assert kling("config", "set", "timeout", "90s").err == f"timeout stored in {file}.\n"
        assert kling("config", "get", "timeout").out == "90s\n"


@pytest.mark.parametrize("content", [TOKEN, f"Bearer {TOKEN}\r\n", f"{TOKEN}\nand more\n"])
def test_a_token_comes_from_standard_input(
    kling: Program, file: Path, home: str, service: LoopbackService, content: str
) -> None:
    run = kling("config", "set", "token", stdin=content)
    assert (run.code, run.out) == (0, "")
    assert run.err == f"token stored in {file}.\n{home} accepts the token.\n"
    assert file.read_text() == f'base_url = "{home}"\ntoken = "{TOKEN}"\n'
    assert {visit.token for visit in service.visits} == {TOKEN}
    assert service.count("POST") == 0


def test_the_stored_token_is_checked_where_it_will_be_sent(
    kling: Program, home: str, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 74: variables of this run change neither the token nor the host that is asked."""
    monkeypatch.setenv("KLING_TOKEN", "sk-of-the-variable-01")
    monkeypatch.setenv("KLING_BASE_URL", "https://127.0.0.1:9")
    assert f"{home} accepts the token." in kling("config", "set", "token", stdin=TOKEN).err
    assert {visit.token for visit in service.visits} == {TOKEN}


@pytest.mark.parametrize(
    "line", ['base_url = "sandbox"', 'base_url = "http://127.0.0.1:9"', 'jobs = "many"']
)
def test_a_check_that_cannot_be_made_fails_nothing(kling: Program, file: Path, line: str) -> None:
    file.parent.mkdir()
    file.write_text(f"{line}\n")
    run = kling("config", "set", "token", stdin=TOKEN)
    assert (run.code, "warning: " in run.err) == (0, "sandbox" not in line)
    assert f'token = "{TOKEN}"' in file.read_text()


@pytest.mark.parametrize("content", [b"", b"sk bad\n", b"sk-\xff\n", b"s" * 3_000_000])
def test_a_wrong_token_is_not_stored(file: Path, content: bytes) -> None:
    """Fault 70: what cannot be a token is described, not shown, and not stored."""
    run = run_installed("config", "set", "token", stdin=content)
    assert (run.code, run.out) == (4, "")
    assert "The token from your input" in run.err
    assert "sss" not in run.err
    assert not file.exists()


def test_a_person_is_asked_without_echo(file: Path, home: str) -> None:
    with Terminal("config", "set", "token") as terminal:
        terminal.wait_for("token:")
        terminal.type(f"{TOKEN}\r")
        assert terminal.finish() == 0
        assert TOKEN.encode() not in terminal.raw
        assert f"{home} accepts the token." in "".join(terminal.lines)
    with Terminal("config", "set", "timeout") as terminal:
        terminal.wait_for("timeout:")
        terminal.type("20m\r")
        assert terminal.finish() == 0
        assert terminal.lines[0].endswith("20m")
    assert file.read_text() == f'base_url = "{home}"\ntoken = "{TOKEN}"\ntimeout = "20m"\n'


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
@pytest.mark.parametrize("setting", ["token", "timeout"])
def test_a_question_can_be_left(file: Path, setting: str, key: str) -> None:
    """Fault 75: who leaves the question has changed nothing, reads so below it, and exit is 130."""
    with Terminal("config", "set", setting) as terminal:
        terminal.wait_for(f"{setting}:")
        time.sleep(0.2)  # a person is slower; a signal just before the read would not end it
        terminal.type(key)
        assert terminal.finish() == 130
        question, *others = terminal.lines
        assert question.removesuffix("^C").rstrip() == f"{setting}:"
        assert others == ["Stopped. Nothing was changed."]
    assert not file.exists()


def test_a_terminal_shows_tables() -> None:
    """On a terminal settings and check stand in columns."""
    with Terminal("config", "list") as terminal:
        assert terminal.finish() == 0
        header, *rows = terminal.lines
        assert header.split() == ["SETTING", "VALUE", "SOURCE"]
        assert {row.index("default") for row in rows if "default" in row} == {
            header.index("SOURCE")
        }
    with Terminal("config", "check", "--sandbox") as terminal:
        assert terminal.finish() == 0
        assert terminal.lines[-4:] == [
            "          VALUE    SOURCE",
            "token     ****     sandbox",
            "base_url  sandbox  --base-url",
            "accepted  yes",
        ]


@pytest.mark.parametrize(
    ("argv", "after"),
    [
        (("set", "base_url", "https://other.example"), "https://other.example"),
        (("unset", "base_url"), "https://api.gpt.ge/kling"),
        (("set", "base_url", "sandbox"), None),
        (("set", "jobs", "3"), None),
    ],
)
def test_a_stored_token_that_moves_is_a_warning(
    kling: Program, file: Path, argv: tuple[str, ...], after: str | None
) -> None:
    """Fault 74: the warning names the base URL that the stored token goes to from now on."""
    file.parent.mkdir()
    file.write_text(f'base_url = "https://one.example"\ntoken = "{TOKEN}"\n')
    file.chmod(0o600)
    run = kling("config", *argv)
    assert ("warning" in run.err) == (after is not None)
    assert after is None or f"The stored token will now be sent to {after}." in run.err


def test_a_token_that_works(kling: Program, service: LoopbackService) -> None:
    """A service that knows no such task has accepted the token; nothing is bought."""
    run = kling("config", "check")
    assert (run.code, run.err) == (0, "")
    assert run.lines == [
        f"token\t{MASKED}\tKLING_TOKEN",
        f"base_url\t{service.base_url}\tKLING_BASE_URL",
        "accepted\tyes\t",
    ]
    assert service.requests[("GET", LOOK)] == 1
    assert service.count("POST") == 0
    record = kling("config", "check", "--json").json
    assert (record["ok"], record["accepted"], record["expires"]) == (True, True, None)
    assert (record["token"], record["source"]) == (MASKED, "KLING_TOKEN")


@pytest.mark.parametrize(
    ("reply", "code", "error"),
    [
        (Reply(status=400, json={"code": "task_not_exist", "message": ""}), 0, None),
        (Reply(json={"task_id": "kling-check-0", "task_status": "submitted"}), 0, None),
        (Reply(status=401, json={"code": 1002, "message": "no"}), 4, "token_refused"),
        (Reply(status=403, json={"code": 1103, "message": "no"}), 4, "permission_denied"),
        (Reply(status=429, json={"code": 1304, "message": "no"}), 4, "ip_not_allowed"),
        (DROP, 10, "unreachable"),
        (Reply(status=500), 10, "unreachable"),
        (Reply(status=404, body=b"<html>Not Found"), 10, "unreachable"),
        (Reply(status=302, headers={"Location": "https://example.com/"}), 10, "unreachable"),
    ],
)
def test_the_answer_decides(
    kling: Program, service: LoopbackService, *, reply: Reply, code: int, error: str | None
) -> None:
    """Fault 17: accepted is 0, refused is 4, what is neither is 10 and leads to the base URL."""
    service.on_look(reply, times=2)
    run = kling("config", "check", "--json")
    assert (run.code, run.json["exit_code"]) == (code, code)
    assert run.json["accepted"] is {0: True, 4: False, 10: None}[code]
    assert (run.json["error"] or {"code": None})["code"] == error
    assert f"Check the base URL: {service.base_url} (from KLING_BASE_URL)." in run.err or code != 10
    shown = kling("config", "check").rows
    assert shown["accepted"] == ({0: "yes", 4: "no", 10: "unknown"}[code], error or "")


@pytest.mark.usefixtures("service")
def test_without_a_token_nobody_is_asked(kling: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 68: what is known is reported, and the error leads on."""
    monkeypatch.delenv("KLING_TOKEN")
    run = kling("config", "check")
    assert (run.code, "kling config set token" in run.err) == (4, True)
    assert run.rows["token"] == ("none", "token_missing")
    assert run.rows["accepted"] == ("unknown", "token_missing")
    assert kling("config", "check", "--json").json["accepted"] is None


def test_sandbox_check(kling: Program, service: LoopbackService) -> None:
    """The sandbox accepts its own token, and refuses as the service does."""
    run = kling("config", "check", "--sandbox", KLING_TOKEN="")
    assert (run.code, run.rows["token"]) == (0, ("****", "sandbox"))
    run = kling("config", "check", "--sandbox", "--json", KLING_TOKEN="sandbox-1002")
    assert (run.code, run.json["sandbox"], run.json["accepted"]) == (4, True, False)
    assert service.visits == []
