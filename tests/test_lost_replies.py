"""A POST of which nobody can tell what became of it: only looks are left."""

import pytest
from support.clock import VirtualClock
from support.fault_server import FaultServer
from support.purchases import find_video, list_stages, show
from support.replies import DROP, RESET, UNREADABLE, Reply, describe, refuse, wrap
from support.run import PHOTO, Program
from support.service import LoopbackService
from support.shop import Purchase as Sale
from support.shop import Rules
from support.steps import (
    Script,
    Step,
    answer,
    buy,
    close,
    read_body,
    read_head,
    read_request,
    reset,
    send,
    trickle,
)

from kling_cli.models import Stage

HTML = {"Content-Type": "text/html"}
PLAIN = ("effect", "squish", PHOTO)


# What each further status and code means is proved with the network.
AMBIGUOUS = {
    "fault 6: reset": RESET,
    "fault 7: closed without a reply": DROP,
    "fault 21: 408": Reply(status=408),
    "fault 24: 502 as a page": Reply(status=502, headers=HTML, body=b"<html>Bad gateway</html>"),
    "fault 24: 5000": refuse(500, 5000, "internal error"),
    "fault 25: any other 503": Reply(status=503, json={"message": "overload"}),
    "fault 26: 307": Reply(status=307, headers={"Location": "https://elsewhere.example/"}),
    **UNREADABLE,
}
# One for each row: what differs between those of a row is how they are read.
FIRST = {name.partition(":")[0]: name for name in reversed(AMBIGUOUS)}


@pytest.mark.parametrize("name", FIRST.values())
def test_what_was_bought_is_found(kling: Program, service: LoopbackService, name: str) -> None:
    """A task that was created all the same is looked up, waited for and printed: one POST."""
    service.on_create(AMBIGUOUS[name], purchase=True)
    run = kling(*PLAIN)
    assert (run.code, run.lines) == (0, [find_video(service)])
    assert (service.count("POST"), len(service.ledger)) == (1, 1)
    assert f"Looking up {service.ledger[0].external_task_id}, not sending again." in run.err


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_is_lost_is_not_resent(kling: Program, service: LoopbackService, name: str) -> None:
    """Without a task to be found it ends with 9: one POST, and perhaps a charge."""
    service.on_create(AMBIGUOUS[name])
    told = kling(*PLAIN, "--json").json
    assert (told["exit_code"], told["task_status"], told["reused"]) == (9, "unknown", False)
    assert (told["error"]["code"], told["error"]["charged"]) == ("submission_unknown", "maybe")
    assert (service.count("POST"), service.ledger) == (1, [])
    assert told["external_task_id"] in told["error"]["message"]


def test_an_unknown_task_is_listed_with_hints(kling: Program, service: LoopbackService) -> None:
    """Fault 9: what is lost and cannot be found is listed, with kling wait and --new."""
    service.shop.rules = Rules(lookup_by_external_id=False)
    service.on_create(DROP, purchase=True)
    run = kling(*PLAIN, "--json")
    name, hint = run.json["external_task_id"], run.json["error"]["hint"]
    assert name in kling("tasks", "--unfinished").out
    for words in (f"kling wait {name}", "never sends it again", "--new", "charges you twice"):
        assert words in hint
    for words in ("The response was lost: 127.0.0.1 closed the connection", "may or may not", hint):
        assert words in run.err


def test_new_is_the_users_own_decision(kling: Program, service: LoopbackService) -> None:
    """Fault 9: --new buys an unknown request anew; the unknown one stays listed."""
    service.on_create(DROP)
    assert kling(*PLAIN).code == 9
    assert kling(*PLAIN, "--new").lines == [find_video(service)]
    assert list_stages() == [Stage.UNKNOWN, Stage.SUCCEED]


