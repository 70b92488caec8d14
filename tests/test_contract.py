"""What scripts rely on: the JSON of every command, in success and in failure."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
from support.process import Process
from support.replies import Reply, refuse
from support.run import OTHER_PHOTO, PHOTO, SCHEMA, Program
from support.service import LoopbackService
from support.shop import Rules

RESULT_KEYS = [
    "schema",
    "ok",
    "exit_code",
    "sandbox",
    "task_id",
    "external_task_id",
    "effect_scene",
    "task_status",
    "task_status_msg",
    "created_at",
    "updated_at",
    "elapsed",
    "reused",
    "plan",
    "request",
    "images",
    "videos",
    "error",
    "warnings",
]
ERROR_KEYS = ["code", "message", "hint", "charged", "http_status", "service_code", "request_id"]
IMAGE_KEYS = ["source", "kind", "format", "width", "height", "bytes", "sha256", "fixes"]
VIDEO_KEYS = ["id", "url", "duration", "file"]
TOKEN = "sk-test-0123456789abcdef"
UNUSABLE = "/proc/no-such-picture.jpg"


def check_result(record: dict[str, object], *, code: int) -> None:
    """Hold one result object against the documented keys; its schema was checked on reading."""
    assert list(record) == RESULT_KEYS
    assert record["exit_code"] == code
    assert record["ok"] is (code == 0)
    for name, keys in (("images", IMAGE_KEYS), ("videos", VIDEO_KEYS)):
        items = record[name]
        assert isinstance(items, list)
        for item in cast("list[dict[str, object]]", items):
            assert sorted(item) == sorted(keys)
    error = record["error"]
    if code == 0:
        assert error is None
    else:
        assert list(cast("dict[str, object]", error)) == ERROR_KEYS


@pytest.mark.parametrize(
    ("definition", "keys"),
    [
        ("result", RESULT_KEYS),
        ("error", ERROR_KEYS),
        ("image", IMAGE_KEYS),
        ("video", VIDEO_KEYS),
    ],
)
def test_the_schema_has_the_documented_keys(definition: str, keys: list[str]) -> None:
    """The schema in the package requires each documented key and allows no other."""
    shape = SCHEMA["$defs"][definition]
    assert shape["required"] == keys == list(shape["properties"])
    assert shape["additionalProperties"] is False


def test_the_schema_is_in_the_package() -> None:
    """Whoever has installed the program has the schema, too."""
    script = (
        "import pkgutil, sys; "
        "sys.stdout.buffer.write(pkgutil.get_data('kling_cli', 'result.schema.json'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert json.loads(done.stdout) == SCHEMA


def test_a_delivered_task(kling: Program, service: LoopbackService) -> None:
    """A delivered task tells everything, a repeated one that it cost nothing."""
    first = kling("effect", "squish", PHOTO, "--json").json
    check_result(first, code=0)
    assert (first["task_status"], first["reused"]) == ("succeed", False)
    assert first["task_id"] == service.ledger[0].task_id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["created_at"])
    again = kling("effect", "squish", PHOTO, "--json").json
    check_result(again, code=0)
    assert again["reused"] is True
    assert again["videos"] == first["videos"]


def test_an_accepted_task(kling: Program, service: LoopbackService) -> None:
    """Under --no-wait an accepted task is a success without videos."""
    record = kling("effect", "squish", PHOTO, "--no-wait", "--json").json
    check_result(record, code=0)
    assert (record["task_status"], record["videos"]) == ("submitted", [])
    assert service.count("GET") == 0


def test_one_object_for_each_input(kling: Program, service: LoopbackService) -> None:
    """A batch prints one object for each input, also for one that is refused."""
    run = kling("effect", "squish", PHOTO, UNUSABLE, OTHER_PHOTO, "--json")
    by_source = {record["images"][0]["source"]: record for record in run.records}
    assert set(by_source) == {str(PHOTO), UNUSABLE, str(OTHER_PHOTO)}
    check_result(by_source[str(PHOTO)], code=0)
    check_result(by_source[str(OTHER_PHOTO)], code=0)
    check_result(by_source[UNUSABLE], code=3)
    assert run.code == 3
    assert len(service.ledger) == 2


@pytest.mark.parametrize(
    ("reply", "code", "error"),
    [
        (refuse(400, 1201, "no such scene"), 6, 1201),
        (refuse(401, 1002, "who are you"), 4, 1002),
        (refuse(429, 1101, "in arrears"), 7, 1101),
    ],
)
def test_a_refused_request(
    kling: Program, service: LoopbackService, reply: Reply, code: int, error: int
) -> None:
    """A refusal carries the service's own code, its request id and that nothing was charged."""
    service.on_create(reply)
    record = kling("effect", "squish", PHOTO, "--json").json
    check_result(record, code=code)
    assert record["error"]["service_code"] == error
    assert record["error"]["request_id"] == f"request-{error}"
    assert record["error"]["http_status"] == reply.status
    assert record["error"]["charged"] == "no"
    assert record["task_id"] is None


