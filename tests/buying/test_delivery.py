"""From the claim to the video: waited for or not, taken up, reused, and how tasks end."""

import pytest
from buyer import DAY, TOKEN, find_video, list_stages, show
from ground.clock import VirtualClock
from ground.replies import Reply, refuse
from ground.run import PHOTO, PHOTOS, Program
from ground.service import LoopbackService
from ground.shop import Purchase as Sale
from ground.shop import Rules

from kling_cli.buying.delivery import Refusal
from kling_cli.errors import InputError
from kling_cli.purchase import Stage


def with_videos(*urls: str) -> Reply:
    """Answer a look with success and these videos."""
    return show("succeed", task_result={"videos": [{"id": "v", "url": url} for url in urls]})


class Videoless(LoopbackService):
    """A service that calls its tasks done and names no video."""

    def describe(self, purchase: Sale, status: str) -> dict[str, object]:
        """Write a task without what it has made."""
        told = super().describe(purchase, status)
        return {key: value for key, value in told.items() if key != "task_result"}


class TestReuse:
    """What was bought before costs nothing."""

    def test_a_result_is_told_at_once(self, kling: Program, service: LoopbackService) -> None:
        """The same command again asks nobody, says that it costs nothing, and names --new."""
        assert kling("effect", "squish", PHOTO).code == 0
        visits = len(service.visits)
        run = kling("effect", "squish", PHOTO)
        assert (run.code, run.lines, len(service.visits)) == (0, [find_video(service)], visits)
        assert "was bought before; this run costs nothing. --new buys it again." in run.err

    def test_json_tells_it_too(self, kling: Program, service: LoopbackService) -> None:
        """A script sees whether a run has bought something."""
        runs = [kling("effect", "squish", PHOTO, "--json").json for _ in range(2)]
        assert [run["reused"] for run in runs] == [False, True]
        assert [run["ok"] for run in runs] == [True, True]
        assert runs[0]["videos"] == runs[1]["videos"]
        assert len(service.ledger) == 1

    def test_a_copy_of_the_picture_is_the_same_request(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """The picture's bytes count, not its name."""
        assert kling("effect", "squish", PHOTO).code == 0
        run = kling("effect", "squish", "-", stdin=PHOTO.read_bytes())
        assert (run.lines, len(service.ledger)) == ([find_video(service)], 1)

    @pytest.mark.parametrize(("days", "sales"), [(29, 1), (31, 2)])
    def test_a_deleted_result_is_bought_again(
        self, kling: Program, clock: VirtualClock, service: LoopbackService, days: int, sales: int
    ) -> None:
        """Fault 47: after 30 days the same command says so and buys anew; before, it is free."""
        assert kling("effect", "squish", PHOTO).code == 0
        clock.advance(days * DAY)
        run = kling("effect", "squish", PHOTO)
        assert (run.lines, len(service.ledger)) == ([find_video(service, sales - 1)], sales)
        assert ("is over 30 days old and deleted; buying a new one." in run.err) == (sales == 2)

    def test_a_running_task_is_taken_up(self, kling: Program, service: LoopbackService) -> None:
        """Fault 46: done after our timeout, the same command prints its URL without a POST."""
        service.shop.rules = Rules(task_seconds=600)
        first = kling("effect", "squish", PHOTO, "--timeout", "60s")
        again = kling("effect", "squish", PHOTO)
        assert (first.code, again.code, again.lines) == (8, 0, [find_video(service)])
        assert service.count("POST") == 1
        assert "this run goes on with it and buys nothing" in again.err


class TestNoWait:
    """--no-wait: the task id, as soon as the task is accepted."""

    def test_it_prints_the_task_id(self, kling: Program, service: LoopbackService) -> None:
        """Only the id is on standard output, and nothing is looked at."""
        run = kling("effect", "squish", PHOTO, "--no-wait")
        assert (run.code, run.out) == (0, service.ledger[0].task_id + "\n")
        assert service.count("GET") == 0

    def test_the_id_goes_into_wait(self, kling: Program, service: LoopbackService) -> None:
        """What --no-wait printed, kling wait takes."""
        name = kling("effect", "squish", PHOTO, "--no-wait").lines[0]
        assert kling("wait", name).lines == [find_video(service)]

    def test_json_has_no_video_yet(self, kling: Program, service: LoopbackService) -> None:
        """The object says submitted, ok, and exit code 0."""
        told = kling("effect", "squish", PHOTO, "--no-wait", "--json").json
        assert (told["task_id"], told["task_status"]) == (service.ledger[0].task_id, "submitted")
        assert (told["ok"], told["exit_code"], told["videos"]) == (True, 0, [])

    def test_a_task_that_is_there_is_named_again(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Run twice it prints the same id; of a finished task, too."""
        names = {kling("effect", "squish", PHOTO, "--no-wait").out for _ in range(2)}
        assert kling("effect", "squish", PHOTO).code == 0
        names.add(kling("effect", "squish", PHOTO, "--no-wait").out)
        assert names == {service.ledger[0].task_id + "\n"}


class TestEnd:
    """How a task ends."""

    def test_a_reason_is_told(self, kling: Program, service: LoopbackService) -> None:
        """Fault 42: the reason, and that the same command buys a new task; and so it does."""
        service.shop.rules = Rules(failure="Content policy: blocked")
        run = kling("effect", "squish", PHOTO, "--json")
        error = run.json["error"]
        assert (run.code, error["code"], error["charged"]) == (5, "task_failed", "no")
        assert run.json["task_status_msg"] == "Content policy: blocked"
        assert "Content policy: blocked" in run.err
        assert "same kling effect command buys a new one" in run.err
        service.shop.rules = Rules()
        again = kling("effect", "squish", PHOTO)
        assert (again.lines, len(service.ledger)) == ([find_video(service, 1)], 2)
        assert "failed; buying a new one." in again.err

    def test_a_missing_reason_is_told(self, kling: Program, service: LoopbackService) -> None:
        """Fault 43: it says that there is none, and gives the request id for the support."""
        service.on_look(show("failed"))
        run = kling("effect", "squish", PHOTO)
        assert run.code == 5
        assert "gave no reason" in run.err
        assert "request id: request-0" in run.err

    @pytest.mark.parametrize(
        ("word", "code"), [("canceled", "task_cancelled"), ("EXPIRED", "task_expired")]
    )
    def test_other_ends_have_a_code_of_their_own(
        self, kling: Program, service: LoopbackService, word: str, code: str
    ) -> None:
        """Fault 44: a script can tell a cancelled or expired task from a failed one."""
        service.on_look(show(word))
        run = kling("effect", "squish", PHOTO, "--json")
        assert (run.code, run.json["error"]["code"]) == (5, code)

    def test_a_timeout_is_no_failure(self, kling: Program, service: LoopbackService) -> None:
        """Fault 45: the id and kling wait are named; that it failed is said nowhere."""
        service.shop.rules = Rules(task_seconds=3600)
        run = kling("effect", "squish", PHOTO, "--timeout", "90s", "--json")
        assert (run.code, run.json["task_status"]) == (8, "processing")
        assert run.json["error"]["charged"] == "yes"
        assert f"kling wait {service.ledger[0].task_id}" in run.err
        assert "failed" not in run.err

    def test_a_status_that_flaps_is_only_shown(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 48: back to submitted is no new task, and the end is final."""
        for status in ("processing", "submitted", "processing"):
            service.on_look(show(status))
        run = kling("effect", "squish", PHOTO)
        assert (run.code, run.lines, list_stages()) == (0, [find_video(service)], [Stage.SUCCEED])

    @pytest.mark.parametrize("word", ["SUCCEED", "success", "completed", "Succeeded"])
    def test_other_spellings_of_success_count(
        self, kling: Program, service: LoopbackService, word: str
    ) -> None:
        """Fault 37: whichever word the gateway uses, the video is printed."""
        video = {"id": "v", "url": "https://v.example/v.mp4"}
        service.on_look(show(word, task_result={"videos": [video]}))
        assert kling("effect", "squish", PHOTO).lines == ["https://v.example/v.mp4"]

    def test_an_unknown_word_is_still_running(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 37: a status that nobody knows is one warning, and the wait goes on."""
        service.on_look(show("pondering"), times=3)
        run = kling("effect", "squish", PHOTO, "--json")
        assert (run.code, len(run.json["warnings"])) == (0, 1)
        assert "pondering" in run.json["warnings"][0]

    def test_success_without_a_video_is_no_success(
        self, kling: Program, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fault 38: after a minute of looking it ends with 6 and the task id, not with a URL."""
        monkeypatch.setenv("KLING_TOKEN", TOKEN)
        with Videoless(clock=clock.time) as service:
            run = kling("effect", "squish", PHOTO, "--base-url", service.base_url, "--json")
            assert (run.code, run.json["error"]["code"]) == (6, "result_missing")
            assert run.json["error"]["charged"] == "yes"
            assert service.ledger[0].task_id in run.err
            assert 60 < clock.monotonic() < 120

    def test_two_videos_are_two_lines(self, kling: Program, service: LoopbackService) -> None:
        """Fault 39: every video is printed, one a line, and a list in JSON."""
        urls = ["https://v.example/1.mp4", "https://v.example/2.mp4"]
        service.on_look(with_videos(*urls))
        assert kling("effect", "squish", PHOTO).lines == urls
        told = kling("effect", "squish", PHOTO, "--json").json
        assert [video["url"] for video in told["videos"]] == urls

    @pytest.mark.parametrize(
        "url",
        [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://user:secret@v.example/v.mp4",
            "https://v.example/\x1b[2J.mp4",
            "https://v.example/" + "x" * 1_000_000,
        ],
        ids=["script", "file", "userinfo", "escape", "long"],
    )
    def test_a_hostile_url_is_not_printed(
        self, kling: Program, service: LoopbackService, url: str
    ) -> None:
        """Fault 40: it ends with 6 and says that the task is paid for; stdout stays empty."""
        service.on_look(with_videos(url))
        run = kling("effect", "squish", PHOTO)
        assert (run.code, run.out) == (6, "")
        assert "It is paid for." in run.err
        assert len(run.err) < 3000
        assert "\x1b" not in run.err
        assert "secret" not in run.err

    def test_a_refused_token_while_waiting_says_that_the_task_goes_on(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 30: exit 4 with the id, the way to mend the token, and kling wait."""
        service.on_look(refuse(401, 1002, "authorization invalid"))
        run = kling("effect", "squish", PHOTO, "--json")
        assert (run.code, run.json["error"]["charged"]) == (4, "yes")
        assert "goes on and is paid for" in run.err
        assert f"kling wait {service.ledger[0].task_id}" in run.err
        assert kling("effect", "squish", PHOTO).lines == [find_video(service)]
        assert service.count("POST") == 1


class TestRefusal:
    """A request whose pictures were refused."""

    def test_its_pictures_are_named_without_secrets(self) -> None:
        """What is told of them is what the user gave, without the query of an address."""
        error = InputError("image_rejected", "bad")
        sources = ("a.jpg", "-", "https://p.example/b.jpg?signature=secret")
        refusal = Refusal(error, sources, effect_scene="hug")
        outcome = refusal.run()
        told = [(image["kind"], image["source"]) for image in outcome.images]
        assert told == [("file", "a.jpg"), ("stdin", "-"), ("url", "https://p.example/b.jpg?...")]
        assert (outcome.error, outcome.effect_scene, outcome.purchase) == (error, "hug", None)

    def test_a_signal_finds_nothing_sent(self) -> None:
        """There is nothing to settle."""
        error = InputError("image_rejected", "bad")
        assert Refusal(error, ("a.jpg",), effect_scene="squish").abandon() is None

    def test_one_bad_picture_makes_one_object(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """A refused picture is told as JSON with its scene and source; nothing is asked."""
        run = kling("effect", "squish", PHOTOS / "README.md", "--json")
        assert (run.code, service.visits) == (3, [])
        assert (run.json["effect_scene"], run.json["task_id"]) == ("squish", None)
        assert run.json["images"][0]["source"] == str(PHOTOS / "README.md")
