"""A journal that exists is honoured, also where it cannot be written: nothing is bought twice."""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from support.ordinary import fill_disk, mount_disk, run_ordinary
from support.process import Process
from support.replies import DROP
from support.run import OTHER_PHOTO, PHOTO, Run
from support.service import LoopbackService
from support.shop import Rules

TOKEN = "sk-test-0123456789abcdef"
STRACE = shutil.which("strace")
DENIED = "Permission denied"
# What is in the way, and the reason that the user is told.
OBSTACLES = {
    "a full disk": "No space left on device",
    "a read-only disk": "Read-only file system",
    "a directory that may not be changed": "Permission denied",
    "a file that may not be changed": "Permission denied",
    "a directory and files that may not be changed": "Permission denied",
}


class Machine:
    """A user's machine on which a task was bought; it meets a service that never deduplicates."""

    def __init__(self, directory: Path, resources: ExitStack) -> None:
        self.rules = Rules(deduplicate="ignore", lookup_by_external_id=False, looks_until_done=500)
        self.service = resources.enter_context(LoopbackService(self.rules))
        self.state = directory / "state"
        self.prefix: tuple[str, ...] = ()
        self._disk = directory / "disk"
        self._resources = resources

    @property
    def environ(self) -> dict[str, str]:
        """The variables of every run."""
        return {
            "KLING_STATE_DIR": str(self.state),
            "KLING_BASE_URL": self.service.base_url,
            "KLING_TOKEN": TOKEN,
        }

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.state / "journal.sqlite3"

    @property
    def files(self) -> dict[str, bytes]:
        """What lies in the state directory, without what SQLite keeps in shared memory."""
        paths = [path for path in self.state.iterdir() if path.suffix != ".sqlite3-shm"]
        return {path.name: path.read_bytes() for path in paths}

    @property
    def posts(self) -> int:
        """How often something was sent."""
        return self.service.count("POST")

    def use_own_disk(self) -> None:
        """Keep the state on a disk of its own."""
        self.state = self._resources.enter_context(mount_disk(self._disk)) / "state"

    def buy(self, end: str) -> str:
        """Buy a task in a run that ends cleanly, or is killed while it waits; tell its id."""
        if end == "clean":
            assert self.run("effect", "squish", PHOTO, "--no-wait").code == 0
        else:
            self.kill_purchase(PHOTO)
        log = self.journal.with_name("journal.sqlite3-wal")
        assert (log.exists() and log.stat().st_size > 0) == (end == "killed")
        return self.service.ledger[0].task_id

    def kill_purchase(self, photo: Path) -> None:
        """Buy in a run that is killed as soon as the task is accepted."""
        with Process("effect", "squish", photo, environ=self.environ) as process:
            process.wait_for("submitted")
            process.kill(signal.SIGKILL)
            process.finish()

    def obstruct(self, obstacle: str) -> None:
        """Let the journal be one that cannot be written."""
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

    def run(self, *argv: str | Path) -> Run:
        """Run the program."""
        return run_ordinary(*argv, environ=self.environ, prefix=self.prefix)

    def finish_tasks(self) -> None:
        """Let every task be done at the next look."""
        self.service.shop.rules = Rules(
            deduplicate="ignore", lookup_by_external_id=False, looks_until_done=0
        )

    def _remount(self, mode: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{mode}", str(self._disk)], check=True)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with its service."""
    with ExitStack() as resources:
        yield Machine(tmp_path, resources)


@pytest.mark.parametrize("end", ["clean", "killed"])
@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_it_knows_is_answered_and_nothing_new_is_bought(
    machine: Machine, obstacle: str, end: str
) -> None:
    """Faults 77 and 112: the task is listed, looked at, waited for and reused, and bought once."""
    if (obstacle, end) == ("a directory that may not be changed", "killed"):
        pytest.skip(reason="SQLite's files are there already, so the journal can be written")
    if "disk" in obstacle:
        machine.use_own_disk()
    task_id = machine.buy(end)
    machine.obstruct(obstacle)
    before = machine.files

    new = machine.run("effect", "squish", OTHER_PHOTO, "--json")
    assert (new.code, machine.posts) == (11, 1)
    error = new.json["error"]
    assert (error["code"], error["charged"]) == ("journal_write_failed", "no")
    assert OBSTACLES[obstacle] in error["message"]
    assert "Nothing was sent." in error["message"]
    assert "KLING_STATE_DIR" in error["hint"]
    assert ("sudo chown -R" in error["hint"]) == (OBSTACLES[obstacle] == DENIED)
    assert ("Make room" in error["hint"]) == (obstacle == "a full disk")

    listed = machine.run("tasks")
    assert (listed.code, listed.out.split("\t")[0]) == (0, task_id)
    looked = machine.run("status", task_id)
    assert (looked.code, looked.out.split("\t")[:2]) == (8, [task_id, "processing"])
    machine.finish_tasks()
    url = f"{machine.service.url}/videos/{task_id}.mp4\n"
    for argv in (("effect", "squish", PHOTO), ("wait", task_id), ("wait",)):
        run = machine.run(*argv)
        assert (run.code, run.out) == (0, url), run.err
        assert run.err.count("cannot be written") <= 1
    assert machine.run("status").code == 0
    if obstacle == "a full disk":
        fill_disk(machine.state.parent)  # a killed run's log has been worked off, which makes room
    again = machine.run("effect", "squish", PHOTO, "--new")
    assert again.code == 11
    assert "buying a new one" not in again.err
    assert machine.posts == 1
    if obstacle != "a full disk":  # there SQLite may still fill what room its log has
        assert machine.files == before


@pytest.mark.parametrize("end", ["clean", "killed"])
def test_a_finished_task_is_printed_without_a_request(machine: Machine, end: str) -> None:
    """Fault 77: a result that a journal of files that may not be changed knows is reused."""
    task_id = machine.buy(end)
    machine.finish_tasks()
    assert machine.run("wait", task_id).code == 0
    if end == "killed":
        machine.service.shop.rules = machine.rules
        machine.kill_purchase(OTHER_PHOTO)
    visits = len(machine.service.visits)
    machine.obstruct("a directory and files that may not be changed")
    run = machine.run("effect", "squish", PHOTO, "--json")
    assert (run.code, run.json["reused"], run.json["task_id"]) == (0, True, task_id)
    assert len(machine.service.visits) == visits


@pytest.mark.parametrize("obstacle", ["a full disk", "a file that may not be changed"])
def test_what_may_be_bought_is_looked_up_and_not_sent_again(
    machine: Machine, obstacle: str
) -> None:
    """Fault 77: a request of an unknown fate stays one where the journal cannot be written."""
    if "disk" in obstacle:
        machine.use_own_disk()
    machine.service.on_create(DROP, purchase=True)
    assert machine.run("effect", "squish", PHOTO, "--timeout", "20s").code == 9
    machine.obstruct(obstacle)
    run = machine.run("effect", "squish", PHOTO, "--timeout", "20s", "--json")
    assert (run.code, machine.posts) == (9, 1)
    assert str(run.json["external_task_id"]) in machine.run("tasks", "--unfinished").out
    machine.service.shop.rules = Rules(deduplicate="ignore", looks_until_done=0)
    found = machine.run("effect", "squish", PHOTO, "--json")
    assert (found.code, found.json["reused"], machine.posts) == (0, True, 1)


def test_a_failed_task_is_not_bought_anew(machine: Machine) -> None:
    """Fault 77: what failed would be a new purchase, which is refused before it is announced."""
    machine.service.shop.rules = Rules(failure="blocked", looks_until_done=0)
    assert machine.run("effect", "squish", PHOTO).code == 5
    machine.obstruct("a file that may not be changed")
    run = machine.run("effect", "squish", PHOTO)
    assert (run.code, machine.posts) == (11, 1)
    assert "buying" not in run.err


def test_many_looks_warn_once(machine: Machine) -> None:
    """Fault 77: what cannot be written down about many tasks is told once."""
    assert machine.run("effect", "squish", PHOTO, OTHER_PHOTO, "--no-wait").code == 0
    machine.obstruct("a file that may not be changed")
    machine.finish_tasks()
    run = machine.run("wait")
    assert (run.code, len(run.lines)) == (0, 2)
    assert run.err.count("warning:") == 1


@pytest.mark.parametrize("argv", [("effect", "squish", PHOTO), ("status",), ("wait",), ("tasks",)])
@pytest.mark.parametrize("hidden", ["the file", "the directory", "the log"])
def test_a_journal_that_may_not_be_read_stops_all(
    machine: Machine, hidden: str, argv: tuple[str, ...]
) -> None:
    """Fault 77: after one run as root, the command that mends it is told, and nothing is sent."""
    machine.buy("killed")
    log = machine.journal.with_name("journal.sqlite3-wal")
    path = {"the file": machine.journal, "the log": log}.get(hidden, machine.state)
    path.chmod(0)
    visits = len(machine.service.visits)
    run = machine.run(*argv, "--json")
    machine.state.chmod(0o700)
    assert (run.code, len(machine.service.visits)) == (11, visits)
    error = run.json["error"]
    assert (error["code"], error["charged"]) == ("journal_unreadable", "no")
    assert DENIED in error["message"]
    assert f'sudo chown -R "$(id -un)" {machine.state}' in error["hint"]


@pytest.mark.parametrize("kind", ["damaged", "newer"])
def test_one_that_cannot_be_understood_stops_all(machine: Machine, kind: str) -> None:
    """Fault 79: damaged, or of a newer version, it is told as such, also where it is read only."""
    machine.buy("clean")
    if kind == "damaged":
        machine.journal.write_bytes(b"this is no database " * 100)
    else:
        with closing(sqlite3.connect(machine.journal)) as connection:
            connection.execute("PRAGMA user_version = 99")
    machine.obstruct("a directory and files that may not be changed")
    before = machine.files
    run = machine.run("effect", "squish", PHOTO, "--json")
    assert (run.code, run.json["error"]["code"]) == (11, f"journal_{kind}")
    assert (machine.posts, machine.files) == (1, before)


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize("end", ["clean", "killed"])
def test_locks_that_fail_are_named_soon(machine: Machine, end: str) -> None:
    """Fault 99: without a lock daemon the reason is named, not a program that holds the file."""
    task_id = machine.buy(end)
    machine.finish_tasks()
    watched = [f"{machine.journal}{suffix}" for suffix in ("", "-wal", "-shm")]
    paths = [word for path in watched for word in ("-P", path)]
    fault = ("-e", "trace=fcntl", "-e", "inject=fcntl:error=ENOLCK")
    machine.prefix = (str(STRACE), "-f", "-o", os.devnull, *paths, *fault)
    started = time.monotonic()
    run = machine.run("effect", "squish", PHOTO)
    assert (run.code, machine.posts) == (0, 1), run.err
    assert task_id in run.out
    assert "No locks available" in run.err
    new = machine.run("effect", "squish", OTHER_PHOTO)
    assert (new.code, machine.posts) == (11, 1)
    assert "No locks available" in new.err
    assert "held by" not in new.err
    assert time.monotonic() - started < 25


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize("error", ["EMFILE", "EIO", "EDQUOT", "EROFS", "ENOSPC"])
def test_a_file_that_cannot_be_opened_to_write_is_read(machine: Machine, error: str) -> None:
    """Fault 77: whatever the system says at the opening, nothing that is known is bought again."""
    task_id = machine.buy("clean")
    machine.finish_tasks()
    fault = ("-e", "trace=openat", "-e", f"inject=openat:error={error}:when=1")
    machine.prefix = (str(STRACE), "-f", "-o", os.devnull, "-P", str(machine.journal), *fault)
    run = machine.run("effect", "squish", PHOTO)
    assert (run.code, machine.posts) == (0, 1), run.err
    assert task_id in run.out
    new = machine.run("effect", "squish", OTHER_PHOTO)
    assert (new.code, machine.posts) == (11, 1)


def test_a_disk_that_is_full_at_the_first_run_is_told(machine: Machine) -> None:
    """Fault 77: a file that could be made but not filled is a journal, and room is the way out."""
    machine.use_own_disk()
    machine.state.mkdir()
    fill_disk(machine.state.parent)
    machine.finish_tasks()
    for _ in range(2):
        run = machine.run("effect", "squish", PHOTO)
        assert (run.code, machine.posts) == (11, 0)
        assert "No space left on device" in run.err
        assert "Make room on its disk" in run.err
    (machine.state.parent / "filler").unlink()
    assert machine.run("effect", "squish", PHOTO).code == 0
    assert machine.posts == 1


def test_a_refused_run_leaves_the_journal_usable(machine: Machine) -> None:
    """Fault 77: once the file may be written again, the same command buys and is listed."""
    machine.buy("clean")
    machine.obstruct("a file that may not be changed")
    assert machine.run("effect", "squish", OTHER_PHOTO).code == 11
    machine.journal.chmod(0o600)
    machine.finish_tasks()
    assert machine.run("effect", "squish", OTHER_PHOTO).code == 0
    assert len(machine.run("tasks").lines) == 2