def test_a_failed_task(kling: Program, service: LoopbackService) -> None:
    """A failed task tells its status and the service's reason."""
    service.shop.rules = Rules(failure="no face found")
    record = kling("effect", "squish", PHOTO, "--json").json
    check_result(record, code=5)
    assert (record["task_status"], record["task_status_msg"]) == ("failed", "no face found")
    assert record["error"]["code"] == "task_failed"


def test_a_pending_task(kling: Program, service: LoopbackService) -> None:
    """A task that outlasts the timeout is named, with its status and that it is paid for."""
    service.shop.rules = Rules(task_seconds=3600)
    record = kling("effect", "squish", PHOTO, "--timeout", "10s", "--json").json
    check_result(record, code=8)
    assert (record["task_status"], record["error"]["charged"]) == ("processing", "yes")


def test_an_unknown_task(kling: Program, service: LoopbackService) -> None:
    """A request whose fate nobody knows is told by its external id."""
    service.on_create(Reply(ending="reset"))
    run = kling("effect", "squish", PHOTO, "--json")
    check_result(run.json, code=9)
    assert run.json["task_status"] == "unknown"
    assert run.json["external_task_id"].startswith("kling-")
    assert run.json["error"]["charged"] == "maybe"


@pytest.mark.parametrize("command", ["status", "wait"])
def test_looking_at_tasks(kling: Program, service: LoopbackService, command: str) -> None:
    """Each task that is looked at is one object, with the exit code of that task."""
    kling("effect", "squish", PHOTO, OTHER_PHOTO, "--no-wait")
    run = kling(command, "--json")
    codes = {"status": 8, "wait": 0}
    assert run.code == codes[command]
    assert len(run.records) == 2
    for record in run.records:
        check_result(record, code=codes[command])
        assert record["reused"] is True
    missing = kling(command, "no-such-task", "--json")
    check_result(missing.json, code=6)
    assert service.count("POST") == 2


def test_listing_tasks(kling: Program, service: LoopbackService) -> None:
    """Each task of the journal is one object, as it was last seen, newest first."""
    kling("effect", "squish", PHOTO)
    kling("effect", "squish", OTHER_PHOTO, "--no-wait")
    records = kling("tasks", "--json").records
    assert [record["task_id"] for record in records] == [
        each.task_id for each in reversed(service.ledger)
    ]
    for record in records:
        assert list(record) == RESULT_KEYS
        assert record["reused"] is True
    (unfinished,) = kling("tasks", "--unfinished", "--json").records
    assert unfinished["task_id"] == service.ledger[1].task_id


@pytest.mark.parametrize(
    ("argv", "definition"),
    [
        (("scenes", "dizzy"), "scene"),
        (("config", "get", "jobs"), "setting"),
        (("config", "set", "jobs", "2"), "setting"),
        (("config", "unset", "jobs"), "setting"),
        (("config", "path"), "path"),
        (("config", "check", "--sandbox"), "check"),
        (("completion", "fish"), "script"),
        (("help", "exit-codes"), "help"),
    ],
)
def test_other_objects(kling: Program, argv: tuple[str, ...], definition: str) -> None:
    """Every other command's object has exactly the keys that the schema documents."""
    run = kling(*argv, "--json")
    assert run.code == 0
    assert sorted(run.json) == sorted(SCHEMA["$defs"][definition]["required"])


