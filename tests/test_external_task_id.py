"""The claim: one request, one row; the user's own id; and what holds where no journal can."""

import stat

import pytest
from support.purchases import (
    break_journal,
    find_video,
    full_at,
    journal_path,
    list_stages,
    make_journal,
    show,
)
from support.replies import RESET, Reply, refuse
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules

from kling_cli.models import Stage

NAMED = ("effect", "squish", PHOTO, "--external-task-id", "order-66")


class TestOwnId:
    """--external-task-id: the user's own name for the purchase."""

    def test_it_is_looked_up_and_then_sent(self, kling: Program, service: LoopbackService) -> None:
        """A free id goes along with the request, after one look that it is free."""
        run = kling(*NAMED)
        assert (run.code, run.lines) == (0, [find_video(service)])
        assert service.ledger[0].external_task_id == "order-66"
        assert [visit.method for visit in service.visits][:2] == ["GET", "POST"]

    def test_the_task_of_another_machine_is_taken_up(
        self, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What another machine has bought under this id is waited for: no POST from this one."""
        service.shop.rules = Rules(deduplicate="ignore")
        assert Program()(*NAMED, "--no-wait").code == 0
        monkeypatch.setenv("KLING_STATE_DIR", f"{journal_path().parent}-of-another-machine")
        run = Program()(*NAMED, "--json")
        assert (run.code, run.json["reused"], service.count("POST")) == (0, True, 1)
        assert f"task {service.ledger[0].task_id} (order-66)" in run.err
        assert "The service already has a task with the external id order-66." in run.err

    def test_a_failed_one_of_another_machine_is_bought_anew(
        self, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its id is spent, so the new purchase has a random one, and the id is told."""
        assert kling(*NAMED, "--no-wait").code == 0
        monkeypatch.setenv("KLING_STATE_DIR", f"{journal_path().parent}-of-another-machine")
        service.on_look(show("failed"))
        run = kling(*NAMED)
        old, new = service.ledger
        assert (run.code, run.lines) == (0, [find_video(service, 1)])
        assert f"The earlier task {old.task_id} failed; buying a new one." in run.err
        assert new.external_task_id != "order-66"
        assert str(new.external_task_id) in run.err

    def test_another_request_cannot_have_it(self, kling: Program, service: LoopbackService) -> None:
        """Fault 97: an id that the journal knows for another picture is refused before sending."""
        assert kling(*NAMED).code == 0
        run = kling("effect", "squish", OTHER_PHOTO, "--external-task-id", "order-66", "--json")
        assert (run.code, run.json["error"]["code"]) == (2, "external_task_id_in_use")
        assert "Nothing was sent." in run.err
        assert service.count("POST") == 1

    def test_the_same_request_goes_on_under_it(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 97: the same command again costs nothing."""
        assert kling(*NAMED).code == 0
        assert kling(*NAMED, "--json").json["reused"] is True
        assert service.count("POST") == 1

    def test_new_under_the_same_id_buys_nothing(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """An id names one purchase: a rerun with --new and the id of the first run is free."""
        assert kling("effect", "squish", PHOTO).code == 0
        assert kling(*NAMED, "--new").lines == [find_video(service, 1)]
        run = kling(*NAMED, "--new")
        assert (run.lines, service.count("POST")) == ([find_video(service, 1)], 2)
        assert "--new needs another --external-task-id." in run.err

    def test_new_looks_a_fresh_id_up_too(
        self, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With --new, what another machine has bought under the id is not bought again."""
        assert Program()(*NAMED).code == 0
        monkeypatch.setenv("KLING_STATE_DIR", f"{journal_path().parent}-of-another-machine")
        assert Program()("effect", "squish", PHOTO, "--new").code == 0
        assert Program()(*NAMED, "--new").lines == [find_video(service)]
        assert [sale.external_task_id == "order-66" for sale in service.ledger] == [True, False]

    def test_a_claim_under_the_derived_id_is_not_looked_up(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Of a request that another run has claimed but not sent, the service cannot know."""
        make_journal()
        break_journal(full_at(Stage.SENDING))
        assert kling("effect", "squish", PHOTO).code == 11
        assert list_stages() == [Stage.CLAIMED]
        break_journal("DROP TRIGGER full_sending")
        assert kling(*NAMED).lines == [find_video(service)]
        assert service.visits[0].method == "POST"

    def test_a_look_that_fails_is_repeated(self, kling: Program, service: LoopbackService) -> None:
        """A blip while looking the id up is no reason to give up."""
        service.on_look(RESET, times=2)
        assert kling(*NAMED).lines == [find_video(service)]

    def test_without_an_answer_nothing_is_sent(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Whether the id is free must be known first; else it ends with 10, and no claim stays."""
        service.on_look(Reply(status=500), times=3)
        run = kling(*NAMED, "--json")
        assert (run.code, service.count("POST"), list_stages()) == (10, 0, [])
        assert (run.json["error"]["code"], run.json["error"]["charged"]) == ("not_sent", "no")
        assert "order-66" in run.err
        assert "Nothing was sent." in run.err

    def test_a_refused_token_ends_the_look(self, kling: Program, service: LoopbackService) -> None:
        """Fault 17: a refused token is told as such before anything is sent."""
        service.on_look(refuse(401, 1002, "authorization invalid"))
        run = kling(*NAMED)
        assert (run.code, service.count("POST"), list_stages()) == (4, 0, [])
        assert "Token refused (from KLING_TOKEN)" in run.err

    @pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "\x1b[2J", "x" * 129])
    def test_an_id_that_no_url_can_carry_is_refused(
        self, kling: Program, service: LoopbackService, name: str
    ) -> None:
        """Fault 36: an id that could not be looked up is refused before anything starts."""
        run = kling("effect", "squish", PHOTO, "--external-task-id", name)
        assert (run.code, service.visits) == (2, [])
        assert "\x1b" not in run.err
        assert "1 to 128 of A-Z" in run.err

    def test_it_names_one_task_only(self, kling: Program, service: LoopbackService) -> None:
        """Two pictures make two tasks, which cannot share an id."""
        run = kling(*NAMED, OTHER_PHOTO)
        assert (run.code, service.visits) == (2, [])
        assert "names one task, and there are 2 to make" in run.err


class TestNew:
    """--new: a second purchase of the same request."""

    def test_it_buys_under_a_random_id(self, kling: Program, service: LoopbackService) -> None:
        """Both tasks are bought, and the plain command then means the newer one."""
        assert kling("effect", "squish", PHOTO).code == 0
        assert kling("effect", "squish", PHOTO, "--new").lines == [find_video(service, 1)]
        assert kling("effect", "squish", PHOTO).lines == [find_video(service, 1)]
        first, second = [sale.external_task_id for sale in service.ledger]
        assert first != second

    def test_a_refused_one_leaves_the_earlier_purchase(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Where --new was refused, the plain command still answers with what was bought before."""
        assert kling("effect", "squish", PHOTO).code == 0
        service.on_create(refuse(429, 1101, "account in arrears"))
        assert kling("effect", "squish", PHOTO, "--new").code == 7
        assert kling("effect", "squish", PHOTO).lines == [find_video(service)]
        assert len(service.ledger) == 1


class TestFile:
    """The file of the journal."""

    def test_a_damaged_journal_stops_before_the_send(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 79: nothing is sent, the file is named with the way out, and stays as it is."""
        path = journal_path()
        path.parent.mkdir(parents=True)
        path.write_bytes(b"this is no database, and must not be overwritten")
        run = kling("effect", "squish", PHOTO, "--json")
        assert (run.code, service.visits) == (11, [])
        assert f"mv {path} {path}.old" in run.json["error"]["hint"]
        assert path.read_bytes() == b"this is no database, and must not be overwritten"

    def test_the_journal_is_its_owners_alone(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """What was bought, with which pictures, is nobody else's business."""
        assert kling("effect", "squish", PHOTO).code == 0
        assert len(service.ledger) == 1
        for path in journal_path().parent.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
