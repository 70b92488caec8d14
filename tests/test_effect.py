"""What a user gets for one command line: several pictures, streams, JSON, and what is refused."""

import os
import signal
import threading

import pytest
from PIL import Image
from support.purchases import (
    TOKEN,
    UNREADABLE,
    HookClock,
    break_journal,
    find_video,
    journal_path,
    list_stages,
)
from support.replies import DROP, Reply, refuse
from support.run import OTHER_PHOTO, PHOTO, PHOTOS, Program
from support.service import LoopbackService
from support.shop import Rules

from kling_cli.models import Stage

BAD = PHOTOS / "README.md"


class TestSeveralPictures:
    """One task for each picture."""

    def test_each_has_a_line_with_its_name(self, kling: Program, service: LoopbackService) -> None:
        """URL, tab, input: so that a script can tell them apart in whatever order they come."""
        run = kling("effect", "squish", PHOTO, OTHER_PHOTO)
        told = dict(line.split("\t")[::-1] for line in run.lines)
        assert (run.code, set(told)) == (0, {str(PHOTO), str(OTHER_PHOTO)})
        assert set(told.values()) == {find_video(service, 0), find_video(service, 1)}

    def test_no_wait_names_the_ids(self, kling: Program, service: LoopbackService) -> None:
        """Each id stands before its input."""
        run = kling("effect", "squish", PHOTO, OTHER_PHOTO, "--no-wait")
        ids = {line.split("\t")[0] for line in run.lines}
        assert ids == {sale.task_id for sale in service.ledger}

    def test_a_bad_one_does_not_stop_the_good_ones(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """The good one is delivered; the bad one is told first, and the exit code is its own."""
        run = kling("effect", "squish", PHOTO, BAD)
        assert (run.code, run.lines) == (3, [f"{find_video(service)}\t{PHOTO}"])
        assert "README.md" in run.err.splitlines()[0]
        assert len(service.ledger) == 1

    def test_json_has_an_object_for_each(self, kling: Program, service: LoopbackService) -> None:
        """Each object has the exit code of its own task."""
        run = kling("effect", "squish", PHOTO, BAD, OTHER_PHOTO, "--json")
        codes = {
            record["images"][0]["source"]: (record["exit_code"], record["ok"])
            for record in run.records
        }
        assert codes == {str(PHOTO): (0, True), str(BAD): (3, False), str(OTHER_PHOTO): (0, True)}
        assert (run.code, len(service.ledger)) == (3, 2)

    def test_the_costliest_end_is_the_exit_code(
        self, kling: Program, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A request that may have been bought outweighs a failed one, that one a bad picture."""
        monkeypatch.setenv("KLING_JOBS", "1")
        service.shop.rules = Rules(failure="blocked")
        service.on_create(DROP)
        assert kling("effect", "squish", BAD, PHOTO, OTHER_PHOTO).code == 9
        assert list_stages() == [Stage.UNKNOWN, Stage.FAILED]

    def test_the_same_picture_twice_is_bought_once(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """It is reported twice, and one of the two says that it was reused."""
        run = kling("effect", "squish", PHOTO, PHOTO, "--json")
        told = run.records
        assert (run.code, len(told), len(service.ledger)) == (0, 2, 1)
        assert {one["task_id"] for one in told} == {service.ledger[0].task_id}
        assert sorted(one["reused"] for one in told) == [False, True]

    def test_one_that_vanishes_is_told_when_its_turn_comes(
        self, service: LoopbackService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fault 57: of many, each is read again at its turn; what is gone by then is not sent."""
        monkeypatch.setenv("KLING_JOBS", "1")
        copy = journal_path().parent.parent / "copy.jpg"
        copy.write_bytes(OTHER_PHOTO.read_bytes())
        run = Program(clock=HookClock(copy.unlink))("effect", "squish", PHOTO, copy)
        assert (run.code, len(service.ledger)) == (3, 1)
        assert "No such file" in run.err


class TestStandardInput:
    """A picture from a pipe."""

    def test_a_dash_reads_it(self, kling: Program, service: LoopbackService) -> None:
        """The bytes are sent as those of a file would be."""
        run = kling("effect", "squish", "-", "--json", stdin=PHOTO.read_bytes())
        assert (run.code, run.json["images"][0]["kind"]) == (0, "stdin")
        assert run.json["videos"][0]["url"] == find_video(service)

    def test_it_goes_together_with_files(self, kling: Program, service: LoopbackService) -> None:
        """It can be read only once, so its bytes are kept until its turn."""
        run = kling("effect", "squish", PHOTO, "-", stdin=OTHER_PHOTO.read_bytes())
        assert run.code == 0
        assert {line.split("\t")[1] for line in run.lines} == {str(PHOTO), "-"}
        assert len(service.ledger) == 2

    def test_it_can_be_one_of_two_people(self, kling: Program, service: LoopbackService) -> None:
        """The pair is one task, its pictures in the order of the command line."""
        assert kling("effect", "hug", "-", OTHER_PHOTO, stdin=PHOTO.read_bytes()).code == 0
        assert kling("effect", "hug", PHOTO, OTHER_PHOTO).code == 0
        assert len(service.ledger) == 1

    def test_an_empty_one_is_refused(self, kling: Program, service: LoopbackService) -> None:
        """Nothing came: nothing is sent."""
        run = kling("effect", "squish", "-")
        assert (run.code, service.visits) == (3, [])
        assert "standard input: it is empty" in run.err

    def test_it_is_there_only_once(self, kling: Program, service: LoopbackService) -> None:
        """Twice - is a usage error."""
        run = kling("effect", "hug", "-", "-", stdin=PHOTO.read_bytes())
        assert (run.code, service.visits) == (2, [])
        assert "can be read only once" in run.err


class TestStreams:
    """Results on stdout, talk on stderr."""

    def test_quiet_says_nothing_of_a_success(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """-q leaves the URL and no other word."""
        run = kling("effect", "squish", PHOTO, "-q")
        assert (run.code, run.lines, run.err) == (0, [find_video(service)], "")

    def test_quiet_still_tells_errors(self, kling: Program, service: LoopbackService) -> None:
        """-q leaves errors and their hints."""
        service.on_create(refuse(400, 1201, "model is not supported"))
        run = kling("effect", "squish", PHOTO, "-q")
        assert [line.split(": ")[0] for line in run.err.splitlines()] == ["error", "hint"]

    def test_a_note_about_a_picture_names_it(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Of two people it is said whose picture is meant."""
        alpha = journal_path().parent.parent / "see-through.png"
        write_transparent_png(alpha)
        assert kling("effect", "hug", PHOTO, alpha, "--no-wait").code == 0
        run = kling("effect", "hug", PHOTO, alpha, "--no-wait")
        assert f"{alpha}: it is transparent in places" in run.err
        one = kling("effect", "squish", alpha, "--no-wait")
        assert f"{alpha}: it is transparent in places" in one.err
        assert len(service.ledger) == 2

    def test_an_address_is_shown_without_its_query(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 66: the query of a signed URL is in no output and not in the journal."""
        url = service.publish("/p/photo.jpg", PHOTO.read_bytes()) + "?signature=secret"
        run = kling("effect", "squish", url, PHOTO, "--json", "-v", "--no-check-url")
        assert run.code == 0
        assert url in service.ledger[0].images + service.ledger[1].images
        assert "secret" not in run.out + run.err
        assert b"secret" not in b"".join(
            path.read_bytes() for path in journal_path().parent.iterdir()
        )

    def test_a_missing_token_is_told_with_every_way_to_give_one(self, kling: Program) -> None:
        """Fault 68: exit 4 with one object, before any picture is sent."""
        run = kling("effect", "squish", PHOTO, "--json")
        assert (run.code, run.json["error"]["code"]) == (4, "token_missing")
        for way in ("KLING_TOKEN", "KLING_TOKEN_FILE", "kling config set token", "--sandbox"):
            assert way in run.err

    def test_the_sandbox_costs_nothing(self, kling: Program) -> None:
        """Without token or network it delivers a clip, and says that it is the sandbox."""
        run = kling("effect", "squish", PHOTO, "--sandbox", "--json")
        assert (run.code, run.json["sandbox"]) == (0, True)
        assert run.json["videos"][0]["url"].startswith("file:")
        assert "sandbox" in run.err
        again = kling("effect", "squish", PHOTO, "--sandbox", "--json")
        assert again.json["reused"] is True

    def test_sandbox_and_service_are_different_purchases(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """What was tried in the sandbox is still to be bought."""
        assert kling("effect", "squish", PHOTO, "--sandbox").code == 0
        assert kling("effect", "squish", PHOTO).lines == [find_video(service)]


def write_transparent_png(path: object) -> None:
    """Write a picture that lets something shine through."""
    Image.new("RGBA", (400, 400), (200, 100, 50, 128)).save(str(path))


class TestCallback:
    """--callback-url."""

    @pytest.mark.parametrize("url", ["/hook", "ftp://me.example/hook", "https://u:p@me.example/"])
    def test_one_that_cannot_be_called_is_refused(
        self, kling: Program, service: LoopbackService, url: str
    ) -> None:
        """Fault 67: it is a usage error, with the reason and what it takes."""
        run = kling("effect", "squish", PHOTO, "--callback-url", url)
        assert (run.code, service.visits) == (2, [])
        assert "--callback-url cannot be used: it " in run.err
        assert "https://" in run.err

    def test_a_private_one_is_refused(
        self, kling: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fault 67: a service elsewhere cannot reach this machine's own network."""
        monkeypatch.setenv("KLING_TOKEN", TOKEN)
        run = kling("effect", "squish", PHOTO, "--callback-url", "https://192.168.0.1/hook")
        assert run.code == 2
        assert "the service cannot reach it" in run.err

    def test_a_service_on_this_machine_may_call_this_machine(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 67: on loopback, a plain and private address is taken."""
        url = "http://127.0.0.1:9/hook"
        run = kling("effect", "squish", PHOTO, "--callback-url", url)
        assert (run.code, service.ledger[0].callback_url) == (0, url)

    def test_plain_http_is_warned_about(
        self, kling: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fault 67: others on the way to it can read and change what it is told."""
        monkeypatch.setenv("KLING_TOKEN", TOKEN)
        url = "http://me.example/hook?key=secret"
        run = kling("effect", "squish", PHOTO, "--callback-url", url, "--dry-run")
        assert run.code == 0
        assert "warning: --callback-url is http" in run.err
        assert "secret" not in run.out + run.err


class TestSignal:
    """Ctrl-C while a request is under way."""

    def interrupt(self, *argv: object, jobs: int = 1) -> tuple[int, str, str]:
        """Run until the first pause, and press Ctrl-C there."""
        over = threading.Event()

        def press() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            over.wait(10)

        run = Program(clock=HookClock(*[press] * jobs))("effect", *map(str, argv))
        over.set()
        return run.code, run.out, run.err

    def test_before_the_send_nothing_is_left(self, service: LoopbackService) -> None:
        """Fault 87: the claim is dropped, and it says that nothing was sent."""
        service.on_create(refuse(429, 1302, "slow down"))
        code, out, err = self.interrupt("squish", PHOTO)
        assert (code, out, list_stages()) == (130, "", [])
        assert "Nothing was sent." in err

    def test_after_the_send_the_id_is_told(self, service: LoopbackService) -> None:
        """Fault 88: it may have been accepted; the rerun looks, finds, and buys nothing."""
        service.on_create(DROP, purchase=True)
        code, _, err = self.interrupt("squish", PHOTO)
        assert (code, list_stages()) == (130, [Stage.UNKNOWN])
        assert str(service.ledger[0].external_task_id) in err
        assert "may have been accepted" in err
        assert Program()("effect", "squish", PHOTO).lines == [find_video(service)]
        assert service.count("POST") == 1

    def test_while_waiting_the_task_goes_on(self, service: LoopbackService) -> None:
        """Fault 89: the id and kling wait are named; the rerun goes on with the task."""
        code, _, err = self.interrupt("squish", PHOTO)
        assert code == 130
        assert f"kling wait {service.ledger[0].task_id}" in err
        assert Program()("effect", "squish", PHOTO).lines == [find_video(service)]
        assert service.count("POST") == 1


def test_a_bad_picture_is_told_also_with_an_id(kling: Program, service: LoopbackService) -> None:
    """With an id of the user's own, too, the picture's problem is told by its name."""
    run = kling("effect", "squish", BAD, "--external-task-id", "order-66")
    assert (run.code, service.visits) == (3, [])
    assert "README.md" in run.err


def test_a_damaged_journal_does_not_hide_an_id(kling: Program, service: LoopbackService) -> None:
    """Fault 79: where the journal is damaged, nothing is sent, and so nothing is bought again."""
    argv = ("effect", "squish", PHOTO, "--external-task-id", "order-66")
    assert kling(*argv).code == 0
    break_journal(*UNREADABLE)
    run = kling(*argv)
    assert (run.code, run.lines, service.count("POST")) == (11, [], 1)


def test_a_reply_in_an_encoding_is_no_answer(kling: Program, service: LoopbackService) -> None:
    """Fault 105: a compressed answer is not unpacked; the task is looked up instead."""
    service.on_create(Reply(headers={"Content-Encoding": "gzip"}, body=b"\x1f\x8b"), purchase=True)
    assert kling("effect", "squish", PHOTO).lines == [find_video(service)]
