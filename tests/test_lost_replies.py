"""A POST of which nobody can tell what became of it: only looks are left."""

import pytest
from support.clock import VirtualClock
from support.fault_server import FaultServer
from support.purchases import find_video, list_stages, show
from support.replies import DROP, RESET, Reply, describe, refuse, wrap
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
PAGE = Reply(headers=HTML, body=b"<html><title>Sign in to the network</title></html>")
NOWHERE = {"Location": "https://elsewhere.example/kling/v1/videos/effects"}


def body(text: str | bytes) -> Reply:
    """Answer 200 with these bytes."""
    content = text if isinstance(text, bytes) else text.encode()
    return Reply(headers={"Content-Type": "application/json"}, body=content)


def with_id(task_id: object) -> Reply:
    """Answer 200 with a task that has this id."""
    return Reply(json=wrap({"task_id": task_id, "task_status": "submitted"}))


AMBIGUOUS = {
    "fault 6: reset": RESET,
    "fault 7: closed without a reply": DROP,
    **{f"fault 21: {status}": Reply(status=status) for status in (408, 409, 425, 499)},
    **{f"fault 24: {status}": Reply(status=status) for status in (500, 502, 504, 520, 522, 524)},
    "fault 24: 502 as a page": Reply(status=502, headers=HTML, body=b"<html>Bad gateway</html>"),
    "fault 24: 5000": refuse(500, 5000, "internal error"),
    "fault 24: 5002": refuse(504, 5002, "time-out"),
    "fault 24: a gateway's trouble": Reply(status=500, json={"code": "do_request_failed"}),
    "fault 25: any other 503": Reply(status=503, json={"message": "overload"}),
    **{f"fault 26: {s}": Reply(status=s, headers=NOWHERE) for s in (301, 302, 307, 308)},
    **{f"fault 31: {status}": Reply(status=status) for status in (204, 205, 206, 304)},
    "fault 32: a login page": PAGE,
    "fault 33: empty": body(""),
    "fault 33: shorter than announced": Reply(headers={"Content-Length": "500"}, body=b'{"code":'),
    "fault 33: chunk cut": Reply(headers={"Transfer-Encoding": "chunked"}, body=b"40\r\n{"),
    **{f"fault 34: {text}": body(text) for text in ("null", "[]", '"ok"', "7", '{"code": NaN}')},
    "fault 34: byte-order mark": body(b"\xef\xbb\xbf" + b'{"code": 0}'),
    "fault 34: UTF-16": body('{"code": 0}'.encode("utf-16")),
    "fault 34: bad UTF-8": body(b'{"code": 0, "message": "\xff\xfe"}'),
    "fault 34: a key twice": body('{"code": 0, "code": 0}'),
    "fault 34: nested": body("[" * 200_000),
    "fault 34: a number of 5,000 digits": body('{"code": ' + "9" * 5000 + "}"),
    "fault 35: a code unknown here": Reply(json={"code": 7777, "message": "?"}),
    "fault 36: data null": Reply(json=wrap(None)),
    "fault 36: no id": Reply(json=wrap({"task_status": "submitted"})),
    **{
        f"fault 36: id {task_id[:8]!r}": with_id(task_id)
        for task_id in ("x" * 10_000, "a/b", "..", "\x1b[2J", "a?b")
    },
}


# One for each row: what differs between those of a row is how they are read.
FIRST = {name.partition(":")[0]: name for name in reversed(AMBIGUOUS)}


@pytest.mark.parametrize("name", FIRST.values())
def test_what_was_bought_behind_an_ambiguous_answer_is_found(
    kling: Program, service: LoopbackService, name: str
) -> None:
    """A task that was created all the same is looked up, waited for and printed: one POST."""
    service.on_create(AMBIGUOUS[name], purchase=True)
    run = kling("effect", "squish", PHOTO)
    assert (run.code, run.lines) == (0, [find_video(service)])
    assert (service.count("POST"), len(service.ledger)) == (1, 1)
    assert f"Looking up {service.ledger[0].external_task_id}; not sending again." in run.err


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_is_not_found_is_not_sent_again(
    kling: Program, service: LoopbackService, name: str
) -> None:
    """Without a task to be found it ends with 9: one POST, and perhaps a charge."""
    service.on_create(AMBIGUOUS[name])
    told = kling("effect", "squish", PHOTO, "--json").json
    assert (told["exit_code"], told["task_status"], told["reused"]) == (9, "unknown", False)
    assert (told["error"]["code"], told["error"]["charged"]) == ("submission_unknown", "maybe")
    assert (service.count("POST"), service.ledger) == (1, [])
    assert told["external_task_id"] in told["error"]["message"]


