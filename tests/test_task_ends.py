"""From the claim to the video: waited for or not, taken up, reused, and how tasks end."""

import pytest
from support.clock import VirtualClock
from support.purchases import DAY, find_video, show
from support.replies import Reply, refuse
from support.run import PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules


def with_videos(*urls: str) -> Reply:
    """Answer a look with success and these videos."""
    return show("succeed", task_result={"videos": [{"id": "v", "url": url} for url in urls]})


class TestReuse:
    """What was bought before costs nothing."""

    def test_a_result_is_told_at_once(self, kling: Program, service: LoopbackService) -> None:
        """The same command again asks nobody, says that it costs nothing, and names --new."""
        assert kling("effect", "squish", PHOTO).code == 0
        visits = len(service.visits)
        run = kling("effect", "squish", PHOTO)
        assert (run.code, run.lines, len(service.visits)) == (0, [find_video(service)], visits)
        assert "was bought before; this run costs nothing. --new buys it again." in run.err

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
        assert "was bought before" in again.err


class TestNoWait:
    """--no-wait: the task id, as soon as the task is accepted."""

    def test_it_prints_the_task_id(self, kling: Program, service: LoopbackService) -> None:
        """Only the id is on standard output, and nothing is looked at."""
        run = kling("effect", "squish", PHOTO, "--no-wait")
        assert (run.code, run.out) == (0, service.ledger[0].task_id + "\n")
        assert service.count("GET") == 0

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

    def test_the_same_command_buys_a_failed_task_anew(
        self, kling: Program, service: LoopbackService
    ) -> None:
        """Fault 42: the reason is shown, nothing is charged, and a rerun buys a new task."""
        service.shop.rules = Rules(failure="Content policy: blocked")
        run = kling("effect", "squish", PHOTO, "--json")
        error = run.json["error"]
        assert (run.code, error["code"], error["charged"]) == (5, "task_failed", "no")
        assert "Content policy: blocked" in error["message"]
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
