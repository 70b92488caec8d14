"""The SQLite file under the journal."""

import contextlib
import errno
import os
import resource
import sqlite3
import stat
import threading
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import pytest

from kling_cli.database import Database
from kling_cli.errors import LocalError
from kling_cli.unwritable import UnwritableError

SCHEMA = "CREATE TABLE IF NOT EXISTS things (name TEXT);"

open_database = partial(Database, migrations=(SCHEMA,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is to be."""
    return tmp_path / "deep" / "state" / "journal.sqlite3"


@contextlib.contextmanager
def limit(kind: int, value: int) -> Generator[None]:
    """Let the system refuse this process more than so much for a while."""
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def make_foreign(path: Path) -> None:
    """Write somebody else's database."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def make_newer(path: Path) -> None:
    """Write the file of a later version of this program."""
    Database(path, migrations=(SCHEMA, "")).close()


def make_truncated(path: Path) -> None:
    """Cut a good file in its middle."""
    make_good(path)
    path.write_bytes(path.read_bytes()[:5000])


def make_emptied(path: Path) -> None:
    """Take the tables out of a good file."""
    make_good(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE things")


def make_garbage(path: Path) -> None:
    """Write what is no database at all."""
    path.write_bytes(b"this is no database " * 100)


def make_good(path: Path) -> None:
    """Write a file of ours with something in it."""
    database = open_database(path)
    with database.transaction():
        database.execute("INSERT INTO things VALUES (?)", "x" * 9000)
    database.close()


def test_the_file_is_its_owner_s_alone(path: Path) -> None:
    """Nobody else can read what was bought, not even between two system calls."""
    before = os.umask(0)
    try:
        database = open_database(path)
        database.execute("INSERT INTO things VALUES ('x')")
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        database.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert set(modes) == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
    assert set(modes.values()) == {0o600}


def test_every_step_is_durable(path: Path) -> None:
    """Fault 94: a step is on the disk when it is done, whatever happens to the power."""
    database = open_database(path)
    assert database.execute("PRAGMA synchronous") == [(2,)]
    assert database.execute("PRAGMA journal_mode") == [("wal",)]
    database.close()


def test_a_step_is_whole_or_nothing(path: Path) -> None:
    """What failed in its middle has left nothing behind, and the next step goes on."""
    database = open_database(path)
    with contextlib.suppress(ZeroDivisionError), database.transaction():
        database.execute("INSERT INTO things VALUES ('half')")
        raise ZeroDivisionError
    with database.transaction():
        database.execute("INSERT INTO things VALUES ('whole')")
    assert database.execute("SELECT name FROM things") == [("whole",)]
    database.close()


def test_what_was_written_is_there_again(path: Path) -> None:
    """A later run sees what an earlier one wrote, and does not make the tables anew."""
    make_good(path)
    database = open_database(path)
    assert database.execute("SELECT length(name) FROM things") == [(9000,)]
    database.close()


def test_threads_take_turns(path: Path) -> None:
    """The workers of one run share the file without losing a step."""
    database = open_database(path)

    def write() -> None:
        for _ in range(20):
            with database.transaction():
                ((count,),) = database.execute("SELECT count(*) FROM things")
                database.execute("INSERT INTO things VALUES (?)", str(count))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.execute("SELECT count(DISTINCT name) FROM things") == [(80,)]
    database.close()


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (make_garbage, "journal_damaged", "is damaged"),
        (make_truncated, "journal_damaged", "is damaged"),
        (make_emptied, "journal_damaged", "is no journal of kling, or damaged"),
        (make_foreign, "journal_damaged", "is no journal of kling, or damaged"),
        (make_newer, "journal_newer", "was written by a newer version of kling"),
    ],
)
def test_a_file_that_cannot_be_used_stays_as_it_is(
    tmp_path: Path, make: Callable[[Path], None], code: str, words: str
) -> None:
    """Fault 79: a damaged, foreign or newer file is named, and not one byte of it is changed."""
    path = tmp_path / "journal.sqlite3"
    make(path)
    before = path.read_bytes()
    with pytest.raises(LocalError) as caught:
        open_database(path)
    assert caught.value.code == code
    assert words in caught.value.message
    assert "Nothing was sent" in caught.value.message
    assert f"mv {path} {path}.old" in caught.value.hint
    assert path.read_bytes() == before


def test_damage_that_shows_later_is_named_too(path: Path) -> None:
    """Fault 79: damage behind an intact beginning is told when it is met, without a false word."""
    make_good(path)
    content = bytearray(path.read_bytes())
    content[8192:] = bytes(len(content) - 8192)
    path.write_bytes(content)
    database = open_database(path)
    with pytest.raises(LocalError) as caught, database.transaction():
        database.execute("SELECT name FROM things")
    assert caught.value.code == "journal_damaged"
    assert "othing was sent" not in caught.value.message
    assert caught.value.charged == "maybe"
    database.close()
    assert path.read_bytes() == content


@pytest.mark.parametrize("place", ["a file in the way", "nowhere"])
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, place: str) -> None:
    """Fault 77: where no file can be made, the caller learns it before anything is sent."""
    path = tmp_path / "state" / "journal.sqlite3"
    if place == "a file in the way":
        path.parent.write_text("")
    else:
        path = Path("/proc/nowhere/journal.sqlite3")
    with pytest.raises(UnwritableError) as caught:
        open_database(path)
    assert caught.value.reason


