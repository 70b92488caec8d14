"""A hostile service: whatever it answers, no terminal, log or script is harmed, no token shown."""

import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fault_server import FaultServer
from support.replies import Reply, accept, describe, wrap
from support.run import OTHER_PHOTO, PHOTO, Program, Run
from support.service import LoopbackService
from support.shop import Purchase
from support.steps import Script, answer, buy, read_request, send

TOKEN = "sk-test-0123456789abcdef"
# A line begins with one of these, or with what the user named, never with foreign text.
OWN_WORDS = ("error: ", "hint: ", "warning: ", "request id: ", "GET ", "POST ", str(PHOTO), "815: ")
ATTACKS = {
    "ESC and OSC": "\x1b[2J\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x1b\\\x1b]8;;https://evil.example\x1b\\",
    "C1 and CR": "\x9b31m\x9d0;owned\x9cfine\r\x00\x08\x7fkling: done",
    "bidi": "\u202egpj.exe\u2066\u200b\ufeff",
    "markup": "[link=https://evil.example]here[/link][/] [bold]",
    "newlines": "x\n::error::owned\n##vso[task.complete]\u2028::add-mask::a\x85\x0b\x0c::debug::b",
    "command": "::error file=a,line=1::owned",
    "command of Azure": "##vso[task.setvariable variable=a]b",
}
BUSY = 429
# What a line of a CI log must not begin with.
COMMAND = re.compile(r"\s*(?:::|##|\[)")


def assert_harmless(run: Run, *, is_json: bool = False) -> None:
    """Hold every byte that a run has written against the rules of terminals and CI logs."""
    for text in (run.out, run.err):
        unsafe = [
            character
            for character in text
            if character not in "\n\t" and not character.isprintable()
        ]
        assert not unsafe
        assert TOKEN not in text
    assert "\t" not in run.err
    assert all(line.startswith(OWN_WORDS) for line in run.err.splitlines())
    assert not any(COMMAND.match(line) for line in run.lines)
    if is_json:
        assert run.out.isascii()
        assert run.records


def poison(attack: str) -> dict[str, object]:
    """Make a body that has an attack wherever text is read."""
    return {
        "code": attack,
        "message": attack,
        "request_id": attack,
        "msg": attack,
        "error": {"message": attack, "code": attack, "type": attack, "request_id": attack},
        "data": {"task_id": attack, "task_status": attack, "fail_reason": attack, attack: attack},
    }


def end(purchase: Purchase | None, status: str, attack: str) -> dict[str, Any]:
    """Make a look's answer about a task that ends, with an attack in all that is free."""
    assert purchase is not None
    task: dict[str, Any] = {
        **describe(purchase, status, message=attack, video_url="https://v.example/1.mp4"),
        "fail_reason": attack,
        "error": {"message": attack},
    }
    task["task_result"]["videos"][0]["id"] = attack
    return wrap(task, request_id=attack)


@pytest.fixture(params=ATTACKS.values(), ids=list(ATTACKS))
def attack(request: pytest.FixtureRequest) -> str:
    """Each attack in turn."""
    return str(request.param)


OUTPUTS = [("-v",), ("--json",)]


@pytest.mark.parametrize("options", OUTPUTS, ids=" ".join)
@pytest.mark.parametrize("status", [200, 401, 429])
def test_a_refusal_harms_nobody(
    kling: Program, service: LoopbackService, attack: str, status: int, options: tuple[str, ...]
) -> None:
    """Message, code and request id of a refusal are shown as text (faults 101, 102, 103)."""
    tries = 2 if status == BUSY else 1
    service.on_create(Reply(status=status, json=poison(attack)), times=tries)
    run = kling("effect", "squish", PHOTO, "--timeout", "1", *options)
    assert run.code in {4, 6, 7, 9}
    assert service.count("POST") == tries
    assert_harmless(run, is_json="--json" in options)


@pytest.mark.parametrize("options", OUTPUTS, ids=" ".join)
def test_a_page_harms_nobody(
    kling: Program, service: LoopbackService, attack: str, options: tuple[str, ...]
) -> None:
    """What stands in a proxy's page or in a redirect is shown as text (faults 26, 32, 101)."""
    page = f"<html><title>{attack}</title>{attack}</html>".encode()
    host = re.sub(r"[\r\n\0]|[^\x00-\xff]", "", attack)
    headers = {"Location": f"https://{host}/", "Retry-After": host, "Set-Cookie": host}
    service.on_create(Reply(status=302, body=page, headers=headers))
    service.on_look(Reply(status=403, body=page))
    run = kling("effect", "squish", PHOTO, "--timeout", "1", *options)
    assert run.code == 9
    assert_harmless(run, is_json="--json" in options)


