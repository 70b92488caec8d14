"""The requests of a run: worked off by threads, told as they are done, settled on a signal."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from kling_cli.api.service import Service
from kling_cli.batch import Batch
from kling_cli.errors import (
    Charged,
    ExitCode,
    Interrupted,
    KlingError,
    StoppedError,
    combine,
)
from kling_cli.outcome import Outcome
from kling_cli.output import shape_result, tell_status
from kling_cli.purchase import Purchase
from kling_cli.session import Session
from kling_cli.task import TaskStatus
from kling_cli.watching.following import Kit


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
    """

    label: str
    title: str
    start: Callable[[Kit], Performer]


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

    Args:
        session: what to work with.
        jobs: what to do.
        workers: how many at once.
        telling: how to tell it as text.

    Returns:
        The exit code of the whole run.
    """
    session.screen.total = len(jobs)
    session.prepare()
    batch = Batch(jobs, lambda: _open_worker(session), workers=min(workers, len(jobs)))
    codes: set[ExitCode] = set()

    def report(job: Job, outcome: Outcome, warnings: Sequence[str]) -> None:
        codes.add(outcome.error.exit_code if outcome.error else ExitCode.OK)
        _tell(session, outcome, job.label if len(jobs) > 1 else "", warnings, telling=telling)

    try:
        for job, (outcome, warnings) in batch:
            report(job, outcome, warnings)
    except Interrupted as signal:
        session.is_abandoned = True
        for job, work in batch.stop():
            report(job, _settle(work.abandon(), signal.exit_code), ())
            signal.is_told = True
        raise
    return combine(codes)


@contextmanager
def _open_worker(session: Session) -> Generator[Callable[[Job], "_Work"]]:
    service = session.open_service()
    try:
        yield lambda job: _Work(job, session, service)
    finally:
        service.close()


class _Work:
    """A job in a worker's hands."""

    def __init__(self, job: Job, session: Session, service: Service) -> None:
        self._job = job
        self._session = session
        self._service = service
        self._performer: Performer | None = None

    def run(self) -> tuple[Outcome, list[str]]:
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
            self._performer = self._job.start(kit)
            outcome = self._performer.run()
        except KlingError as error:
            outcome = Outcome(error=error)
        session.screen.end(voice, succeeded=outcome.error is None)
        return outcome, voice.warnings

    def abandon(self) -> Purchase | None:
        """Settle what is under way; tell what is or may be bought."""
        return self._performer.abandon() if self._performer else None


def _tell(
    session: Session,
    outcome: Outcome,
    label: str,
    warnings: Sequence[str],
    *,
    telling: Telling,
) -> None:
    session.screen.rest()
    if session.printer.is_json:
        is_sandbox = session.settings.is_sandbox
        result = shape_result(outcome, is_sandbox=is_sandbox, warnings=warnings)
        session.printer.write_record(result)
    else:
        for row in telling.rows(outcome, label):
            session.printer.write_row(*row)
    if outcome.error is not None and not telling.is_told(outcome.error):
        session.screen.fail(outcome.error, label=label)


def _settle(purchase: Purchase | None, exit_code: ExitCode) -> Outcome:
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
        message, hint = f"Stopped. Task {purchase.task_id} has ended.", ""
        charged = "yes"
    else:
        message = f"Stopped. Task {purchase.task_id} goes on and is paid for."
        hint = f"kling wait {purchase.task_id}"
        charged = "yes"
    error = StoppedError(message, hint=hint, charged=charged, exit_code=exit_code)
    return Outcome(purchase=purchase, error=error)
