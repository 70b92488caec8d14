"""Many requests: worker threads, results as they come, and an orderly end on a signal."""

import gc
import queue
import shlex
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kling_cli.console import Row
from kling_cli.context import Context, Signals, hold
from kling_cli.errors import (
    ExitCode,
    Interrupted,
    KlingError,
    LocalError,
    StoppedError,
    UsageError,
    combine,
)
from kling_cli.models import Purchase, Stage, TaskResult
from kling_cli.output import LOCATIONS, NOTHING, View, format_result
from kling_cli.purchase import Resume, get_charged
from kling_cli.text import format_costs, format_units

if TYPE_CHECKING:
    from kling_cli.download import Downloads

_MOST_OPEN = 10
# On Windows, Ctrl-C does not interrupt a wait without a timeout.
_LISTEN_SECONDS = 0.5
# Up to this number, users open the videos one by one.
_FEW_CLIPS = 3
_GROUPS = {
    ExitCode.BAD_INPUT: "refused",
    ExitCode.PENDING: "still running",
    ExitCode.UNKNOWN: "unknown",
}


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One request of a run.

    Attributes:
        name: the picture or the task.
        work: does the job, in a worker thread.
        stop: stops it when a signal ends the run; returns what is or may be bought.
        result: the outcome; None until it is done.
    """

    name: str
    work: Callable[["Job", Row], TaskResult]
    stop: Callable[[], Purchase | None] | None = None
    result: TaskResult | None = None


def run(
    context: Context,
    jobs: Sequence[Job],
    *,
    workers: int,
    view: View,
    downloads: "Downloads | None",
    open: bool,
    resume: str = "Run the same command again to resume.",
) -> ExitCode:
    """Do all jobs, and print each result as soon as it is known.

    Args:
        context: what to work with.
        jobs: what to do.
        workers: how many at once.
        view: how results are shown as text.
        downloads: where videos are saved; what is left of those under way is removed.
        open: open each video at the end.
        resume: the hint after a signal.

    Returns:
        The exit code of the whole run.
    """
    context.prepare()
    context.console.total = len(jobs)
    if not context.output.is_terminal:
        view = view._replace(header=())
    if view == LOCATIONS and downloads and downloads.is_stream:
        view = NOTHING
    is_single = len(jobs) == 1
    if not is_single:
        gc.set_threshold(2_000)  # what exchanges leave behind is not kept until the end
    report = _Report(context, view, is_single=is_single)
    batch, locations = _Batch(context, jobs), list[str]()
    try:
        for job in batch.run(min(workers, len(jobs))):
            with hold():
                report.print(job)
                batch.started.remove(job)
                if open and job.result:
                    locations += job.result.locations
                job.result = None  # a large batch would keep them all
    except BaseException as error:
        context.stopped.set()
        left = batch.stop()
        context.console.close()
        if isinstance(error, Interrupted):
            report.print_stopped(left, error.exit_code, resume=resume)
            error.is_reported = True
        raise
    finally:
        if downloads:
            downloads.abandon()
    if advice := report.advice():
        context.console.info(advice)
    context.console.close(report.summary(), detail=format_costs(report.costs))
    report.print_table()
    for location in locations:
        typer.launch(location)
    return combine(report.codes)


class _Batch:
    """Jobs done by a fixed number of daemon threads.

    The main thread stays free to print results and to handle signals.

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
            if Signals.number is not None:  # a finalizer swallowed the exception
                raise Interrupted(Signals.number)
            with suppress(queue.Empty):
                done = self._done.get(timeout=_LISTEN_SECONDS)
                if isinstance(done, BaseException):
                    raise done
                if done is None:
                    workers -= 1
                else:
                    yield done

    def stop(self) -> list[tuple[Job, Purchase | None]]:
        """Stop all jobs, so that nothing more is sent.

        Returns:
            The jobs that are not printed yet, each with what is or may be bought. All are stopped
            before anything is printed, because printing may take time.
        """
        with self._lock:  # no job is being started
            left = [(job, job.stop) for job in (*self.started, *self._jobs)]
        return [(job, stop() if stop and job.result is None else None) for job, stop in left]

    def _work(self) -> None:
        console = self._context.console
        try:
            while (job := self._next()) is not None:
                row = console.start(job.name)
                try:
                    job.result = job.work(job, row)
                except StoppedError:
                    return  # nothing was sent; the main thread reports it
                except KlingError as error:
                    job.result = TaskResult(error=error)
                job.stop = None  # it holds the bytes of pictures, which must not pile up
                result = job.result
                outcome = _classify(result) if result.error else "done"
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


