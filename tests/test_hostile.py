"""A hostile service: whatever it answers, no terminal, log or script is harmed."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fault_server import FaultServer
from support.replies import Reply, accept, describe, wrap
from support.run import PHOTO, Program, Run
from support.service import LoopbackService
from support.shop import Purchase

# A line begins with one of these, or with what the user named, never with foreign text.
OWN_WORDS = (
    "request id ",
    "error: ",
    "hint: ",
    "warning: ",
    "request id: ",
    "GET ",
    "POST ",
    str(PHOTO),
    "815: ",
)
ATTACKS = {
    "ESC and OSC": "\x1b[2J\x1b]0;owned\x07\x1b]52;c;ZXZpbA==\x1b\\\x1b]8;;https://evil.example\x1b\\",
    "C1 and CR": "\x9b31m\x9d0;owned\x9cfine\r\x00\x08\x7fkling: done",
    "bidi": "\u202egpj.exe\u2066\u200b\ufeff",
    "markup": "[link=https://evil.example]here[/link][/] [bold]",
    "newlines": "x\n::error::owned\n##vso[task.complete]\u2028::add-mask::a\x85\x0b\x0c::debug::b",
    "command": "::error file=a,line=1::owned",
    "command of Azure": "##vso[task.setvariable variable=a]b",
}
# What a line of a CI log must not begin with.
COMMAND = re.compile(r"\s*(?:::|##|\[)")


def assert_harmless(run: Run, *, is_json: bool = False) -> None:
    for text in (run.out, run.err):
        assert text.replace("\n", "").replace("\t", "").isprintable()
    assert "\t" not in run.err
    assert all(line.startswith(OWN_WORDS) for line in run.err.splitlines())
    assert not any(COMMAND.match(line) for line in run.lines)
    if is_json:
        assert run.out.isascii()
        assert run.records


def refuse_with(status: int) -> Callable[[LoopbackService, str], None]:
    def script(service: LoopbackService, attack: str) -> None:
        body: dict[str, object] = dict.fromkeys(("code", "message", "request_id", "msg"), attack)
        body["error"] = {**body, "type": attack}
        body["data"] = {"task_id": attack, "task_status": attack, "fail_reason": attack}
        service.on_create(Reply(status=status, json=body), times=2 if status == 429 else 1)

    return script


def show_page(service: LoopbackService, attack: str) -> None:
    page = f"<html><title>{attack}</title>{attack}</html>".encode()
    host = re.sub(r"[\r\n\0]|[^\x00-\xff]", "", attack)
    headers = {"Location": f"https://{host}/", "Retry-After": host, "Set-Cookie": host}
    service.on_create(Reply(status=302, body=page, headers=headers))
    service.on_look(Reply(status=403, body=page))


def end(purchase: Purchase | None, status: str, attack: str, url: str) -> dict[str, Any]:
    assert purchase is not None
    told: dict[str, Any] = describe(purchase, status, message=attack, video_url=url)
    told["task_result"]["videos"][0]["id"] = attack
    told |= {"fail_reason": attack, "error": {"message": attack}}
    return wrap(told, request_id=attack)


def end_as(
    status: str | None, url: str = "https://v.example/1.mp4"
) -> Callable[[LoopbackService, str], None]:

    def script(service: LoopbackService, attack: str) -> None:
        place = url.replace("ATTACK", attack)
        service.on_look(Reply(json=lambda sold: end(sold, status or attack, attack, place)))

    return script


def give_id(service: LoopbackService, attack: str) -> None:
    service.on_create(Reply(json=wrap({"task_id": attack})), purchase=True)


# What the service does, and how the run may end.
TRICKS: dict[str, tuple[Callable[[LoopbackService, str], None], int]] = {
    "refusal under 200": (refuse_with(200), 9),
    "refusal under 401": (refuse_with(401), 4),
    "refusal under 429": (refuse_with(429), 7),
    "page or redirect (26, 32)": (show_page, 9),
    "end": (end_as("succeed"), 0),
    "failure": (end_as("failed"), 5),
    "strange status (37)": (end_as(None), 0),
    "URL (40)": (end_as("succeed", "https://v.example/ATTACK"), 6),
    "id (36)": (give_id, 0),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("option", ["-v", "--json"])
def test_no_answer_harms_anybody(
    kling: Program, service: LoopbackService, attack: str, trick: str, option: str
) -> None:
    """What the service says is shown as text, and bought once at most (faults 101, 102, 103)."""
    script, code = TRICKS[trick]
    is_bought, is_json = code in (0, 5, 6), option == "--json"
    script(service, attack)
    run = kling("effect", "squish", PHOTO, "--timeout", "2m" if is_bought else "1", option)
    assert (run.code, len(service.ledger)) == (code, is_bought)
    assert_harmless(run, is_json=is_json)
    if is_bought:
        assert_harmless(kling("tasks", "--json" if is_json else "-v"), is_json=is_json)
        assert_harmless(kling("status", service.ledger[0].task_id, option), is_json=is_json)


WILD = st.text(st.characters() | st.sampled_from("\x1b\x9b\x07\r\n\u2028\u202e:#[]/;"), max_size=60)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_a_redirected_token_stays_at_home(kling: Program, service: LoopbackService) -> None:
    """The target of a redirect sees no connection at all, at no step (fault 107)."""
    with FaultServer() as target:
        moved = Reply(status=308, headers={"Location": f"{target.base_url}/v1/videos/effects"})
        service.on_create(moved, purchase=True)
        service.on_look(moved)
        run = kling("effect", "squish", PHOTO)
    assert "It points to 127.0.0.1." in run.err
    assert (run.code, target.connections, len(service.ledger)) == (0, 0, 1)


def test_cookies_stay_where_they_are(kling: Program, service: LoopbackService) -> None:
    """A cookie is neither kept nor sent, over a whole run (fault 108)."""
    baked = {"Set-Cookie": "session=1; Path=/; Max-Age=9999"}
    service.on_create(Reply(json=accept, headers=baked), purchase=True)
    service.on_look(Reply(status=500, headers=baked))
    assert kling("effect", "squish", PHOTO).code == 0
    assert not any("cookie" in visit.headers for visit in service.visits)
