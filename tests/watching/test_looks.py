"""Whatever a service or its gateway answers to a look, `kling status` says what it means."""

import json
from typing import Any

import pytest
from ground.replies import Reply
from ground.run import Program
from ground.service import LoopbackService

ID = "860260753860210752"
URL = "https://v2.example.com/clip.mp4?x-kcdn-pid=112452"
NATIVE: dict[str, Any] = {
    "task_id": ID,
    "task_status": "succeed",
    "task_status_msg": "",
    "task_info": {"external_task_id": "order-7"},
    "task_result": {"videos": [{"id": "1", "url": URL, "duration": "5.041"}]},
    "created_at": 1795305600000,
    "updated_at": 1795305690000,
}


def wrap(data: object, **more: object) -> dict[str, object]:
    """Put a task into the service's own envelope."""
    return {"code": 0, "message": "SUCCEED", "request_id": "request-9", "data": data, **more}


def relay(status: str, data: object = None, **more: object) -> dict[str, object]:
    """Put a task into a gateway's envelope."""
    inner = {
        "task_id": ID,
        "action": "/kling/v1/videos/effects_POST",
        "status": status,
        "fail_reason": "",
        "submit_time": 1795305600,
        "finish_time": 1795305690,
        "progress": "100%",
        "data": data,
        **more,
    }
    return {"code": "success", "message": "", "data": inner}


