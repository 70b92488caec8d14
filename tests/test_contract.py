"""What scripts rely on: the JSON of every command, in success and in failure.

Each object was held against the shipped schema when it was read.
"""

from pathlib import Path

import pytest
from support.run import PHOTO, SCHEMA, Program
from support.service import LoopbackService

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
    shape = SCHEMA["$defs"][definition]
    assert set(DOCUMENTED[definition].split()) <= set(shape["required"])
    assert shape["required"] == list(shape["properties"])
    assert shape["additionalProperties"] is False


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
