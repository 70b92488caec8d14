"""An answer that is no success is judged by what it says, and told so that people can act."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_cli.api.codes import CODES, Fault, Kind, explain, judge_reply
from kling_cli.api.wording import WORDINGS
from kling_cli.errors import ExitCode, KlingError
from kling_cli.transport.reply import Reply

SOURCE = "KLING_TOKEN"
CLOUDFLARE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body/></html>"
LOGIN = "<html><head><title>Hotel Wi-Fi</title></head><body>Log in</body></html>"
EXISTS = "external_task_id already exists"
ROUTE = "Invalid URL (POST /kling/v1/videos/effects)"
SATURATED = "当前分组上游负载已饱和 请稍后再试"
NO_CHANNEL = "当前分组 default 下对于模型 kling-v1-6 无可用渠道 (request id: 2026x)"


def native(code: object, message: str = "words", **more: object) -> dict[str, object]:
    """Make the service's own refusal."""
    return {"code": code, "message": message, "request_id": "r-1", **more}


def gateway(message: str, code: object = "") -> dict[str, object]:
    """Make the refusal of a gateway."""
    return {"error": {"message": message, "type": "new_api_error", "code": code}}


def form(code: str, message: object = "words") -> dict[str, object]:
    """Make the refusal of a gateway's task form."""
    return {"code": code, "message": message, "data": None}


def answer(status: int, body: object) -> Reply:
    """Make a reply whose body, a text, is no JSON, or is the JSON given."""
    if isinstance(body, str):
        return Reply(status=status, readable=False, text=body)
    return Reply(status=status, body=body, text=json.dumps(body)[:200])


def judge(status: int, body: object) -> Fault:
    """Judge an answer that must be a fault."""
    fault = judge_reply(answer(status, body))[0]
    assert fault is not None
    return fault


def tell(status: int, body: object, *, source: str = SOURCE) -> KlingError:
    """Put an answer that must be a fault into words."""
    return explain(judge(status, body), token_source=source)


@pytest.mark.parametrize(
    "code", [0, "0", 0.0, "success", "SUCCESS", 200, "200", None, "", True], ids=repr
)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_every_way_to_say_ok_is_ok(code: object, status: int) -> None:
    """No gateway's way to spell success is taken for a refusal (fault 35)."""
    assert judge_reply(answer(status, {"code": code, "data": {"task_id": "1"}}))[0] is None


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"task_id": "1"}},
        {"task_id": "1", "status": "failed", "error": {"message": "bad", "code": "task_failed"}},
        {"code": 0, "error": None, "data": None},
        {"code": 0, "error": {}, "data": []},
        {"code": 0, "error": {"code": "", "message": ""}},
        {},
    ],
)
def test_no_complaint_is_no_fault(body: object) -> None:
    """A missing code is ok, and the error inside a failed task is that task's own."""
    assert judge_reply(answer(200, body))[0] is None


NATIVE = [
    (401, 1000, Kind.AUTH, "token_refused"),
    (401, 1001, Kind.AUTH, "token_refused"),
    (401, 1002, Kind.AUTH, "token_refused"),
    (401, 1003, Kind.AUTH, "token_refused"),
    (401, 1004, Kind.AUTH, "token_refused"),
    (429, 1100, Kind.BALANCE, "account_abnormal"),
    (429, 1101, Kind.BALANCE, "balance_exhausted"),
    (429, 1102, Kind.BALANCE, "balance_exhausted"),
    (403, 1103, Kind.AUTH, "permission_denied"),
    (400, 1200, Kind.REFUSED, "bad_parameter"),
    (400, 1201, Kind.REFUSED, "bad_parameter"),
    (404, 1202, Kind.NO_ROUTE, "no_effects_route"),
    (404, 1203, Kind.NOT_FOUND, "not_found"),
    (400, 1300, Kind.REFUSED, "policy_refused"),
    (400, 1301, Kind.REFUSED, "content_refused"),
    (429, 1302, Kind.BUSY, "rate_limited"),
    (429, 1303, Kind.BUSY, "concurrency_limit"),
    (429, 1304, Kind.AUTH, "ip_not_allowed"),
    (500, 5000, Kind.AMBIGUOUS, "service_error"),
    (503, 5001, Kind.BUSY, "service_maintenance"),
    (504, 5002, Kind.AMBIGUOUS, "service_timeout"),
]


