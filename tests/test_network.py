"""What the network and HTTP can do to a run, row by row: what was sent, and what it means."""

import hashlib
import json
import socket
from pathlib import Path

import pytest
from support.fault_server import FaultServer
from support.replies import Reply, accept
from support.run import PHOTO, Program, Run
from support.service import LoopbackService
from support.steps import answer, buy, read_request, send

from kling_cli.api import transport

pytestmark = pytest.mark.usefixtures("token")
TOKEN = "sk-test-0123456789abcdef"
HTML = {"Content-Type": "text/html"}
CLOUDFLARE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body/></html>"
LOGIN = "<html><head><title>Hotel Wi-Fi</title></head><body>Log in</body></html>"
NO_CHANNEL = "当前分组 default 下对于模型 kling-v1-6 无可用渠道 (request id: 2026x)"
EXISTS = "external_task_id already exists"


def native(code: object, message: str = "words", **more: object) -> dict[str, object]:
    return {"code": code, "message": message, "request_id": "r-1", **more}


def gateway(message: str, code: object = "") -> dict[str, object]:
    return {"error": {"message": message, "type": "new_api_error", "code": code}}


def form(code: str, message: object = "words") -> dict[str, object]:
    return {"code": code, "message": message, "data": None}


def hand_on(upstream: object) -> dict[str, object]:
    return form("fail_to_fetch_task", json.dumps(upstream))


def reply_with(status: int, body: object) -> Reply:
    if isinstance(body, str):
        return Reply(status=status, headers=HTML, body=body.encode())
    return Reply(status=status, json=body)


# Rows of faults 16-18, 23, 25 and 27: nothing was accepted, and each has one meaning.
REFUSALS: list[tuple[int, object, tuple[int, str]]] = [
    *((401, native(code), (4, "token_refused")) for code in (1000, 1004)),
    (429, native(1100), (7, "account_abnormal")),
    (429, native(1101), (7, "balance_exhausted")),
    (403, native(1103), (4, "permission_denied")),
    (400, native(1200), (6, "bad_parameter")),
    (404, native(1202), (6, "no_effects_route")),
    (404, native(1203), (6, "not_found")),
    (400, native(1300), (6, "policy_refused")),
    (429, native(1304), (4, "ip_not_allowed")),
    (200, native(1301.0), (6, "content_refused")),
    (401, gateway("无效的令牌 (request id: 2026x)"), (4, "token_refused")),
    (401, gateway("该令牌额度已用尽"), (7, "balance_exhausted")),
    (401, LOGIN, (4, "token_refused")),
    (402, gateway("pay"), (7, "balance_exhausted")),
    (403, "", (4, "permission_denied")),
    (403, gateway("x", "insufficient_user_quota"), (7, "balance_exhausted")),
    (403, gateway("用户额度不足, 剩余额度: 0"), (7, "balance_exhausted")),
    (403, form("quota_not_enough"), (7, "balance_exhausted")),
    (400, form("pre_consume_token_quota_failed"), (7, "balance_exhausted")),
    (429, form("x", "user quota is not enough"), (7, "balance_exhausted")),
    (404, {"message": "task not found"}, (6, "not_found")),
    (400, form("invalid_api_platform"), (6, "request_refused")),
    (404, gateway("no such model", "model_not_found"), (6, "model_refused")),
    (422, {"detail": "bad"}, (6, "request_refused")),
    (400, native("whatever"), (6, "request_refused")),
    (404, gateway("Invalid URL (POST /kling/v1/videos/effects)"), (6, "no_effects_route")),
    (404, "<html><body>no such task</body></html>", (6, "no_effects_route")),
    (400, EXISTS, (6, "request_refused")),  # of a page, which anybody may have written
    (403, CLOUDFLARE, (6, "proxy_refused")),
    (413, "<html><title>413</title></html>", (6, "request_too_large")),
    (400, native(1201, "external_task_id does not exist"), (6, "bad_parameter")),
    (400, native(1201, "external_task_id 不存在"), (6, "bad_parameter")),
    (400, native(1201, "file already exists"), (6, "bad_parameter")),
    (400, hand_on(native(1301)), (6, "content_refused")),
    (400, hand_on(hand_on(native(1300))), (6, "policy_refused")),
    (400, form("fail_to_fetch_task", None), (6, "request_refused")),
]
# Rows of faults 19 and 25: clearly not accepted, and worth another try.
BUSY: list[tuple[int, object, str]] = [
    (429, native(1302), "rate_limited"),
    (429, native(1303), "concurrency_limit"),
    (503, native(5001), "service_maintenance"),
    (429, gateway("您已达到总请求数限制"), "rate_limited"),
    (429, "", "rate_limited"),
    (429, CLOUDFLARE, "rate_limited"),
    (503, gateway(NO_CHANNEL, "model_not_found"), "model_unavailable"),
    (503, form("x", "no available channel"), "model_unavailable"),
    (429, hand_on(native(1303)), "concurrency_limit"),
]
UNUSABLE = "The service's response is not valid."
FAILED = "The service had an internal error."
SLOW = "The service took too long to respond."
DUPLICATE = "A task with this external task id already exists."
# Rows of faults 21, 22, 24, 26 and 31-35: it may have been accepted.
DOUBTS: list[tuple[int, object, str]] = [
    *((status, native(1201), UNUSABLE) for status in (409, 425, 499, 204, 205, 206)),
    *((status, native(1303), FAILED) for status in (500, 502)),
    *((status, CLOUDFLARE, FAILED) for status in (503, 520)),
    *((status, "", SLOW) for status in (408, 504, 524)),
    *((status, native(0), "redirect, which kling does not") for status in (301, 304, 307)),
    (418, "", UNUSABLE),
    (500, native(5000), FAILED),
    (400, form("get_task_failed"), FAILED),
    (504, native(5002), SLOW),
    (503, native(1201), FAILED),
    (503, "no available channel, says a page", FAILED),
    (502, form("fail_to_fetch_task", "<html>Bad gateway</html>"), FAILED),
    (200, LOGIN, "Got a web page instead of an API response."),
    (200, native("odd"), UNUSABLE),
    (200, native(10**400), UNUSABLE),
    (200, native(0.5), UNUSABLE),
    (200, native(False), UNUSABLE),
    (200, {"success": False, "message": "no"}, UNUSABLE),
    (200, gateway("无效的令牌"), UNUSABLE),
    # A refusal that contains a task may have made it.
    (400, native(1301, data={"task_id": "1"}), UNUSABLE),
    (200, native(1101, data={"task_id": "1"}), UNUSABLE),
    (401, {"error": {"message": "bad", "code": 1002}, "task_id": "1"}, UNUSABLE),
    (400, native(1201, EXISTS), DUPLICATE),
    (409, {"message": "Duplicate external task id"}, DUPLICATE),
    (200, native(1201, "external_task_id must be unique"), DUPLICATE),
    (400, native(1201, "external_task_id kling-abc 已存在"), DUPLICATE),
    (422, native(1200, "外部任务ID重复"), DUPLICATE),
    (400, form("external_task_id_exists"), DUPLICATE),
    (400, hand_on(native(1201, EXISTS)), DUPLICATE),
]