@pytest.mark.parametrize(("token", "code"), [("", 4), ("sk e", 4), (TOKEN, 10)])
def test_a_check_that_fails(
    kling: Program, monkeypatch: pytest.MonkeyPatch, token: str, code: int
) -> None:
    """A failed check prints the object of a check, with its error and every key."""
    monkeypatch.setenv("KLING_TOKEN", token)
    monkeypatch.setenv("KLING_BASE_URL", "http://127.0.0.1:9")
    run = kling("config", "check", "--json")
    assert run.code == run.json["exit_code"] == code
    assert list(run.json) == SCHEMA["$defs"]["check"]["required"]
    assert list(run.json["error"]) == ERROR_KEYS
    assert run.json["ok"] is False


def test_the_server_s_object() -> None:
    """`kling sandbox` tells its address as one object."""
    with Process("sandbox", "--json") as process:
        assert list(json.loads(process.read_line())) == ["schema", "url"]


@pytest.mark.parametrize(
    ("argv", "environ", "code"),
    [
        (("effect", "squish", str(PHOTO)), {"KLING_TOKEN": ""}, 4),
        (("effect", "squish", str(PHOTO)), {"KLING_TOKEN": "sk é"}, 4),
        (("effect", "squish", UNUSABLE), {}, 3),
        (("effect", "squishy", str(PHOTO)), {}, 2),
        (("effect", "squish", str(PHOTO), "--timeout", "x"), {}, 2),
        (("status", "../x"), {}, 2),
        (("wait",), {"KLING_TIMEOUT": "x"}, 4),
        (("config", "check"), {"KLING_JOBS": "many"}, 4),
        (("help", "x"), {}, 2),
        (("completion", "x"), {}, 2),
        (("config", "get", "x"), {}, 2),
        (("config", "list"), {"KLING_JOBS": "many"}, 4),
        (("sandbox", "--port", "99999"), {}, 2),
        (("tasks", "--nonsense"), {}, 2),
        ((), {}, 2),
    ],
)
def test_a_failure_before_any_task(
    kling: Program,
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
    environ: dict[str, str],
    code: int,
) -> None:
    """Whatever fails before there is a task is one object, too, and cost nothing."""
    monkeypatch.setenv("KLING_TOKEN", "sk-test")
    monkeypatch.setenv("KLING_BASE_URL", "http://127.0.0.1:9")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    run = kling(*argv, "--json")
    assert run.code == code
    check_result(run.json, code=code)
    assert run.json["error"]["charged"] == "no"
    assert run.err


@pytest.mark.parametrize("command", ["tasks", "status", "effect"])
def test_a_damaged_journal(
    kling: Program, service: LoopbackService, tmp_path: Path, command: str
) -> None:
    """Fault 79: a journal that cannot be read stops every command before anything is sent."""
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "journal.sqlite3"
    path.write_bytes(b"garbage " * 1000)
    run = kling(*((command, "squish", PHOTO) if command == "effect" else (command,)), "--json")
    check_result(run.json, code=11)
    assert run.json["error"]["code"] == "journal_damaged"
    assert f"mv {path} {path}.old" in run.err
    assert path.read_bytes() == b"garbage " * 1000
    assert service.visits == []


def test_the_sandbox_says_so_in_every_object(kling: Program) -> None:
    """What comes from the sandbox is marked, in success, in failure and in the list."""
    records = [
        kling("effect", "squish", PHOTO, "--sandbox", "--json").json,
        kling("effect", "squish", UNUSABLE, "--sandbox", "--json").json,
        kling("tasks", "--json").json,
        kling("config", "check", "--sandbox", "--json").json,
    ]
    assert [record["sandbox"] for record in records] == [True] * 4
    assert os.environ["KLING_STATE_DIR"]
