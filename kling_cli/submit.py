"""Bought once: claim, send, find.

    claim   one durable row before any connection is made
    send    one POST; the row says `sending` before the first byte leaves
    find    look-ups by external task id, if the outcome of the POST is unknown

Every run of the same request starts here and continues from the row that it finds.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from kling_cli.api.errors import ApiError, Kind
from kling_cli.clock import Clock
from kling_cli.console import Row
from kling_cli.context import Context
from kling_cli.errors import (
    ExitCode,
    KlingError,
    LaterError,
    LocalError,
    SetupError,
    StoppedError,
    UnknownError,
    UnreachableError,
    UsageError,
)
from kling_cli.journal import Journal
from kling_cli.models import EffectRequest, Purchase, Stage, Task
from kling_cli.purchase import NO_JOURNAL, Event, Step, make_unknown, next_step
from kling_cli.text import end_sentence

_FIND_PAUSES = (2.0, 4.0, 8.0, 15.0, 30.0)
# Three tries within 30 s: enough for a short network failure, short enough for a script.
_FIRST_LOOK_PAUSES = (0.0, 2.0, 4.0)
_NOT_SENT_PAUSES = (3.0, 12.0)
# "At least one second, growing" is the provider's advice; a slot frees only when a task ends.
_SHORTEST_BUSY_PAUSE = 1.0
_BUSY_PAUSE = 2.0
_LONGEST_BUSY_PAUSE = 60.0
_LONGEST_RETRY_AFTER = 120.0
# A task takes minutes; checking for a free slot more often would cost more than it gains.
_SLOT_PAUSE = 0.25
# Slots may come back: another program's tasks end too.
_GROW_SECONDS = 60.0


class ConcurrencyLimit:
    """How many tasks the account runs at once, and whether it takes any, as this run has learned.

    The service counts a task from its submission to its end, and refuses one more with code 1303;
    the trial account has five slots. Each try sends a whole picture, so a run that has met the
    limit waits for the end of one of its own tasks, and not for the clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._most = float("inf")
        self._learned = 0.0
        self._closed: Callable[[], KlingError] | None = None

    def close(self, reason: Callable[[], KlingError]) -> None:
        """Submit nothing more in this run, for a reason that each further request gets as error."""
        self._closed = self._closed or reason

    def check(self) -> None:
        """Raise the reason why nothing more is submitted, if there is one."""
        if self._closed is not None:
            raise self._closed()

    def acquire(self) -> bool:
        """Take a slot for a new task, if one is free.

        Raises:
            KlingError: nothing more is submitted.
        """
        with self._lock:
            self.check()
            if self._running >= self._most:
                if self._clock.monotonic() - self._learned < _GROW_SECONDS:
                    return False
                self._most, self._learned = self._most + 1, self._clock.monotonic()
            self._running += 1
            return True

    def add(self) -> None:
        """Count a task that runs already, whether a slot is free or not."""
        with self._lock:
            self._running += 1

    def release(self, *, refused: bool) -> bool:
        """Free a slot; return whether other tasks of this run hold one, whose end makes room.

        Args:
            refused: the service has refused the task as one too many.
        """
        with self._lock:
            self._running -= 1
            if refused:
                self._most, self._learned = max(self._running, 1), self._clock.monotonic()
            return self._running > 0


class Plan(NamedTuple):
    """What a run would do with a request: `buy`, `resume`, `reuse` or `look`.

    The external task id is None if it would be random. The purchase is the one in the journal, or
    None if something new would be bought.
    """

    action: str
    external_task_id: str | None
    purchase: Purchase | None = None


class _StepLostError(Exception):
    """Another process took the step from `claimed` to `sending`, or this run was stopped."""


def plan(request: EffectRequest, journal: Journal, *, now: float) -> Plan:
    """Plan what a run would do with a request, without changing anything.

    Raises:
        UsageError: the user's own id belongs to another request.
        LocalError: the journal cannot be read.
    """
    name = request.external_task_id
    same_id = journal.find(name)
    if same_id and same_id.fingerprint != request.fingerprint:
        raise UsageError(
            "external_task_id_in_use",
            f"The external task id {name} belongs to another request. Nothing was sent.",
            hint="Use another id, or remove --external-task-id.",
        )
    known = same_id if request.custom_id and same_id else journal.find_current(request.fingerprint)
    if known is None or known.stage is Stage.CLAIMED:
        return Plan("buy", name)
    is_named = request.custom_id and known is same_id
    step = Step.RENEW if request.new and not is_named else next_step(known, now=now)
    if step is Step.RENEW:
        return Plan("buy", name if request.custom_id and not is_named else None)
    return Plan(step.value, known.external_task_id, known)


