"""Accepted, refused, known already; and what a signal or a failing journal leaves behind."""

import re
import threading
from contextlib import closing

import pytest
from support.clock import VirtualClock
from support.fault_server import FaultServer
from support.purchases import (
    DAY,
    TOKEN,
    HookClock,
    break_journal,
    find_video,
    full_at,
    journal_path,
    list_stages,
    make_journal,
    open_submission,
    show,
)
from support.replies import DROP, Reply, refuse
from support.run import PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules
from support.steps import answer, buy, drain, read_head, read_request
from support.wire import Connection

from kling_cli.errors import KlingError, UnknownError
from kling_cli.journal import Journal
from kling_cli.models import Purchase, Stage

RANDOM_ID = re.compile(r"kling-[0-9a-f]{26}")
DERIVED_ID = re.compile(r"kling-[a-z2-7]{26}")
HTML = {"Content-Type": "text/html"}
TAKEN = "external_task_id already exists"


def refuse_words(status: int, code: str, message: str) -> Reply:
    """Refuse as a gateway does, with a word for a code."""
    return Reply(status=status, json={"error": {"code": code, "message": message}})


class TestAccepted:
    """The service has accepted the request."""

    def test_the_id_is_told_before_any_waiting(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Both ids are on stderr when the task is accepted; stdout has the URL alone."""
        run = kling("effect", "squish", PHOTO)
        sale = service.ledger[0]
        assert (run.code, run.out) == (0, find_video(service) + "\n")
        assert (
            f"submitted, task {sale.task_id} ({sale.external_task_id})" in run.err.splitlines()[0]
        )
        assert DERIVED_ID.fullmatch(sale.external_task_id or "")

    def test_the_token_goes_to_the_service_and_nowhere_else(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 76: the token is in the Authorization header, and in no output."""
        run = kling("effect", "squish", PHOTO, "--json", "--verbose")
        assert service.ledger[0].token == TOKEN
        assert TOKEN not in run.out + run.err
        assert TOKEN.encode() not in journal_path().read_bytes()

    def test_the_same_request_has_the_same_id_on_every_machine(
        self, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without our journal the derived id still meets the earlier purchase: bought once."""
        assert Program()("effect", "squish", PHOTO).code == 0
        monkeypatch.setenv("KLING_STATE_DIR", f"{journal_path().parent}-of-another-machine")
        run = Program()("effect", "squish", PHOTO, "--json")
        assert (run.code, run.json["reused"]) == (0, True)
        assert run.json["videos"][0]["url"] == find_video(service)
        assert (service.count("POST"), len(service.ledger)) == (2, 1)


GATEWAYS_404 = refuse_words(404, "", "Invalid URL (POST /kling/v1/videos/effects)")
NO_MONEY = "Balance or resource pack exhausted"
NO_ROUTE = "no effects route at this base_url"
SOURCE = "Token refused (from KLING_TOKEN)"
# The answer, the exit code, the stable error code, and words of the message.
REFUSALS: dict[str, tuple[Reply, int, str, str]] = {
    "fault 16: 400": (refuse(400, 1201, "bad model"), 6, "bad_parameter", "bad model"),
    "fault 16: 422": (refuse(422, 1200, "no field"), 6, "bad_parameter", "no field"),
    "fault 16: 1301": (refuse(400, 1301, "risk control"), 6, "content_refused", "risk control"),
    **{
        f"fault 17: {code}": (refuse(401, code, "authorization"), 4, "token_refused", SOURCE)
        for code in (1000, 1001, 1002, 1003, 1004)
    },
    "fault 17: 1103": (refuse(403, 1103, "no right"), 4, "permission_denied", "no right"),
    "fault 17: a gateway": (refuse_words(401, "", "无效的令牌"), 4, "token_refused", SOURCE),
    "fault 18: 402": (Reply(status=402), 7, "balance_exhausted", NO_MONEY),
    "fault 18: 1100": (refuse(429, 1100, "?"), 7, "account_abnormal", "abnormal state"),
    "fault 18: 1101": (refuse(429, 1101, "arrears"), 7, "balance_exhausted", NO_MONEY),
    "fault 18: 1102": (refuse(429, 1102, "used up"), 7, "balance_exhausted", NO_MONEY),
    "fault 18: a gateway": (
        refuse_words(403, "insufficient_user_quota", "用户额度不足"),
        *(7, "balance_exhausted", NO_MONEY),
    ),
    "fault 23": (Reply(status=413, headers=HTML), 6, "request_too_large", "refuses this size"),
    "fault 27: a page": (
        Reply(status=404, headers=HTML, body=b"<html>Not found</html>"),
        *(6, "no_effects_route", NO_ROUTE),
    ),
    "fault 27: JSON": (GATEWAYS_404, 6, "no_effects_route", NO_ROUTE),
    "1304": (refuse(429, 1304, "ip not allowed"), 4, "ip_not_allowed", "allow-list"),
}


class TestRefused:
    """An answer of known meaning: nothing was bought, and nothing is sent again."""

    @pytest.mark.parametrize("name", REFUSALS)
    def test_a_refusal_ends_the_run_and_leaves_nothing(
        self, kling: Program, clock: VirtualClock, service: LoopbackService, name: str
    ) -> None:
        """It says what and what next, asks nothing again, and the rerun is a fresh request."""
        reply, exit_code, code, words = REFUSALS[name]
        service.on_create(reply)
        run = kling("effect", "squish", PHOTO, "--json")
        error = run.json["error"]
        assert (run.code, error["code"], error["charged"]) == (exit_code, code, "no")
        assert words in run.err
        assert error["hint"]
        assert (clock.sleeps, service.count("POST"), list_stages()) == ((), 1, [])
        assert (run.json["effect_scene"], len(run.json["images"])) == ("squish", 1)
        assert TOKEN not in run.out + run.err
        assert kling("effect", "squish", PHOTO).lines == [find_video(service)]

    def test_the_request_id_is_told(self, kling: Program, service: LoopbackService) -> None:
        """Fault 16: what the service's support asks for is on stderr and in JSON."""
        service.on_create(refuse(400, 1201, "x" * 2000 + "\x1b[31m"))
        run = kling("effect", "squish", PHOTO, "--json")
        assert "request-1201" in run.err
        assert run.json["error"]["request_id"] == "request-1201"
        assert len(run.json["error"]["message"]) < 700
        assert "\x1b" not in run.err

    def test_an_early_refusal_is_read_although_the_upload_broke(
        self, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fault 23: a 413 that comes while the picture is still going out is the answer."""
        early = (read_head, answer(Reply(status=413, ending="keep")), drain)
        with FaultServer(early, service=service) as server:
            monkeypatch.setenv("KLING_BASE_URL", server.base_url)
            run = kling("effect", "squish", PHOTO)
        assert run.code == 6
        assert "refuses this size" in run.err


class TestDuplicate:
    """The service says that it has a task of this external id."""

    @pytest.mark.parametrize("status", [400, 409])
    def test_it_is_proof_that_the_task_exists(
        self, kling: Program, service: LoopbackService, status: int
    ) -> None:
        """Fault 22: it is looked up, waited for and printed; this run has bought nothing."""
        service.on_create(refuse(status, 1201, TAKEN), purchase=True)
        run = kling("effect", "squish", PHOTO, "--json")
        assert (run.code, run.json["reused"], service.count("POST")) == (0, True, 1)
        assert "exists already" in run.err

    def test_one_that_cannot_be_looked_up_stays_unknown(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 22: without a look-up by external id it is paid for, perhaps, and never resent."""
        service.shop.rules = Rules(lookup_by_external_id=False)
        service.on_create(refuse(400, 1201, TAKEN), purchase=True)
        assert kling("effect", "squish", PHOTO).code == 9
        assert kling("effect", "squish", PHOTO).code == 9
        assert service.count("POST") == 1

    @pytest.mark.parametrize("is_expired", [False, True])
    def test_another_machines_dead_task_is_bought_once_more(
        self, kling: Program, clock: VirtualClock, service: LoopbackService, *, is_expired: bool
    ) -> None:
        """One that failed there, or whose result is deleted, is said and bought anew, once."""
        then = int((clock.time() - 31 * DAY) * 1000)
        service.on_create(refuse(400, 1201, TAKEN), purchase=True)
        service.on_look(show("succeed", updated_at=then) if is_expired else show("failed"))
        run = kling("effect", "squish", PHOTO)
        old, new = service.ledger
        assert (run.code, run.lines) == (0, [find_video(service, 1)])
        assert service.count("POST") == 2
        assert RANDOM_ID.fullmatch(new.external_task_id or "")
        fate = "is over 30 days old and deleted" if is_expired else "failed"
        assert f"The earlier task {old.task_id} {fate}; buying a new one." in run.err


class TestSignal:
    """A signal ends the run: what is provably unsent is dropped, what may be bought is kept."""

    def test_a_pause_before_the_next_try_is_left_without_a_trace(
        self, service: LoopbackService
    ) -> None:
        """Fault 87: the claim of a busy service's request is dropped, and never sent after that."""
        service.on_create(refuse(429, 1302, "slow down"))
        stopped, settled = threading.Event(), list[Purchase | None]()

        def stop() -> None:
            stopped.set()
            settled.append(submission.stop())

        clock = HookClock(stop)
        with (
            closing(Journal(journal_path(), now=clock.time)) as journal,
            open_submission(service.base_url, journal=journal, clock=clock, stopped=stopped) as (
                submission,
                _err,
            ),
            pytest.raises(KlingError, match="Nothing was sent"),
        ):
            submission.run()
        assert (settled, list_stages()) == ([None], [])
        assert service.count("POST") == 1

    def test_what_may_have_left_is_unknown(self, service: LoopbackService) -> None:
        """Fault 88: a request that got no answer yet is kept as unknown, and shown with its id."""
        service.on_create(DROP)
        settled: list[Purchase | None] = []
        clock = HookClock(lambda: settled.append(submission.stop()))
        with (
            closing(Journal(journal_path(), now=clock.time)) as journal,
            open_submission(service.base_url, journal=journal, clock=clock) as (submission, _err),
        ):
            with pytest.raises(UnknownError, match="may or may not"):
                submission.run()
            assert submission.find_doubtful() == journal.find("kling-of-this-test")
        assert [row.stage for row in settled if row] == [Stage.UNKNOWN]

    def test_during_the_upload_the_request_is_kept(
        self, clock: VirtualClock, service: LoopbackService
    ) -> None:
        """Fault 88: between the first byte and the answer the row becomes unknown at once."""
        settled: list[Purchase | None] = []

        def give_up(_connection: Connection) -> None:
            settled.append(submission.stop())

        script = (read_head, give_up, answer(refuse(401, 1002, "no")), drain)
        with (
            closing(Journal(journal_path(), now=clock.time)) as journal,
            FaultServer(script, service=service) as server,
            open_submission(server.base_url, journal=journal, clock=clock) as (submission, _err),
            pytest.raises(KlingError, match="Token refused"),
        ):
            submission.run()
        assert [row.stage for row in settled if row] == [Stage.UNKNOWN]


class TestFailingJournal:
    """The disk fills, or the file breaks, between two steps."""

    @pytest.fixture(autouse=True)
    def _journal(self) -> None:
        """Let the machine have a journal already."""
        make_journal()

    def test_without_the_step_to_sending_nothing_is_sent(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 94: where the durable step fails the POST does not begin; the rerun is safe."""
        break_journal(full_at(Stage.SENDING))
        run = kling("effect", "squish", PHOTO, "--json")
        assert (run.code, service.count("POST")) == (11, 0)
        assert (run.json["error"]["code"], run.json["error"]["charged"]) == (
            "journal_write_failed",
            "no",
        )
        assert "Nothing was sent." in run.err
        break_journal("DROP TRIGGER full_sending")
        assert kling("effect", "squish", PHOTO).lines == [find_video(service)]

    def test_an_accepted_task_goes_on_without_the_journal(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 78: the id is on stderr with a warning, and the wait goes on to the video."""
        for stage in (Stage.SUBMITTED, Stage.PROCESSING, Stage.SUCCEED):
            break_journal(full_at(stage))
        run = kling("effect", "squish", PHOTO, "--json")
        assert (run.code, service.count("POST")) == (0, 1)
        assert any(service.ledger[0].task_id in warning for warning in run.json["warnings"])

    def test_a_doubt_that_cannot_be_written_down_is_still_no_reason_to_send(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """The row then says that it was being sent, which leaves looks alone to every rerun."""
        break_journal(full_at(Stage.UNKNOWN))
        service.on_create(DROP)
        assert [kling("effect", "squish", PHOTO).code for _ in range(2)] == [9, 9]
        assert (service.count("POST"), list_stages()) == (1, [Stage.SENDING])

    def test_a_journal_that_vanishes_meanwhile_does_not_stop_the_looks(
        self, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What may have been bought is found by its external id even if no row can be read."""

        def lose_journal(_connection: Connection) -> None:
            break_journal("DROP TABLE purchases")

        with FaultServer((read_request, buy, lose_journal), service=service) as server:
            monkeypatch.setenv("KLING_BASE_URL", server.base_url)
            run = kling("effect", "squish", PHOTO)
        assert (run.code, run.lines) == (0, [find_video(service)])

    def test_a_refusal_that_cannot_be_written_down_is_told_all_the_same(
        self, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the service has said comes before what the disk has to say."""

        def lose_journal(_connection: Connection) -> None:
            break_journal("DROP TABLE purchases")

        script = (read_request, lose_journal, answer(refuse(401, 1002, "no")))
        with FaultServer(script, service=service) as server:
            monkeypatch.setenv("KLING_BASE_URL", server.base_url)
            run = kling("effect", "squish", PHOTO)
        assert run.code == 4
        assert "Token refused" in run.err
