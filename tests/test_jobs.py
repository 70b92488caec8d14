"""How many tasks are under way at once."""

from itertools import product
from pathlib import Path

import pytest
from support.photos import make_photos
from support.replies import Reply, accept
from support.run import Program
from support.service import LoopbackService
from support.shop import Purchase, Rules

SQUISH = ("effect", "squish")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Ten photos."""
    return make_photos(tmp_path / "photos", 10)


@pytest.fixture
def running(service: LoopbackService) -> list[int]:
    """How many tasks were under way at each purchase, itself among them."""
    counts = list[int]()

    def count(sale: Purchase | None) -> object:
        counts.append(service.running)
        return accept(sale)

    service.shop.rules = Rules(task_seconds=90)
    service.on_create(Reply(json=count), purchase=True, times=10)
    return counts


@pytest.mark.parametrize("case", list(product(["option", "variable", "setting"], [1, 3, 8])))
@pytest.mark.usefixtures("service")
def test_so_many_tasks_at_once_and_no_more(
    kling: Program,
    photos: list[Path],
    running: list[int],
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, int],
) -> None:
    """--jobs, KLING_JOBS and the setting bound the tasks under way; that many there are."""
    place, number = case
    argv: tuple[str, ...] = ()
    if place == "option":
        monkeypatch.setenv("KLING_JOBS", "5")
        argv = ("--jobs", str(number))
    elif place == "variable":
        monkeypatch.setenv("KLING_JOBS", str(number))
    else:
        assert kling("config", "set", "jobs", str(number)).code == 0
    run = kling(*SQUISH, *photos, *argv)
    assert (run.code, len(run.lines), len(running)) == (0, 10, 10)
    assert max(running) <= number
    assert max(running) >= min(number, 2)


@pytest.mark.usefixtures("service")
def test_four_at_once_where_nothing_is_said(
    kling: Program, photos: list[Path], running: list[int]
) -> None:
    """The default is less than what a trial account may have."""
    assert kling(*SQUISH, *photos).code == 0
    assert 2 <= max(running) <= 4


@pytest.mark.parametrize("value", ["0", "-1", "65", "many", "1.5", "", "1e3"])
def test_no_number_of_jobs_is_a_usage_error(
    kling: Program,
    service: LoopbackService,
    photos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    value: str,
) -> None:
    """A wrong option ends with 2, a wrong variable with 4, and nothing is sent."""
    run = kling(*SQUISH, *photos, f"--jobs={value}", "--json")
    assert (run.code, run.json["exit_code"]) == (2, 2)
    assert "--jobs: jobs must be a whole number from 1 to 64" in run.err
    if value:
        monkeypatch.setenv("KLING_JOBS", value)
        assert kling(*SQUISH, *photos).code == 4
    assert service.visits == []
