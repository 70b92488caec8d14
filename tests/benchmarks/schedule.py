"""How late a video is noticed, and for how many looks, beside a look every 5 seconds."""

import math
import random
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean

from kling_cli.clock import Clock
from kling_cli.purchase import Purchase
from kling_cli.task import Look, Task, TaskStatus, Video
from kling_cli.watching.schedule import Schedule, learn
from kling_cli.watching.waiting import Wait, watch

MEDIANS = (45.0, 90.0, 164.0, 320.0)
BAR = 0.8
FIXED_SECONDS = 5.0
_SPREAD = 0.35
_TASKS = 2000
_LEARNED = 30
_DONE = Task(task_id="t", status=TaskStatus.SUCCEED, videos=(Video(url="https://h/v.mp4"),))
_RUNNING = Task(task_id="t", status=TaskStatus.PROCESSING)


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


class _Nobody:
    """A listener that says nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""

    def accept(self, purchase: Purchase) -> None:
        """Say nothing."""

    def look(self, task: Task) -> None:
        """Say nothing."""

    def miss(self, count: int, reason: str) -> None:
        """Say nothing."""

    def queue(self) -> None:
        """Say nothing."""

    def save(self, done: int, total: int | None) -> None:
        """Say nothing."""

    def hold(self, reason: str, *, seconds: float) -> None:
        """Say nothing."""


def measure() -> list[tuple[str, float, float]]:
    """Wait for many tasks of each kind; give the kind, the cost of ours, and the fixed one's.

    The cost is the mean delay in seconds times the mean number of looks: either is bought with the
    other, so a schedule is better only if the product is smaller.
    """
    chance = random.Random(20261122)  # noqa: S311 - the same tasks each time
    rows = list[tuple[str, float, float]]()
    for median in MEDIANS:
        durations = _draw(chance, (median,))
        schedule = learn(_draw(chance, (median,))[:_LEARNED])
        rows.append((f"median {median:.0f} s", *_compare(durations, schedule, chance)))
    rows.append(("unknown mix", *_compare(_draw(chance, MEDIANS), learn(()), chance)))
    return rows


def find_best() -> float:
    """Tell the ratio that no schedule can beat for the mix, even one that knows its law.

    With a spacing of c / sqrt(h(t)) the delay is c / 2 and the looks are 1 / c times the integral
    of sqrt(h(t)) * S(t), which is the least by the inequality of Cauchy and Schwarz; with a fixed
    spacing their product is half the mean duration.
    """
    laws = [NormalDist(math.log(median), _SPREAD) for median in MEDIANS]
    step, integral, mean = 0.1, 0.0, 0.0
    for number in range(1, 40_000):
        age = number * step
        survival = fmean(1 - law.cdf(math.log(age)) for law in laws)
        density = fmean(law.pdf(math.log(age)) for law in laws) / age
        integral += math.sqrt(density * survival) * step
        mean += survival * step
    return integral**2 / mean


def _draw(chance: random.Random, medians: Sequence[float]) -> list[float]:
    return [
        medians[number % len(medians)] * chance.lognormvariate(0.0, _SPREAD)
        for number in range(_TASKS)
    ]


def _compare(
    durations: Sequence[float], schedule: Schedule, chance: random.Random
) -> tuple[float, float]:
    ours = _cost(durations, lambda seconds: _wait(seconds, schedule, chance))
    fixed = _cost(durations, _wait_fixed)
    return ours, fixed


def _cost(durations: Sequence[float], wait: Callable[[float], tuple[float, int]]) -> float:
    ends = [wait(seconds) for seconds in durations]
    return fmean(delay for delay, _ in ends) * fmean(looks for _, looks in ends)


def _wait(seconds: float, schedule: Schedule, chance: random.Random) -> tuple[float, int]:
    clock = _Clock(chance)
    looks = 0

    def look() -> Look:
        nonlocal looks
        looks += 1
        return Look(task=_DONE if clock.monotonic() >= seconds else _RUNNING)

    watch(look, Wait(name="t", schedule=schedule), clock=clock, talk=_Nobody())
    return clock.monotonic() - seconds, looks


def _wait_fixed(seconds: float) -> tuple[float, int]:
    looks = -(-seconds // FIXED_SECONDS)
    return looks * FIXED_SECONDS - seconds, int(looks)