@pytest.mark.parametrize("options", OUTPUTS, ids=" ".join)
@pytest.mark.parametrize("status", ["succeed", "failed"])
def test_an_end_harms_nobody(
    kling: Program, service: LoopbackService, attack: str, status: str, options: tuple[str, ...]
) -> None:
    """Reason, request id and video id of a task that ended are shown as text (faults 101-103)."""
    is_json = "--json" in options
    service.on_look(Reply(json=lambda purchase: end(purchase, status, attack)))
    run = kling("effect", "squish", PHOTO, *options)
    assert run.code == (0 if status == "succeed" else 5)
    assert_harmless(run, is_json=is_json)
    assert_harmless(kling("tasks", *(options if is_json else ())), is_json=is_json)
    assert_harmless(kling("status", service.ledger[0].task_id, *options), is_json=is_json)


@pytest.mark.parametrize("options", OUTPUTS, ids=" ".join)
def test_a_strange_word_harms_nobody(
    kling: Program, service: LoopbackService, attack: str, options: tuple[str, ...]
) -> None:
    """A status word that nobody knows is shown as text, and the wait goes on (fault 37)."""
    service.on_look(Reply(json=lambda purchase: end(purchase, attack, attack)))
    run = kling("effect", "squish", PHOTO, *options)
    assert run.code == 0
    assert "an unknown status" in run.err
    assert_harmless(run, is_json="--json" in options)


@pytest.mark.parametrize("options", OUTPUTS, ids=" ".join)
def test_a_url_harms_nobody(
    kling: Program, service: LoopbackService, attack: str, options: tuple[str, ...]
) -> None:
    """A URL with a character that does not belong there is refused and shown as text (fault 40)."""

    def lead_astray(purchase: Purchase | None) -> dict[str, Any]:
        task = end(purchase, "succeed", "")
        task["data"]["task_result"]["videos"][0]["url"] = f"https://v.example/{attack}"
        return task

    service.on_look(Reply(json=lead_astray))
    run = kling("effect", "squish", PHOTO, *options)
    assert run.code == 6
    assert_harmless(run, is_json="--json" in options)


@pytest.mark.parametrize("options", OUTPUTS, ids=" ".join)
def test_an_id_harms_nobody(
    kling: Program, service: LoopbackService, attack: str, options: tuple[str, ...]
) -> None:
    """An id that could do harm counts as none: what was bought is looked for (fault 36)."""
    service.on_create(Reply(json=wrap({"task_id": attack})), purchase=True)
    run = kling("effect", "squish", PHOTO, "--no-wait", *options)
    assert run.code == 0
    assert len(service.ledger) == 1
    assert_harmless(run, is_json="--json" in options)


WILD = st.text(st.characters() | st.sampled_from("\x1b\x9b\x07\r\n\u2028\u202e:#[]/;"), max_size=60)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(WILD, WILD, st.sampled_from([("failed", "-v"), ("cancelled", "--json"), ("succeed", "-v")]))
def test_no_text_harms_anybody(
    kling: Program, service: LoopbackService, message: str, path: str, way: tuple[str, str]
) -> None:
    """Whatever characters an answer holds, none of them is written raw (fault 101)."""
    status, option = way
    task = {
        "task_id": "815",
        "task_status": status,
        "task_status_msg": message,
        "task_result": {"videos": [{"id": message, "url": f"https://v.example/{path}"}]},
    }
    service.on_look(Reply(json=wrap(task, request_id=message)))
    run = kling("status", "815", option)
    assert run.code in {0, 5, 6}
    assert_harmless(run, is_json=option == "--json")


# --- the token ----------------------------------------------------------------------------------

ECHOES = [
    TOKEN,
    f"Bearer {TOKEN}",
    f"token={TOKEN}&x",
    f"{'x' * 190}{TOKEN}",
    f"{'x' * 490}{TOKEN}",
    json.dumps({"message": TOKEN}),
]