@dataclass(eq=False)
class Submission:
    """One request on its way to an accepted task; its worker shares it with the main thread.

    Args:
        context: what the run works with.
        request: what to buy.
        limit: of the account, shared by the run.
        row: shows what happens.
        deadline: in the clock's monotonic seconds.

    Attributes:
        purchase: the journal's row as last seen; None before it was claimed.
        bought: whether this submission's own POST was accepted, or may have been.
    """

    context: Context
    request: EffectRequest
    limit: ConcurrencyLimit
    row: Row
    deadline: float
    purchase: Purchase | None = field(default=None, init=False)
    bought: bool = field(default=False, init=False)
    _was_duplicate: bool = field(default=False, init=False)
    _has_slot: bool = field(default=False, init=False)
    _doubt: KlingError | None = field(default=None, init=False)
    _busy_pause: float = field(default=_BUSY_PAUSE, init=False)
    _tries: Iterator[float] = field(default_factory=lambda: iter(_NOT_SENT_PAUSES), init=False)

    def run(self) -> Purchase:
        """Go on until the task is accepted, or known from before.

        Raises:
            KlingError: it was refused, was not sent, or stays unknown.
        """
        self.purchase = self._claim()
        while True:
            purchase = self.purchase
            step = next_step(purchase, now=self.context.clock.time())
            if step is Step.SEND:
                # None means that another process has dropped the claim.
                self.purchase = self._send(purchase) or self._claim()
            elif step is Step.FIND:
                found = self._find(purchase)
                self.purchase = found or self._claim()
                if found and found.stage is Stage.FAILED and not self._was_duplicate:
                    return found  # our own task: its failure is the result of this run
            elif (
                step is Step.RENEW and purchase.external_task_id not in self.context.journal.claimed
            ):
                self.purchase = self._replace(purchase)
                is_failed = purchase.stage is Stage.FAILED
                ended = "failed" if is_failed else "was deleted after 30 days"
                self.row.note(f"The earlier task {purchase.task_id} {ended}; buying a new one.")
            else:
                if step is Step.WAIT and not self._has_slot:
                    self.limit.add()
                    self._has_slot = True
                return purchase

    def stop(self) -> Purchase | None:
        """Update the row when nothing more is sent, and drop a claim that was not sent.

        Returns:
            What is or may be bought; None if nothing was sent.
        """
        if self.purchase is None:
            return None
        self._drop(self.purchase)
        left = self._apply(self.purchase, Event.AMBIGUOUS)
        return left if left and left.stage is not Stage.CLAIMED else None

    def release(self, *, refused: bool = False) -> bool:
        """Free the slot when the task has ended or is no longer waited for."""
        had_slot, self._has_slot = self._has_slot, False
        return had_slot and self.limit.release(refused=refused)

    # Claim

    def _claim(self) -> Purchase:
        """Claim the request, or find the purchase that already has it."""
        if self.context.stopped.is_set():  # the screen already says that nothing was sent
            raise StoppedError("Stopped. Nothing was bought.", exit_code=ExitCode.INTERRUPT)
        request, journal = self.request, self.context.journal
        same_id = journal.find(request.external_task_id) if request.custom_id else None
        if same_id and same_id.stage is not Stage.CLAIMED:
            return same_id  # the user chose this id, so --new cannot mean another one
        claimed = self._claim_as(request.external_task_id)
        name = claimed.external_task_id
        is_named = request.custom_id and name == request.external_task_id
        is_earlier = name not in journal.claimed
        return self._replace(claimed) if request.new and is_earlier and not is_named else claimed

    def _replace(self, purchase: Purchase) -> Purchase:
        """Claim the request again, in addition to its earlier purchase."""
        name = self.request.external_task_id
        if not self.request.custom_id or self.context.journal.find(name) is not None:
            name = "kling-" + secrets.token_hex(13)
        return self._claim_as(name, replacing=purchase.external_task_id)

    def _claim_as(self, name: str, *, replacing: str | None = None) -> Purchase:
        """Claim the request under an id, replacing an earlier purchase if there is one."""
        request, now = self.request, self.context.clock.time()
        wanted = Purchase(
            external_task_id=name,
            fingerprint=request.fingerprint,
            base_url=request.base_url,
            effect_scene=request.scene,
            stage=Stage.CLAIMED,
            images=tuple(picture.describe() for picture in request.pictures),
            created_at=now,
            updated_at=now,
            tag=request.tag,
        )
        claimed = self.context.journal.claim(wanted, replacing=replacing)
        return self._look_first(claimed) if claimed.stage is Stage.CLAIMED else claimed

    def _look_first(self, claimed: Purchase) -> Purchase:
        """Look up an id that may belong to a task that is not in this journal.

        That is a user's own id, which another machine may have used, and every derived id if no
        journal is kept.
        """
        request, name = self.request, claimed.external_task_id
        is_kept = self.context.journal.is_kept
        if name != request.external_task_id or (is_kept and not request.custom_id):
            return claimed
        for pause in _FIRST_LOOK_PAUSES if request.custom_id else (0.0,):
            self._pause(pause)
            try:
                task = self._look(name)
            except ApiError as error:
                failure = error
                # A gateway may refuse to look up by this id.
                if error.kind is Kind.NOT_FOUND or (error.kind is Kind.REFUSED and not is_kept):
                    return claimed
                if error.kind is Kind.AUTH or self._is_late:
                    break
            else:
                self.context.journal.claimed.discard(name)  # the service knows it from elsewhere
                self.row.note(f"The service already has a task with the external id {name}.")
                return self._accept(claimed, task)
        self._drop(claimed)
        if failure.kind is Kind.AUTH:
            raise failure.error
        message = f"Could not check whether the service already has a task {name}. "
        message += f"{end_sentence(failure.error.message)} Nothing was sent."
        hint = "It is safe to run the same command again later."
        raise UnreachableError("not_sent", message, hint=hint, cause=failure.error)

    # Send

    def _send(self, purchase: Purchase) -> Purchase | None:
        name = purchase.external_task_id
        self._wait_for_slot(purchase)
        if not self.context.journal.is_kept:
            self.row.warn(f"{NO_JOURNAL} Keep its id: {name}")
        try:
            task = self.context.client(self.request.base_url).create_effect(
                self.request,
                name,
                before_first_byte=lambda: self._begin_sending(name),
                progress=partial(self.row.transfer, "uploading"),
            )
        except _StepLostError:
            self.release()
            return self._recall(purchase)
        except ApiError as failure:
            return self._handle(purchase, failure)
        self.bought = True
        return self._accept(purchase, task)

    def _wait_for_slot(self, purchase: Purchase) -> None:
        try:
            while not self.limit.acquire():
                if self._is_late:
                    message = "No running task ended within the timeout. Nothing was accepted."
                    hint = "Try again later, or use a longer --timeout."
                    raise LaterError("concurrency_limit", message, hint=hint)
                self.row.state = "waiting for a slot"
                self._pause(_SLOT_PAUSE)
        except KlingError:
            self._drop(purchase)
            raise
        self._has_slot = True

    def _begin_sending(self, name: str) -> None:
        """Record the step from `claimed` to `sending`; an error here stops the POST."""
        tag = self.request.tag
        if self.context.stopped.is_set() or not self.context.journal.apply(
            name, Event.SEND, tag=tag
        ):
            raise _StepLostError

    def _handle(self, purchase: Purchase, failure: ApiError) -> Purchase | None:
        """Record the outcome of a POST that returned no task, and pause before the next one."""
        is_refused = failure.kind in (Kind.REFUSED, Kind.AUTH, Kind.NOT_FOUND)
        error, event = failure.error, Event.REFUSED if is_refused else Event(failure.kind)
        is_limit = error.code == "concurrency_limit"
        others_run = self.release(refused=is_limit)
        following = self._apply(purchase, event)
        if event in (Event.AMBIGUOUS, Event.DUPLICATE):
            name = purchase.external_task_id
            self._doubt, self._was_duplicate = error, event is Event.DUPLICATE
            self.bought = not self._was_duplicate
            if self._was_duplicate:
                self.context.journal.claimed.discard(name)  # the service knows it from elsewhere
            self.row.note(f"{end_sentence(error.message)} Looking up {name}, not sending again.")
            return following
        pause = self._choose_pause(failure, for_slot=is_limit and others_run)
        if pause is None or self._is_late:
            if is_refused and isinstance(error, LaterError | SetupError):
                message = f"Not sent, because an earlier request was refused. {error.message}"
                self.limit.close(
                    lambda: type(error)(error.code, message, hint=error.hint, cause=error)
                )
            self._drop(purchase)
            raise error
        if pause:
            pause = max(min(pause, self.deadline - self.context.clock.monotonic()), 0.0)
            self.row.retry_in(pause, end_sentence(error.message))
            self._pause(pause)
        else:
            self.row.note(f"{end_sentence(error.message)} Waiting for a running task to end.")
        return following

    def _choose_pause(self, failure: ApiError, *, for_slot: bool) -> float | None:
        """Choose the seconds until the request is sent again; None if it is not."""
        if failure.kind is Kind.NOT_SENT:
            return next(self._tries, None)
        if failure.kind is not Kind.BUSY:
            return None
        if failure.retry_after is not None:
            # Each try sends the whole picture, so 0 seconds are not taken literally.
            return max(min(failure.retry_after, _LONGEST_RETRY_AFTER), _SHORTEST_BUSY_PAUSE)
        if for_slot:
            return 0.0
        pause = self._busy_pause * (0.9 + 0.2 * self.context.clock.random())
        self._busy_pause = min(2 * self._busy_pause, _LONGEST_BUSY_PAUSE)
        return pause

    # Find

    def _find(self, purchase: Purchase) -> Purchase | None:
        for pause in _FIND_PAUSES:
            self._pause(pause)
            current = self._recall(purchase)
            if current is None or current.stage not in (Stage.SENDING, Stage.UNKNOWN):
                return current
            try:
                return self._accept(current, self._look(purchase.external_task_id))
            except ApiError as error:
                failure = error
                if error.kind is Kind.AUTH or self._is_late:
                    break
        raise self._unknown(purchase, failure)

    def _unknown(self, purchase: Purchase, failure: ApiError) -> UnknownError:
        name, first = purchase.external_task_id, ""
        answer = f"Looking up {name} failed: {end_sentence(failure.error.message)}"
        if failure.kind is Kind.NOT_FOUND:
            answer = f"The service does not know task {name} so far."
        elif failure.kind is Kind.AUTH:
            first = f"{failure.error.hint} Then: "
        doubt = "An earlier run started to send this request and got no usable response."
        if self._doubt is not None:
            doubt = end_sentence(self._doubt.message)
        message = f"{doubt} It may or may not have been accepted. {answer}"
        return make_unknown(purchase, message, self.context.resume, first=first, cause=self._doubt)

    # The journal, the service and the clock

    def _accept(self, purchase: Purchase, task: Task) -> Purchase:
        accepted = self.context.journal.record(purchase, task, warn=self.row.warn)
        self.row.accept(accepted)
        return accepted

    def _apply(self, purchase: Purchase, event: Event) -> Purchase | None:
        # A row that cannot be changed still says `sending`, which only allows look-ups.
        with suppress(LocalError):
            self.context.journal.apply(purchase.external_task_id, event)
        return self._recall(purchase)

    def _drop(self, purchase: Purchase) -> None:
        """Forget a claim that was not sent; if that fails, the next run uses it."""
        self._apply(purchase, Event.DROP)

    def _recall(self, purchase: Purchase) -> Purchase | None:
        """Read the row as it stands now."""
        try:
            return self.context.journal.find(purchase.external_task_id)
        except LocalError:
            # Continue without the journal, with look-ups only.
            is_unsent = purchase.stage is Stage.CLAIMED
            return purchase._replace(stage=Stage.SENDING) if is_unsent else purchase

    def _look(self, name: str) -> Task:
        client = self.context.client(self.request.base_url)
        return client.get_task(name, seconds=self.deadline - self.context.clock.monotonic())

    @property
    def _is_late(self) -> bool:
        return self.context.clock.monotonic() >= self.deadline

    def _pause(self, seconds: float) -> None:
        left = self.deadline - self.context.clock.monotonic()
        self.context.clock.sleep(max(min(seconds, left), 0.0))