@pytest.mark.parametrize("ending", [reset, close])
@pytest.mark.parametrize("middle", [(), (buy,)], ids=["not bought", "bought"])
def test_an_upload_that_breaks_off_leaves_a_doubt(
    kling: Program, service: LoopbackService, ending: Step, middle: Script
) -> None:
    """Fault 6: half an upload may have been enough, so it is not sent again either."""
    with FaultServer((read_head, read_body(5000), *middle, ending), service=service) as server:
        runs = [kling(*PLAIN, "--base-url", server.base_url) for _ in range(2)]
        posts = [one for one in server.requests if one.method == "POST"]
    assert [run.code for run in runs] == [9, 9]
    assert (len(posts), service.count("POST"), len(service.ledger)) == (1, 0, len(middle))


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        pytest.param((send(b"HTTP/1.1 200 OK\r\n"), close), "closed the connection", id="33"),
        pytest.param((send(b"HTTP/1.1 103 Early Hints\r\n\r\n"), close), "closed the", id="31"),
        pytest.param((send(b"SSH-2.0-OpenSSH\r\n"), close), "invalid HTTP", id="no HTTP"),
        pytest.param((trickle(b"HTTP/1.1 200 OK\r\n", interval=0.1),), "in time", id="15"),
        pytest.param((answer(Reply(delay=2.0, json={})),), "in time", id="8"),
    ],
)
def test_half_an_answer_or_a_late_one_is_looked_up(
    kling: Program,
    service: LoopbackService,
    monkeypatch: pytest.MonkeyPatch,
    answers: Script,
    words: str,
) -> None:
    """Faults 8, 15, 31 and 33: it says nothing about the task; silence ends at the deadline."""
    monkeypatch.setattr("kling_cli.api.transport._ANSWER_SECONDS", 0.3)
    with FaultServer((read_request, buy, *answers), service=service) as server:
        run = kling(*PLAIN, "--base-url", server.base_url)
    assert (run.code, len(service.ledger), service.count("POST")) == (0, 1, 0)
    assert words in run.err


@pytest.mark.parametrize("code", ["0", 0.0, "success", 200, None])
def test_each_spelling_of_fine(kling: Program, service: LoopbackService, code: object) -> None:
    """Fault 35: whichever way a gateway spells code 0, or leaves it out, the task is accepted."""

    def accept(sale: Sale | None) -> object:
        assert sale is not None
        told = wrap(describe(sale))
        return {**told, "code": code} if code is not None else {"data": told["data"]}

    service.on_create(Reply(json=accept), purchase=True)
    run = kling(*PLAIN)
    assert (run.code, run.lines) == (0, [find_video(service)])
    assert "Looking up" not in run.err


@pytest.mark.parametrize(
    ("timeout", "pauses"), [("30m", (2, 4, 8, 15, 30)), ("5s", (2, 3))], ids=["whole", "cut"]
)
def test_looks_are_spread(
    kling: Program, clock: VirtualClock, service: LoopbackService, timeout: str, pauses: object
) -> None:
    """What is not there yet is looked for after these seconds, no more, and within --timeout."""
    service.on_create(DROP)
    assert kling(*PLAIN, "--timeout", timeout).code == 9
    assert (clock.sleeps, service.count("GET")) == (pauses, len(clock.sleeps))


@pytest.mark.parametrize(("lag", "code"), [(3, 0), (5, 9)])
def test_a_late_task_is_met(kling: Program, service: LoopbackService, lag: int, code: int) -> None:
    """If not by this run, then by the same command later, which buys nothing."""
    service.on_create(DROP, purchase=True)
    service.on_look(refuse(404, 1203, "task not found"), times=lag)
    assert kling(*PLAIN).code == code
    again = kling(*PLAIN, "--json")
    assert (again.code, again.json["reused"], service.count("POST")) == (0, True, 1)
    assert again.json["videos"][0]["url"] == find_video(service)


def test_failed_looks_are_told(kling: Program, service: LoopbackService) -> None:
    service.on_create(DROP)
    service.on_look(RESET, times=5)
    run = kling(*PLAIN)
    assert run.code == 9
    assert "failed: No response: " in run.err
    assert "shows no task" not in run.err


def test_a_refused_token_ends_the_looking(kling: Program, service: LoopbackService) -> None:
    """Fault 30: no look can mend a refused token, so the hint begins with it."""
    service.on_create(DROP)
    service.on_look(refuse(401, 1002, "authorization invalid"))
    run = kling(*PLAIN)
    assert (run.code, service.count("GET")) == (9, 1)
    assert "Token refused (from KLING_TOKEN)" in run.err
    assert "kling config set token" in run.err
    assert ". Then: kling wait" in run.err


def test_our_own_failed_task_is_the_answer(kling: Program, service: LoopbackService) -> None:
    """A task found to have failed ends this run with 5; only the next run buys anew."""
    service.on_create(DROP, purchase=True)
    service.on_look(show("failed", task_status_msg="blocked"))
    run = kling(*PLAIN)
    assert (run.code, service.count("POST")) == (5, 1)
    assert "blocked" in run.err
    assert list_stages() == [Stage.FAILED]
