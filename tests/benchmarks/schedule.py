"""How late a video is noticed, and for how many looks, beside a look every 5 seconds."""

import io
import math
import random
from collections.abc import Iterator, Sequence
from statistics import fmean
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from measuring import Figure

from kling_cli.clock import Clock
from kling_cli.console import Console
from kling_cli.journal import Journal
from kling_cli.models import Purchase, Stage, Task, Video
from kling_cli.poll import Poll
from kling_cli.purchase import Resume
from kling_cli.schedule import Schedule, learn

if TYPE_CHECKING:
    from kling_cli.context import Context

_MEDIANS = (45.0, 90.0, 164.0, 320.0)
_FIXED_SECONDS = 5.0
_SPREAD = 0.35
_TASKS = 500
_LEARNED = 30
_DONE = Task(task_id="t", status=Stage.SUCCEED, videos=(Video(url="https://h/v.mp4"),))
_RUNNING = Task(task_id="t", status=Stage.PROCESSING)
_SUBMITTED = Purchase(
    external_task_id="e",
    fingerprint="f",
    base_url="https://h",
    effect_scene="squish",
    stage=Stage.PROCESSING,
    task_id="t",
)


class _Clock(Clock):
    """A clock that costs no time."""

    def __init__(self, chance: random.Random) -> None:
        self._now = 0.0
        self._chance = chance

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds

    def random(self) -> float:
        return self._chance.random()


def measure_schedule() -> Iterator[Figure]:
    """Wait for many tasks of each kind, after having learned from some.

    The cost is the mean delay in seconds times the mean number of looks: either is bought with the
    other, so a schedule is better only if the product is smaller.
    """
    chance = random.Random(20261122)
    for median in _MEDIANS:
        durations = _draw(chance, (median,))
        schedule = learn(_draw(chance, (median,))[:_LEARNED])
        ratio = _compare(durations, schedule, chance)
        yield Figure(f"delay x looks, median {median:.0f} s", ratio, 0.8, " x")
    # No bar: even a schedule that knew the law of this mix would come to 0.88.
    ratio = _compare(_draw(chance, _MEDIANS), learn(()), chance)
    yield Figure("delay x looks, unknown mix", ratio, unit=" x")


def _draw(chance: random.Random, medians: Sequence[float]) -> list[float]:
    return [
        medians[number % len(medians)] * chance.lognormvariate(0.0, _SPREAD)
        for number in range(_TASKS)
    ]


def _compare(durations: Sequence[float], schedule: Schedule, chance: random.Random) -> float:
    ours = _cost([_wait(seconds, schedule, chance) for seconds in durations])
    return ours / _cost([_wait_fixed(seconds) for seconds in durations])


def _cost(ends: Sequence[tuple[float, int]]) -> float:
    return fmean(delay for delay, _ in ends) * fmean(looks for _, looks in ends)


def _wait(duration: float, schedule: Schedule, chance: random.Random) -> tuple[float, int]:
    clock = _Clock(chance)
    looks = 0

    def get_task(*_ids: str, seconds: float) -> Task:
        nonlocal looks
        looks += 1
        return _DONE if clock.monotonic() >= duration else _RUNNING

    journal = Journal(None, now=clock.time)
    client = SimpleNamespace(get_task=get_task)
    context = SimpleNamespace(
        client=lambda _base_url: client,
        journal=journal,
        clock=clock,
        schedule=schedule,
        resume=Resume(),
    )
    row = Console(io.StringIO(), environ={}, clock=clock).start("t")
    Poll(cast("Context", context), _SUBMITTED, math.inf, row).wait(is_new=True)
    journal.close()
    return clock.monotonic() - duration, looks


def _wait_fixed(seconds: float) -> tuple[float, int]:
    looks = -(-seconds // _FIXED_SECONDS)
    return looks * _FIXED_SECONDS - seconds, int(looks)