def test_an_unknown_task_is_listed_with_the_ways_to_go_on(
    kling: Program, service: LoopbackService
) -> None:
    """Fault 9: the id is in kling tasks --unfinished; the hint names kling wait and --new."""
    service.on_create(DROP)
    run = kling("effect", "squish", PHOTO, "--json")
    name = run.json["external_task_id"]
    assert name in kling("tasks", "--unfinished").out
    hint = run.json["error"]["hint"]
    for words in (f"kling wait {name}", "never sends it again", "--new", "charges you twice"):
        assert words in hint
    assert f"hint: {hint}" in run.err


def test_new_is_the_users_own_decision(kling: Program, service: LoopbackService) -> None:
    """Fault 9: --new buys an unknown request anew; the unknown one stays listed."""
    service.on_create(DROP)
    assert kling("effect", "squish", PHOTO).code == 9
    assert kling("effect", "squish", PHOTO, "--new").lines == [find_video(service)]
    assert list_stages() == [Stage.UNKNOWN, Stage.SUCCEED]


@pytest.mark.parametrize("ending", [reset, close])
@pytest.mark.parametrize("middle", [(), (buy,)], ids=["not bought", "bought"])
def test_an_upload_that_breaks_off_leaves_a_doubt(
    kling: Program,
    service: LoopbackService,
    monkeypatch: pytest.MonkeyPatch,
    ending: Step,
    middle: Script,
) -> None:
    """Fault 6: half an upload may have been enough, so it is not sent again either."""
    with FaultServer((read_head, read_body(5000), *middle, ending), service=service) as server:
        monkeypatch.setenv("KLING_BASE_URL", server.base_url)
        runs = [kling("effect", "squish", PHOTO), kling("effect", "squish", PHOTO)]
        posts = [one for one in server.requests if one.method == "POST"]
    assert [run.code for run in runs] == [9, 9]
    assert (len(posts), service.count("POST"), len(service.ledger)) == (1, 0, len(middle))


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n", b"SSH-2.0-OpenSSH\r\n"]
)
def test_half_an_answer_is_looked_up(
    kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    """Fault 31 and fault 33: what is no full HTTP answer says nothing about the task."""
    with FaultServer((read_request, buy, send(said), close), service=service) as server:
        monkeypatch.setenv("KLING_BASE_URL", server.base_url)
        run = kling("effect", "squish", PHOTO)
    assert (run.code, run.lines) == (0, [find_video(service)])
    assert (service.count("POST"), len(service.ledger)) == (0, 1)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param((read_request, buy, trickle(b"HTTP/1.1 200 OK\r\n", interval=0.1)), id="15"),
        pytest.param((read_request, buy, answer(Reply(delay=2.0, json={}))), id="8"),
    ],
)
def test_an_answer_that_comes_too_late_is_looked_up(
    kling: Program, service: LoopbackService, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 8 and fault 15: silence, or a byte now and then, ends at the deadline in a look-up."""
    monkeypatch.setattr("kling_cli.api.transport._ANSWER_SECONDS", 0.3)
    with FaultServer(script, service=service) as server:
        run = kling("effect", "squish", PHOTO, "--base-url", server.base_url)
    assert (run.code, len(service.ledger)) == (0, 1)
    assert "no complete response in time" in run.err


def test_an_id_that_is_a_number_is_taken_as_text(kling: Program, service: LoopbackService) -> None:
    """Fault 36: a task id that comes as a number is the same id in digits."""
    service.on_create(with_id(815336894036197446), purchase=True)
    assert kling("effect", "squish", PHOTO, "--no-wait").lines == ["815336894036197446"]


@pytest.mark.parametrize("code", ["0", 0.0, "success", 200, None])
def test_every_spelling_of_fine_is_understood(
    kling: Program, service: LoopbackService, code: object
) -> None:
    """Fault 35: whichever way a gateway spells code 0, or leaves it out, the task is accepted."""

    def accept(sale: Sale | None) -> object:
        assert sale is not None
        told = wrap(describe(sale))
        return {**told, "code": code} if code is not None else {"data": told["data"]}

    service.on_create(Reply(json=accept), purchase=True)
    run = kling("effect", "squish", PHOTO)
    assert (run.code, run.lines) == (0, [find_video(service)])
    assert "Looking up" not in run.err


def test_the_lost_reply_is_told(kling: Program, service: LoopbackService) -> None:
    """Fault 7: what happened, the id that is looked up, and what is not done, are on stderr."""
    service.on_create(DROP, purchase=True)
    run = kling("effect", "squish", PHOTO)
    assert "The reply was lost: 127.0.0.1 closed the connection" in run.err
    assert "not sending again" in run.err


class TestFind:
    """The looks behind a doubt."""

    def test_looks_are_spread(
        self, kling: Program, clock: VirtualClock, service: LoopbackService
    ) -> None:
        """What is not there yet is looked for after 2, 4, 8, 15 and 30 seconds, and no more."""
        service.on_create(DROP)
        assert kling("effect", "squish", PHOTO).code == 9
        assert list(clock.sleeps) == [2, 4, 8, 15, 30]
        assert service.count("GET") == 5

    def test_the_timeout_cuts_them_short(
        self, kling: Program, clock: VirtualClock, service: LoopbackService
    ) -> None:
        """--timeout ends the looking as it ends all else."""
        service.on_create(DROP)
        assert kling("effect", "squish", PHOTO, "--timeout", "5s").code == 9
        assert clock.sleeps == (2, 3)

    def test_a_task_that_is_written_down_late_is_met(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """A service that learns of its own task only after a while is no reason for doubt."""
        service.on_create(DROP, purchase=True)
        service.on_look(refuse(404, 1203, "task not found"), times=3)
        assert kling("effect", "squish", PHOTO).lines == [find_video(service)]

    def test_a_rerun_meets_the_task_after_all(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """What the first run could not find, the same command finds later, and buys nothing."""
        service.on_create(DROP, purchase=True)
        service.on_look(refuse(404, 1203, "task not found"), times=5)
        assert kling("effect", "squish", PHOTO).code == 9
        again = kling("effect", "squish", PHOTO, "--json")
        assert (again.code, again.json["reused"], service.count("POST")) == (0, True, 1)
        assert again.json["videos"][0]["url"] == find_video(service)

    def test_a_service_that_cannot_look_up_leaves_it_unknown(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Where external ids cannot be looked up, the message does not claim that none was made."""
        service.shop.rules = Rules(lookup_by_external_id=False)
        service.on_create(DROP, purchase=True)
        run = kling("effect", "squish", PHOTO)
        assert run.code == 9
        assert "may or may not have been accepted" in run.err
        assert len(service.ledger) == 1

    def test_failed_looks_are_told(self, kling: Program, service: LoopbackService) -> None:
        """A network that stays down while looking is named; nothing is claimed about the task."""
        service.on_create(DROP)
        service.on_look(RESET, times=5)
        run = kling("effect", "squish", PHOTO)
        assert run.code == 9
        assert "failed: No answer: " in run.err
        assert "shows no task" not in run.err

    def test_a_refused_token_ends_the_looking(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 30: no look can mend a refused token, so the hint begins with it."""
        service.on_create(DROP)
        service.on_look(refuse(401, 1002, "authorization invalid"))
        run = kling("effect", "squish", PHOTO)
        assert (run.code, service.count("GET")) == (9, 1)
        assert "Token refused (from KLING_TOKEN)" in run.err
        assert "kling config set token" in run.err
        assert ". Then: kling wait" in run.err

    def test_our_own_task_that_has_failed_is_the_answer(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """A task found to have failed ends this run with 5; only the next run buys anew."""
        service.on_create(DROP, purchase=True)
        service.on_look(show("failed", task_status_msg="blocked"))
        run = kling("effect", "squish", PHOTO)
        assert (run.code, service.count("POST")) == (5, 1)
        assert "blocked" in run.err
        assert list_stages() == [Stage.FAILED]

    def test_the_request_id_is_kept(self, kling: Program, service: LoopbackService) -> None:
        """What the service's support asks for is in the error of an unknown submission."""
        service.on_create(refuse(500, 5000, "internal error"))
        error = kling("effect", "squish", PHOTO, "--json").json["error"]
        told = (error["http_status"], error["service_code"], error["request_id"])
        assert told == (500, 5000, "request-5000")

    def test_advice_to_send_again_is_not_passed_on(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Where something may have been bought, the service's own "try again" is left out."""
        service.on_create(refuse(500, 5000, "Busy, please try again later"))
        run = kling("effect", "squish", PHOTO, "--json")
        assert "try again" not in (run.out + run.err).lower()
