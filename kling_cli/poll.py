"""Check a task until it has ended.

A failed check says nothing about the task. A wait ends with the task's own status, at the deadline,
or after five minutes without a usable response.
"""

import math
from dataclasses import dataclass, field

from kling_cli.api.errors import ApiError, Kind
from kling_cli.api.parse import is_known_word, is_plain_http, is_result_url
from kling_cli.console import Row
from kling_cli.context import Context
from kling_cli.errors import (
    KlingError,
    PendingError,
    RefusedError,
    SetupError,
    TaskFailedError,
    UnknownError,
    UnreachableError,
)
from kling_cli.models import Purchase, Stage, Task
from kling_cli.purchase import Resume, get_charged, is_expired, make_unknown, observe
from kling_cli.text import clean, end_sentence, without_query

_JITTER = 0.1
_LONGEST_RETRY_AFTER = 120.0

_FIRST_PAUSE = 2.0
# A relay stores its tasks late; a task that it does not know after this never existed.
_LAG_SECONDS = 120.0
# The URL of a video may arrive this long after the task has succeeded.
_RESULT_SECONDS = 60.0
_LONGEST_SILENCE = 300.0
# A machine that wakes up needs a moment to reconnect.
_FEWEST_FAILURES = 3
_MOST_MISSING = 5


