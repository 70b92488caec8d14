"""Whatever a service or its gateway answers to a look, `kling status` says what it means."""

import json
from typing import Any

import pytest
from support.replies import Reply, wrap
from support.run import Program
from support.service import LoopbackService

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


def relay(status: str, data: object = None, **more: object) -> dict[str, object]:
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
DONE, GOES_ON, QUEUED = (0, "succeed", URL), (8, "processing", ""), (8, "submitted", "")
REFUSED = (5, "failed", "No, sir")
RESPONSE = {"task_id": ID, "resp_data": json.dumps(wrap(NATIVE))}
SIMPLE = {"task_id": ID, "status": "succeeded", "url": URL}
TURNED_DOWN = {"task_id": ID, "status": "failed", "error": {"message": "No, sir"}}
CAMELS = {"taskId": ID, "state": "completed", "resultUrls": [URL]}
OPENAI = {"id": ID, "object": "video"}
SHAPES: dict[str, tuple[object, tuple[int, str, str]]] = {
    "native": (wrap(NATIVE), DONE),
    "a list of one": (wrap([NATIVE]), DONE),
    "the bare task": (NATIVE, DONE),
    "no code": ({"data": NATIVE}, DONE),
    "id as a number": (wrap({**NATIVE, "task_id": int(ID)}), DONE),
    "processing": (wrap(RUNNING), GOES_ON),
    "result null": (wrap({**RUNNING, "task_result": None}), GOES_ON),
    "queued": (wrap({**RUNNING, "task_status": "submitted"}), QUEUED),
    "failed under code 0": (wrap(FAILED), REFUSED),
    "failed silently": (wrap({**FAILED, "task_status_msg": ""}), (5, "failed", "")),
    "relay twice nested": (relay("SUCCESS", wrap(NATIVE)), DONE),
    "relay once nested": (relay("SUCCESS", NATIVE), DONE),
    "relay alone": (relay("SUCCESS", result_url=URL), DONE),
    "old relay": (relay("SUCCESS", fail_reason=URL), DONE),
    "relay queued": (relay("NOT_START"), QUEUED),
    "relay running": (relay("IN_PROGRESS", wrap(RUNNING)), GOES_ON),
    "relay failed": (relay("FAILURE", fail_reason="No, sir"), REFUSED),
    "relay gave up": (relay("FAILURE", wrap(RUNNING), fail_reason="超时"), (5, "failed", "超时")),
    "answer in a string": ({"code": "success", "data": RESPONSE}, DONE),
    "simple": ({"code": "success", "data": SIMPLE}, DONE),
    "simple failed": ({"code": "success", "data": TURNED_DOWN}, REFUSED),
    "flat": ({"task_id": ID, "status": "completed", "url": URL}, DONE),
    "OpenAI": ({**OPENAI, "status": "completed", "metadata": {"url": URL}}, DONE),
    "OpenAI running": ({**OPENAI, "status": "in_progress", "progress": 30}, GOES_ON),
    "200 style": ({"code": 200, "msg": "success", "data": CAMELS}, DONE),
    "new style": (
        {"code": 0, "data": [{"id": ID, "status": "succeeded", "outputs": [{"url": URL}]}]},
        DONE,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_is_read(kling: Program, service: LoopbackService, name: str) -> None:
    """Whatever form the answer has, row, exit code and JSON object are right (faults 35, 37)."""
    body, (code, status, said) = SHAPES[name]
    service.on_look(Reply(json=body), times=2)
    run = kling("status", ID)
    assert (run.code, run.out) == (code, f"{ID}\t{status}\t{said}\n")
    result = kling("status", ID, "--json").json
    assert (result["task_id"], result["task_status"], result["exit_code"]) == (ID, status, code)
    assert [video["url"] for video in result["videos"]] == ([URL] if code == 0 else [])
    assert result["task_status_msg"] == ("" if code == 0 else said)
    assert service.requests == {("GET", f"/v1/videos/effects/{ID}"): 2}


def refusal(code: object, message: str = "no") -> dict[str, object]:
    return {"code": code, "message": message, "request_id": "request-9"}


def complaint(code: object, message: str = "no") -> dict[str, object]:
    return {"error": {"message": message, "type": "new_api_error", "code": code}}


ERRORS: dict[str, tuple[Reply, int, str]] = {
    "401 1002": (Reply(status=401, json=refusal(1002)), 4, "token_refused"),
    "404 1203": (Reply(status=404, json=refusal(1203)), 6, "task_not_found"),
    "400 not exist": (Reply(status=400, json=refusal("task_not_exist")), 6, "task_not_found"),
    "404 1202": (Reply(status=404, json=refusal(1202)), 10, "unreachable"),
    "429 1303": (Reply(status=429, json=refusal(1303)), 10, "unreachable"),
    "500 gateway": (Reply(status=500, json=refusal("get_task_failed")), 10, "unreachable"),
    "no channel": (Reply(status=503, json=complaint("model_not_found")), 10, "unreachable"),
    "page 520": (Reply(status=520, body=b"<html><title>520</title></html>"), 10, "unreachable"),
    "another task": (Reply(json=wrap({**NATIVE, "task_id": "1"})), 10, "bad_response"),
    "no task": (Reply(json=wrap(None)), 10, "bad_response"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_each_error_has_its_exit_code(kling: Program, service: LoopbackService, name: str) -> None:
    """Only the token, or word that there is no such task, is more than a failed look."""
    reply, code, error = ERRORS[name]
    service.on_look(reply)
    run = kling("status", ID, "--json")
    assert run.code == code
    assert run.json["error"]["code"] == error
    assert run.json["error"]["http_status"] == reply.status
    assert ID in run.json["error"]["message"]
    assert run.json["task_status"] == "unknown"
    if name == "429 1303":  # what support asks for
        assert run.json["error"]["service_code"] == 1303
        assert run.json["error"]["request_id"] == "request-9"
