"""The claim: one request, one row; the user's own id; and --new."""

import stat

import pytest
from support.purchases import break_journal, find_video, journal_path, list_stages, show
from support.replies import RESET, Reply, refuse
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules

PLAIN = ("effect", "squish", PHOTO)
NAMED = (*PLAIN, "--external-task-id", "order-66")


def move_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_STATE_DIR", f"{journal_path().parent}-of-another-machine")


def test_it_is_looked_up_and_then_sent(kling: Program, service: LoopbackService) -> None:
    """A free id goes along with the request, after one look that it is free; a rerun is free."""
    run = kling(*NAMED)
    assert (run.code, run.lines) == (0, [find_video(service)])
    assert service.ledger[0].external_task_id == "order-66"
    assert [visit.method for visit in service.visits][:2] == ["GET", "POST"]
    assert kling(*NAMED, "--json").json["reused"] is True
    assert service.count("POST") == 1


def test_a_task_of_another_machine(
    service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another machine has bought under this id is waited for: no POST from this one."""
    service.shop.rules = Rules(deduplicate="ignore")
    assert Program()(*NAMED, "--no-wait").code == 0
    move_to_another_machine(monkeypatch)
    run = Program()(*NAMED, "--json")
    assert (run.code, run.json["reused"], service.count("POST")) == (0, True, 1)
    assert f"task {service.ledger[0].task_id} (order-66)" in run.err
    assert "The service already has a task with the external id order-66." in run.err


def test_a_failed_one_of_another_machine_is_bought_anew(
    kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id is spent, so the new purchase has a random one, and the id is named."""
    assert kling(*NAMED, "--no-wait").code == 0
    move_to_another_machine(monkeypatch)
    service.on_look(show("failed"))
    run = kling(*NAMED)
    old, new = service.ledger
    assert (run.code, run.lines) == (0, [find_video(service, 1)])
    assert f"The earlier task {old.task_id} failed; buying a new one." in run.err
    assert new.external_task_id != "order-66"
    assert str(new.external_task_id) in run.err


def test_another_request_cannot_have_it(kling: Program, service: LoopbackService) -> None:
    """Fault 97: an id that the journal knows for another picture is refused before sending."""
    assert kling(*NAMED).code == 0
    run = kling("effect", "squish", OTHER_PHOTO, "--external-task-id", "order-66", "--json")
    assert (run.code, run.json["error"]["code"]) == (2, "external_task_id_in_use")
    assert "Nothing was sent." in run.err
    assert service.count("POST") == 1


def test_new_under_the_same_id_buys_nothing(kling: Program, service: LoopbackService) -> None:
    """An id names one purchase: a rerun with --new and the id of the first run is free."""
    assert kling(*PLAIN).code == 0
    assert kling(*NAMED, "--new").lines == [find_video(service, 1)]
    run = kling(*NAMED, "--new")
    assert (run.lines, service.count("POST")) == ([find_video(service, 1)], 2)
    assert "use --new with another --external-task-id." in run.err


def test_new_looks_an_id_up_too(service: LoopbackService, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --new, what another machine has bought under the id is not bought again."""
    assert Program()(*NAMED).code == 0
    move_to_another_machine(monkeypatch)
    assert Program()(*PLAIN, "--new").code == 0
    assert Program()(*NAMED, "--new").lines == [find_video(service)]
    assert [sale.external_task_id == "order-66" for sale in service.ledger] == [True, False]


def test_a_claim_by_derived_id_needs_no_look(kling: Program, service: LoopbackService) -> None:
    """Of a request that another run has claimed but not sent, the service cannot know."""
    service.shop.rules = Rules(deduplicate="ignore")
    assert kling(*PLAIN, "--no-wait").code == 0
    break_journal("UPDATE purchases SET stage = 'claimed', task_id = NULL")
    assert kling(*NAMED).lines == [find_video(service, 1)]
    assert [visit.method for visit in service.visits][:2] == ["POST", "POST"]


def test_a_look_that_fails_is_repeated(kling: Program, service: LoopbackService) -> None:
    service.on_look(RESET, times=2)
    assert kling(*NAMED).lines == [find_video(service)]


@pytest.mark.parametrize(
    ("reply", "looks", "code", "words"),
    [
        pytest.param(Reply(status=500), 3, 10, "Nothing was sent.", id="no answer"),
        pytest.param(refuse(401, 1002, "?"), 1, 4, "from KLING_TOKEN", id="17"),
    ],
)
def test_without_an_answer_nothing_is_sent(
    kling: Program, service: LoopbackService, reply: Reply, looks: int, code: int, words: str
) -> None:
    """Whether the id is free must be known first, else no claim stays; fault 17 ends the look."""
    service.on_look(reply, times=looks)
    run = kling(*NAMED, "--json")
    assert (run.code, service.count("POST"), list_stages()) == (code, 0, [])
    assert (run.json["error"]["charged"], words in run.err) == ("no", True)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "\x1b[2J", "x" * 129])
def test_an_unsafe_id_is_refused(kling: Program, service: LoopbackService, name: str) -> None:
    """Fault 36: an id that could not be looked up is refused before anything starts."""
    run = kling(*PLAIN, "--external-task-id", name)
    several = kling(*PLAIN, OTHER_PHOTO, "--external-task-id", name)
    assert (run.code, several.code, service.visits) == (2, 2, [])
    assert "1 to 128 characters: A-Z" in run.err
    assert "is for one task, but this command makes 2" in several.err
    assert "\x1b" not in run.err + several.err


def test_new_buys_under_a_random_id(kling: Program, service: LoopbackService) -> None:
    """Both tasks are bought, the plain command then means the newer one, and a refusal neither."""
    assert kling(*PLAIN).code == 0
    assert kling(*PLAIN, "--new").lines == [find_video(service, 1)]
    service.on_create(refuse(429, 1101, "account in arrears"))
    assert kling(*PLAIN, "--new").code == 7
    assert kling(*PLAIN).lines == [find_video(service, 1)]
    first, second = [sale.external_task_id for sale in service.ledger]
    assert first != second


@pytest.mark.usefixtures("service")
def test_the_journal_is_its_owners(kling: Program) -> None:
    assert kling(*PLAIN).code == 0
    for path in journal_path().parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
