"""Inject a fault at each system call of a run, with strace."""

import os
import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from support.run import PHOTO, Run, command, run_process
from support.service import LoopbackService

STRACE = shutil.which("strace")
_FILES = "%file,%desc,ftruncate,fsync,fdatasync"
_SOCKETS = "%network"
_CALL = re.compile(r"^(\d+) +(\w+)\(")
# Timeouts for a run whose request never arrived: long enough for checks that can succeed.
_TIMEOUT = "9s"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One system call: the n-th of its name, on a file or on a socket.

    `is_first` tells a run in a new state directory from one that finds a journal there.
    """

    call: str
    number: int
    file: str | None
    is_first: bool

    def __str__(self) -> str:
        where = self.file or "socket"
        return f"{self.call} {self.number} on {where}{' (first run)' if self.is_first else ''}"


FILES = ("journal.sqlite3", "journal.sqlite3-wal", "journal.sqlite3-shm", "", PHOTO.name)


class Bench:
    def __init__(self, directory: Path, service: LoopbackService, *, name: str) -> None:
        self.token = f"sk-sweep-{name}"
        self.state = directory / name
        self._service = service
        self._environ = {
            **os.environ,
            "KLING_STATE_DIR": str(self.state),
            "KLING_BASE_URL": service.base_url,
            "KLING_TOKEN": self.token,
        }

    @property
    def purchases(self) -> int:
        return sum(purchase.token == self.token for purchase in self._service.ledger)

    def begin_journal(self) -> None:
        done = self.run("tasks")
        assert done.code == 0, done.err

    def begin_task(self, end: str) -> None:
        """Create the journal of an earlier run that bought the same task."""
        self.begin_journal()
        fault = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:signal=KILL:when=1"]
        strace = ["-o", "/dev/null", "-P", str(self.name_file(FILES[0])), *fault]
        argv = ("effect", "squish", str(PHOTO), "--no-wait")
        done = self.run(*argv, strace=tuple(strace) if end == "killed" else ())
        assert self.purchases == 1, done.err
        assert (done.code == 0) == (end == "clean"), done.err

    def run(self, *argv: str, strace: tuple[str, ...] = ()) -> Run:
        prefix = [str(STRACE), "-f", *strace] if strace else []
        return run_process([*prefix, *command(*argv)], self._environ)

    def buy(self, *strace: str) -> Run:
        return self.run("effect", "squish", str(PHOTO), "--timeout", _TIMEOUT, strace=strace)

    def name_file(self, file: str) -> Path:
        return PHOTO if file == PHOTO.name else self.state / file


def find_points(
    directory: Path, service: LoopbackService, *, task: str | None = None
) -> list[Point]:
    """Find every call on our files and sockets, in a first and in a later run.

    With `task`, only in a run that meets the task of an earlier one; how that ended is its value.
    """
    firsts = (True, False) if task is None else (False,)
    runs = [(is_first, file) for is_first in firsts for file in (*FILES, None)]

    def find(run: tuple[bool, str | None]) -> list[Point]:
        is_first, file = run
        bench = Bench(directory, service, name=f"count-{task}-{runs.index(run)}")
        if task is not None:
            bench.begin_task(task)
        elif not is_first:
            bench.begin_journal()
        trace = directory / f"{bench.token}.trace"
        done = bench.buy("-o", str(trace), *select(bench, file))
        assert done.code == 0, done.err
        return [
            Point(call=call, number=number, file=file, is_first=is_first)
            for call, most in count_calls(trace.read_text(encoding="utf-8")).items()
            for number in range(1, most + 1)
        ]

    with ThreadPoolExecutor(len(runs)) as pool:
        return [point for points in pool.map(find, runs) for point in points]


def select(bench: Bench, file: str | None) -> list[str]:
    if file is None:
        return ["-e", f"trace={_SOCKETS}"]
    return ["-P", str(bench.name_file(file)), "-e", f"trace={_FILES}"]


def count_calls(trace: str) -> Counter[str]:
    counts: Counter[tuple[str, str]] = Counter()
    for line in trace.splitlines():
        if found := _CALL.match(line):
            counts[(found[1], found[2])] += 1
    most: Counter[str] = Counter()
    for (_thread, call), count in counts.items():
        most[call] = max(most[call], count)
    return most


def inject(bench: Bench, point: Point, *, what: str, is_lasting: bool = False) -> list[str]:
    """Format the fault at a point, or from there on, for strace."""
    fault = f"inject={point.call}:{what}:when={point.number}{'+' if is_lasting else ''}"
    selected = select(bench, point.file)
    return ["-o", "/dev/null", *selected[:-1], f"trace={point.call}", "-e", fault]
