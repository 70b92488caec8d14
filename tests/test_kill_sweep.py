"""Killed, or failed by the system, at any call: one rerun later the task is there, bought once."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, product
from pathlib import Path
from typing import Literal

import pytest
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
    Point(call="pwrite64", number=4, file="journal.sqlite3-wal", is_first=True),
    Point(call="pwrite64", number=2, file="journal.sqlite3-wal", is_first=False),
    Point(call="fdatasync", number=1, file="journal.sqlite3-wal", is_first=False),
    Point(call="sendto", number=2, file=None, is_first=False),
    Point(call="recvfrom", number=1, file=None, is_first=False),
)
# Where a journal knows the task.
UNTRUE = ("No journal can be kept", "no command lists the task", "Traceback")
# What strace does at a call, and whether it does so at every later call, too.
Fault = tuple[str, bool]
KILL: list[Fault] = [("signal=KILL", False)]
FAILURES: list[Fault] = [(f"error={name}", False) for name in ("ENOSPC", "EIO", "EMFILE")]
LASTING: list[Fault] = list(
    product([f"error={name}" for name in ("ENOSPC", "EIO", "EMFILE", "EROFS")], [False, True])
)


@pytest.fixture
def shop() -> Iterator[LoopbackService]:
    with LoopbackService() as service:
        yield service


@pytest.fixture
def is_full(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--every-call"))


def sweep(
    points: Sequence[Point],
    faults: Sequence[Fault],
    attempt: Callable[[int, Point, Fault], str],
    *,
    is_full: bool,
) -> list[str]:
    pairs = list(product(points, faults))
    if not is_full:
        pairs = pairs[:: max(len(pairs) // len(_SAMPLE), 1)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ends = list(pool.map(attempt, count(), *zip(*pairs, strict=True)))
    print(f"{len(ends)} faults:", dict(Counter(ends)))
    return ends


def rerun(bench: Bench, after: str) -> str:
    again = bench.buy()
    assert bench.purchases <= 1, f"bought twice after {after}"
    if again.code == 0:
        assert bench.purchases == 1, f"nothing bought after {after}"
        assert again.out.startswith("http"), f"no URL after {after}"
        return "delivered"
    assert again.code == 9, f"{again.code} after {after}: {again.err}"
    assert "unknown" in bench.run("tasks", "--unfinished").out, f"not listed after {after}"
    return "unknown"


@pytest.mark.parametrize(
    ("faults", "deduplicate", "codes"),
    [
        pytest.param(KILL, "ignore", {0, -9, 137}, id="killed (91, 96)"),
        # Where no journal can be made, it has to do that the service keeps ids unique.
        pytest.param(FAILURES, "refuse", {0, 3, 4, 8, 9, 10, 11}, id="failed (77, 78, 94)"),
    ],
)
def test_a_fault_at_any_call_loses_nothing_and_buys_nothing_twice(
    shop: LoopbackService,
    tmp_path: Path,
    *,
    is_full: bool,
    faults: Sequence[Fault],
    deduplicate: Literal["ignore", "refuse"],
    codes: set[int],
) -> None:
    shop.shop.rules = Rules(deduplicate=deduplicate, looks_until_done=0)
    points = find_points(tmp_path, shop) if is_full else _SAMPLE
    if faults is not KILL:
        points = [point for point in points if point.call in _WRITES]

    def attempt(number: int, point: Point, fault: Fault) -> str:
        bench = Bench(tmp_path, shop, name=f"fault-{number}")
        if not point.is_first:
            bench.begin_journal()
        run = bench.buy(*inject(bench, point, what=fault[0]))
        assert run.code in codes, f"{run.code} after {fault} at {point}: {run.err}"
        assert "Traceback" not in run.err, run.err
        return f"exit {run.code}, " + rerun(bench, f"{fault} at {point}")

    ends = sweep(points, faults, attempt, is_full=is_full)
    # A point that another version of SQLite does not come to ends the run with 0.
    assert faults is not KILL or sum("exit 0" in end for end in ends) <= len(ends) // 6


@pytest.mark.parametrize("end", ["clean", "killed"])
def test_a_disk_that_fails_under_a_journal_buys_nothing_again(
    shop: LoopbackService, tmp_path: Path, *, is_full: bool, end: str
) -> None:
    """Fault 77: whatever fails in a rerun, the task of the earlier run is not bought again."""
    # Nothing but the journal can know the task.
    rules = Rules(deduplicate="ignore", looks_until_done=0, lookup_by_external_id=False)
    shop.shop.rules = rules
    points = find_points(tmp_path, shop, task=end) if is_full else _SAMPLE
    points = [point for point in points if point.call in _WRITES]

    def attempt(number: int, point: Point, fault: Fault) -> str:
        bench = Bench(tmp_path, shop, name=f"fault-{number}")
        bench.begin_task(end)
        what, is_lasting = fault
        failed = bench.buy(*inject(bench, point, what=what, is_lasting=is_lasting))
        for run, codes in ((failed, {0, 3, 10, 11}), (bench.buy(), {0})):
            said = f"{run.code} after {fault} at {point}: {run.out}{run.err}"
            assert run.code in codes, said
            assert bench.purchases == 1, said
            assert not [words for words in UNTRUE if words in said], said
            if "kling tasks" in said or "journal keeps" in said:
                assert len(bench.run("tasks").lines) == 1
            assert run.out.startswith("http") or run.code != 0
            assert "hint: " in run.err or run.code != 11, said
        return f"exit {failed.code}"

    sweep(points, LASTING, attempt, is_full=is_full)
