"""Killed, or failed by the system, at any call: one rerun later the task is there, bought once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from support.run import Run
from support.service import LoopbackService
from support.shop import Rules
from support.sweep import STRACE, Bench, Point, find_points, inject

pytestmark = [
    pytest.mark.skipif(STRACE is None, reason="strace is not installed"),
    pytest.mark.timeout(1200),
]
# Most of a run is waiting, so more of them than cores are under way at once.
_AT_ONCE = 10
_WRITES = ("write", "pwrite64", "fsync", "fdatasync", "openat", "ftruncate")
_SAMPLE = (
    Point(call="openat", number=1, file="journal.sqlite3", is_first=True),
    Point(call="pwrite64", number=8, file="journal.sqlite3-wal", is_first=True),
    Point(call="pwrite64", number=2, file="journal.sqlite3-wal", is_first=False),
    Point(call="fdatasync", number=1, file="journal.sqlite3-wal", is_first=False),
    Point(call="sendto", number=2, file=None, is_first=False),
    Point(call="recvfrom", number=1, file=None, is_first=False),
)


@pytest.fixture
def shop() -> Iterator[LoopbackService]:
    """A service that makes videos at once, and buys again whatever it is sent again."""
    with LoopbackService(Rules(deduplicate="ignore", looks_until_done=0)) as service:
        yield service


@pytest.fixture
def careful_shop() -> Iterator[LoopbackService]:
    """A service that keeps ids unique: where no journal can be made, that has to do."""
    with LoopbackService(Rules(deduplicate="refuse", looks_until_done=0)) as service:
        yield service


def choose(
    request: pytest.FixtureRequest,
    directory: Path,
    service: LoopbackService,
    task: str | None = None,
) -> list[Point]:
    """Find every point where that is asked for, else take a fixed sample."""
    if request.config.getoption("--every-call"):
        return find_points(directory, service, task=task)
    return list(_SAMPLE)


def rerun(bench: Bench, point: Point, what: str) -> str:
    """Run once more without any fault, and judge; tell how it ended."""
    again = bench.buy()
    assert bench.purchases <= 1, f"bought twice after {what} at {point}"
    if again.code == 0:
        assert bench.purchases == 1, f"nothing bought after {what} at {point}"
        assert again.out.startswith("http"), f"no URL after {what} at {point}"
        return "delivered"
    listed = bench.run("tasks", "--unfinished").out
    assert again.code == 9, f"{again.code} after {what} at {point}: {again.err}"
    assert "unknown" in listed, f"not listed after {what} at {point}"
    return "unknown"


def test_a_kill_at_any_call_loses_nothing_and_buys_nothing_twice(
    shop: LoopbackService, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """SIGKILL at each call on our files and sockets, then one rerun (faults 91, 96)."""
    points = choose(request, tmp_path, shop)

    def kill(numbered: tuple[int, Point]) -> str:
        number, point = numbered
        bench = Bench(tmp_path, shop, name=f"kill-{number}")
        if not point.is_first:
            bench.begin_journal()
        killed = bench.buy(*inject(bench, point, what="signal=KILL"))
        assert killed.code in {0, -9, 137}, f"{killed.code} at {point}: {killed.err}"
        return ("killed, " if killed.code else "not met, ") + rerun(bench, point, "a kill")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ends = list(pool.map(kill, enumerate(points)))
    print(f"{len(points)} crash points:", {end: ends.count(end) for end in sorted(set(ends))})
    assert sum(end.startswith("killed") for end in ends) > 0.9 * len(points)


def test_a_failing_disk_loses_nothing_and_buys_nothing_twice(
    careful_shop: LoopbackService, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """ENOSPC, EIO and EMFILE at each write, fsync and open, then one rerun (faults 77, 78, 94)."""
    found = [p for p in choose(request, tmp_path, careful_shop) if p.call in _WRITES]
    faults = [(point, error) for point in found for error in ("ENOSPC", "EIO", "EMFILE")]
    if not request.config.getoption("--every-call"):
        faults = faults[::2]

    def fail(numbered: tuple[int, tuple[Point, str]]) -> str:
        number, (point, error) = numbered
        bench = Bench(tmp_path, careful_shop, name=f"fail-{number}")
        if not point.is_first:
            bench.begin_journal()
        failed = bench.buy(*inject(bench, point, what=f"error={error}"))
        assert "Traceback" not in failed.err, failed.err
        assert failed.code in {0, 3, 4, 8, 9, 10, 11}, f"{failed.code}, {error} at {point}"
        rerun(bench, point, error)
        return f"exit {failed.code}"

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ends = list(pool.map(fail, enumerate(faults)))
    print(f"{len(ends)} failures:", {end: ends.count(end) for end in sorted(set(ends))})


def check_words(run: Run, bench: Bench) -> None:
    """Hold what a run over the journal of a task has said against what is true of it."""
    said = run.out + run.err
    assert "No journal can be kept" not in said
    assert "nothing lists the task" not in said
    assert bench.purchases == 1, said
    if "kling tasks" in said or "journal keeps" in said:
        assert len(bench.run("tasks").lines) == 1
    if run.code == 0:
        assert run.out.startswith("http")
    elif run.code == 11:
        assert "hint: " in run.err, said


@pytest.mark.parametrize("is_lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("end", ["clean", "killed"])
def test_a_disk_that_fails_under_a_journal_buys_nothing_again(
    shop: LoopbackService,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    end: str,
    is_lasting: bool,
) -> None:
    """Fault 77: whatever fails in a rerun, the task of the earlier run is not bought again."""
    # Nothing but the journal can know the task.
    shop.shop.rules = replace(shop.shop.rules, lookup_by_external_id=False)
    found = [p for p in choose(request, tmp_path, shop, end) if p.call in _WRITES]
    faults = [(point, error) for point in found for error in ("ENOSPC", "EIO", "EMFILE", "EROFS")]
    if not request.config.getoption("--every-call"):
        faults = faults[::7]

    def fail(numbered: tuple[int, tuple[Point, str]]) -> str:
        number, (point, error) = numbered
        bench = Bench(tmp_path, shop, name=f"task-{number}")
        bench.begin_task(end)
        what = f"error={error}"
        failed = bench.buy(*inject(bench, point, what=what, is_lasting=is_lasting))
        assert "Traceback" not in failed.err, failed.err
        assert failed.code in {0, 3, 10, 11}, f"{failed.code}, {error} at {point}: {failed.err}"
        check_words(failed, bench)
        again = bench.buy()
        assert again.code == 0, f"{again.code} after {error} at {point}: {again.err}"
        check_words(again, bench)
        return f"exit {failed.code}"

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ends = list(pool.map(fail, enumerate(faults)))
    print(f"{len(ends)} failures:", {end: ends.count(end) for end in sorted(set(ends))})