def check_refusal(run: Run, service: LoopbackService, exit_code: int, code: str) -> None:
    error = run.json["error"]
    assert (run.code, error["code"], error["charged"]) == (exit_code, code, "no")
    assert error["hint"]
    assert (service.ledger, service.count("GET")) == ([], 0)


@pytest.mark.parametrize(("status", "body", "ends"), REFUSALS)
def test_a_clear_refusal_has_its_code(
    kling: Program, service: LoopbackService, status: int, body: object, ends: tuple[int, str]
) -> None:
    service.on_create(reply_with(status, body))
    run = kling("effect", "squish", PHOTO, "--json")
    check_refusal(run, service, *ends)
    assert run.json["error"]["http_status"] == status


@pytest.mark.parametrize(("status", "body", "code"), BUSY)
def test_a_busy_service_is_for_later(
    kling: Program, service: LoopbackService, status: int, body: object, code: str
) -> None:
    service.on_create(reply_with(status, body), times=2)
    run = kling("effect", "squish", PHOTO, "--timeout", "1s", "--json")
    check_refusal(run, service, 7, code)


@pytest.mark.parametrize(("status", "body", "words"), DOUBTS)
def test_everything_else_is_in_doubt(
    kling: Program, service: LoopbackService, status: int, body: object, words: str
) -> None:
    service.on_create(reply_with(status, body))
    run = kling("effect", "squish", PHOTO, "--json")
    error = run.json["error"]
    assert (run.code, error["code"], error["charged"]) == (9, "submission_unknown", "maybe")
    assert words in error["message"]
    assert service.count("POST") == 1


@pytest.mark.parametrize(
    ("body", "request_id"),
    [
        (native(1201), "r-1"),
        (gateway("无效 (request id: 20260101abcXYZ)"), "20260101abcXYZ"),
        ({"error": {"message": "no", "request_id": "r-2"}}, "r-2"),
        ({**hand_on(native(1201)), "request_id": "outer"}, "r-1"),
        ({**hand_on({"message": "no"}), "request_id": "outer"}, "outer"),
        ({"message": "no"}, None),
        (native(1201, request_id="x" * 10_000), "x" * 125 + "..."),
    ],
)
def test_request_ids(
    kling: Program, service: LoopbackService, body: object, request_id: str | None
) -> None:
    """What support asks for is found wherever it stands, and told once (fault 16)."""
    service.on_create(Reply(status=400, json=body))
    run = kling("effect", "squish", PHOTO, "--json")
    assert run.json["error"]["request_id"] == request_id
    assert request_id is None or run.json["error"]["message"].count(request_id) == 1


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (LOGIN, "The page said: Hotel Wi-Fi (HTTP 403)"),
        ("<html><h1>502</h1> Bad   Gateway</html>", "The page said: 502 Bad Gateway"),
        ("upstream connect error", "The service said: upstream connect error"),
        ("<p>" + "x" * 100_000, f"The page said: {'x' * 197}... "),
    ],
)
def test_page_described(kling: Program, service: LoopbackService, page: str, words: str) -> None:
    """Of a web page its title or its first words are shown, never its tags (faults 16, 32)."""
    service.on_create(reply_with(403, page))
    assert words in kling("effect", "squish", PHOTO, "--json").json["error"]["message"]


