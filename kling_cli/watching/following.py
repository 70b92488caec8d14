"""A task followed to its end: every look written down, its result judged before anybody uses it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from kling_cli.api.answers import is_known_word, is_plain_http
from kling_cli.api.service import Service
from kling_cli.clock import Clock
from kling_cli.journal import Journal
from kling_cli.purchase import Purchase, Stage, see
from kling_cli.talk import Talk
from kling_cli.task import Look, Task
from kling_cli.text import clean
from kling_cli.watching.schedule import Schedule
from kling_cli.watching.verdict import is_unseen, judge, name_task, tell_pending
from kling_cli.watching.waiting import LAG_SECONDS, RESULT_SECONDS, Wait, tell_bad_look, watch

# Saves the clips of a finished task, and tells where they lie.
Keep = Callable[[Purchase, Talk], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What one request works with; `timeout` is in seconds, None for no limit."""

    journal: Journal
    service: Service
    clock: Clock
    talk: Talk
    schedule: Schedule
    timeout: float | None = None
    is_sandbox: bool = False

    def find_deadline(self) -> float:
        """Tell when a request that begins now has to end, in the clock's monotonic seconds."""
        return float("inf") if self.timeout is None else self.clock.monotonic() + self.timeout


class Follower:
    """One task, seen from outside.

    Args:
        purchase: the task as last seen; one that the journal does not know has no fingerprint.
        kit: what to work with.
        deadline: in the clock's monotonic seconds.
    """

    def __init__(self, purchase: Purchase, *, kit: Kit, deadline: float) -> None:
        self.purchase = purchase
        self._kit = kit
        self._deadline = deadline
        self._request_id: str | None = None
        self._ending: str | None = None
        self._strange_words: set[str] = set()

    def look(self) -> None:
        """Look once, unless the journal knows the end.

        Raises:
            KlingError: the task is not done, or its end is not what was hoped for.
        """
        if not self._is_over():
            look = self._fetch()
            wait = self._describe_wait(age=self._measure_age())
            if look.task is None and not _is_lag(wait, look):
                raise tell_bad_look(wait, look)
            if self._is_result_late():
                raise tell_pending(name_task(self.purchase))
        self._judge()

    def follow(self, *, is_fresh: bool) -> None:
        """Look until the task has ended.

        Args:
            is_fresh: it was accepted just now.

        Raises:
            KlingError: the wait ended before the task, or its end is not what was hoped for.
        """
        if not self._is_over():
            wait = self._describe_wait(age=0.0 if is_fresh else self._measure_age())
            watch(self._fetch, wait, clock=self._kit.clock, talk=self._kit.talk)
        self._judge()

    def _is_over(self) -> bool:
        purchase = self.purchase
        return purchase.stage is Stage.FAILED or (
            purchase.stage is Stage.SUCCEED and bool(purchase.videos)
        )

    def _is_result_late(self) -> bool:
        """Tell whether the task ended so lately that its video may not have been named yet."""
        purchase = self.purchase
        age = self._kit.clock.time() - (purchase.finished_at or 0.0)
        return not purchase.videos and purchase.stage is Stage.SUCCEED and age < RESULT_SECONDS

    def _judge(self) -> None:
        purchase = self.purchase
        error = judge(
            purchase,
            now=self._kit.clock.time(),
            is_sandbox=self._kit.is_sandbox,
            ending=self._ending,
            request_id=self._request_id,
        )
        if error is not None:
            raise error
        is_plain = any(is_plain_http(video.url) for video in purchase.videos)
        if is_plain and not is_plain_http(purchase.base_url):
            self._kit.talk.warn("The video's URL is http: anybody on the way can change it.")

    def _fetch(self) -> Look:
        purchase = self.purchase
        ids = [name for name in (purchase.task_id, purchase.external_task_id) if name]
        left = self._deadline - self._kit.clock.monotonic()
        look = self._kit.service.look(*ids, seconds_left=left)
        if look.task is not None:
            self._see(look.task)
        return look

    def _see(self, task: Task) -> None:
        self._request_id = task.request_id or self._request_id
        self._ending = task.ending
        self._warn_of(task.word)
        if not self.purchase.fingerprint:
            self._adopt(task)
        purchase = self.purchase
        changed = see(purchase.stage, task.status) is not purchase.stage
        if changed or purchase.task_id is None or (task.videos and not purchase.videos):
            self._record(task)

    def _warn_of(self, word: str) -> None:
        if word and not is_known_word(word) and word not in self._strange_words:
            self._strange_words.add(word)
            self._kit.talk.warn(
                f"The service calls the task '{clean(word)}', a status unknown here; "
                "it counts as still running."
            )

    def _adopt(self, task: Task) -> None:
        """Learn who a task is that was asked for by an id unknown to the journal."""
        own = self._kit.journal.find(task.external_task_id) if task.external_task_id else None
        if own is not None and own.task_id is None and own.base_url == self.purchase.base_url:
            self.purchase = own  # its submission got no answer, so its task id was not known
            return
        self.purchase = replace(
            self.purchase,
            task_id=task.task_id or self.purchase.task_id,
            external_task_id=task.external_task_id or "",
            created_at=task.created_at or 0.0,
        )

    def _record(self, task: Task) -> None:
        purchase = self.purchase
        # Another's task may bear the external id of one of ours, whose row it must not touch.
        name = purchase.external_task_id if purchase.fingerprint else ""
        seen = self._kit.journal.record(
            replace(purchase, external_task_id=name), task, warn=self._kit.talk.warn
        )
        self.purchase = replace(seen, external_task_id=purchase.external_task_id)

    def _measure_age(self) -> float | None:
        if not self.purchase.created_at:
            return None
        return max(self._kit.clock.time() - self.purchase.created_at, 0.0)

    def _describe_wait(self, *, age: float | None) -> Wait:
        purchase = self.purchase
        return Wait(
            name=name_task(purchase),
            other_name=purchase.external_task_id if purchase.task_id else "",
            is_known=bool(purchase.fingerprint),
            is_accepted=not is_unseen(purchase),
            is_listed=self._kit.journal.is_durable,
            age=age,
            deadline=self._deadline,
            schedule=self._kit.schedule,
        )


def _is_lag(wait: Wait, look: Look) -> bool:
    """Tell whether a task is missing only because the service writes it down late."""
    return look.is_missing and wait.is_accepted and (wait.age or 0.0) < LAG_SECONDS
