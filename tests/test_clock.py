"""Time, chance, and time in words."""

import time

import pytest

from kling_cli.clock import SystemClock, format_about, format_seconds


def test_the_machine_s_clock_is_the_machine_s() -> None:
    """A run outside of tests goes by the machine's own time and chance."""
    clock = SystemClock()
    before = time.monotonic()
    clock.sleep(0.01)
    assert before + 0.01 <= clock.monotonic() <= time.monotonic()
    assert abs(clock.time() - time.time()) < 1
    draws = {clock.random() for _ in range(10)}
    assert len(draws) > 1
    assert all(0 <= draw < 1 for draw in draws)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (59.9, "0:59"), (60, "1:00"), (3599, "59:59"), (3600, "1:00:00")],
)
def test_elapsed_time_is_shown_as_a_clock_shows_it(seconds: float, shown: str) -> None:
    """Elapsed seconds are read at a glance."""
    assert format_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(1, "5 s"), (42, "40 s"), (89, "90 s"), (90, "2 min"), (130, "2 min"), (3000, "50 min")],
)
def test_a_usual_duration_is_never_too_exact(seconds: float, shown: str) -> None:
    """A duration learned from earlier tasks is rounded, so that nobody takes it for a promise."""
    assert format_about(seconds) == shown
