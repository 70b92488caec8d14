import os
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandbox_caller import Clock, Service

from kling_cli.errors import LocalError
from kling_cli.sandbox import create_app

CREATE_MANY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from sandbox_caller import Service
service = Service(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    print(service.create(external_task_id=f"mine-{number}").status, flush=True)
"""


def test_the_store_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Directory and file are closed to others from their creation, whatever the umask."""
    before = os.umask(0)
    try:
        service = Service(tmp_path)
        service.create()
    finally:
        os.umask(before)
    assert stat.S_IMODE(service.store.parent.stat().st_mode) == 0o700
    for path in service.store.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_external_id_is_accepted_once_by_many_threads(tmp_path: Path) -> None:
    """Of many submissions at the same moment exactly one is accepted."""
    service = Service(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: service.create(external_task_id="mine"), range(48)))
    assert sorted(reply.status for reply in replies) == [200] + [400] * 47
    assert len(service.list_tasks().data) == 1


def test_two_processes_share_one_store(tmp_path: Path) -> None:
    """Two programs that submit the same external ids at once share the tasks, each once."""
    command = [sys.executable, "-c", CREATE_MANY, str(tmp_path), str(Path(__file__).parent)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    told = [process.communicate("go\n", timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(told[0] + told[1]) == ["200"] * 25 + ["400"] * 25
    assert len(Service(tmp_path).list_tasks().data) == 25


def test_a_deleted_store_begins_anew(tmp_path: Path) -> None:
    """Deleting the file while the sandbox runs loses the tasks and nothing else."""
    service = Service(tmp_path)
    service.create()
    service.store.unlink()
    assert service.list_tasks().data == []
    assert service.create().status == 200


@pytest.mark.parametrize("content", [b"no database at all, but long enough to tell" * 50])
def test_a_damaged_store_is_named_and_kept(tmp_path: Path, content: bytes) -> None:
    """A file that is no store stops the sandbox before anything is accepted."""
    store = tmp_path / "sandbox.sqlite"
    store.write_bytes(content)
    with pytest.raises(LocalError) as caught:
        create_app(store, now=Clock())
    assert caught.value.code == "sandbox_store"
    assert "sandbox.sqlite" in caught.value.message
    assert "deleted" in caught.value.hint
    assert store.read_bytes() == content


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """A store that a newer program wrote is refused, not guessed at."""
    service = Service(tmp_path)
    connection = sqlite3.connect(service.store)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(LocalError, match="version 7"):
        Service(tmp_path)


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A directory in the place of the file is an error with words."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(LocalError, match="taken"):
        create_app(tmp_path / "taken", now=Clock())


def test_a_store_that_fails_later_is_an_error_too(tmp_path: Path) -> None:
    """The application itself tells of a store that broke while it ran."""
    service = Service(tmp_path)
    service.store.write_bytes(b"overwritten by something else entirely" * 50)
    with pytest.raises(LocalError):
        service.create()
