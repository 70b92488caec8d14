"""How late a video is noticed, and for how many looks, beside a look every 5 seconds."""

import io
import math
import random
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean

from kling_cli.clock import Clock
from kling_cli.console import Console
from kling_cli.journal import Journal
from kling_cli.models import Purchase, Stage, Task, TaskStatus, Video
from kling_cli.poll import Poll, Schedule, learn

MEDIANS = (45.0, 90.0, 164.0, 320.0)
BAR = 0.8
FIXED_SECONDS = 5.0
_SPREAD = 0.35
_TASKS = 500
_LEARNED = 30
_DONE = Task(task_id="t", status=TaskStatus.SUCCEED, videos=(Video(url="https://h/v.mp4"),))
_RUNNING = Task(task_id="t", status=TaskStatus.PROCESSING)
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


def measure() -> list[tuple[str, float, float]]:
    """Wait for many tasks of each kind; give the kind, the cost of ours, and the fixed one's.

    The cost is the mean delay in seconds times the mean number of looks: either is bought with the
    other, so a schedule is better only if the product is smaller.
    """
    chance = random.Random(20261122)
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

    def fetch(_purchase: Purchase, _seconds: float) -> Task:
        nonlocal looks
        looks += 1
        return _DONE if clock.monotonic() >= seconds else _RUNNING

    journal = Journal(None, now=clock.time)
    row = Console(io.StringIO(), environ={}, clock=clock).start("t")
    Poll(
        purchase=_SUBMITTED,
        fetch=fetch,
        journal=journal,
        clock=clock,
        deadline=math.inf,
        schedule=schedule,
        row=row,
    ).wait(is_new=True)
    journal.close()
    return clock.monotonic() - seconds, looks


def _wait_fixed(seconds: float) -> tuple[float, int]:
    looks = -(-seconds // FIXED_SECONDS)
    return looks * FIXED_SECONDS - seconds, int(looks)
