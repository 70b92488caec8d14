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


def test_it_shows_the_request_and_sends_nothing(kling: Program, service: LoopbackService) -> None:
    """The picture stands there by its size and hash, and the real run has the very same id."""
    planned = kling("effect", "squish", PHOTO, "--dry-run", "--json").json
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
    bought = kling("effect", "squish", PHOTO, "--json").json
    assert bought["external_task_id"] == planned["external_task_id"]
    assert (bought["plan"], bought["request"]) == (None, None)


def test_text_has_plan_id_and_body(kling: Program, service: LoopbackService) -> None:
    """One line for each task, tabs between; what is shown on stderr says that it is no real run."""
    run = kling("effect", "squish", PHOTO, OTHER_PHOTO, "--dry-run")
    rows = [line.split("\t") for line in run.lines]
    assert {(row[0], row[3]) for row in rows} == {("buy", str(PHOTO)), ("buy", str(OTHER_PHOTO))}
    assert all(json.loads(row[2])["external_task_id"] == row[1] for row in rows)
    assert "This is a dry run: nothing is sent." in run.err
    assert service.visits == []


class TestPlan:
    """What the journal knows decides, and a look at the service is not needed to tell."""

    def test_a_finished_task_is_used_again(self, kling: Program, service: LoopbackService) -> None:
        """`reuse`: the run would answer at once."""
        task_id = kling("effect", "squish", PHOTO, "--json").json["task_id"]
        visits = len(service.visits)
        planned = kling("effect", "squish", PHOTO, "--dry-run", "--json").json
        assert (planned["plan"], planned["task_id"]) == ("reuse", task_id)
        assert (planned["reused"], planned["exit_code"]) == (True, 0)
        assert len(service.visits) == visits

    def test_a_running_task_is_taken_up(self, kling: Program, service: LoopbackService) -> None:
        """`resume`: the run would wait."""
        task_id = kling("effect", "squish", PHOTO, "--no-wait").lines[0]
        planned = kling("effect", "squish", PHOTO, "--dry-run", "--json").json
        assert (planned["plan"], planned["task_id"]) == ("resume", task_id)
        assert len(service.ledger) == 1

    def test_a_doubtful_one_is_looked_up(self, kling: Program, service: LoopbackService) -> None:
        """`look`: what may have been bought is never sent again."""
        service.shop.rules = Rules(lookup_by_external_id=False)
        service.on_create(DROP)
        assert kling("effect", "squish", PHOTO).code == 9
        planned = kling("effect", "squish", PHOTO, "--dry-run", "--json").json
        assert (planned["plan"], planned["task_status"]) == ("look", "unknown")

    def test_a_failed_one_is_bought_anew(self, kling: Program, service: LoopbackService) -> None:
        """Under an id that is drawn when it is bought."""
        service.shop.rules = Rules(failure="blocked")
        kling("effect", "squish", PHOTO)
        planned = kling("effect", "squish", PHOTO, "--dry-run", "--json").json
        assert (planned["plan"], planned["external_task_id"]) == ("buy", None)
        assert kling("effect", "squish", PHOTO, "--dry-run").lines[0].startswith("buy\t-\t")

    @pytest.mark.usefixtures("service")
    def test_new_buys_what_is_there(self, kling: Program) -> None:
        """`--new` is the user's own decision, and the plan says so."""
        kling("effect", "squish", PHOTO)
        run = kling("effect", "squish", PHOTO, "--dry-run", "--new", "--json")
        assert run.json["plan"] == "buy"

    @pytest.mark.usefixtures("service")
    def test_an_own_id_is_kept(self, kling: Program) -> None:
        """First it would be sent under the user's id, then its task would be used again."""
        argv = ("effect", "squish", PHOTO, "--external-task-id", "mine", "--json")
        first = kling(*argv, "--dry-run").json
        assert (first["plan"], first["external_task_id"]) == ("buy", "mine")
        kling(*argv)
        again = kling(*argv, "--dry-run", "--new").json
        assert (again["plan"], again["external_task_id"]) == ("reuse", "mine")
        other = ("--external-task-id", "other", "--new", "--dry-run")
        another = kling(*argv[:3], *other, "--json").json
        assert (another["plan"], another["external_task_id"]) == ("buy", "other")

    def test_an_id_of_another_request_is_refused(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """As the real run would refuse it."""
        kling("effect", "squish", PHOTO, "--external-task-id", "mine")
        run = kling("effect", "squish", OTHER_PHOTO, "--external-task-id", "mine", "--dry-run")
        assert (run.code, len(service.ledger)) == (2, 1)


def test_a_bad_picture_ends_as_in_the_real_run(kling: Program, service: LoopbackService) -> None:
    """Exit code 3 with all problems; the good one is still planned."""
    run = kling("effect", "squish", __file__, PHOTO, "--dry-run")
    assert (run.code, len(run.lines)) == (3, 1)
    assert "its content is plain text" in run.err
    assert service.visits == []


def test_without_a_token_it_ends_as_the_real_run(
    kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id that is shown is made with the token, and a run without one would end the same."""
    monkeypatch.delenv("KLING_TOKEN")
    assert kling("effect", "squish", PHOTO, "--dry-run").code == 4
    assert service.visits == []


@pytest.mark.usefixtures("service")
def test_secrets_of_addresses_are_not_shown(kling: Program) -> None:
    """The queries of a picture's and of a callback's address stay out of the plan."""
    picture, callback = "https://h.example/p.jpg?sig=SECRET", "https://h.example/?key=SECRET"
    argv = ("--no-check-url", "--callback-url", callback, "--dry-run", "--json")
    run = kling("effect", "squish", picture, *argv)
    body = run.json["request"]["body"]
    assert body["input"]["image"] == "https://h.example/p.jpg?..."
    assert body["callback_url"] == "https://h.example/?..."
    assert "SECRET" not in run.out + run.err


def test_a_repaired_picture_is_known_by_its_original(
    kling: Program, service: LoopbackService
) -> None:
    """A rerun with --fix finds its task, whatever bytes the repair makes of the picture."""
    gif = save("GIF", "P", size=(400, 300))
    planned = kling("effect", "squish", "-", "--fix", "--dry-run", "--json", stdin=gif).json
    assert planned["images"][0]["fixes"][0] == "converted from GIF to JPEG"
    assert planned["request"]["body"]["input"]["image"]["sha256"] == planned["images"][0]["sha256"]
    told = {
        "base_url": service.base_url,
        "effect_scene": "squish",
        "input": {
            "model_name": "kling-v1-6",
            "image": f"repaired:{hashlib.sha256(gif).hexdigest()}",
            "duration": "5",
        },
    }
    fingerprint = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    assert planned["external_task_id"] == Token.parse(TOKEN, source="test").derive(fingerprint)