@pytest.mark.parametrize(("status", "code", "kind", "word"), NATIVE, ids=[row[1] for row in NATIVE])
def test_each_code_of_the_service_has_its_meaning(
    status: int, code: int, kind: Kind, word: str
) -> None:
    """Each documented code means one thing, whatever its status shares (faults 16-19, 24, 25)."""
    fault = judge(status, native(code))
    assert fault == Fault(
        kind=kind, http_status=status, service_code=code, message="words", request_id="r-1"
    )
    assert explain(fault, token_source=SOURCE).code == word


@pytest.mark.parametrize("code", [row[1] for row in NATIVE])
def test_a_code_counts_at_status_200_and_as_text(code: int) -> None:
    """A gateway that answers 200, or sends the number as text, changes no meaning."""
    told = judge(200, native(str(code)))
    assert told.service_code == code
    assert told.kind is CODES[code][0]


GATEWAY = [
    (401, gateway("无效的令牌 (request id: 2026x)"), Kind.AUTH, "token_refused"),
    (401, gateway("未提供令牌"), Kind.AUTH, "token_refused"),
    (401, form("invalid_request"), Kind.AUTH, "token_refused"),
    (401, gateway("该令牌额度已用尽"), Kind.BALANCE, "balance_exhausted"),
    (401, LOGIN, Kind.AUTH, "token_refused"),
    (402, gateway("pay"), Kind.BALANCE, "balance_exhausted"),
    (402, "", Kind.BALANCE, "balance_exhausted"),
    (403, gateway("用户已被封禁"), Kind.AUTH, "permission_denied"),
    (403, "", Kind.AUTH, "permission_denied"),
    (403, gateway("x", "insufficient_user_quota"), Kind.BALANCE, "balance_exhausted"),
    (403, gateway("用户额度不足, 剩余额度: 0"), Kind.BALANCE, "balance_exhausted"),
    (403, form("insufficient_user_quota"), Kind.BALANCE, "balance_exhausted"),
    (403, form("quota_not_enough"), Kind.BALANCE, "balance_exhausted"),
    (400, form("pre_consume_token_quota_failed"), Kind.BALANCE, "balance_exhausted"),
    (429, form("insufficient_quota"), Kind.BALANCE, "balance_exhausted"),
    (429, form("x", "user quota is not enough"), Kind.BALANCE, "balance_exhausted"),
    (503, gateway(NO_CHANNEL, "model_not_found"), Kind.BUSY, "model_unavailable"),
    (503, gateway(NO_CHANNEL), Kind.BUSY, "model_unavailable"),
    (503, form("x", "no available channel"), Kind.BUSY, "model_unavailable"),
    (429, gateway("您已达到总请求数限制"), Kind.BUSY, "rate_limited"),
    (429, "", Kind.BUSY, "rate_limited"),
    (429, CLOUDFLARE, Kind.BUSY, "rate_limited"),
    (429, form("x", SATURATED), Kind.BUSY, "rate_limited"),
    (400, form("task_not_exist"), Kind.NOT_FOUND, "not_found"),
    (404, form("task_not_exist"), Kind.NOT_FOUND, "not_found"),
    (404, {"message": "task not found"}, Kind.NOT_FOUND, "not_found"),
    (400, form("invalid_request"), Kind.REFUSED, "bad_parameter"),
    (400, form("task_failed"), Kind.REFUSED, "request_refused"),
    (400, form("invalid_api_platform"), Kind.REFUSED, "request_refused"),
    (400, form("model_price_error"), Kind.REFUSED, "model_refused"),
    (404, gateway("no such model", "model_not_found"), Kind.REFUSED, "model_refused"),
    (422, {"detail": "bad"}, Kind.REFUSED, "request_refused"),
    (400, native("whatever"), Kind.REFUSED, "request_refused"),
    (500, form("do_request_failed"), Kind.AMBIGUOUS, "service_error"),
    (500, form("build_request_failed"), Kind.AMBIGUOUS, "service_error"),
    (500, form("read_response_body_failed"), Kind.AMBIGUOUS, "service_error"),
    (500, form("unmarshal_response_failed"), Kind.AMBIGUOUS, "service_error"),
    (500, form("get_task_failed"), Kind.AMBIGUOUS, "service_error"),
    (400, form("do_request_failed"), Kind.AMBIGUOUS, "service_error"),
    (404, gateway(ROUTE), Kind.NO_ROUTE, "no_effects_route"),
    (404, gateway("Invalid URL (GET /kling/v1/videos/effects/task_1)"), Kind.NO_ROUTE, None),
    (404, {"detail": "Not Found"}, Kind.NO_ROUTE, "no_effects_route"),
    (404, "<html><body>no such task</body></html>", Kind.NO_ROUTE, "no_effects_route"),
    (404, "no such task", Kind.NO_ROUTE, "no_effects_route"),
    (400, "external_task_id already exists", Kind.REFUSED, "request_refused"),
    (400, "insufficient balance", Kind.REFUSED, "request_refused"),
    (405, "<html>", Kind.NO_ROUTE, "no_effects_route"),
    (403, CLOUDFLARE, Kind.REFUSED, "proxy_refused"),
    (400, "<html><body>Bad Request</body></html>", Kind.REFUSED, "proxy_refused"),
    (400, "Bad Request", Kind.REFUSED, "request_refused"),
    (413, "<html><title>413</title></html>", Kind.REFUSED, "request_too_large"),
    (413, native(1200), Kind.REFUSED, "request_too_large"),
    (413, "", Kind.REFUSED, "request_too_large"),
]


