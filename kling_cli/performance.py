"""The requests of a run: worked off by threads, told as they are done, settled on a signal."""

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from kling_cli.api.service import Service
from kling_cli.batch import Batch, Begun
from kling_cli.errors import (
    Charged,
    ExitCode,
    Interrupted,
    KlingError,
    LocalError,
    NotStartedError,
    StoppedError,
    combine,
)
from kling_cli.outcome import Outcome
from kling_cli.purchase import Purchase
from kling_cli.results import shape_result, tell_status
from kling_cli.session import Session
from kling_cli.signals import hold
from kling_cli.task import TaskStatus
from kling_cli.watching.following import Kit
from kling_cli.watching.verdict import name_task, tell_no_journal

# An outcome, and what was warned of on the way to it.
Told = tuple[Outcome, list[str]]


class Performer(Protocol):
    """One request that can be done, and settled when a signal ends the run."""

    def run(self) -> Outcome:
        """Do it."""
        ...

    def abandon(self) -> Purchase | None:
        """Settle it; tell what is or may be bought."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One request of a run.

    Attributes:
        label: stands behind its result where there are several.
        title: stands before what is said of it.
        start: makes the work of it.
        session: that of its service; None where it is the run's own.
    """

    label: str
    title: str
    start: Callable[[Kit], Performer]
    session: Session | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How the outcomes of a command look as text.

    Attributes:
        rows: makes the rows of an outcome and its label.
        is_told: whether an error needs no line on standard error, because its row tells it.
    """

    rows: Callable[[Outcome, str], Iterable[tuple[str, ...]]]
    is_told: Callable[[KlingError], bool] = lambda _error: False


def perform(session: Session, jobs: Sequence[Job], *, workers: int, telling: Telling) -> ExitCode:
    """Do all jobs, and tell what becomes of each as soon as it is known.

    Returns:
        The exit code of the whole run.
    """
    session.screen.total = len(jobs)
    for each in dict.fromkeys(job.session or session for job in jobs):
        each.prepare()
    batch = Batch(jobs, lambda: _open_worker(session), workers=min(workers, len(jobs)))
    report = _Report(session, telling, is_single=len(jobs) == 1)
    try:
        with session.screen.group("kling"):
            for begun, result in batch:
                with hold():
                    report.tell(begun.item, *result)
                    batch.forget(begun)
    except Interrupted as signal:
        session.abandon()
        is_listed = session.journal.is_durable
        settle = partial(_settle, exit_code=signal.exit_code, is_listed=is_listed)
        _tell_rest(batch.stop(), jobs, report, settle)
        signal.is_told = True
        raise
    except BaseException:
        # Nobody could be told of what would still be bought: what is unsent stays unsent.
        session.abandon()
        for begun in batch.stop():
            begun.work.abandon()
        raise
    finally:
        report.tell_not_started()
    return combine(report.codes)


@contextmanager
def _open_worker(session: Session) -> Generator[Callable[[Job], "_Work"]]:
    services: dict[Session, Service] = {}

    def make_work(job: Job) -> _Work:
        place = job.session or session
        if place not in services:
            services[place] = place.open_service()
        return _Work(job, place, services[place])

    try:
        yield make_work
    finally:
        for service in services.values():
            service.close()


class _Work:
    """A job in a worker's hands."""

    def __init__(self, job: Job, session: Session, service: Service) -> None:
        self._job = job
        self._session = session
        self._service = service
        self._performer: Performer | None = None
        self._is_abandoned = False
        self._lock = threading.Lock()

    def run(self) -> Told:
        """Do the job; an error becomes its outcome."""
        session = self._session
        voice = session.screen.begin(self._job.title)
        kit = Kit(
            journal=session.journal,
            service=self._service,
            clock=session.world.clock,
            talk=voice,
            schedule=session.schedule,
            timeout=session.settings.timeout.value,
            is_sandbox=session.settings.is_sandbox,
        )
        try:
            outcome = self._take(self._job.start(kit)).run()
        except KlingError as error:
            outcome = Outcome(error=error)
        results = tuple(outcome.list_results())
        session.screen.end(voice, succeeded=outcome.error is None, results=results)
        return outcome, voice.warnings

    def abandon(self) -> Purchase | None:
        """Settle what is under way; tell what is or may be bought."""
        with self._lock:
            self._is_abandoned = True
        return self._performer.abandon() if self._performer else None

    def _take(self, performer: Performer) -> Performer:
        with self._lock:
            if self._is_abandoned:  # the user was told that nothing was sent, and so it stays
                raise KlingError("interrupted", "Stopped. Nothing was sent.")
            self._performer = performer
        return performer


