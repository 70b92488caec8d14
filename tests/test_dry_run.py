"""`kling effect --dry-run`: all that a run would do, and nothing sent."""

import hashlib
import json

import pytest
from conftest import TOKEN
from support.pictures import save
from support.replies import DROP
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules

from kling_cli.settings import Token

SQUISH = ("effect", "squish", PHOTO)


def test_it_shows_the_request_and_sends_nothing(kling: Program, service: LoopbackService) -> None:
    planned = kling(*SQUISH, "--dry-run", "--json").json
    assert (planned["ok"], planned["plan"], planned["task_id"]) == (True, "buy", None)
    assert planned["reused"] is False
    assert service.visits == []
    content = PHOTO.read_bytes()
    assert planned["request"] == {
        "url": f"{service.base_url}/v1/videos/effects",
        "body": {
            "effect_scene": "squish",
            "input": {
                "model_name": "kling-v1-6",
                "image": {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
                "duration": "5",
            },
            "external_task_id": planned["external_task_id"],
        },
    }
    bought = kling(*SQUISH, "--json").json
    assert bought["external_task_id"] == planned["external_task_id"]
    assert (bought["plan"], bought["request"]) == (None, None)


def test_text_has_plan_picture_request_and_id(kling: Program, service: LoopbackService) -> None:
    run = kling(*SQUISH, OTHER_PHOTO, "--dry-run")
    rows = [line.split("\t") for line in run.lines]
    assert {(row[0], row[1]) for row in rows} == {("buy", str(PHOTO)), ("buy", str(OTHER_PHOTO))}
    assert all(row[3] == "squish kling-v1-6 5 s" for row in rows)
    ids = {
        kling(*SQUISH[:2], row[1], "--dry-run", "--json").json["external_task_id"] for row in rows
    }
    assert {row[4] for row in rows} == ids
    assert "Dry run: nothing is sent." in run.err
    assert kling(*SQUISH, "--dry-run", "-o", "-").lines[0].startswith("buy\t")
    assert service.visits == []


@pytest.mark.parametrize(
    ("rules", "before", "more", "plan"),
    [
        pytest.param(Rules(), "", "", "reuse", id="a finished task"),
        pytest.param(Rules(), "--no-wait", "", "resume", id="a running task"),
        pytest.param(Rules(lookup_by_external_id=False), "", "", "look", id="a doubt"),
        pytest.param(Rules(failure="blocked"), "", "", "buy", id="a failed task"),
        pytest.param(Rules(), "", "--new", "buy", id="--new"),
    ],
)
def test_the_journal_decides(
    kling: Program, service: LoopbackService, rules: Rules, before: str, more: str, plan: str
) -> None:
    """The service is not asked; what is bought once more gets its random id when it is bought."""
    service.shop.rules = rules
    if plan == "look":
        service.on_create(DROP)
    kling(*SQUISH, *before.split())
    visits, is_known = len(service.visits), plan != "buy"
    planned = kling(*SQUISH, "--dry-run", "--json", *more.split()).json
    assert (planned["plan"], planned["reused"], planned["exit_code"]) == (plan, is_known, 0)
    assert (planned["external_task_id"] is not None) == is_known
    bought = service.ledger[0].task_id if service.ledger else None
    assert planned["task_id"] == (bought if is_known else None)
    (row,) = kling(*SQUISH, "--dry-run", *more.split()).lines
    shown = row.split("\t")
    assert (shown[0], shown[4]) == (plan, planned["external_task_id"] or "random")
    assert len(service.visits) == visits


@pytest.mark.usefixtures("service")
def test_an_own_id_is_kept(kling: Program) -> None:
    argv = (*SQUISH, "--external-task-id", "mine", "--json")
    first = kling(*argv, "--dry-run").json
    assert (first["plan"], first["external_task_id"]) == ("buy", "mine")
    kling(*argv)
    again = kling(*argv, "--dry-run", "--new").json
    assert (again["plan"], again["external_task_id"]) == ("reuse", "mine")
    other = kling(*SQUISH, "--external-task-id", "other", "--new", "--dry-run", "--json").json
    assert (other["plan"], other["external_task_id"]) == ("buy", "other")


@pytest.mark.usefixtures("service")
def test_secrets_of_addresses_are_not_shown(kling: Program) -> None:
    picture, callback = "https://h.example/p.jpg?sig=SECRET", "https://h.example/?key=SECRET"
    argv = ("--no-check-url", "--callback-url", callback, "--dry-run", "--json")
    run = kling("effect", "squish", picture, *argv)
    body = run.json["request"]["body"]
    assert body["input"]["image"] == "https://h.example/p.jpg?..."
    assert body["callback_url"] == "https://h.example/?..."
    assert "SECRET" not in run.out + run.err


def test_a_repair_is_known_by_its_original(kling: Program, service: LoopbackService) -> None:
    """A rerun with --fix finds its task, whatever bytes the repair makes of the picture."""
    gif = save("GIF", "P", size=(400, 300))
    planned = kling("effect", "squish", "-", "--fix", "--dry-run", "--json", stdin=gif).json
    assert planned["images"][0]["fixes"][0] == "converted from GIF to JPEG"
    image = f"repaired:{hashlib.sha256(gif).hexdigest()}"
    content = {"model_name": "kling-v1-6", "image": image, "duration": "5"}
    told = {"base_url": service.base_url, "effect_scene": "squish", "input": content}
    fingerprint = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    assert planned["external_task_id"] == Token.parse(TOKEN, source="test").derive(fingerprint)