def test_a_directory_in_its_place_cannot_be_read(path: Path) -> None:
    """Fault 77: what exists under its name and is no file is told with the reason."""
    path.mkdir(parents=True)
    with pytest.raises(LocalError, match="Is a directory") as caught:
        open_database(path)
    assert caught.value.code == "journal_unreadable"


def test_a_full_disk_is_told(path: Path) -> None:
    """Fault 77: a new file that finds no room can only be read, and knows nothing."""
    with limit(resource.RLIMIT_FSIZE, 0):
        database = open_database(path)
    assert database.fault == os.strerror(errno.EFBIG)
    assert database.execute("SELECT * FROM things") == []
    with pytest.raises(UnwritableError), database.transaction():
        pass
    database.close()


def test_a_disk_that_fills_up_loses_no_step(path: Path) -> None:
    """Fault 78: a step that finds no room is told, and those before it stay."""
    database = open_database(path)
    with limit(resource.RLIMIT_FSIZE, 0), pytest.raises(UnwritableError), database.transaction():
        database.execute("INSERT INTO things VALUES ('late')")
    with database.transaction():
        database.execute("INSERT INTO things VALUES ('room again')")
    assert database.execute("SELECT name FROM things") == [("room again",)]
    database.close()


def test_too_many_open_files_are_told(path: Path) -> None:
    """Fault 77: where the system gives no further descriptor, the caller learns it."""
    probe = os.open(os.devnull, os.O_RDONLY)
    os.close(probe)
    with limit(resource.RLIMIT_NOFILE, probe), pytest.raises(UnwritableError) as caught:
        open_database(path)
    assert caught.value.reason == os.strerror(errno.EMFILE)


def test_a_file_system_without_shared_memory_is_told(path: Path) -> None:
    """Fault 99: where two processes could not see each other's steps, no file is kept at all."""

    def connect(where: Path, **options: object) -> sqlite3.Connection:
        # A way of SQLite to open a file that has, as NFS has, no memory to share.
        return sqlite3.connect(f"file:{where}?vfs=unix-dotfile", uri=True, **options)  # type: ignore[call-overload,no-any-return] # sqlite3's own options

    database = open_database(path, connect=connect)
    assert "cannot share" in str(database.fault)
    database.close()


def claim(path: Path) -> None:
    """Open a file, and begin a step, without much patience."""
    database = open_database(path, patience=0.2)
    with contextlib.closing(database), database.transaction():
        pass


@pytest.mark.parametrize("is_new", [True, False])
def test_a_file_that_another_program_holds_is_told(path: Path, is_new: bool) -> None:  # noqa: FBT001 - a parameter
    """A file that stays locked is named after a while, with the way out."""
    if is_new:
        path.parent.mkdir(parents=True)
    else:
        make_good(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LocalError) as caught:
        claim(path)
    holder.close()
    assert caught.value.code == "journal_busy"
    assert "is held by a program" in caught.value.message
    assert "when that program has ended" in caught.value.hint


def test_a_file_that_is_just_being_made_is_waited_for(path: Path) -> None:
    """Fault 98: who opens a file while another process makes it waits for a moment."""
    path.parent.mkdir(parents=True)
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.15, holder.close)
    timer.start()
    open_database(path, patience=10).close()
    timer.join()


def test_without_a_path_nothing_is_written(tmp_path: Path) -> None:
    """A journal in memory works as one on disk does, and leaves no file."""
    database = open_database(None)
    with database.transaction():
        database.execute("INSERT INTO things VALUES ('x')")
    assert database.execute("SELECT * FROM things") == [("x",)]
    assert database.path is None
    database.close()
    assert not list(tmp_path.iterdir())


def test_closing_waits_for_no_other_thread(tmp_path: Path) -> None:
    """Whoever ends a run does not wait long for a thread that is just writing."""
    database = open_database(tmp_path / "journal.sqlite3")
    has_begun, may_end = threading.Event(), threading.Event()

    def write() -> None:
        with database.transaction():
            has_begun.set()
            may_end.wait()

    writer = threading.Thread(target=write)
    writer.start()
    has_begun.wait()
    database.close()
    may_end.set()
    writer.join()
    assert database.execute("SELECT * FROM things") == []
    database.close()
