"""What this machine bought."""

import contextlib
import dataclasses
import itertools
import resource
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ground.crowd import crowd

from kling_cli.errors import LocalError, UsageError
from kling_cli.journal import Journal
from kling_cli.purchase import Event, Purchase, Stage, follow
from kling_cli.task import Task, TaskStatus, Video
from kling_cli.unwritable import UnwritableError

NOW = 1_800_000_000.0
ME = "me"
WANTED = Purchase(
    external_task_id="kling-1",
    fingerprint="f1",
    base_url="https://h",
    effect_scene="squish",
    stage=Stage.CLAIMED,
    images=({"source": "a.jpg", "fixes": []},),
    created_at=NOW,
    updated_at=NOW,
)
VIDEO = Video(id="v", url="https://h/v.mp4", duration=5.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is to be."""
    return tmp_path / "state" / "journal.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """A journal in a file, whose time advances a second with each look at it."""
    seconds = itertools.count(1)
    opened = Journal(path, now=lambda: NOW + next(seconds))
    yield opened
    opened.close()


def variant(number: int, **changes: object) -> Purchase:
    """Make a further purchase."""
    fields = {"external_task_id": f"kling-{number}", "fingerprint": f"f{number}", **changes}
    return dataclasses.replace(WANTED, **fields)  # type: ignore[arg-type] # any field


def tell(status: str, **fields: object) -> Task:
    """Make a task as the service tells it."""
    return Task(**{"task_id": "t-1", "status": TaskStatus(status), **fields})  # type: ignore[arg-type] # any field


def bring(journal: Journal, stage: Stage, *, number: int = 1) -> Purchase:
    """Bring a purchase to a stage along the table."""
    wanted = journal.claim(variant(number))
    name = wanted.external_task_id
    if stage is not Stage.CLAIMED:
        journal.apply(name, Event.SEND, sender=ME)
    if stage is Stage.UNKNOWN:
        journal.apply(name, Event.AMBIGUOUS, sender=ME)
    if stage in (Stage.SUBMITTED, Stage.PROCESSING, Stage.SUCCEED, Stage.FAILED):
        task = tell(stage, task_id=f"t-{number}", videos=(VIDEO,) if stage is Stage.SUCCEED else ())
        journal.record(wanted, task, warn=pytest.fail)
    found = journal.find(name)
    assert found is not None
    assert found.stage is stage
    return found


def test_a_claim_is_kept(journal: Journal, path: Path) -> None:
    """What was claimed is there again in a later run, in every detail."""
    assert journal.claim(WANTED) == WANTED
    later = Journal(path, now=lambda: NOW)
    assert later.find("kling-1") == WANTED
    assert later.is_durable
    later.close()


def test_who_comes_second_meets_the_first(journal: Journal) -> None:
    """The same request under another id is not claimed again: the first purchase comes back."""
    journal.claim(WANTED)
    assert journal.claim(variant(2, fingerprint="f1")) == WANTED
    assert journal.find("kling-2") is None


def test_of_many_processes_one_claims(path: Path) -> None:
    """Fault 95: of 20 processes that claim one request at once one wins, and all learn which."""
    told = crowd(
        path,
        count=20,
        body="""
        journal = Journal(path, now=time.time)
        os.write(1, journal.claim(claim(number)).external_task_id.encode() + b"\\n")
        """,
    )
    winners = told.split()
    assert len(winners) == 20
    assert len(set(winners)) == 1
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT external_task_id FROM purchases").fetchall() == [
            (winners[0],)
        ]


def test_of_many_processes_one_sends(journal: Journal, path: Path) -> None:
    """Fault 95: of 20 processes that have met one claim, one takes the step that sends."""
    journal.claim(dataclasses.replace(WANTED, fingerprint="same"))
    told = crowd(
        path,
        count=20,
        body="""
        journal = Journal(path, now=time.time)
        if journal.apply("kling-1", Event.SEND, sender=str(number)):
            os.write(1, b"%d\\n" % number)
        """,
    )
    (winner,) = told.split()
    found = journal.find("kling-1")
    assert found is not None
    assert (found.stage, found.sender) == (Stage.SENDING, winner)


def test_fifty_processes_open_a_new_journal_at_once(path: Path) -> None:
    """Fault 98: however many processes are the first, none of them fails on a lock."""
    crowd(
        path,
        count=50,
        body="""
        journal = Journal(path, now=time.time)
        assert journal.claim(claim(number)).fingerprint == "same"
        """,
    )


def test_an_id_belongs_to_one_purchase(journal: Journal) -> None:
    """Fault 97: an external task id that another request has is refused, and nothing changes."""
    journal.claim(WANTED)
    with pytest.raises(UsageError) as caught:
        journal.claim(variant(1, fingerprint="other"))
    assert caught.value.code == "external_task_id_in_use"
    assert journal.find("kling-1") == WANTED


def test_a_purchase_is_followed_by_the_next(journal: Journal) -> None:
    """A request bought anew has the new purchase as its current one; the old stays known."""
    bring(journal, Stage.FAILED)
    second = variant(2, fingerprint="f1")
    assert journal.claim(second, replacing="kling-1") == second
    assert journal.claim(variant(3, fingerprint="f1")) == second
    assert journal.find("kling-1") is not None


def test_two_that_replace_the_same_buy_once(journal: Journal) -> None:
    """Who replaces a purchase that another process has replaced already meets that one's."""
    bring(journal, Stage.FAILED)
    second = journal.claim(variant(2, fingerprint="f1"), replacing="kling-1")
    assert journal.claim(variant(3, fingerprint="f1"), replacing="kling-1") == second


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("event", Event)
def test_steps_go_along_the_table_alone(journal: Journal, stage: Stage, event: Event) -> None:
    """A purchase changes only as the table says, and is forgotten only where it was not sent."""
    before = bring(journal, stage)
    applies, expected = follow(stage, event)
    after = journal.apply("kling-1", event, sender=ME)
    found = journal.find("kling-1")
    if not applies:
        assert after is None
        assert found == before
    elif expected is None:
        assert after is found is None
    else:
        assert after == found
        assert found is not None
        assert (found.stage, found.sender) == (expected, ME)
        assert found.updated_at > before.updated_at


@pytest.mark.parametrize("event", [each for each in Event if follow(Stage.SENDING, each)[0]])
def test_only_the_sender_tells_what_became_of_it(journal: Journal, event: Event) -> None:
    """What another process says of a request that is being sent does not count."""
    before = bring(journal, Stage.SENDING)
    assert journal.apply("kling-1", event, sender="another") is None
    assert journal.find("kling-1") == before


def test_a_purchase_that_is_gone_has_no_steps(journal: Journal) -> None:
    """A step of a purchase that another process has dropped does nothing."""
    assert journal.apply("kling-1", Event.SEND, sender=ME) is None


@pytest.mark.parametrize(
    ("stage", "event"), [(Stage.CLAIMED, Event.DROP), (Stage.SENDING, Event.REFUSED)]
)
def test_what_was_not_bought_leaves_the_earlier_purchase(
    journal: Journal, stage: Stage, event: Event
) -> None:
    """When a second purchase comes to nothing, the first one is the current one again."""
    first = bring(journal, Stage.SUCCEED)
    journal.claim(variant(2, fingerprint="f1"), replacing="kling-1")
    if stage is Stage.SENDING:
        journal.apply("kling-2", Event.SEND, sender=ME)
    journal.apply("kling-2", event, sender=ME)
    assert journal.find("kling-2") is None
    assert journal.claim(variant(3, fingerprint="f1")) == first


def test_what_a_look_saw_is_kept(journal: Journal) -> None:
    """Status, id, words and videos of a task are there in a later run, with the time of its end."""
    claimed = journal.claim(WANTED)
    task = tell("succeed", message="fine", videos=(VIDEO,), updated_at=NOW + 77)
    seen = journal.record(claimed, task, warn=pytest.fail)
    assert journal.find("t-1") == journal.find("kling-1") == seen
    assert (seen.stage, seen.task_id, seen.message) == (Stage.SUCCEED, "t-1", "fine")
    assert (seen.videos, seen.finished_at) == ((VIDEO,), NOW + 77)


def test_an_end_is_final(journal: Journal) -> None:
    """Fault 48: what the service says after a task's end changes neither its status nor its end."""
    first = bring(journal, Stage.SUCCEED)
    again = journal.record(first, tell("processing", updated_at=NOW + 999), warn=pytest.fail)
    assert again.stage is Stage.SUCCEED
    assert again.finished_at == first.finished_at
    assert again.videos == (VIDEO,)


def test_a_task_without_a_time_ends_when_it_is_seen(journal: Journal) -> None:
    """Where the service tells no time, the end of a task is when this machine saw it."""
    seen = journal.record(journal.claim(WANTED), tell("failed", task_id=None), warn=pytest.fail)
    assert seen.finished_at == seen.updated_at > NOW - 1


def test_a_task_of_another_machine_is_seen_and_not_kept(journal: Journal) -> None:
    """A task that this machine did not buy is told as it stands and gets no row."""
    stranger = variant(9, fingerprint="")
    seen = journal.record(stranger, tell("processing"), warn=pytest.fail)
    assert seen.stage is Stage.PROCESSING
    assert journal.list_purchases() == ()


def test_a_full_disk_does_not_stop_a_purchase(journal: Journal) -> None:
    """Fault 78: a bought task goes on although it cannot be written down, with a warning."""
    claimed = bring(journal, Stage.SENDING)
    warnings: list[str] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        seen = journal.record(claimed, tell("submitted"), warn=warnings.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (seen.stage, seen.task_id) == (Stage.SUBMITTED, "t-1")
    assert warnings == ["The journal cannot be written any more; keep the task id t-1."]
    assert journal.find("kling-1") == claimed


def test_readers_block_no_claim(journal: Journal, path: Path) -> None:
    """Fault 100: a list that is being read keeps nobody from claiming."""
    bring(journal, Stage.SUBMITTED)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM purchases").fetchone()
        claimed = threading.Thread(target=journal.claim, args=(variant(2),))
        claimed.start()
        claimed.join(timeout=5)
        assert not claimed.is_alive()
        assert reader.execute("SELECT count(*) FROM purchases").fetchone() == (1,)
    assert journal.find("kling-2") is not None


def test_the_list_is_newest_first(journal: Journal) -> None:
    """The list shows what was bought, the newest first, and no mere claim."""
    for number, stage in enumerate(Stage, start=1):
        bring(journal, stage, number=number)
    journal.claim(variant(99, created_at=NOW + 5))
    journal.apply("kling-99", Event.SEND, sender=ME)
    listed = [each.external_task_id for each in journal.list_purchases()]
    assert listed == ["kling-99", *(f"kling-{number}" for number in range(7, 1, -1))]
    unfinished = {each.stage for each in journal.list_purchases(unfinished=True)}
    assert unfinished == {Stage.SENDING, Stage.UNKNOWN, Stage.SUBMITTED, Stage.PROCESSING}


def test_durations_are_those_of_finished_tasks(journal: Journal) -> None:
    """What is usual is learned from this service's successes alone, the newest first."""
    ends = [(1, "succeed", 60), (2, "succeed", 90), (3, "failed", 5), (4, "succeed", -7)]
    for number, status, seconds in ends:
        row = journal.claim(variant(number, created_at=NOW + number))
        task = tell(status, task_id=f"t-{number}", updated_at=NOW + number + seconds)
        journal.record(row, task, warn=pytest.fail)
    assert journal.list_durations("https://h") == (90.0, 60.0)
    assert journal.list_durations("https://other") == ()


@pytest.mark.parametrize(
    ("column", "value"),
    [("stage", "eaten"), ("images", "{"), ("videos", '[{"x": 1}]'), ("images", "5")],
)
def test_a_damaged_row_stops_everything(
    journal: Journal, path: Path, column: str, value: str
) -> None:
    """Fault 79: a row that makes no sense is damage, and the file stays as it is."""
    journal.claim(WANTED)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE purchases SET {column} = ?", (value,))  # noqa: S608 - a name of ours
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()
    with pytest.raises(LocalError) as caught:
        journal.claim(variant(2, fingerprint="f1"))
    assert caught.value.code == "journal_damaged"
    assert str(path) in caught.value.message
    assert path.read_bytes() == before


def test_a_journal_in_memory_forgets(tmp_path: Path) -> None:
    """Without a place to write, a journal serves its run and says that it will not last."""
    journal = Journal(None, now=lambda: NOW)
    assert journal.claim(WANTED) == journal.find("kling-1")
    assert not journal.is_durable
    journal.close()
    assert not list(tmp_path.iterdir())


def test_an_unwritable_place_is_told(tmp_path: Path) -> None:
    """Fault 77: where no journal can be kept, the caller learns it before anything is sent."""
    (tmp_path / "state").write_text("")
    with pytest.raises(UnwritableError):
        Journal(tmp_path / "state" / "journal.sqlite3", now=lambda: NOW)