@dataclass
class _Report:
    """The results of a run, each printed once; errors go to standard error."""

    context: Context
    view: View
    is_single: bool
    rows: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    codes: set[ExitCode] = field(default_factory=set[ExitCode])
    counts: Counter[str] = field(default_factory=Counter[str])
    costs: list[float | None] = field(default_factory=list[float | None])

    def print(self, job: Job) -> None:
        """Print one result, and its error even if standard output is not writable."""
        result = job.result or TaskResult()
        error = result.error
        name = "" if self.is_single else job.name
        self.codes.add(result.exit_code)
        self.counts[_classify(result)] += 1
        if result.purchase and result.purchase.stage is Stage.SUCCEED and not result.reused:
            self.costs.append(result.purchase.units)
        is_seen = result.exit_code in (ExitCode.PENDING, ExitCode.TASK_FAILED)
        is_shown = self.view.is_status and is_seen
        if error is not None and error.code == "not_started":
            is_shown = self.counts["not started"] > 1  # one message is enough
        if isinstance(error, StoppedError) and not self.is_single:
            is_shown = True  # the summary says it
        try:
            self._write(result, name)
        finally:
            if error is not None and not is_shown:
                self.context.console.error(error, name=name)

    def print_stopped(
        self, left: Sequence[tuple[Job, Purchase | None]], code: ExitCode, *, resume: str
    ) -> None:
        """Print the jobs that a signal has stopped: running ones, and others that never started."""
        context, fates = self.context, Counter[str]()
        with suppress(LocalError, BrokenPipeError):  # the signal is what ends the run
            for job, purchase in left:
                if job.result is None:
                    fate, error = _stopped(purchase, code, context.resume)
                    fates[fate] += 1
                    job.result = TaskResult(purchase=purchase, error=error)
                self.print(job)
            self.print_table()
        if not self.is_single:
            parts = [f"{count} {fate}" for fate, count in fates.items()]
            message = f"Stopped. {', '.join(parts)}." if parts else "Stopped."
            context.console.error(StoppedError(message, hint=resume, exit_code=code))

    def summary(self) -> str:
        """Summarize a run of several jobs in one line."""
        if self.is_single or self.view.is_status:
            return ""
        place = f" in {Path(self.context.settings.output or '')}/"
        parts = (f"{n} {what}{place * (what == 'saved')}" for what, n in self.counts.items())
        return ", ".join(parts)

    def print_table(self) -> None:
        """Print the table, where the rows make one."""
        if self.rows:
            self.context.output.table(self.view.header, self.rows, ())

    def advice(self) -> str:
        """Name the command that shows many saved videos; empty for a few."""
        if self.counts["saved"] <= _FEW_CLIPS or not self.context.journal.is_kept:
            return ""
        page = shlex.quote(str(Path(self.context.settings.output or "", "index.html")))
        sandbox = " --sandbox" if self.context.settings.is_sandbox else ""
        return f"To see all videos: kling tasks --html {page}{sandbox}"

    def _write(self, result: TaskResult, name: str) -> None:
        context = self.context
        with context.console.pause():
            if context.output.is_json:
                place = result.purchase or context.settings
                context.output.record(format_result(result, sandbox=place.is_sandbox))
            elif self.view.header:
                self.rows += self.view.format_rows(result, name)
            else:
                for row in self.view.format_rows(result, name):
                    context.output.row(*row)


def _classify(result: TaskResult) -> str:
    """Name the group of a result in the summary line."""
    if result.error is None:
        return "saved" if result.files else "done"
    if result.error.code == "not_started":
        return "not started"
    return _GROUPS.get(result.exit_code, "failed")


def _stopped(
    purchase: Purchase | None, exit_code: ExitCode, resume: Resume
) -> tuple[str, StoppedError]:
    """Describe the state of a request that a signal has stopped, and create its error."""
    if purchase is None:
        return "not bought", StoppedError("Stopped. Nothing was bought.", exit_code=exit_code)
    charged = get_charged(purchase)
    paid = " (already paid for)" if charged == "yes" else ""
    hint = resume.command(purchase)
    if purchase.is_seen:
        is_over = purchase.status.is_final
        message = f"Task {purchase.name} {'has ended' if is_over else 'is still running'}{paid}."
        fate = f"{'ended' if is_over else 'running'} at the service{paid}"
    elif purchase.fingerprint:
        fate, message = "unknown", f"The request may have been accepted as {purchase.name}."
        again = "The same command looks it up and never resends it; so does"
        hint = f"{again if resume.is_kept else 'Look it up:'} {hint}"
    else:  # an id that this machine did not buy
        fate, message = "unknown", f"The state of task {purchase.name} is not known yet."
    error = StoppedError(f"Stopped. {message}", hint=hint, charged=charged, exit_code=exit_code)
    return fate, error


def open_downloads(context: Context, *, tasks: int, force: bool) -> "Downloads | None":
    """Open the place where videos are saved; None if they are not saved.

    Raises:
        UsageError: the place does not fit the number of tasks.
    """
    value = context.settings.output
    if value is None:
        return None
    if value == "-" and context.output.is_json:
        hint = "Use -o FILE instead; the JSON then has its path."
        raise UsageError("usage", "-o - and --json both write to standard output.", hint=hint)
    from kling_cli.download import Downloads

    return Downloads(context, value, tasks=tasks, force=force)


def check_open(tasks: int) -> None:
    """Refuse to open the videos of too many tasks."""
    if tasks > _MOST_OPEN:
        message = f"--open opens {_MOST_OPEN} videos at most, but there are {tasks} tasks."
        raise UsageError("usage", message, hint="Save them with -o DIR/, and remove --open.")
