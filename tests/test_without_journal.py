"""No journal exists and none can be made: the service is asked first, and no word is untrue."""

import signal
from pathlib import Path

import pytest
from support.clock import VirtualClock
from support.fault_server import FaultServer
from support.process import Process
from support.purchases import DAY, find_video, show
from support.replies import DROP, RESET, Reply, refuse
from support.run import OTHER_PHOTO, PHOTO, Program, Run
from support.service import LoopbackService
from support.shop import Rules
from support.steps import Step, answer, hold, read_request

SQUISH = ("effect", "squish", PHOTO)
HTML = {"Content-Type": "text/html"}
MISSING = answer(refuse(404, 1203, "task not found"))
UNTRUE = ("kling tasks", "never sends", "journal keeps", "has no task")


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KLING_STATE_DIR", str(tmp_path / "file" / "state"))


@pytest.fixture(autouse=True)
def _plain(service: LoopbackService) -> None:
    service.shop.rules = Rules(deduplicate="ignore")


def check_words(run: Run, *, name: str = "") -> None:
    said = run.out + run.err
    assert not [words for words in UNTRUE if words in said], said
    if name:
        assert "no command lists the task" in said
        assert "may then send it again" in said
        assert name in said


def test_the_id_is_looked_up_and_told_first(kling: Program, service: LoopbackService) -> None:
    """Fault 77: one free look, then a warning with the id, then the purchase."""
    service.on_create(DROP, purchase=True)
    run = kling(*SQUISH, "--json")
    name = str(service.ledger[0].external_task_id)
    assert (run.code, run.json["videos"][0]["url"]) == (0, find_video(service))
    assert [visit.method for visit in service.visits][:3] == ["GET", "POST", "GET"]
    assert sum(name in warning for warning in run.json["warnings"]) == 1
    assert run.err.index(f"Keep its id: {name}") < run.err.index("The response was lost")
    check_words(run, name=name)


@pytest.mark.parametrize("status", ["processing", "succeed"])
def test_a_known_task_is_gone_on_with(service: LoopbackService, status: str) -> None:
    """Fault 77: running or done, it is waited for or printed, and nothing is bought."""
    service.shop.rules = Rules(deduplicate="ignore", looks_until_done=99)
    assert Program()(*SQUISH, "--no-wait").code == 0
    looks = 0 if status == "succeed" else 4
    service.shop.rules = Rules(deduplicate="ignore", looks_until_done=looks)
    run = Program()(*SQUISH, "--json")
    assert (run.code, run.json["reused"], service.count("POST")) == (0, True, 1)
    assert run.json["videos"][0]["url"] == find_video(service)
    check_words(run)


@pytest.mark.parametrize("end", ["failed", "expired"])
def test_a_task_that_cannot_be_delivered_is_bought_under_another_id(
    clock: VirtualClock, service: LoopbackService, end: str
) -> None:
    """Fault 77: failed, or deleted after 30 days, it is bought once more under a random id."""
    assert Program(clock=clock)(*SQUISH).code == 0
    if end == "failed":
        service.on_look(show("failed"))
    else:
        video = {"url": find_video(service), "id": "1", "duration": "5"}
        old = int((clock.time() - 31 * DAY) * 1000)
        service.on_look(show("succeed", updated_at=old, task_result={"videos": [video]}))
    run = Program(clock=clock)(*SQUISH, "--json")
    first, second = service.ledger
    assert (run.code, run.json["videos"][0]["url"]) == (0, find_video(service, 1))
    assert first.external_task_id != second.external_task_id
    check_words(run, name=str(second.external_task_id))


def test_new_buys_under_another_id(kling: Program, service: LoopbackService) -> None:
    """Fault 77: --new is the user's own decision, also where only the service knows the first."""
    assert kling(*SQUISH).code == 0
    assert kling(*SQUISH, "--new").lines == [find_video(service, 1)]
    first, second = service.ledger
    assert first.external_task_id != second.external_task_id


@pytest.mark.parametrize(
    "reply",
    [
        refuse(400, 1201, "task id is invalid"),
        refuse(404, 1202, "path not found"),
        Reply(status=405, json={"message": "method not allowed"}),
        Reply(json={"code": 0, "data": {}}),
    ],
)
def test_a_gateway_without_look_up(kling: Program, service: LoopbackService, reply: Reply) -> None:
    """Fault 77: a look-up that is refused, but not over the token, is followed by the purchase."""
    service.on_look(reply)
    run = kling(*SQUISH)
    assert (run.code, len(service.ledger)) == (0, 1)
    check_words(run, name=str(service.ledger[0].external_task_id))