RUNNING: dict[str, Any] = {**NATIVE, "task_status": "processing", "task_result": {}}
FAILED: dict[str, Any] = {
    **NATIVE,
    "task_status": "failed",
    "task_result": {},
    "task_status_msg": "No, sir",
}
SHAPES: dict[str, tuple[object, int, str, str]] = {
    "native": (wrap(NATIVE), 0, "succeed", URL),
    "native with watermarks": (
        wrap(
            {
                **NATIVE,
                "task_result": {
                    "videos": [{"url": URL, "watermark_url": "https://example.com/w.mp4"}]
                },
                "watermark_info": {"enabled": False},
                "final_unit_deduction": "2",
            }
        ),
        0,
        "succeed",
        URL,
    ),
    "a list of one": (wrap([NATIVE]), 0, "succeed", URL),
    "the bare task": (NATIVE, 0, "succeed", URL),
    "code as text": (wrap(NATIVE, code="0"), 0, "succeed", URL),
    "code 200": (wrap(NATIVE, code=200), 0, "succeed", URL),
    "code 0.0": (wrap(NATIVE, code=0.0), 0, "succeed", URL),
    "no code": ({"data": NATIVE}, 0, "succeed", URL),
    "id as a number": (wrap({**NATIVE, "task_id": int(ID)}), 0, "succeed", URL),
    "processing": (wrap(RUNNING), 8, "processing", ""),
    "result null": (wrap({**RUNNING, "task_result": None}), 8, "processing", ""),
    "queued": (wrap({**RUNNING, "task_status": "submitted"}), 8, "submitted", ""),
    "failed under code 0": (wrap(FAILED), 5, "failed", "No, sir"),
    "failed silently": (wrap({**FAILED, "task_status_msg": ""}), 5, "failed", ""),
    "other case": (wrap({**NATIVE, "task_status": "SUCCESS"}), 0, "succeed", URL),
    "completed": (wrap({**NATIVE, "task_status": "completed"}), 0, "succeed", URL),
    "cancelled": (wrap({**FAILED, "task_status": "canceled"}), 5, "failed", "No, sir"),
    "unknown word": (wrap({**RUNNING, "task_status": "reviewing"}), 8, "processing", ""),
    "relay twice nested": (relay("SUCCESS", wrap(NATIVE)), 0, "succeed", URL),
    "relay once nested": (relay("SUCCESS", NATIVE), 0, "succeed", URL),
    "relay alone": (relay("SUCCESS", result_url=URL), 0, "succeed", URL),
    "old relay": (relay("SUCCESS", fail_reason=URL), 0, "succeed", URL),
    "relay queued": (relay("NOT_START"), 8, "submitted", ""),
    "relay running": (relay("IN_PROGRESS", wrap(RUNNING)), 8, "processing", ""),
    "relay unknown": (relay("UNKNOWN"), 8, "processing", ""),
    "relay failed": (relay("FAILURE", fail_reason="quota refunded"), 5, "failed", "quota refunded"),
    "relay gave up": (
        relay("FAILURE", wrap(RUNNING), fail_reason="任务超时"),
        5,
        "failed",
        "任务超时",
    ),
    "answer in a string": (
        {"code": "success", "data": {"task_id": ID, "resp_data": json.dumps(wrap(NATIVE))}},
        0,
        "succeed",
        URL,
    ),
    "simple": (
        {"code": "success", "data": {"task_id": ID, "status": "succeeded", "url": URL}},
        0,
        "succeed",
        URL,
    ),
    "simple failed": (
        {
            "code": "success",
            "data": {"task_id": ID, "status": "failed", "error": {"message": "No, sir"}},
        },
        5,
        "failed",
        "No, sir",
    ),
    "flat": ({"task_id": ID, "status": "completed", "url": URL}, 0, "succeed", URL),
    "OpenAI": (
        {"id": ID, "object": "video", "status": "completed", "metadata": {"url": URL}},
        0,
        "succeed",
        URL,
    ),
    "OpenAI running": (
        {"id": ID, "object": "video", "status": "in_progress", "progress": 30},
        8,
        "processing",
        "",
    ),
    "200 style": (
        {
            "code": 200,
            "msg": "success",
            "data": {"taskId": ID, "state": "completed", "resultUrls": [URL]},
        },
        0,
        "succeed",
        URL,
    ),
    "200 style failed": (
        {"code": 200, "data": {"taskId": ID, "state": "failed", "failMsg": "No, sir"}},
        5,
        "failed",
        "No, sir",
    ),
    "new style": (
        {"code": 0, "data": [{"id": ID, "status": "succeeded", "outputs": [{"url": URL}]}]},
        0,
        "succeed",
        URL,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_is_read(kling: Program, service: LoopbackService, name: str) -> None:
    """Whatever form the answer has, row, exit code and JSON object are right (faults 35, 37)."""
    body, code, status, said = SHAPES[name]
    service.on_look(Reply(json=body), times=2)
    run = kling("status", ID)
    assert (run.code, run.out) == (code, f"{ID}\t{status}\t{said}\n")
    result = kling("status", ID, "--json").json
    assert (result["task_id"], result["task_status"], result["exit_code"]) == (ID, status, code)
    assert [video["url"] for video in result["videos"]] == ([URL] if code == 0 else [])
    assert result["task_status_msg"] == ("" if code == 0 else said)
    assert service.requests == {("GET", f"/v1/videos/effects/{ID}"): 2}


def refusal(code: object, message: str = "no") -> dict[str, object]:
    """Write an error as the service does."""
    return {"code": code, "message": message, "request_id": "request-9"}


def complaint(code: object, message: str = "no") -> dict[str, object]:
    """Write an error as gateways do."""
    return {"error": {"message": message, "type": "new_api_error", "code": code}}


PAGE = Reply(status=502, body=b"<html><title>502 Bad Gateway</title></html>")
ERRORS: dict[str, tuple[Reply, int, str]] = {
    **{
        f"{status} {code}": (Reply(status=status, json=refusal(code)), 4, error)
        for status, code, error in (
            (401, 1000, "token_refused"),
            (401, 1001, "token_refused"),
            (401, 1002, "token_refused"),
            (401, 1003, "token_refused"),
            (401, 1004, "token_refused"),
            (403, 1103, "permission_denied"),
            (429, 1304, "ip_not_allowed"),
        )
    },
    "gateway 401": (Reply(status=401, json=complaint("", "无效的令牌")), 4, "token_refused"),
    "gateway 403": (Reply(status=403, json=complaint("")), 4, "permission_denied"),
    "bare 401": (Reply(status=401), 4, "token_refused"),
    "404 1203": (Reply(status=404, json=refusal(1203)), 6, "task_not_found"),
    "400 task_not_exist": (
        Reply(status=400, json={"code": "task_not_exist", "message": "task_not_exist"}),
        6,
        "task_not_found",
    ),
    **{
        f"{status} {code}": (Reply(status=status, json=refusal(code)), 10, "unreachable")
        for status, code in (
            (429, 1100),
            (429, 1101),
            (429, 1102),
            (400, 1200),
            (400, 1201),
            (404, 1202),
            (400, 1300),
            (400, 1301),
            (429, 1302),
            (429, 1303),
            (500, 5000),
            (503, 5001),
            (504, 5002),
            (500, "get_task_failed"),
            (502, "fail_to_fetch_task"),
        )
    },
    "no route": (
        Reply(status=404, json=complaint("", "Invalid URL (GET /kling/v1/videos/effects)")),
        10,
        "unreachable",
    ),
    "no channel": (Reply(status=503, json=complaint("model_not_found")), 10, "unreachable"),
    "429 empty": (Reply(status=429), 10, "unreachable"),
    "page 502": (PAGE, 10, "unreachable"),
    "page 520": (Reply(status=520, body=PAGE.body), 10, "unreachable"),
    "error under 200": (Reply(json=refusal(5000)), 10, "unreachable"),
    "another task": (Reply(json=wrap({**NATIVE, "task_id": "1"})), 10, "bad_response"),
    "no task": (Reply(json=wrap(None)), 10, "bad_response"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_each_error_of_a_look_has_its_exit_code(
    kling: Program, service: LoopbackService, name: str
) -> None:
    """Only the token, or word that there is no such task, is more than a failed look."""
    reply, code, error = ERRORS[name]
    service.on_look(reply)
    run = kling("status", ID, "--json")
    assert run.code == code
    assert run.json["error"]["code"] == error
    assert run.json["error"]["http_status"] == reply.status
    assert ID in run.json["error"]["message"]
    assert run.json["task_status"] == "unknown"


def test_request_id_and_code_of_a_failed_look_are_kept(
    kling: Program, service: LoopbackService
) -> None:
    """What support asks for is told with a failed look, on stderr and in JSON."""
    service.on_look(Reply(status=500, json=refusal(5000, "backlog")), times=2)
    error = kling("status", ID, "--json").json["error"]
    assert (error["request_id"], error["service_code"]) == ("request-9", 5000)
    assert "request-9" in kling("status", ID).err