def test_doubt_never_ends_in_try_again(kling: Program, service: LoopbackService) -> None:
    """The service's advice to send again is left out where it may buy a second time (fault 24)."""
    advice = "Internal, please try again later. Retry later. 繁忙 请稍后再试"
    service.on_create(Reply(status=500, json=native(5000, advice)))
    run = kling("effect", "squish", PHOTO)
    assert not any(words in run.err.lower() for words in ("try ", "retry", "再试"))
    assert "[...]" in run.err


def test_a_silent_address_is_not_sent(kling: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no connection comes about in time, nothing was sent (fault 4)."""
    monkeypatch.setattr(transport, "_CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        address = deaf.getsockname()
        with socket.create_connection(address):  # it fills the queue that nobody empties
            base_url = f"http://127.0.0.1:{address[1]}"
            run = kling("effect", "squish", PHOTO, "--base-url", base_url, "--json")
    assert (run.code, run.json["error"]["code"]) == (10, "not_sent")
    assert "127.0.0.1 did not respond in time. Nothing was sent" in run.json["error"]["message"]


def test_a_host_that_does_not_exist_is_not_sent(kling: Program) -> None:
    """A name that nobody can resolve is told as such (fault 1)."""
    run = kling("effect", "squish", PHOTO, "--base-url", "https://nowhere.invalid/kling")
    assert run.code == 10
    assert "cannot resolve nowhere.invalid. Nothing was sent" in run.err


def test_the_next_address_is_used(kling: Program, service: LoopbackService) -> None:
    """A name of several addresses is reached by whichever answers (fault 14)."""
    named = service.base_url.replace("127.0.0.1", "localhost")
    assert kling("effect", "squish", PHOTO, "--base-url", named).code == 0
    assert len(service.ledger) == 1


def test_a_submission_has_a_fresh_connection(kling: Program, service: LoopbackService) -> None:
    """A POST never goes out where another exchange went before; looks share its own (fault 10)."""
    assert kling("effect", "squish", PHOTO, "--external-task-id", "order-66").code == 0
    first, post, *looks = service.visits
    assert (first.method, post.method) == ("GET", "POST")
    assert first.connection != post.connection
    assert {look.connection for look in looks} == {post.connection}
    assert len(looks) > 1


def test_interim_answers_are_passed_over(kling: Program) -> None:
    """After 1xx answers the real one is read (fault 31)."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    with FaultServer((read_request, buy, send(interim), answer(Reply(json=accept)))) as server:
        run = kling("effect", "squish", PHOTO, "--no-wait", "--base-url", server.base_url)
        assert (run.code, run.lines) == (0, [server.ledger[0].task_id])


def test_each_exchange_is_logged_without_a_secret(kling: Program, service: LoopbackService) -> None:
    """Under -v each exchange is a line, with neither token, query nor body (fault 76)."""
    service.on_look(Reply(status=500, json={"message": "hush"}, ending="reset"))
    run = kling("effect", "squish", PHOTO, "-v")
    assert f"POST {service.base_url}/v1/videos/effects: HTTP 200" in run.err
    assert f"{service.ledger[0].task_id}: the connection to 127.0.0.1 was lost" in run.err
    assert TOKEN not in run.err
    assert "hush" not in run.err


PIECE = 3 * 48 * 1024


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_whole_pictures(
    kling: Program, service: LoopbackService, tmp_path: Path, extra: int
) -> None:
    """However its size falls between two encoded pieces, what was hashed is what arrives (57)."""
    photo, left = PHOTO.read_bytes(), tmp_path / "left.jpg"
    size = (len(photo) // PIECE + 2) * PIECE + extra
    left.write_bytes(photo + bytes(size - len(photo)))
    assert kling("effect", "hug", left, PHOTO, "--no-wait").code == 0
    (sold,) = service.ledger
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (left, PHOTO)]
    assert sold.images == tuple(f"sha256:{digest}" for digest in hashes)
    (visit,) = [visit for visit in service.visits if visit.method == "POST"]
    assert "content-length" in visit.headers


def test_a_url_arrives_as_it_was_given(kling: Program, service: LoopbackService) -> None:
    """A URL goes out as the user gave it, its query included, whatever stands in it (fault 66)."""
    urls = ["https://a.example/é'%22.jpg?sig=%2B+/", "https://b.example/x.png"]
    run = kling("effect", "hug", *urls, "--no-check-url", "--no-wait")
    assert run.code == 0
    assert service.ledger[0].images == tuple(urls)