@pytest.mark.parametrize("echo", ECHOES, ids=range(len(ECHOES)))
@pytest.mark.parametrize("option", ["-v", "--json"])
@pytest.mark.parametrize("status", [200, 302, 429])
def test_a_token_that_comes_back_is_not_shown(
    kling: Program, service: LoopbackService, echo: str, status: int, option: str
) -> None:
    """A service that quotes the token everywhere gets it into no byte that is kept (fault 76)."""
    headers = {"Location": f"https://{TOKEN}.example/{TOKEN}", "X-Request-Id": TOKEN}
    tries = 2 if status == BUSY else 1
    service.on_create(Reply(status=status, json=poison(echo), headers=headers), times=tries)
    service.on_look(Reply(status=502, body=echo.encode(), headers=headers))
    service.on_look(Reply(json=lambda purchase: end(purchase, echo, echo)))
    service.on_look(Reply(json=lambda purchase: end(purchase, "failed", echo)))
    refused = kling("effect", "squish", PHOTO, "--timeout", "1", option)
    accepted = kling("effect", "hug", PHOTO, OTHER_PHOTO, option)
    for run in (refused, accepted, kling("tasks")):
        assert_harmless(run)
        assert TOKEN[:10] not in run.out + run.err
    assert "***" in accepted.out + accepted.err
    for path in Path(os.environ["KLING_STATE_DIR"]).rglob("*"):
        assert not path.is_file() or TOKEN[:10].encode() not in path.read_bytes()


# --- whatever the wire brings -------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BROKEN: dict[str, Reply | Script] = {
    "gzip bomb": Reply(headers={"Content-Encoding": "gzip"}, body=gzip.compress(bytes(20_000_000))),
    "br": Reply(headers={"Content-Encoding": "br"}, body=b"{}"),
    "zstd": Reply(headers={"Content-Encoding": "zstd"}, body=b"{}"),
    "2 MiB": Reply(body=b'"' + b"x" * (2 << 20) + b'"'),
    "a header of 300 kB": (send(HEAD + b"X: " + b"x" * 300_000 + b"\r\n\r\n"),),
    "100000 headers": (send(HEAD + b"X-A: b\r\n" * 100_000 + b"\r\n"),),
    "redirect to http": Reply(status=307, headers={"Location": "http://127.0.0.1:9/x"}),
    "BOM": Reply(body=b'\xef\xbb\xbf{"code": 0}'),
    "nesting": Reply(body=b"[" * 200_000),
    "lone surrogate": Reply(json={"message": "\ud800"}),
}


def play(reply: Reply | Script) -> Script:
    """Make a script of an answer, behind whatever was asked."""
    return (answer(reply),) if isinstance(reply, Reply) else reply


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_answer_to_a_submission_is_in_doubt(
    kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch, reply: Reply | Script
) -> None:
    """It was bought once and is found, whatever became of the answer (faults 34, 104-107)."""
    with FaultServer((read_request, buy, *play(reply)), service=service) as server:
        monkeypatch.setenv("KLING_BASE_URL", server.base_url)
        run = kling("effect", "squish", PHOTO)
        assert run.code == 0
        assert len(server.ledger) == 1
    assert_harmless(run)


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_answer_to_a_look_is_a_failed_look(
    kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch, reply: Reply | Script
) -> None:
    """The wait goes on behind an answer that cannot be used (faults 31-34, 104-107)."""
    script = (read_request, buy, answer(Reply(json=accept)), read_request, *play(reply))
    with FaultServer(script, service=service) as server:
        monkeypatch.setenv("KLING_BASE_URL", server.base_url)
        run = kling("effect", "squish", PHOTO)
        assert run.code == 0
        assert len(server.ledger) == 1
    assert "1 check failed" in run.err
    assert_harmless(run)


def test_a_redirected_token_stays_at_home(kling: Program, service: LoopbackService) -> None:
    """The target of a redirect sees no connection at all, at no step (fault 107)."""
    with FaultServer() as target:
        moved = Reply(status=308, headers={"Location": f"{target.base_url}/v1/videos/effects"})
        service.on_create(moved, purchase=True)
        service.on_look(moved)
        run = kling("effect", "squish", PHOTO)
    assert run.code == 0
    assert "It leads to 127.0.0.1." in run.err
    assert target.connections == 0
    assert len(service.ledger) == 1


def test_cookies_stay_where_they_are(kling: Program, service: LoopbackService) -> None:
    """A cookie is neither kept nor sent, over a whole run (fault 108)."""
    baked = {"Set-Cookie": "session=1; Path=/; Max-Age=9999"}
    service.on_create(Reply(json=accept, headers=baked), purchase=True)
    service.on_look(Reply(status=500, headers=baked))
    assert kling("effect", "squish", PHOTO).code == 0
    assert not any("cookie" in visit.headers for visit in service.visits)


# --- the environment ----------------------------------------------------------------------------


def test_what_others_read_is_ignored(
    kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable of another library, however wrong, stops nothing (fault 118)."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/at-all.pem")
    assert kling("effect", "squish", PHOTO).code == 0
    assert len(service.ledger) == 1