@pytest.mark.parametrize(
    ("status", "body", "kind", "word"), GATEWAY, ids=[str(place) for place in range(len(GATEWAY))]
)
def test_each_answer_of_a_gateway_has_its_meaning(
    status: int, body: object, kind: Kind, word: str | None
) -> None:
    """What gateways and proxies say instead of a code is understood (faults 16-19, 23, 25-27)."""
    assert judge(status, body).kind is kind
    assert word is None or tell(status, body).code == word


DOUBTS = [
    *((status, native(1201), "bad_response") for status in (409, 425, 499, 204, 205, 206)),
    *((status, "", "bad_response") for status in (100, 103, 226, 409, 418, 431)),
    *((status, native(1303), "service_error") for status in (500, 502, 520)),
    *((status, CLOUDFLARE, "service_error") for status in (500, 502, 503, 520, 522, 523)),
    *((status, "", "service_timeout") for status in (408, 504, 524)),
    *((status, native(0), "redirected") for status in (301, 302, 304, 307, 308)),
    (503, native(1201), "service_error"),
    (503, "no available channel, says a page", "service_error"),
    (200, LOGIN, "foreign_page"),
    (200, "\\ufeff <html>", "foreign_page"),
    (200, "", "bad_response"),
    (200, "{'half':", "bad_response"),
    (200, [], "bad_response"),
    (200, 5, "bad_response"),
    (200, [{"task_id": "1"}], "bad_response"),
    (200, native(7777), "bad_response"),
    (200, native("odd"), "bad_response"),
    (200, native({"a": 1}), "bad_response"),
    (200, native(10**400), "bad_response"),
    (200, native(0.5), "bad_response"),
    (200, native(False), "bad_response"),  # noqa: FBT003 - what the body says
    (200, form("task_failed"), "bad_response"),
    (200, {"success": False, "message": "no"}, "bad_response"),
    (200, gateway("无效的令牌"), "bad_response"),
    (200, {"error": "broken"}, "bad_response"),
]


@pytest.mark.parametrize(
    ("status", "body", "word"), DOUBTS, ids=[str(place) for place in range(len(DOUBTS))]
)
def test_everything_else_is_ambiguous(status: int, body: object, word: str) -> None:
    """Where nobody knows what was made, nothing says "refused" (faults 21, 24-26, 31-35)."""
    assert judge(status, body).kind is Kind.AMBIGUOUS
    error = tell(status, body)
    assert (error.code, error.charged, error.exit_code) == (word, "maybe", ExitCode.UNKNOWN)


@pytest.mark.parametrize(
    "body",
    [
        native(1303, data={"task_id": "1", "task_status": "submitted"}),
        native(1301, data={"task_id": "1"}),
        native(1101, data={"task_id": "1"}),
        {"error": {"message": "bad", "code": 1002}, "code": 1002, "task_id": "1"},
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_a_refusal_that_names_a_task_is_ambiguous(status: int, body: object) -> None:
    """A refusal with a task's id in it may have made that task, so it is looked for."""
    assert judge(status, body).kind is Kind.AMBIGUOUS


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, native(1201, EXISTS)),
        (409, native(1201, EXISTS)),
        (409, {"message": "Duplicate external task id"}),
        (200, native(1201, "external_task_id must be unique")),
        (400, native(1201, "external_task_id kling-abc 已存在")),
        (422, native(1200, "外部任务ID重复")),
        (400, form("external_task_id_exists")),
        (400, native(1201, EXISTS, data={"task_id": "1"})),
        (400, form("fail_to_fetch_task", json.dumps(native(1201, EXISTS)))),
    ],
)
def test_an_id_that_exists_is_proof_of_a_task(status: int, body: object) -> None:
    """A refused duplicate is told apart from a refused parameter: its task exists (fault 22)."""
    assert judge(status, body).kind is Kind.DUPLICATE
    error = tell(status, body)
    assert (error.exit_code, error.charged) == (ExitCode.UNKNOWN, "maybe")