class _Report:
    """The outcomes of a run, each told once: on standard output, and errors on standard error."""

    def __init__(self, session: Session, telling: Telling, *, is_single: bool) -> None:
        self.codes: set[ExitCode] = set()
        self.count = 0
        self._session = session
        self._telling = telling
        self._is_single = is_single
        self._not_started: list[NotStartedError] = []

    def tell(self, job: Job, outcome: Outcome, warnings: Sequence[str] = ()) -> None:
        """Tell one outcome, its error also where standard output cannot be written."""
        error = outcome.error
        self.count += 1
        self.codes.add(error.exit_code if error else ExitCode.OK)
        label = "" if self._is_single else job.label
        try:
            self.write(outcome, warnings, job=job)
        finally:
            if isinstance(error, NotStartedError):
                self._not_started.append(error)
            elif error is not None and not self._telling.is_told(error):
                # What is wrong with a picture names it already.
                named = "" if error.message.startswith(label) else label
                self._session.screen.fail(error, label=named)

    def write(
        self, outcome: Outcome, warnings: Sequence[str] = (), *, job: Job | None = None
    ) -> None:
        """Write one outcome on standard output."""
        session = self._session
        label = job.label if job and not self._is_single else ""
        place = (job and job.session) or session
        with session.screen.aside():
            if session.printer.is_json:
                is_sandbox = place.settings.is_sandbox
                result = shape_result(outcome, is_sandbox=is_sandbox, warnings=warnings)
                session.printer.write_record(result)
            else:
                for row in self._telling.rows(outcome, label):
                    session.printer.write_row(*row)

    def tell_not_started(self) -> None:
        """Tell in one line of all jobs that were not started."""
        for error in self._not_started[:1]:
            self._session.screen.fail(error, label=f"{len(self._not_started)} not started")

    def count_out(self, number: int, stopped: Outcome) -> None:
        """Tell of so many jobs that a signal kept from beginning."""
        if number:
            self._session.screen.write(f"{number} more not begun; nothing was sent for them.")
        for _ in range(number if self._session.printer.is_json else 0):
            self.write(stopped)


def _tell_rest(
    begun: Sequence[Begun[Job, Told]],
    jobs: Sequence[Job],
    report: _Report,
    settle: Callable[[Purchase | None], Outcome],
) -> None:
    """Tell what a signal has left, of every job of the run."""
    not_begun = len(jobs) - report.count - len(begun)
    # All are settled before anything is told: telling may take its time.
    results = [each.result or (settle(each.work.abandon()), []) for each in begun]
    for each, result in zip(begun, results, strict=True):
        with suppress(LocalError, BrokenPipeError):  # the signal is what ends the run
            report.tell(each.item, *result)
    with suppress(LocalError, BrokenPipeError):
        report.count_out(not_begun, settle(None))


def _settle(purchase: Purchase | None, *, exit_code: ExitCode, is_listed: bool) -> Outcome:
    """Tell what a signal has left of a request, and how to go on."""
    charged: Charged
    if purchase is None:
        message, hint, charged = "Stopped. Nothing was sent.", "", "no"
    elif tell_status(purchase) is TaskStatus.UNKNOWN:
        name = purchase.external_task_id
        message = f"Stopped. The request may have been accepted, as {name}."
        hint = f"The same command looks and never sends again; so does kling wait {name}"
        charged = "maybe"
    elif tell_status(purchase).is_final:
        message = f"Stopped. Task {purchase.task_id} has ended."
        hint = f"kling wait {purchase.task_id}"
        charged = "yes"
    else:
        message = f"Stopped. Task {purchase.task_id} goes on and is paid for."
        hint = f"kling wait {purchase.task_id}"
        charged = "yes"
    error = StoppedError(message, hint=hint, charged=charged, exit_code=exit_code)
    if purchase is not None and not is_listed:
        tell_no_journal(error, name_task(purchase))
    return Outcome(purchase=purchase, error=error)
