"""What scripts rely on: the JSON of every command, in success and in failure.

Each object was held against the shipped schema when it was read.
"""

import re
from pathlib import Path

import pytest
from support.replies import DROP, refuse
from support.run import PHOTO, SCHEMA, Program
from support.service import LoopbackService
from support.shop import Rules

TOKEN = "sk-test-0123456789abcdef"
UNUSABLE = "/proc/no-such-picture.jpg"
# What is documented stays; more may be added.
DOCUMENTED = {
    "result": "schema ok exit_code sandbox task_id external_task_id effect_scene task_status "
    "task_status_msg created_at updated_at elapsed reused plan request cost images videos error "
    "warnings",
    "error": "code message hint charged http_status service_code request_id",
    "image": "source kind format width height bytes sha256 fixes",
    "video": "id url duration file",
}


@pytest.mark.parametrize("definition", DOCUMENTED)
def test_the_schema_has_the_documented_keys(definition: str) -> None:
    """The schema requires each documented key, and allows none that it does not name."""
    shape = SCHEMA["$defs"][definition]
    assert set(DOCUMENTED[definition].split()) <= set(shape["required"])
    assert shape["required"] == list(shape["properties"])
    assert shape["additionalProperties"] is False


def test_a_delivered_task(kling: Program, service: LoopbackService) -> None:
    """A delivered task has its ids and times; a repeated one says that it cost nothing."""
    first = kling("effect", "squish", PHOTO, "--json").json
    assert (first["exit_code"], first["ok"], first["error"]) == (0, True, None)
    assert (first["task_status"], first["reused"]) == ("succeed", False)
    assert first["task_id"] == service.ledger[0].task_id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["created_at"])
    again = kling("effect", "squish", PHOTO, "--json").json
    assert (again["reused"], again["videos"]) == (True, first["videos"])


@pytest.mark.parametrize(
    ("kind", "code", "status", "charged"),
    [
        ("refused", 6, None, "no"),
        ("failed", 5, "failed", "no"),
        ("pending", 8, "processing", "yes"),
        ("unknown", 9, "unknown", "maybe"),
    ],
)
def test_a_task_that_was_not_delivered(
    kling: Program,
    service: LoopbackService,
    kind: str,
    code: int,
    status: str | None,
    charged: str,
) -> None:
    """Its status, and what a script needs to decide whether to buy again."""
    if kind == "refused":
        service.on_create(refuse(400, 1201, "no such scene"))
    elif kind == "unknown":
        service.on_create(DROP)
    else:
        failure = "no face found" if kind == "failed" else None
        service.shop.rules = Rules(failure=failure, task_seconds=3600 * (kind == "pending"))
    told = kling("effect", "squish", PHOTO, "--timeout", "10s", "--json").json
    assert (told["exit_code"], told["ok"], told["task_status"]) == (code, False, status)
    assert told["task_status_msg"] == ("no face found" if kind == "failed" else "")
    assert told["error"]["charged"] == charged
    assert told["error"]["service_code"] == (1201 if kind == "refused" else None)


@pytest.mark.parametrize(
    ("argv", "definition"),
    [
        (("scenes", "dizzy"), "scene"),
        (("config", "check", "--sandbox"), "check"),
    ],
)
def test_other_objects(kling: Program, argv: tuple[str, ...], definition: str) -> None:
    run = kling(*argv, "--json")
    assert run.code == 0
    assert sorted(run.json) == sorted(SCHEMA["$defs"][definition]["required"])


@pytest.mark.parametrize(("token", "code"), [("", 4), (TOKEN, 10)])
def test_a_check_that_fails(
    kling: Program, monkeypatch: pytest.MonkeyPatch, token: str, code: int
) -> None:
    monkeypatch.setenv("KLING_TOKEN", token)
    monkeypatch.setenv("KLING_BASE_URL", "http://127.0.0.1:9")
    run = kling("config", "check", "--json")
    assert run.code == run.json["exit_code"] == code
    assert sorted(run.json) == sorted(SCHEMA["$defs"]["check"]["required"])
    assert (run.json["ok"], run.json["error"]["charged"]) == (False, "no")


@pytest.mark.parametrize(
    "argv", [("completion", "x"), ("sandbox", "--port", "99999"), ("tasks", "--nonsense"), ()]
)
def test_a_failure_before_any_task(kling: Program, argv: tuple[str, ...]) -> None:
    run = kling(*argv, "--json")
    assert run.code == run.json["exit_code"] == 2
    assert (run.json["ok"], run.json["error"]["charged"]) == (False, "no")
    assert run.err


@pytest.mark.parametrize("argv", [("tasks",), ("status",), ("effect", "squish", PHOTO)])
def test_a_damaged_journal(
    kling: Program, service: LoopbackService, tmp_path: Path, argv: tuple[str | Path, ...]
) -> None:
    """Fault 79: it stops every command before anything is sent, and stays as it is."""
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / "journal.sqlite3"
    path.write_bytes(b"garbage " * 1000)
    run = kling(*argv, "--json")
    assert (run.code, run.json["error"]["code"]) == (11, "journal_damaged")
    assert f"mv {path} {path}.old" in run.json["error"]["hint"]
    assert path.read_bytes() == b"garbage " * 1000
    assert service.visits == []


def test_the_sandbox_says_so_in_every_object(kling: Program) -> None:
    records = [
        kling("effect", "squish", PHOTO, "--sandbox", "--json").json,
        kling("effect", "squish", UNUSABLE, "--sandbox", "--json").json,
        kling("tasks", "--sandbox", "--json").json,
        kling("config", "check", "--sandbox", "--json").json,
    ]
    assert [record["sandbox"] for record in records] == [True] * 4
