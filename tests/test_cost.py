"""What a task cost, as far as the service says it."""

import re
from pathlib import Path

import pytest
from support.photos import make_photos
from support.replies import Reply, wrap
from support.run import PHOTO, Program
from support.service import VIDEO, LoopbackService
from support.shop import Rules

DEDUCTION = {
    "final_unit_deduction": "2",
    "final_balance_deduction": {"quota": "1.5", "list_price": "0.28"},
}


def test_the_cost_is_told_and_kept(kling: Program, service: LoopbackService) -> None:
    """A run, its rerun and `kling tasks` know it, without any currency."""
    service.shop.rules = Rules(deduction=DEDUCTION)
    cost = {"units": 2.0, "quota": 1.5, "list_price": 0.28}
    assert kling("effect", "squish", PHOTO, "--json").json["cost"] == cost
    assert kling("effect", "squish", PHOTO, "--json").json["cost"] == cost
    assert kling("tasks", "--json").json["cost"] == cost
    assert kling("tasks").lines[0].split("\t")[6] == "2"


@pytest.mark.parametrize(
    "deduction",
    [
        {},
        {"final_unit_deduction": ""},
        {"final_unit_deduction": "-2"},
        {"final_unit_deduction": "NaN"},
        {"final_unit_deduction": True},
        {"final_unit_deduction": None, "final_balance_deduction": "0.28"},
        {"final_balance_deduction": {}},
    ],
)
def test_what_is_no_amount_is_unknown(
    kling: Program, service: LoopbackService, deduction: dict[str, object]
) -> None:
    service.shop.rules = Rules(deduction=deduction)
    assert kling("effect", "squish", PHOTO, "--json").json["cost"] is None
    assert kling("tasks").lines[0].split("\t")[6] == ""


def test_the_summary_has_the_sum(kling: Program, service: LoopbackService, tmp_path: Path) -> None:
    service.shop.rules = Rules(deduction=DEDUCTION)
    photos = make_photos(tmp_path, 3)
    assert kling("effect", "squish", photos[0]).code == 0
    run = kling("effect", "squish", *photos, "--json")
    assert sum(record["cost"]["units"] for record in run.records) == 2 * len(service.ledger)
    assert re.fullmatch(r"3 done · \d:\d\d · 4 units", run.err.splitlines()[-1])


def test_a_summary_of_unknown_costs(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """A sum of some is not shown as the sum of all."""
    service.shop.rules = Rules(deduction=DEDUCTION)
    video = {"id": "v", "url": service.publish("/v.mp4", VIDEO, media_type="video/mp4")}
    done = {"task_id": "1", "task_status": "succeed", "task_result": {"videos": [video]}}
    service.on_create(Reply(json=wrap(done)), purchase=True)
    run = kling("effect", "squish", *make_photos(tmp_path, 2), "--jobs", "1")
    assert run.err.endswith(" · 2 units, cost of 1 unknown\n")
