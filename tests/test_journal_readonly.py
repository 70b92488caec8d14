"""A journal that exists is honoured, also where it cannot be written: nothing is bought twice."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.ordinary import fill_disk, mount_disk, run_ordinary
from support.process import Process
from support.replies import DROP
from support.run import OTHER_PHOTO, PHOTO, Run
from support.service import LoopbackService
from support.shop import Rules

STRACE = shutil.which("strace")
SQUISH = ("effect", "squish")
RUNNING, DONE = Rules(looks_until_done=500), Rules(looks_until_done=0)
DENIED = "Permission denied"
# What is in the way, and the reason that the user is told.
OBSTACLES = {
    "a full disk": "No space left on device",
    "a read-only disk": "Read-only file system",
    "a directory that may not be changed": DENIED,
    "a file that may not be changed": DENIED,
    "a directory and files that may not be changed": DENIED,
}


class Machine:
    def __init__(self, directory: Path, resources: ExitStack) -> None:
        self.service = resources.enter_context(LoopbackService())
        self.set_rules(RUNNING)
        self.state = directory / "state"
        self.prefix: tuple[str, ...] = ()
        self._disk = directory / "disk"
        self._resources = resources

    @property
    def environ(self) -> dict[str, str]:
        base_url, token = self.service.base_url, "sk-test-0123456789abcdef"
        state = {"KLING_STATE_DIR": str(self.state)}
        return {**state, "KLING_BASE_URL": base_url, "KLING_TOKEN": token}

    @property
    def journal(self) -> Path:
        return self.state / "journal.sqlite3"

    @property
    def files(self) -> dict[str, bytes]:
        paths = [path for path in self.state.iterdir() if path.suffix != ".sqlite3-shm"]
        return {path.name: path.read_bytes() for path in paths}

    @property
    def posts(self) -> int:
        return self.service.count("POST")

    def set_rules(self, rules: Rules, *, looks_up: bool = False) -> None:
        rules = replace(rules, deduplicate="ignore", lookup_by_external_id=looks_up)
        self.service.shop.rules = rules

    def finish_tasks(self) -> None:
        self.set_rules(DONE)

    def use_own_disk(self) -> None:
        self.state = self._resources.enter_context(mount_disk(self._disk)) / "state"

    def run(self, *argv: str | Path) -> Run:
        return run_ordinary(*argv, environ=self.environ, prefix=self.prefix)

    def buy(self, end: str = "clean") -> str:
        if end == "clean":
            assert self.run(*SQUISH, PHOTO, "--no-wait").code == 0
        else:
            with Process(*SQUISH, PHOTO, environ=self.environ) as process:
                process.wait_for("submitted")
                process.kill(signal.SIGKILL)
                process.finish()
        log = self.journal.with_name("journal.sqlite3-wal")
        assert (log.exists() and log.stat().st_size > 0) == (end == "killed")
        return self.service.ledger[-1].task_id

    def obstruct(self, obstacle: str) -> None:
        if obstacle == "a full disk":
            fill_disk(self.state.parent)
        elif obstacle == "a read-only disk":
            self._remount("ro")
            self._resources.callback(self._remount, "rw")
        if "file" in obstacle:
            for path in self.state.iterdir():
                path.chmod(0o400)
        if "directory" in obstacle:
            self.state.chmod(0o555)
            self._resources.callback(self.state.chmod, 0o700)

    def _remount(self, mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", str(self._disk)], check=True)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with ExitStack() as resources:
        yield Machine(tmp_path, resources)


@pytest.mark.parametrize("end", ["clean", "killed"])
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_it_answers_and_buys_nothing(machine: Machine, obstacle: str, end: str) -> None:
    """Faults 77 and 112: tasks are listed, looked at, waited for and reused, and bought once."""
    if (obstacle, end) == ("a directory that may not be changed", "killed"):
        pytest.skip(reason="SQLite's files are there already, so the journal can be written")
    if "disk" in obstacle:
        machine.use_own_disk()
    machine.finish_tasks()
    assert machine.run(*SQUISH, OTHER_PHOTO).code == 0
    machine.set_rules(RUNNING)
    task_id = machine.buy(end)
    machine.obstruct(obstacle)
    before = machine.files

    new = machine.run("effect", "expansion", PHOTO, "--json")
    assert (new.code, machine.posts) == (11, 2)
    error = new.json["error"]
    assert (error["code"], error["charged"]) == ("journal_write_failed", "no")
    assert OBSTACLES[obstacle] in error["message"]
    assert "Nothing was sent." in error["message"]
    assert "KLING_STATE_DIR" in error["hint"]
    assert ("sudo chown -R" in error["hint"]) == (OBSTACLES[obstacle] == DENIED)
    assert ("Free some disk" in error["hint"]) == (obstacle == "a full disk")

    visits = len(machine.service.visits)
    done = machine.run(*SQUISH, OTHER_PHOTO, "--json")
    assert (done.code, done.json["reused"], len(machine.service.visits)) == (0, True, visits)
    listed = machine.run("tasks")
    assert (listed.code, listed.out.split("\t")[0]) == (0, task_id)
    looked = machine.run("status", task_id)
    assert (looked.code, looked.out.split("\t")[:2]) == (8, [task_id, "processing"])
    machine.finish_tasks()
    url = f"{machine.service.url}/videos/{task_id}.mp4\n"
    for argv in ((*SQUISH, PHOTO), ("wait", task_id), ("wait",)):
        if obstacle == "a full disk":
            fill_disk(machine.state.parent)  # a killed run's log is worked off, which makes room
        run = machine.run(*argv)
        assert (run.code, run.out) == (0, url), run.err
        assert run.err.count("cannot be written") <= 1
    again = machine.run(*SQUISH, PHOTO, "--new")
    assert (again.code, machine.posts) == (11, 2)
    assert "buying a new one" not in again.err
    if obstacle != "a full disk":  # there SQLite may still fill what room its log has
        assert machine.files == before


@pytest.mark.parametrize("obstacle", ["a full disk", "a file that may not be changed"])
def test_what_may_be_bought_is_not_sent_again(machine: Machine, obstacle: str) -> None:
    """Fault 77: a request of an unknown fate stays one where the journal cannot be written."""
    if "disk" in obstacle:
        machine.use_own_disk()
    machine.service.on_create(DROP, purchase=True)
    assert machine.run(*SQUISH, PHOTO, "--timeout", "20s").code == 9
    machine.obstruct(obstacle)
    run = machine.run(*SQUISH, PHOTO, "--timeout", "20s", "--json")
    assert (run.code, machine.posts) == (9, 1)
    assert str(run.json["external_task_id"]) in machine.run("tasks", "--unfinished").out
    machine.set_rules(DONE, looks_up=True)
    found = machine.run(*SQUISH, PHOTO, "--json")
    assert (found.code, found.json["reused"], machine.posts) == (0, True, 1)


def test_a_failed_task_is_not_bought_anew(machine: Machine) -> None:
    """Fault 77: a new purchase is refused before it is announced, until it can be written down."""
    machine.set_rules(Rules(failure="blocked", looks_until_done=0))
    assert machine.run(*SQUISH, PHOTO).code == 5
    machine.obstruct("a file that may not be changed")
    run = machine.run(*SQUISH, PHOTO)
    assert (run.code, machine.posts) == (11, 1)
    assert "buying" not in run.err
    machine.journal.chmod(0o600)
    machine.finish_tasks()
    assert (machine.run(*SQUISH, PHOTO).code, machine.posts) == (0, 2)
    assert len(machine.run("tasks").lines) == 2


def test_many_looks_warn_once(machine: Machine) -> None:
    """Fault 77: what cannot be written down about many tasks is told once."""
    assert machine.run(*SQUISH, PHOTO, OTHER_PHOTO, "--no-wait").code == 0
    machine.obstruct("a file that may not be changed")
    machine.finish_tasks()
    run = machine.run("wait")
    assert (run.code, len(run.lines)) == (0, 2)
    assert run.err.count("warning:") == 1


@pytest.mark.parametrize("hidden", ["journal.sqlite3", "journal.sqlite3-wal", "."])
def test_a_journal_that_may_not_be_read_stops_all(machine: Machine, hidden: str) -> None:
    """Fault 77: after one run as root, the command that mends it is told, and nothing is sent."""
    machine.buy("killed")
    (machine.state / hidden).chmod(0)
    visits = len(machine.service.visits)
    for argv in ((*SQUISH, PHOTO), ("status",), ("wait",), ("tasks",)):
        run = machine.run(*argv, "--json")
        error = run.json["error"]
        assert (run.code, error["code"], error["charged"]) == (11, "journal_unreadable", "no")
        assert DENIED in error["message"]
        assert f'sudo chown -R "$(id -un)" {machine.state}' in error["hint"]
    assert len(machine.service.visits) == visits
    machine.state.chmod(0o700)


@pytest.mark.parametrize("kind", ["damaged", "newer"])
def test_one_that_cannot_be_understood_stops_all(machine: Machine, kind: str) -> None:
    """Fault 79: damaged, or of a newer version, it is told as such, also where it is read only."""
    machine.buy()
    if kind == "damaged":
        machine.journal.write_bytes(b"this is no database " * 100)
    else:
        with closing(sqlite3.connect(machine.journal)) as connection:
            connection.execute("PRAGMA user_version = 99")
    machine.obstruct("a directory and files that may not be changed")
    before = machine.files
    run = machine.run(*SQUISH, PHOTO, "--json")
    assert (run.code, run.json["error"]["code"]) == (11, f"journal_{kind}")
    assert (machine.posts, machine.files) == (1, before)


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize(
    ("call", "error", "end"),
    [
        ("fcntl", "ENOLCK", "clean"),
        ("fcntl", "ENOLCK", "killed"),
        ("openat", "EMFILE", "clean"),
        ("openat", "EDQUOT", "clean"),
    ],
)
def test_the_systems_reason_is_named(machine: Machine, call: str, error: str, end: str) -> None:
    """Faults 77 and 99: it is the reason that is named, not a program that holds the file."""
    task_id = machine.buy(end)
    machine.finish_tasks()
    paths = [word for each in ("", "-wal", "-shm") for word in ("-P", f"{machine.journal}{each}")]
    first = ":when=1" if call == "openat" else ""
    fault = ("-e", f"trace={call}", "-e", f"inject={call}:error={error}{first}")
    machine.prefix = (str(STRACE), "-f", "-o", os.devnull, *paths, *fault)
    reason, started = os.strerror(getattr(errno, error)), time.monotonic()
    run = machine.run(*SQUISH, PHOTO)
    assert (run.code, machine.posts) == (0, 1), run.err
    assert task_id in run.out
    assert reason in run.err
    new = machine.run(*SQUISH, OTHER_PHOTO)
    assert (new.code, machine.posts) == (11, 1)
    assert reason in new.err
    assert "held by" not in new.err
    assert time.monotonic() - started < 25


def test_a_disk_that_is_full_at_the_first_run_is_told(machine: Machine) -> None:
    """Fault 77: a file that could be made but not filled is a journal, and room is the way out."""
    machine.use_own_disk()
    machine.state.mkdir()
    fill_disk(machine.state.parent)
    machine.finish_tasks()
    for _ in range(2):
        run = machine.run(*SQUISH, PHOTO)
        assert (run.code, machine.posts) == (11, 0)
        assert "No space left on device" in run.err
        assert "Free some disk space" in run.err
    (machine.state.parent / "filler").unlink()
    assert machine.run(*SQUISH, PHOTO).code == 0
    assert machine.posts == 1
