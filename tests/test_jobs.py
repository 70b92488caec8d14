"""How many tasks are under way at once."""

from pathlib import Path

import pytest
from support.photos import make_photos
from support.replies import Reply, accept
from support.run import Program
from support.service import LoopbackService
from support.shop import Purchase, Rules


@pytest.mark.parametrize("jobs", [1, 3, 8, None])
def test_so_many_tasks_at_once_and_no_more(
    kling: Program, service: LoopbackService, tmp_path: Path, jobs: int | None
) -> None:
    """--jobs bounds the tasks under way, and that many there are; 4 where nothing is said."""
    counts = list[int]()

    def count(sale: Purchase | None) -> object:
        counts.append(service.running)
        return accept(sale)

    service.shop.rules = Rules(task_seconds=90)
    service.on_create(Reply(json=count), purchase=True, times=10)
    photos = make_photos(tmp_path / "photos", 10)
    run = kling("effect", "squish", *photos, *([f"--jobs={jobs}"] if jobs else []))
    assert (run.code, len(run.lines), len(counts)) == (0, 10, 10)
    most = jobs or 4
    assert min(most, 2) <= max(counts) <= most
