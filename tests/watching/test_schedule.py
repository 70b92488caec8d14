"""Looks are spent where the end is likely: the schedule is better than a fixed beat, and learns."""

import math
from collections.abc import Callable
from itertools import pairwise
from statistics import NormalDist, mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.watching.schedule import Schedule, learn


def draw(median: float, spread: float, *, count: int = 400) -> list[float]:
    """Draw durations evenly from the law, without chance."""
    law = NormalDist(math.log(median), spread)
    return [math.exp(law.inv_cdf((number + 0.5) / count)) for number in range(count)]


def measure(space: Callable[[float], float], durations: list[float]) -> float:
    """Measure the mean delay times the mean number of looks."""
    delays: list[float] = []
    looks: list[int] = []
    for duration in durations:
        age, count = 2.0, 1
        while age < duration:
            age += space(age)
            count += 1
        delays.append(age - duration)
        looks.append(count)
    return mean(delays) * mean(looks)


@pytest.mark.parametrize("spread", [0.3, 0.4, 0.45, 0.5])
def test_beats_a_fixed_beat(spread: float) -> None:
    """Before it has learned anything, delay times looks is at most 0.8 of a look each 5 s."""
    durations = draw(120, spread)
    assert measure(Schedule().space, durations) <= 0.8 * measure(lambda _age: 5.0, durations)


def test_learning_pays() -> None:
    """A machine whose tasks take another time learns that, and looks better for it."""
    durations = draw(300, 0.3)
    learned = learn(durations[::20])
    assert learned.median == pytest.approx(300, rel=0.15)
    assert measure(learned.space, durations) <= 0.8 * measure(Schedule().space, durations)


def test_few_tasks_do_not_outweigh_the_prior() -> None:
    """One odd task moves the expectation a little, not all the way."""
    assert learn([]).median == pytest.approx(120)
    assert 120 < learn([1200]).median < 400
    assert learn([], prior=3).median == pytest.approx(3)


def test_tasks_that_all_take_the_same_leave_room() -> None:
    """A hundred equal durations do not make the schedule blind to others."""
    schedule = learn([60.0] * 100)
    assert schedule.spread == pytest.approx(0.15, abs=0.01)
    assert schedule.space(600) <= 15


@given(
    age=st.floats(min_value=0, max_value=1e9),
    durations=st.lists(st.floats(min_value=0.001, max_value=1e7), max_size=5),
)
def test_spacing_stays_within_its_bounds(age: float, durations: list[float]) -> None:
    """Whatever was learned and however old a task is, looks are 1 to 15 s apart."""
    assert 1 <= learn(durations).space(age) <= 15


@pytest.mark.parametrize("spread", [0.15, 0.45, 1.0])
def test_spacing_has_no_jump_in_the_far_tail(spread: float) -> None:
    """Where the law's own numbers vanish, the spacing goes on without a jump."""
    schedule = Schedule(spread=spread)
    ages = [120 * math.exp(spread * step / 50) for step in range(250, 400)]
    spaces = [schedule.space(age) for age in ages]
    assert all(later == pytest.approx(earlier, rel=0.05) for earlier, later in pairwise(spaces))