@dataclass(eq=False)
class Poll:
    """Checks one task, once or until it has ended.

    Args:
        context: what the run works with.
        purchase: the task as last seen.
        deadline: in the clock's monotonic seconds.
        row: shows every check.
    """

    context: Context
    purchase: Purchase
    deadline: float
    row: Row
    _task: Task | None = field(default=None, init=False)
    _result_due: float = field(default=math.inf, init=False)
    _failures: int = field(default=0, init=False)
    _missing: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Start the clock."""
        self._last_answer = self._accepted = self.context.clock.monotonic()

    def look(self) -> None:
        """Check once, unless the journal has the result.

        Raises:
            KlingError: the task has not succeeded.
        """
        if not self._is_over:
            try:
                self._observe(self._fetch(self.deadline - self.context.clock.monotonic()))
            except ApiError as failure:
                age = self.context.clock.time() - self.purchase.created_at
                is_lag = self.purchase.is_seen and age < _LAG_SECONDS
                if failure.kind is not Kind.NOT_FOUND or not is_lag:
                    raise self._failed_look(failure) from None
            age = self.context.clock.time() - (self.purchase.finished_at or 0.0)
            is_done = self.purchase.stage is Stage.SUCCEED
            if is_done and not self.purchase.videos and age < _RESULT_SECONDS:
                raise _pending(self.purchase, self.context.resume)
        self._check()

    def wait(self, *, is_new: bool) -> None:
        """Check until the task has ended, or has succeeded for a minute without a video.

        Args:
            is_new: it was accepted just now.

        Raises:
            KlingError: the wait ended before the task, or the task has not succeeded.
        """
        # A task that this machine did not buy counts as old.
        age = 0.0 if is_new else max(self.context.clock.time() - self.purchase.created_at, 0.0)
        self._accepted -= age
        pause = _FIRST_PAUSE - age
        while not self._is_over:
            self.context.clock.sleep(
                max(min(pause, self.deadline - self.context.clock.monotonic()), 0.0)
            )
            # Compared when the check begins, so that a machine that slept past the deadline
            # checks once more when it wakes up.
            left = self.deadline - self.context.clock.monotonic()
            failure: ApiError | None = None
            try:
                task = self._fetch(left)
                self._observe(task)
                self.row.look(task)
            except ApiError as error:
                failure = error
                self._count_failure(error)
            is_late = left <= 0 or self.context.clock.monotonic() >= self.deadline
            if is_late and not self._is_over:
                if failure is not None and not self.purchase.is_seen:
                    raise self._failed_look(failure)
                raise _pending(self.purchase, self.context.resume)
            pause = self._choose_pause((failure and failure.retry_after) or 0.0)
        self._check()

    def _fetch(self, seconds: float) -> Task:
        purchase = self.purchase
        client = self.context.client(purchase.base_url)
        return client.get_task(purchase.name, purchase.external_task_id, seconds=seconds)

    def _choose_pause(self, retry_after: float) -> float:
        if self._missing and not self.purchase.fingerprint:
            return _FIRST_PAUSE  # most likely a typo in the id, so report it soon
        spacing = self.context.schedule.spacing(self.context.clock.monotonic() - self._accepted)
        spacing *= 1 + _JITTER * (2 * self.context.clock.random() - 1)
        return max(spacing, min(retry_after, _LONGEST_RETRY_AFTER))

    @property
    def _is_over(self) -> bool:
        """Whether it has failed, has its video, or succeeded a minute ago without one."""
        if self.purchase.stage is Stage.SUCCEED and not self.purchase.videos:
            return self.context.clock.monotonic() >= self._result_due
        return self.purchase.stage.is_final

    # What a look has shown

    def _observe(self, task: Task) -> None:
        now = self.context.clock.monotonic()
        self._last_answer, self._failures, self._missing = now, 0, 0
        self._task = task
        if task.word and not is_known_word(task.word):
            words = f"Unknown task status '{clean(task.word)}'; the task counts as running."
            if words not in self.row.warnings:
                self.row.warn(words)
        if not self.purchase.fingerprint:
            self._identify(task)
        purchase = self.purchase
        seen = observe(purchase, task, now=self.context.clock.time())
        if seen.stage is Stage.SUCCEED:
            self._result_due = min(self._result_due, now + _RESULT_SECONDS)
        is_news = seen._replace(updated_at=0.0) != purchase._replace(updated_at=0.0)
        # A foreign task may have the external id of one of ours; do not change our row.
        if is_news and purchase.fingerprint:
            seen = self.context.journal.record(purchase, task, warn=self.row.warn)
        self.purchase = seen

    def _identify(self, task: Task) -> None:
        """Identify a task whose id is not in the journal."""
        own = self.context.journal.find(task.external_task_id) if task.external_task_id else None
        if own is not None and own.task_id is None and own.base_url == self.purchase.base_url:
            self.purchase = own  # its submission got no response, so its task id was not known
            return
        self.purchase = self.purchase._replace(
            task_id=task.task_id or self.purchase.task_id,
            external_task_id=task.external_task_id or "",
            created_at=task.created_at or 0.0,
        )

    def _count_failure(self, failure: ApiError) -> None:
        """Count a failed check; raise if there were too many."""
        now = self.context.clock.monotonic()
        if failure.kind is Kind.NOT_FOUND:
            self._last_answer, self._failures = now, 0
            self._missing += not self.purchase.fingerprint or now - self._accepted >= _LAG_SECONDS
        elif failure.kind is not Kind.AUTH:
            self._failures += 1
            self.row.miss(self._failures, failure.error.message)
        silence = now - self._last_answer
        is_silent = silence >= _LONGEST_SILENCE and self._failures >= _FEWEST_FAILURES
        if failure.kind is Kind.AUTH or self._missing >= _MOST_MISSING or is_silent:
            raise self._failed_look(failure) from None

    # How a wait ends

    def _check(self) -> None:
        purchase = self.purchase
        error = check_result(
            purchase, self.context.resume, now=self.context.clock.time(), task=self._task
        )
        if error is not None:
            raise error
        is_plain = any(is_plain_http(video.url) for video in purchase.videos)
        if is_plain and not is_plain_http(purchase.base_url):
            self.row.warn("The video's URL is plain http: the video can be changed in transit.")

    def _failed_look(self, failure: ApiError) -> KlingError:
        """Create the error for a failed check that ends the wait."""
        purchase, error = self.purchase, failure.error
        hint = self.context.resume.command(purchase)
        if failure.kind is not Kind.NOT_FOUND:
            silence = self.context.clock.monotonic() - self._last_answer
            message = end_sentence(error.message)
            if silence >= _LONGEST_SILENCE:
                message = f"No usable response for {silence / 60:.0f} minutes. {message}"
            fate = f"{_goes_on(purchase)}." if purchase.is_seen else "may or may not exist."
            message += f" Task {purchase.name} {fate}"
            hint = f"{error.hint} Then: {hint}" if error.hint else hint
            kind = SetupError if failure.kind is Kind.AUTH else UnreachableError
            charged = get_charged(purchase)
            return kind(error.code, message, hint=hint, charged=charged, cause=error)
        code, message = "task_not_found", f"The service does not know task {purchase.name}"
        if not purchase.fingerprint:
            hint = "Check the id, the base URL and the token."
            return RefusedError(code, f"{message}.", hint=hint, cause=error)
        if not purchase.is_seen:
            return _unknown(purchase, self.context.resume, cause=error)
        message += f" ({purchase.external_task_id})."
        charged = "no" if purchase.is_sandbox else "maybe"
        return UnknownError(
            code, message, hint=f"{hint} checks again.", charged=charged, cause=error
        )


def check_result(
    purchase: Purchase, resume: Resume, *, now: float, task: Task | None = None
) -> KlingError | None:
    """Check a task as last seen; None where its videos can be used.

    Args:
        purchase: the task.
        resume: names the command that resumes a purchase.
        now: seconds since the epoch.
        task: the last answer about it, which may say more than the journal keeps.
    """
    if not purchase.is_seen:
        return _unknown(purchase, resume)
    if purchase.stage is Stage.FAILED:
        return _failed(purchase, task)
    if purchase.stage is not Stage.SUCCEED:
        return _pending(purchase, resume)
    name = purchase.name
    urls = [video.url for video in purchase.videos]
    unusable = [url for url in urls if not purchase.is_sandbox and not is_result_url(url)]
    if is_expired(purchase, now=now):
        code = "result_expired"
        hint = "kling effect with the same scene and picture buys it again."
        message = f"The result of task {name} is gone: the service deletes results after 30 days."
    elif not urls:
        code, hint = "result_missing", f"{resume.command(purchase)} checks again."
        message = f"Task {name} succeeded, but the service returned no video."
    elif unusable:
        code, hint = "invalid_result_url", "Contact the service's support."
        shown = without_query(unusable[0])
        message = f"Task {name} succeeded, but its video URL is not a plain https address: {shown}"
    else:
        return None
    charged, request_id = get_charged(purchase), task.request_id if task else None
    message += "" if purchase.is_sandbox else " It has been paid for."
    return RefusedError(code, message, hint=hint, charged=charged, request_id=request_id)


def _pending(purchase: Purchase, resume: Resume) -> PendingError:
    message = f"Task {purchase.name} {_goes_on(purchase)}."
    hint, charged = resume.command(purchase), get_charged(purchase)
    return PendingError("pending", message, hint=hint, charged=charged)


def _unknown(
    purchase: Purchase, resume: Resume, *, cause: KlingError | None = None
) -> UnknownError:
    shown = ", and the service has no such task" if cause else ""
    message = f"its submission got no usable response{shown}."
    message = f"{purchase.name} may or may not have been accepted: {message}"
    return make_unknown(purchase, message, resume, cause=cause)


def _failed(purchase: Purchase, task: Task | None) -> TaskFailedError:
    reason = clean(purchase.message)
    said = f": {end_sentence(reason)}" if reason else "; no reason was given."
    word = task.word.lower().replace("canceled", "cancelled") if task else ""
    ending = word if word in ("cancelled", "expired") else "failed"
    verb = "was cancelled" if ending == "cancelled" else ending
    message = f"Task {purchase.name} {verb} at the service{said}"
    hint = "Failed tasks are not charged. The same kling effect command buys a new one."
    request_id = task.request_id if task else None
    return TaskFailedError(f"task_{ending}", message, hint=hint, request_id=request_id)


def _goes_on(purchase: Purchase) -> str:
    return "is still running" if purchase.is_sandbox else "is still running (already paid for)"
