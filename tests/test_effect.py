"""What a user gets for one command line: several pictures, streams, and what Ctrl-C leaves."""

from pathlib import Path

import pytest
from support.photos import make_photos
from support.pictures import save
from support.purchases import find_video, journal_path, list_stages
from support.replies import DROP, Reply, accept, refuse
from support.run import OTHER_PHOTO, PHOTO, PHOTOS, Program
from support.service import LoopbackService
from support.shop import Purchase, Rules

from kling_cli.models import Stage

SQUISH = ("effect", "squish")
BAD = PHOTOS / "README.md"


@pytest.mark.parametrize("more", [(), ("--any-scene",)])
def test_a_pair_for_one_person(
    kling: Program, service: LoopbackService, more: tuple[str, ...]
) -> None:
    """--pair never turns into two tasks without a word: that would be paid twice."""
    run = kling(*SQUISH, PHOTO, OTHER_PHOTO, "--pair", *more)
    assert (run.code, service.visits) == (2, [])
    assert "squish takes one picture. Remove --pair" in run.err


def test_a_name_that_begins_with_a_dash_goes_behind_two(kling: Program) -> None:
    """Fault 58: after -- nothing is an option; the missing file is named."""
    run = kling(*SQUISH, "--sandbox", "--", "-photo.jpg")
    assert run.code == 3
    assert "-photo.jpg" in run.err


def test_each_picture_has_a_line_with_its_name(kling: Program, service: LoopbackService) -> None:
    inputs = {str(PHOTO), str(OTHER_PHOTO)}
    accepted = [line.split("\t") for line in kling(*SQUISH, *inputs, "--no-wait").lines]
    delivered = [line.split("\t") for line in kling(*SQUISH, *inputs).lines]
    assert {name for _, name in accepted} == {name for _, name in delivered} == inputs
    assert {task_id for task_id, _ in accepted} == {sale.task_id for sale in service.ledger}
    assert {url for url, _ in delivered} == {find_video(service, 0), find_video(service, 1)}


def test_the_costliest_end_is_the_exit_code(kling: Program, service: LoopbackService) -> None:
    """A request that may have been bought outweighs a failed one, and that one a bad picture."""
    service.shop.rules = Rules(failure="blocked")
    service.on_create(DROP)
    assert kling(*SQUISH, BAD, PHOTO, OTHER_PHOTO, KLING_JOBS="1").code == 9
    assert list_stages() == [Stage.UNKNOWN, Stage.FAILED]


@pytest.mark.parametrize("jobs", [1, 3, 8, None])
def test_so_many_tasks_at_once_and_no_more(
    kling: Program, service: LoopbackService, tmp_path: Path, jobs: int | None
) -> None:
    """--jobs bounds the tasks under way, and that many there are; 4 where nothing is said."""
    counts = list[int]()

    def note(sale: Purchase | None) -> object:
        counts.append(service.running)
        return accept(sale)

    service.shop.rules = Rules(task_seconds=90)
    service.on_create(Reply(json=note), purchase=True, times=10)
    photos = make_photos(tmp_path / "photos", 10)
    run = kling(*SQUISH, *photos, *([f"--jobs={jobs}"] if jobs else []))
    assert (run.code, len(run.lines), len(counts)) == (0, 10, 10)
    most = jobs or 4
    assert min(most, 2) <= max(counts) <= most


def test_standard_input_can_be_one_of_two_people(kling: Program, service: LoopbackService) -> None:
    hug = ("effect", "hug")
    assert kling(*hug, "-", OTHER_PHOTO, "--pair", stdin=PHOTO.read_bytes()).code == 0
    assert kling(*hug, PHOTO, OTHER_PHOTO).lines == [find_video(service)]
    assert len(service.ledger) == 1


def test_quiet_still_shows_errors(kling: Program, service: LoopbackService) -> None:
    service.on_create(refuse(400, 1201, "model is not supported"))
    run = kling(*SQUISH, PHOTO, "-q")
    assert {line.split(": ")[0] for line in run.err.splitlines()} == {"error", "hint"}


@pytest.mark.usefixtures("service")
def test_a_note_about_one_of_two_people_names_the_picture(kling: Program, tmp_path: Path) -> None:
    alpha = tmp_path / "see-through.png"
    alpha.write_bytes(save("PNG", "RGBA"))
    run = kling("effect", "hug", PHOTO, alpha, "--no-wait")
    assert f"{alpha}: it has transparent areas" in run.err


def test_a_signed_url_is_kept_without_its_query(kling: Program, service: LoopbackService) -> None:
    """Fault 66: the query is a secret; it is in no output and not in the journal."""
    url = "https://photos.example/a.jpg?signature=secret"
    run = kling(*SQUISH, url, "--no-check-url", "--json", "-v")
    written = b"".join(path.read_bytes() for path in journal_path().parent.iterdir())
    assert service.ledger[0].images == (url,)
    assert "secret" not in run.out + run.err
    assert (b"photos.example" in written, b"secret" in written) == (True, False)
