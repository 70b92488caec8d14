"""What the played service sells: tasks, the ledger of purchases, and the rules between them."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from ground.openapi import Order

_FIRST_ID = 815_336_894_036_197_446


# What becomes of an external task id that the service knows already: refused, answered with the
# old task, or bought again.
Deduplicate = Literal["refuse", "replay", "ignore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One line of the ledger: money was spent.

    `input` is the request's input with each picture as `sha256:<hex>` of its decoded bytes, or as
    its URL; `images` are these alone, in order. A purchase made from a request that was cut off
    knows only what had arrived. `bought_at` is in seconds since the epoch, connections count from
    1.
    """

    task_id: str
    external_task_id: str | None
    effect_scene: str | None
    input: Mapping[str, object]
    images: tuple[str, ...]
    callback_url: str | None
    token: str | None
    bought_at: float
    connection: int

    @property
    def shape(self) -> tuple[str, ...]:
        """The names of the input's fields, sorted."""
        return tuple(sorted(self.input))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the shop behaves.

    A task is done `task_seconds` after its purchase, or, where that is None, after
    `looks_until_done` looks have said processing. A `failure` is the message with which every task
    ends as failed. Above `concurrency_limit` unfinished tasks nothing more is sold.
    """

    deduplicate: Deduplicate = "refuse"
    lookup_by_external_id: bool = True
    looks_until_done: int = 1
    task_seconds: float | None = None
    failure: str | None = None
    concurrency_limit: int | None = None


class SaleRefusedError(Exception):
    """The shop does not sell: HTTP status, code and message of its answer."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Shop:
    """The tasks of one played service, safe to use from many threads."""

    def __init__(self, rules: Rules, *, clock: Callable[[], float] = time.time) -> None:
        self.rules = rules
        self._clock = clock
        self._lock = threading.Lock()
        self._ledger: list[Purchase] = []
        self._by_id: dict[str, Purchase] = {}
        self._by_external_id: dict[str, Purchase] = {}
        self._looks: dict[str, int] = {}

    @property
    def ledger(self) -> list[Purchase]:
        """Every purchase so far, oldest first."""
        with self._lock:
            return list(self._ledger)

    def sell(self, order: Order, *, token: str | None, connection: int) -> Purchase:
        """Create a task by the rules, or hand out the old one where the rules replay.

        Raises:
            SaleRefusedError: the external id is taken, or too many tasks are running.
        """
        with self._lock:
            known = self._by_external_id.get(order.external_task_id or "")
            if known and self.rules.deduplicate == "replay":
                return known
            if known and self.rules.deduplicate == "refuse":
                raise SaleRefusedError(400, 1201, "external_task_id already exists")
            limit = self.rules.concurrency_limit
            if limit is not None and self._count_running() >= limit:
                raise SaleRefusedError(429, 1303, "parallel task over resource pack limit")
            return self._note(order, token=token, connection=connection)

    def note(self, order: Order, *, token: str | None, connection: int) -> Purchase:
        """Create a task whatever the rules say."""
        with self._lock:
            return self._note(order, token=token, connection=connection)

    def find(self, wanted: str) -> Purchase | None:
        """Find a task by its id, or by its external id where the rules allow that."""
        with self._lock:
            found = self._by_id.get(wanted)
            if found is None and self.rules.lookup_by_external_id:
                found = self._by_external_id.get(wanted)
            return found

    def look(self, purchase: Purchase) -> str:
        """Tell the task's status, and count the look."""
        with self._lock:
            self._looks[purchase.task_id] += 1
            return self._judge(purchase, looks=self._looks[purchase.task_id])

    def judge(self, purchase: Purchase) -> str:
        """Tell the task's status without counting that as a look."""
        with self._lock:
            return self._judge(purchase, looks=self._looks[purchase.task_id])

    def count_running(self) -> int:
        """Count the tasks that are not done."""
        with self._lock:
            return self._count_running()

    def _note(self, order: Order, *, token: str | None, connection: int) -> Purchase:
        purchase = Purchase(
            task_id=str(_FIRST_ID + len(self._ledger)),
            external_task_id=order.external_task_id,
            effect_scene=order.effect_scene,
            input=order.input,
            images=order.images,
            callback_url=order.callback_url,
            token=token,
            bought_at=self._clock(),
            connection=connection,
        )
        self._ledger.append(purchase)
        self._by_id[purchase.task_id] = purchase
        if purchase.external_task_id is not None:
            self._by_external_id.setdefault(purchase.external_task_id, purchase)
        self._looks[purchase.task_id] = 0
        return purchase

    def _count_running(self) -> int:
        return sum(
            self._judge(one, looks=self._looks[one.task_id]) == "processing" for one in self._ledger
        )

    def _judge(self, purchase: Purchase, *, looks: int) -> str:
        if self.rules.task_seconds is not None:
            done = self._clock() - purchase.bought_at >= self.rules.task_seconds
        else:
            done = looks > self.rules.looks_until_done
        if not done:
            return "processing"
        return "succeed" if self.rules.failure is None else "failed"