@pytest.mark.parametrize(
    "message",
    [
        "external_task_id does not exist",
        "external_task_id not found, or already deleted",
        "external_task_id 不存在",
        "external_task_id is too long",
        "file already exists",
    ],
)
def test_other_words_about_an_id_are_no_duplicate(message: str) -> None:
    """Nothing is looked for because of a refusal that only mentions the id."""
    assert judge(400, native(1201, message)).kind is Kind.REFUSED


@pytest.mark.parametrize(
    ("status", "upstream", "kind", "code"),
    [
        (400, native(1201), Kind.REFUSED, 1201),
        (400, native(1301), Kind.REFUSED, 1301),
        (429, native(1303), Kind.BUSY, 1303),
        (429, native(1101), Kind.BALANCE, 1101),
        (500, native(5000), Kind.AMBIGUOUS, 5000),
        (403, gateway("x", "insufficient_user_quota"), Kind.BALANCE, "insufficient_user_quota"),
        (400, {"message": "words"}, Kind.REFUSED, "fail_to_fetch_task"),
        (400, form("fail_to_fetch_task", json.dumps(native(1300))), Kind.REFUSED, 1300),
    ],
)
def test_what_a_gateway_hands_on_is_read(
    status: int, upstream: object, kind: Kind, code: int | str
) -> None:
    """A refusal that a gateway hands on as a string means what it means inside."""
    fault = judge(status, {**form("fail_to_fetch_task", json.dumps(upstream)), "request_id": "g"})
    assert (fault.kind, fault.service_code) == (kind, code)
    assert fault.request_id in ("r-1", "g")
    assert "{" not in fault.message


@pytest.mark.parametrize("message", ["<html>Bad gateway</html>", "status 400", "", "[1, 2]", None])
def test_a_handed_on_page_is_judged_by_its_status(message: object) -> None:
    """What a gateway hands on without sense leaves the status to decide."""
    assert judge(400, form("fail_to_fetch_task", message)).kind is Kind.REFUSED
    assert judge(502, form("fail_to_fetch_task", message)).kind is Kind.AMBIGUOUS


@pytest.mark.parametrize(
    ("body", "request_id"),
    [
        (native(1201), "r-1"),
        (gateway("无效的令牌 (request id: 20260101abcXYZ)"), "20260101abcXYZ"),
        ({"error": {"message": "no", "request_id": "r-2"}}, "r-2"),
        ({"message": "no"}, None),
        (native(1201, request_id=5), None),
        (native(1201, request_id="x" * 10_000), "x" * 125 + "..."),
    ],
)
def test_the_request_id_is_found(body: object, request_id: str | None) -> None:
    """What support asks for is found wherever it stands."""
    assert judge(400, body).request_id == request_id


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (LOGIN, "Hotel Wi-Fi"),
        (CLOUDFLARE, "Just a moment..."),
        ("<html><body><h1>502</h1> Bad   Gateway</body></html>", "502 Bad Gateway"),
        ("upstream connect error", "upstream connect error"),
    ],
)
def test_a_page_is_told_by_its_title(body: str, kind: str) -> None:
    """Of a web page its title or its words are shown, never its tags (fault 32)."""
    assert judge(200, body).message == kind


def test_a_login_page_is_called_by_its_name() -> None:
    """A captive portal's page at status 200 gets the hint that it deserves (fault 32)."""
    error = tell(200, LOGIN)
    assert "login page" in error.hint
    assert "The page said: Hotel Wi-Fi" in error.message


def test_the_words_of_the_service_are_quoted() -> None:
    """Ours first, the service's behind them, then all that support asks for (fault 16)."""
    error = tell(429, native(1303, "parallel task over resource pack limit"))
    assert error.message == (
        "Too many tasks of this account run at once. "
        "The service said: parallel task over resource pack limit "
        "(HTTP 429, code 1303, request id r-1)"
    )
    assert (error.http_status, error.service_code, error.request_id) == (429, 1303, "r-1")


def test_a_request_id_is_not_told_twice() -> None:
    """A request id that the gateway's words contain is not repeated behind them."""
    assert tell(503, gateway(NO_CHANNEL)).message.count("2026x") == 1


