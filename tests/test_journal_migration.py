"""A journal of version 0.1.0: opened, brought to today's form in one step, and gone on with."""

import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from support.replies import Reply, wrap
from support.run import OTHER_PHOTO, PHOTO, Program, command, run_installed
from support.service import LoopbackService

# As version 0.1.0 made it: application id "klng", version 1, write-ahead.
OLD_SCHEMA = """
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS purchases (
    external_task_id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL,
    base_url TEXT NOT NULL, effect_scene TEXT NOT NULL,
    stage TEXT NOT NULL, sender TEXT, task_id TEXT, message TEXT NOT NULL,
    images TEXT NOT NULL, videos TEXT NOT NULL,
    created_at REAL NOT NULL, updated_at REAL NOT NULL, finished_at REAL,
    is_current INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY, task TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_current ON purchases (fingerprint) WHERE is_current;
CREATE INDEX IF NOT EXISTS by_task_id ON purchases (task_id);
PRAGMA application_id = 1802268263;
PRAGMA user_version = 1;
COMMIT;
"""
_OLD_COLUMNS = 14
_NEWEST = 3
_CHANGES = "write,pwrite64,pwritev,fsync,fdatasync,ftruncate,fallocate,openat,unlink"
_STRACE = shutil.which("strace")
_AT_ONCE = 6


def fingerprint(base_url: str, photo: Path) -> str:
    image = f"sha256:{hashlib.sha256(photo.read_bytes()).hexdigest()}"
    content = {"model_name": "kling-v1-6", "image": image, "duration": "5"}
    told = {"base_url": base_url, "effect_scene": "squish", "input": content}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def write_old(path: Path, base_url: str, *, is_killed: bool = False) -> None:
    """Write a journal of version 0.1.0: one task runs, one may have been accepted, one is saved."""
    path.parent.mkdir(parents=True)
    video = json.dumps([{"url": f"{base_url}/v.mp4", "id": "v", "duration": 5.0}])
    rows = [
        ("kling-runs", fingerprint(base_url, PHOTO), "processing", "815", "[]", None),
        ("kling-doubt", fingerprint(base_url, OTHER_PHOTO), "unknown", None, "[]", None),
        ("kling-done", "f", "succeed", "816", video, 1.8e9),
    ]
    whole = path.with_name("whole") if is_killed else path
    with closing(sqlite3.connect(whole, isolation_level=None)) as journal:
        journal.executescript(OLD_SCHEMA)
        journal.execute("INSERT INTO files VALUES (?, '816', 9, 'abc')", [b"/clips/a.mp4"])
        for name, print_, stage, task_id, videos, finished_at in rows:
            journal.execute(
                "INSERT INTO purchases VALUES (?,?,?,'squish',?,'me',?,'','[]',?,?,?,?,1)",
                (name, print_, base_url, stage, task_id, videos, 1.8e9, 1.8e9, finished_at),
            )
        if is_killed:
            for ending in ("", "-wal"):
                shutil.copy(f"{whole}{ending}", f"{path}{ending}")
    if is_killed:
        whole.unlink()
        assert Path(f"{path}-wal").stat().st_size > 0


def read(path: Path) -> tuple[int, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as journal:
        (version,) = journal.execute("PRAGMA user_version").fetchone()
        rows = journal.execute("SELECT * FROM purchases ORDER BY rowid").fetchall()
        files = journal.execute("SELECT * FROM files").fetchall()
    return version, [row[:_OLD_COLUMNS] for row in rows] + files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite3"


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_was_bought_before_is_gone_on_with(
    kling: Program, service: LoopbackService, path: Path, is_killed: bool
) -> None:
    """After the upgrade the same command resumes its task, looks where in doubt, buys nothing."""
    write_old(path, service.base_url, is_killed=is_killed)
    video = {"id": "v", "url": f"{service.url}/v.mp4", "duration": "5"}
    done = {"task_id": "815", "task_status": "succeed", "task_result": {"videos": [video]}}
    service.on_look(Reply(json=wrap(done)))
    run = kling("effect", "squish", PHOTO, "--json")
    assert (run.code, run.json["task_id"], run.json["reused"]) == (0, "815", True)
    assert kling("effect", "squish", OTHER_PHOTO).code == 9
    assert kling("wait", "816").out == f"{service.base_url}/v.mp4\n"
    assert {line.split("\t")[0] for line in kling("tasks").lines} == {"815", "816", "-"}
    assert (service.ledger, read(path)[0]) == ([], _NEWEST)


def test_many_processes_upgrade_once(path: Path) -> None:
    write_old(path, "https://h.example", is_killed=True)
    _, before = read(path)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        runs = list(pool.map(run_installed, ["tasks"] * _AT_ONCE))
    assert {run.code for run in runs} == {0}, runs
    assert len({run.out for run in runs}) == 1
    assert read(path) == (_NEWEST, before)


@pytest.mark.skipif(_STRACE is None, reason="strace is not installed")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_kill_at_any_call_of_the_upgrade_loses_nothing(
    tmp_path: Path, request: pytest.FixtureRequest, is_killed: bool
) -> None:

    def begin(name: str) -> Path:
        path = tmp_path / name / "journal.sqlite3"
        write_old(path, "https://h.example", is_killed=is_killed)
        return path

    def run(path: Path, *strace: str) -> subprocess.CompletedProcess[bytes]:
        files = [word for ending in ("", "-wal", "-shm") for word in ("-P", f"{path}{ending}")]
        prefix = [str(_STRACE), "-f", *files, *strace] if strace else []
        environ = {"KLING_STATE_DIR": str(path.parent), "KLING_CONFIG_DIR": str(tmp_path)}
        line = [*prefix, *command("tasks")]
        return subprocess.run(line, capture_output=True, env=environ, timeout=100, check=False)

    seen, path = tmp_path / "trace", begin("traced")
    _, before = read(begin("whole"))
    assert run(path, "-e", f"trace={_CHANGES}", "-o", str(seen)).returncode == 0
    calls = Counter(re.findall(r"^\d+ +(\w+)\(", seen.read_text(encoding="utf-8"), re.MULTILINE))
    points = [(call, number) for call, most in calls.items() for number in range(1, most + 1)]
    if not request.config.getoption("--every-call"):
        points = points[::6]

    def kill(point: tuple[str, int]) -> int:
        call, number = point
        path = begin(f"{call}-{number}")
        inject = f"inject={call}:signal=KILL:when={number}"
        killed = run(path, "-e", f"trace={call}", "-e", inject, "-o", "/dev/null")
        # Of a copy: whoever opens the file itself mends it.
        copy = Path(shutil.copytree(path.parent, tmp_path / f"seen-{call}-{number}")) / path.name
        version, rows = read(copy)
        assert (rows, version in (1, _NEWEST)) == (before, True), point
        again = run(path)
        assert (again.returncode, again.stdout.count(b"\n")) == (0, 3), (point, again.stderr)
        assert read(path) == (_NEWEST, before), point
        return version if killed.returncode else 0

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ends = Counter(pool.map(kill, points))
    print(f"{len(points)} kills, by the version that they left:", dict(ends))
    assert ends[1] > 0
    assert ends[0] < 0.1 * len(points)
