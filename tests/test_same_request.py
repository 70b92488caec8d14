"""The same request from several runs at once: one purchase, and everybody gets the video."""

import contextlib
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.fault_server import FaultServer
from support.purchases import HookClock, break_journal, find_video, journal_path, list_stages
from support.replies import Reply, accept, refuse
from support.run import OTHER_PHOTO, PHOTO, Program, Run
from support.service import LoopbackService
from support.steps import Step, answer, buy, hold, read_request

from kling_cli.models import Stage

PLAIN = ("effect", "squish", PHOTO)


def run_in_thread(*argv: object) -> tuple[threading.Thread, list[Run]]:
    ended: list[Run] = []
    thread = threading.Thread(target=lambda: ended.append(Program()(*map(str, argv))))
    thread.start()
    return thread, ended


@pytest.mark.parametrize(
    ("count", "own_id"), [(2, ()), (2, ("--external-task-id", "order-66")), (12, ())]
)
def test_many_buy_one(service: LoopbackService, count: int, own_id: tuple[str, ...]) -> None:
    """Faults 95, 97 and 98: one sends, the others wait for the same task; all print the URL."""
    with ThreadPoolExecutor(count) as pool:
        runs = [pool.submit(Program(), *PLAIN, *own_id) for _ in range(count)]
    told = [run.result() for run in runs]
    assert [(run.code, run.lines) for run in told] == [(0, [find_video(service)])] * count
    assert (service.count("POST"), len(service.ledger)) == (1, 1)


def test_readers_block_no_claim(kling: Program, service: LoopbackService) -> None:
    """Fault 100: a list that is being read keeps nobody from buying, and stays the same."""
    assert kling(*PLAIN).code == 0
    with contextlib.closing(sqlite3.connect(journal_path(), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM purchases").fetchone()
        assert kling("effect", "squish", OTHER_PHOTO).code == 0
        assert reader.execute("SELECT count(*) FROM purchases").fetchone() == before
    assert len(service.ledger) == 2


@pytest.mark.parametrize(
    ("ending", "sales", "is_reused"),
    [
        pytest.param((buy, answer(Reply(json=accept))), 1, True, id="accepted"),
        pytest.param((answer(refuse(429, 1101, "arrears")),), 1, False, id="refused"),
    ],
)
def test_a_run_waits_for_what_another_is_just_sending(
    service: LoopbackService,
    monkeypatch: pytest.MonkeyPatch,
    ending: tuple[Step, ...],
    sales: int,
    *,
    is_reused: bool,
) -> None:
    """Fault 95: the second sends nothing until the first one's answer is known, and then by it."""
    with FaultServer((read_request, hold, *ending), service=service) as server:
        monkeypatch.setenv("KLING_BASE_URL", server.base_url)
        thread, first = run_in_thread(*PLAIN, "--no-wait")
        server.wait_until_held()

        def let_the_first_end() -> None:
            server.release()
            thread.join(10)

        second = Program(clock=HookClock(let_the_first_end))(*PLAIN, "--json")
    assert (second.code, second.json["reused"]) == (0, is_reused)
    assert [run.code for run in first] == [0 if is_reused else 7]
    assert len(service.ledger) == sales


def test_a_run_that_finds_another_still_sending_does_not_send(
    service: LoopbackService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 96: as long as nobody knows what became of the first, the second only looks: 9."""
    with FaultServer((read_request, hold, buy, answer(Reply(json=accept))), service=service) as one:
        monkeypatch.setenv("KLING_BASE_URL", one.base_url)
        thread, first = run_in_thread(*PLAIN)
        one.wait_until_held()
        second = Program()(*PLAIN)
        one.release()
        thread.join(10)
    assert second.code == 9
    assert "An earlier run started to send this request" in second.err
    assert [run.lines for run in first] == [[find_video(service)]]
    assert len(service.ledger) == 1


@pytest.mark.parametrize("stage", [Stage.SENDING, Stage.UNKNOWN, Stage.SUBMITTED])
def test_a_dead_runs_purchase_is_taken_up(service: LoopbackService, stage: Stage) -> None:
    """Fault 96: by the state of its row it is found or waited for, and nothing is sent."""
    assert Program()(*PLAIN, "--no-wait").code == 0
    task_id = "task_id" if stage is Stage.SUBMITTED else "NULL"
    break_journal(f"UPDATE purchases SET stage = '{stage}', task_id = {task_id}")
    run = Program()(*PLAIN)
    assert (run.code, run.lines, service.count("POST")) == (0, [find_video(service)], 1)
    assert list_stages() == [Stage.SUCCEED]