@pytest.mark.parametrize(
    ("reply", "code", "error"),
    [
        (refuse(401, 1002, "authorization invalid"), 4, "token_refused"),
        (DROP, 10, "not_sent"),
        (RESET, 10, "not_sent"),
        (Reply(status=500), 10, "not_sent"),
        (Reply(body=b"<html>Sign in</html>", headers=HTML), 10, "not_sent"),
        (refuse(429, 1302, "slow down"), 10, "not_sent"),
        (Reply(json={"error": {"message": "upstream is gone"}}), 10, "not_sent"),
    ],
)
def test_without_an_answer_nothing_is_sent(
    kling: Program, service: LoopbackService, reply: Reply, code: int, error: str
) -> None:
    """Faults 17 and 77: as long as nobody says whether it was bought before, it is not bought."""
    service.on_look(reply)
    run = kling(*SQUISH, "--json")
    assert (run.code, service.count("POST")) == (code, 0)
    assert (run.json["error"]["code"], run.json["error"]["charged"]) == (error, "no")
    assert ("Nothing was sent." in run.err) == (code == 10)
    check_words(run)


def test_an_unknown_fate_is_told_as_it_is(kling: Program, service: LoopbackService) -> None:
    """Fault 9: no command lists the task, and the same command finds nothing and sends again."""
    service.on_create(DROP)
    run = kling(*SQUISH, "--json")
    name = run.json["external_task_id"]
    assert (run.code, run.json["error"]["charged"]) == (9, "maybe")
    assert f"kling wait {name}" in run.json["error"]["hint"]
    assert "may then send it again" in run.json["error"]["hint"]
    check_words(run, name=name)
    assert (kling(*SQUISH).code, service.count("POST")) == (0, 2)


def test_a_timeout_is_told_as_it_is(kling: Program, service: LoopbackService) -> None:
    """Fault 29: exit 8 names the id and the command, which works, and what no journal means."""
    service.shop.rules = Rules(deduplicate="ignore", looks_until_done=50)
    run = kling(*SQUISH, "--timeout", "9s", "--json")
    task_id = service.ledger[0].task_id
    assert (run.code, run.json["task_id"]) == (8, task_id)
    assert f"kling wait {task_id} --base-url {service.base_url}" in run.json["error"]["hint"]
    assert "no command lists the task" in run.json["error"]["hint"]
    check_words(run, name=task_id)
    service.shop.rules = Rules(deduplicate="ignore", looks_until_done=0)
    assert kling("wait", task_id).lines == [find_video(service)]


@pytest.mark.parametrize(
    ("scripts", "charged"),
    [
        pytest.param([(read_request, hold)], "no", id="fault 87"),
        pytest.param([(read_request, MISSING), (read_request, hold)], "maybe", id="fault 88"),
    ],
)
def test_a_signal_tells_what_is_true(scripts: list[tuple[Step, ...]], charged: str) -> None:
    with (
        FaultServer(*scripts) as server,
        Process(*SQUISH, "--json", environ={"KLING_BASE_URL": server.base_url}) as process,
    ):
        server.wait_until_held()
        process.kill(signal.SIGINT)
        run = process.finish()
    assert (run.code, run.json["error"]["charged"]) == (130, charged)
    if charged == "no":
        check_words(run)
    else:
        check_words(run, name=f"kling wait {run.json['external_task_id']}")


@pytest.mark.parametrize(
    "argv", [("tasks",), ("tasks", "--unfinished"), ("status",), ("wait",), ("status", "no-such")]
)
def test_nothing_is_promised(
    kling: Program, service: LoopbackService, argv: tuple[str, ...]
) -> None:
    """Fault 77: commands that read the journal say that there is none, and not that it is empty."""
    run = kling(*argv)
    assert run.code == (6 if "no-such" in argv else 0)
    assert "No journal can be kept" in run.err
    assert "No task of this machine" not in run.err
    assert service.count("POST") == 0
    check_words(run)


def test_the_same_picture_twice_is_bought_once(kling: Program, service: LoopbackService) -> None:
    """Fault 98: within a run, too, each request is bought once."""
    run = kling(*SQUISH, PHOTO, OTHER_PHOTO)
    assert (run.code, len(run.lines), len(service.ledger)) == (0, 3, 2)
    check_words(run)
