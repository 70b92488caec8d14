"""Many requests: worker threads, results as they come, and an orderly end on a signal."""

import os
import queue
import shlex
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from kling_cli.console import Row
from kling_cli.context import Context
from kling_cli.errors import (
    ExitCode,
    Interrupted,
    KlingError,
    LocalError,
    StoppedError,
    UsageError,
    combine,
)
from kling_cli.models import Purchase, Stage, TaskResult, TaskStatus
from kling_cli.output import format_result
from kling_cli.purchase import get_charged, wait_command
from kling_cli.text import format_costs, format_units

if TYPE_CHECKING:
    from kling_cli.download import Downloads

# A thread that waits without a limit does not hear Ctrl-C on Windows.
_LISTEN_SECONDS = 0.5
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
# So many can be looked at one by one.
_FEW_CLIPS = 3
_GROUPS = {
    ExitCode.BAD_INPUT: "refused",
    ExitCode.PENDING: "still running",
    ExitCode.UNKNOWN: "unknown",
}

# Formats the rows of a result; the name stands behind each where there are several inputs.
FormatRows = Callable[[TaskResult, str], Iterable[tuple[str, ...]]]


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One request of a run.

    Attributes:
        name: of the picture or the task.
        work: does it, in a worker's thread.
        stop: ends it when a signal ends the run; returns what is or may be bought.
        result: what became of it; None until it is done.
    """

    name: str
    work: Callable[["Job", Row], TaskResult]
    stop: Callable[[], Purchase | None] | None = None
    result: TaskResult | None = None


class _Signals:
    """The first signal that this process got; while it is held, it ends the run after the block."""

    number: int | None = None
    is_held = False


def run(
    context: Context, jobs: Sequence[Job], *, workers: int, format_rows: FormatRows, is_status: bool
) -> ExitCode:
    """Do all jobs, and print what becomes of each as soon as it is known.

    Args:
        context: what to work with.
        jobs: what to do.
        workers: how many at once.
        format_rows: how a result looks as text.
        is_status: a row shows the status, so that a failed or unfinished task is no error to show.

    Returns:
        The exit code of the whole run.
    """
    context.prepare()
    context.console.total = len(jobs)
    report = _Report(context, format_rows, is_status=is_status, is_single=len(jobs) == 1)
    batch = _Batch(context, jobs)
    try:
        for job in batch.run(min(workers, len(jobs))):
            with _hold():
                report.print(job)
                batch.started.remove(job)
    except BaseException as error:
        context.stopped.set()
        left = batch.stop()
        context.console.close()
        if isinstance(error, Interrupted):
            unsent = len(jobs) - report.counts.total() - len(left)
            report.print_stopped(left, unsent, error.exit_code)
            error.is_reported = True
        raise
    context.console.close(report.summary(), detail=format_costs(report.costs))
    if advice := report.advice():
        context.console.info(advice)
    return combine(report.codes)


class _Batch:
    """Jobs done by a fixed number of daemon threads.

    The main thread is free to print what is done, and to hear a signal at any moment.

    Attributes:
        started: what was started and is not printed yet.
    """

    def __init__(self, context: Context, jobs: Iterable[Job]) -> None:
        self.started: list[Job] = []
        self._context = context
        self._jobs = iter(jobs)
        self._lock = threading.Lock()
        self._done: queue.SimpleQueue[Job | BaseException | None] = queue.SimpleQueue()

    def run(self, workers: int) -> Generator[Job]:
        """Yield each job when it is done."""
        for _ in range(workers):
            threading.Thread(target=self._work, daemon=True).start()
        while workers:
            if _Signals.number is not None:  # a finalizer that Python just ran swallowed it
                raise Interrupted(_Signals.number)
            with suppress(queue.Empty):
                done = self._done.get(timeout=_LISTEN_SECONDS)
                if isinstance(done, BaseException):
                    raise done
                if done is None:
                    workers -= 1
                else:
                    yield done

    def stop(self) -> list[tuple[Job, Purchase | None]]:
        """Stop what is under way, so that nothing is sent any more.

        Returns:
            What was started and not printed, each with what is or may be bought; nothing is printed
            before all are stopped, as that may take its time.
        """
        with self._lock:  # nothing is just being started
            started = list(self.started)
        return [(job, job.stop() if job.stop and job.result is None else None) for job in started]

    def _work(self) -> None:
        console = self._context.console
        try:
            while (job := self._next()) is not None:
                row = console.start(job.name)
                try:
                    job.result = job.work(job, row)
                except StoppedError:
                    return  # before anything was sent; the main thread reports it
                except KlingError as error:
                    job.result = TaskResult(error=error)
                result = job.result
                outcome = "failed" if result.error else "done"
                units = result.purchase.units if result.purchase else None
                console.finish(row, outcome=outcome, detail=format_units(units))
                self._done.put(job)
        except BaseException as error:
            self._done.put(error)
        finally:
            self._context.close_clients()
        self._done.put(None)

    def _next(self) -> Job | None:
        with self._lock:
            job = None if self._context.stopped.is_set() else next(self._jobs, None)
            if job is not None:
                self.started.append(job)
            return job


class _Report:
    """The results of a run, each printed once: on standard output, and errors on standard error."""

    def __init__(
        self, context: Context, format_rows: FormatRows, *, is_status: bool, is_single: bool
    ) -> None:
        self.codes: set[ExitCode] = set()
        self.counts: Counter[str] = Counter()
        self.costs: list[float | None] = []
        self._directories: set[Path] = set()
        self._context = context
        self._format_rows = format_rows
        self._is_status = is_status
        self._is_single = is_single

    def print(self, job: Job) -> None:
        """Print one result; its error also where standard output cannot be written."""
        result = job.result or TaskResult()
        error = result.error
        name = "" if self._is_single else job.name
        self.codes.add(result.exit_code)
        self.counts[_classify(result)] += 1
        self._directories |= {Path(file).parent for file in result.files}
        if result.purchase and result.purchase.stage is Stage.SUCCEED and not result.reused:
            self.costs.append(result.purchase.units)
        is_shown = self._is_status and result.exit_code in (ExitCode.PENDING, ExitCode.TASK_FAILED)
        if error is not None and error.code == "not_started":
            is_shown = self.counts["not started"] > 1  # one speaks for all
        try:
            self._write(result, name)
        finally:
            if error is not None and not is_shown:
                self._context.console.error(error, name=name)

    def print_stopped(
        self, left: Sequence[tuple[Job, Purchase | None]], unsent: int, exit_code: ExitCode
    ) -> None:
        """Print what a signal has left: jobs that were under way, and others that never started."""
        context, is_kept = self._context, self._context.journal.is_kept
        fates: Counter[str] = Counter()
        with suppress(LocalError, BrokenPipeError):  # the signal is what ends the run
            for job, purchase in left:
                is_done = job.result is not None
                if job.result is None:
                    fates[_describe_fate(purchase)] += 1
                    stopped = _stopped(purchase, exit_code, is_kept=is_kept)
                    job.result = TaskResult(purchase=purchase, error=stopped)
                if self._is_single or is_done:
                    self.print(job)
                else:
                    self._write(job.result, job.name)
            if context.output.is_json:
                for _ in range(unsent):
                    nothing = _stopped(None, exit_code, is_kept=is_kept)
                    self._write(TaskResult(error=nothing), "")
        if not self._is_single:
            fates["not sent"] += unsent
            parts = [f"{count} {fate}" for fate, count in fates.items() if count]
            message = f"Stopped. {', '.join(parts)}." if parts else "Stopped."
            hint = "Run the same command again: it goes on, and buys nothing twice."
            context.console.error(StoppedError(message, hint=hint, exit_code=exit_code))

    def summary(self) -> str:
        """Summarize a run of several jobs in one line."""
        if self._is_single or self._is_status:
            return ""
        place = f" in {next(iter(self._directories))}/" if len(self._directories) == 1 else ""
        parts = (f"{n} {what}{place * (what == 'saved')}" for what, n in self.counts.items())
        return ", ".join(parts)

    def advice(self) -> str:
        """Name the command that shows many saved clips; empty for a few."""
        is_listed = self._context.journal.is_kept and len(self._directories) == 1
        if not is_listed or self.counts["saved"] <= _FEW_CLIPS:
            return ""
        page = shlex.quote(str(next(iter(self._directories)) / "index.html"))
        sandbox = " --sandbox" if self._context.settings.is_sandbox else ""
        return f"To look at them: kling tasks --html {page}{sandbox}"

    def _write(self, result: TaskResult, name: str) -> None:
        context = self._context
        with context.console.pause():
            if context.output.is_json:
                place = result.purchase or context.settings
                context.output.record(format_result(result, sandbox=place.is_sandbox))
            else:
                for row in self._format_rows(result, name):
                    context.output.row(*row)


def _classify(result: TaskResult) -> str:
    """Name the group of a result in the summary line."""
    if result.error is None:
        return "saved" if result.files else "done"
    if result.error.code == "not_started":
        return "not started"
    return _GROUPS.get(result.exit_code, "failed")


def _describe_fate(purchase: Purchase | None) -> str:
    """Say what becomes of a request that a signal has stopped."""
    if purchase is None:
        return "not sent"
    if purchase.status is TaskStatus.UNKNOWN:
        return "unknown"
    if purchase.status.is_final:
        return "ended at the service"
    return "running at the service" + ("" if purchase.is_sandbox else " and paid for")


def _stopped(purchase: Purchase | None, exit_code: ExitCode, *, is_kept: bool) -> StoppedError:
    """Make the error of what a signal has left of a request: how to go on."""
    if purchase is None:
        return StoppedError("Stopped. Nothing was sent.", exit_code=exit_code)
    hint = wait_command(purchase, is_kept=is_kept)
    if not purchase.fingerprint and not purchase.is_seen:  # an id that this machine did not buy
        message = f"Stopped. The state of task {purchase.name} is not known yet."
    elif purchase.status is TaskStatus.UNKNOWN:
        message = f"Stopped. The request may have been accepted, as {purchase.name}."
        again = "The same command looks and never sends again; so does" if is_kept else "To look:"
        hint = f"{again} {hint}"
    elif purchase.status.is_final:
        message = f"Stopped. Task {purchase.name} has ended."
    else:
        paid = "" if purchase.is_sandbox else " and is paid for"
        message = f"Stopped. Task {purchase.name} goes on{paid}."
    return StoppedError(message, hint=hint, charged=get_charged(purchase), exit_code=exit_code)


def open_downloads(context: Context, *, tasks: int, force: bool) -> "Downloads | None":
    """Open where the videos of a run are saved; None where they are not.

    Raises:
        UsageError: the place does not fit the number of tasks.
    """
    from kling_cli.download import Downloads

    value = context.settings.output.value
    if value is None:
        return None
    if value == "-" and context.output.is_json:
        raise UsageError(
            "usage",
            "-o - and --json both want standard output.",
            hint="Save the video with -o FILE: its path is in the JSON.",
        )
    return Downloads(
        value,
        tasks=tasks,
        force=force,
        journal=context.journal,
        clock=context.clock,
        stdout=context.stdout.buffer,
        open_transport=context.open_transport,
    )


def format_locations(result: TaskResult, name: str) -> Iterable[tuple[str, ...]]:
    """Format the file or URL of each video."""
    return [(location, name) if name else (location,) for location in result.locations]


def format_nothing(_result: TaskResult, _name: str) -> Iterable[tuple[str, ...]]:
    """Format nothing: standard output gets the video itself."""
    return ()


@contextmanager
def listen() -> Generator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Interrupted` in the main thread, until the block ends.

    The first signal ends the run in order, the second at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    # What the parent ignores stays ignored: so `nohup kling ...` survives a hang-up.
    heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _interrupt) for number in heard}
    hook = sys.unraisablehook
    sys.unraisablehook = lambda it: None if isinstance(it.exc_value, Interrupted) else hook(it)
    try:
        yield
    finally:
        _Signals.number = None
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _hold() -> Generator[None]:
    """Let the block be done whole: a signal that comes meanwhile ends the run after it."""
    _Signals.is_held = True
    try:
        yield
    finally:
        _Signals.is_held = False
        if _Signals.number is not None:
            raise Interrupted(_Signals.number)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    if _Signals.number is not None:
        os._exit(128 + number)
    _Signals.number = number
    if not _Signals.is_held:
        raise Interrupted(number)