def test_long_words_are_cut() -> None:
    """At most 500 characters of the service's words are shown (fault 16)."""
    assert len(judge(400, native(1201, "x" * 100_000)).message) == 500


def test_the_source_of_a_refused_token_is_named() -> None:
    """Who meets a refused token reads where it came from and how to set another (fault 17)."""
    error = tell(401, native(1002), source=SOURCE)
    assert error.message.startswith("Token refused (from KLING_TOKEN).")
    assert "kling config set token" in error.hint


@pytest.mark.parametrize("words", ["sk-abcDEF123456", "sk-ab****3456", "Bearer very.secret"])
def test_a_quoted_token_is_masked(words: str) -> None:
    """A gateway that quotes the token does not get it into our output (fault 76)."""
    message = tell(401, gateway(f"invalid token {words}, go")).message
    assert "invalid token ***" in message
    assert words.rsplit(maxsplit=1)[-1] not in message


EXITS = {
    Kind.REFUSED: ExitCode.REFUSED,
    Kind.AUTH: ExitCode.AUTH,
    Kind.BALANCE: ExitCode.LATER,
    Kind.BUSY: ExitCode.LATER,
    Kind.DUPLICATE: ExitCode.UNKNOWN,
    Kind.NOT_FOUND: ExitCode.REFUSED,
    Kind.NO_ROUTE: ExitCode.REFUSED,
    Kind.AMBIGUOUS: ExitCode.UNKNOWN,
}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("status", [200, 302, 400, 401, 413, 429, 502, 504])
def test_each_kind_ends_in_its_exit_code(kind: Kind, status: int) -> None:
    """A script learns from the exit code what to do, and from `charged` whether it paid."""
    error = explain(Fault(kind=kind, http_status=status), token_source=SOURCE)
    assert error.exit_code is EXITS[kind]
    assert (error.charged == "no") is (error.exit_code is not ExitCode.UNKNOWN)
    assert error.message
    assert error.hint


def test_every_wording_is_reachable() -> None:
    """No wording is kept for a code that no answer leads to."""
    told = {tell(status, native(code)).code for status, code, _, _ in NATIVE}
    told |= {tell(status, body).code for status, body, _, _ in GATEWAY}
    told |= {word for _, _, word in DOUBTS}
    assert told | {"duplicate_external_id"} == set(WORDINGS)


@pytest.mark.parametrize(
    "advice",
    [
        "Internal error, please try again later",
        "Retry later.",
        "系统繁忙 请稍后再试",
        "请稍候重试",
        "You may try  again",
    ],
)
def test_doubt_is_never_answered_with_try_again(advice: str) -> None:
    """The service's advice to send again is left out where it may buy a second time."""
    error = tell(500, native(5000, advice))
    text = f"{error.message} {error.hint}".lower()
    assert not any(words in text for words in ("try", "再试", "重试"))
    assert "[...]" in error.message


KEYS = st.sampled_from(
    [
        "code",
        "message",
        "msg",
        "error",
        "detail",
        "request_id",
        "data",
        "task_id",
        "success",
        "status",
    ]
)
WORDS = st.text() | st.sampled_from(
    ["\x1b[2J", "\x9b0m", "a\nb\u2028c", "\u202e", "fail_to_fetch_task", EXISTS, "\ud800", "1e3"]
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.sampled_from(list(CODES))
)
BODIES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner)
        | st.dictionaries(KEYS, inner).map(
            lambda told: form("fail_to_fetch_task", json.dumps(told))
        )
    ),
    max_leaves=15,
)
STATUSES = st.sampled_from([100, 200, 204, 302, 400, 401, 403, 404, 409, 413, 429, 500, 503, 599])


@settings(max_examples=300, deadline=None)
@given(status=STATUSES, body=BODIES, text=WORDS, source=WORDS, readable=st.booleans())
def test_any_answer_at_all_ends_in_clean_words(
    *, status: int, body: object, text: str, source: str, readable: bool
) -> None:
    """Whatever arrives, it is judged, and no character that moves a terminal comes out."""
    reply = Reply(status=status, body=body if readable else None, readable=readable, text=text)
    fault = judge_reply(reply)[0]
    if fault is None:
        assert status == 200
        return
    error = explain(fault, token_source=source)
    shown = f"{error.message}{error.hint}{error.code}{error.request_id}{error.service_code}"
    assert shown.isprintable()
    assert shown.encode()
    assert isinstance(error.service_code, int | str | None)
    assert len(fault.message) <= 500
