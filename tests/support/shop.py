"""The simulated service's tasks, ledger of purchases, and rules."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from support.openapi import Order

_FIRST_ID = 815_336_894_036_197_446


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase(Order):
    """One entry of the ledger; the time is in seconds since the epoch."""

    task_id: str
    token: str | None
    bought_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the shop behaves.

    An external task id that is known already is refused, answered with the old task, or bought
    again. A task is done `task_seconds` after its purchase, or, where that is None, after
    `looks_until_done` looks have said processing. A `failure` is the message with which every task
    ends as failed. Above `concurrency_limit` unfinished tasks nothing more is sold. A task that is
    done says with `deduction` what it cost.
    """

    deduplicate: Literal["refuse", "replay", "ignore"] = "refuse"
    lookup_by_external_id: bool = True
    looks_until_done: int = 1
    task_seconds: float | None = None
    failure: str | None = None
    concurrency_limit: int | None = None
    deduction: Mapping[str, object] = field(default_factory=dict)


class SaleRefusedError(Exception):
    """The shop refuses: HTTP status, code and message of its response."""


class Shop:
    def __init__(self, rules: Rules, *, clock: Callable[[], float] = time.time) -> None:
        self.rules = rules
        self._clock = clock
        self._lock = threading.RLock()
        self._ledger: list[Purchase] = []
        self._looks: Counter[str] = Counter()

    @property
    def ledger(self) -> list[Purchase]:
        with self._lock:
            return list(self._ledger)

    def sell(self, order: Order, *, token: str | None) -> Purchase:
        """Create a task by the rules, or return the old one if the rules say so."""
        with self._lock:
            known = self._find(order.external_task_id)
            if known and self.rules.deduplicate == "replay":
                return known
            if known and self.rules.deduplicate == "refuse":
                raise SaleRefusedError(400, 1201, "external_task_id already exists")
            limit = self.rules.concurrency_limit
            if limit is not None and self.count_running() >= limit:
                raise SaleRefusedError(429, 1303, "parallel task over resource pack limit")
            return self.note(order, token=token)

    def note(self, order: Order, *, token: str | None) -> Purchase:
        with self._lock:
            purchase = Purchase(
                task_id=str(_FIRST_ID + len(self._ledger)),
                external_task_id=order.external_task_id,
                effect_scene=order.effect_scene,
                input=order.input,
                images=order.images,
                callback_url=order.callback_url,
                token=token,
                bought_at=self._clock(),
            )
            self._ledger.append(purchase)
            return purchase

    def find(self, wanted: str) -> Purchase | None:
        with self._lock:
            by_id = (one for one in self._ledger if one.task_id == wanted)
            external_id = wanted if self.rules.lookup_by_external_id else None
            return next(by_id, None) or self._find(external_id)

    def look(self, purchase: Purchase) -> str:
        with self._lock:
            self._looks[purchase.task_id] += 1
            return self._find_status(purchase)

    def count_running(self) -> int:
        with self._lock:
            return sum(self._find_status(one) == "processing" for one in self._ledger)

    def _find(self, external_id: str | None) -> Purchase | None:
        known = (one for one in self._ledger if one.external_task_id == external_id)
        return next(known, None) if external_id else None

    def _find_status(self, purchase: Purchase) -> str:
        if self.rules.task_seconds is not None:
            done = self._clock() - purchase.bought_at >= self.rules.task_seconds
        else:
            done = self._looks[purchase.task_id] > self.rules.looks_until_done
        if not done:
            return "processing"
        return "succeed" if self.rules.failure is None else "failed"
