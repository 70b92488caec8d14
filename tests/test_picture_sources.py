"""The pictures of a run: checked before anything is sent, kept where that costs little memory."""

from pathlib import Path

import pytest
from support.pictures import locate, save
from support.replies import Reply, accept
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService
from support.shop import Purchase, Rules


def test_an_address_is_looked_at_once(kling: Program, service: LoopbackService) -> None:
    """In a batch, too, the picture's server is asked once for each picture, without our token."""
    urls = [
        service.publish(f"/p/{number}.jpg", photo.read_bytes())
        for number, photo in enumerate((PHOTO, OTHER_PHOTO))
    ]
    run = kling("effect", "squish", *urls, urls[0])
    assert (run.code, len(service.ledger)) == (0, 2)
    looks = [visit for visit in service.visits if visit.path.startswith("/p/")]
    assert len(looks) == 2
    assert all("authorization" not in visit.headers for visit in looks)


def test_the_sandbox_needs_no_network(kling: Program) -> None:
    """An address is judged by its spelling alone: nothing answers at this one, and no matter."""
    argv = ("effect", "squish", "https://nobody.invalid/p.jpg", "--sandbox")
    assert kling(*argv, "--json").json["task_status"] == "succeed"
    assert kling("effect", "squish", "ftp://nobody.invalid/p.jpg", "--sandbox").code == 3


def test_what_is_odd_about_a_picture_at_an_address_is_told(
    kling: Program, service: LoopbackService
) -> None:
    """As of a file: a picture with CMYK colours is taken, with a note."""
    url = service.publish("/p/print.jpg", save("JPEG", "CMYK"))
    run = kling("effect", "squish", url)
    assert run.code == 0
    assert "it has CMYK (print) colours" in run.err


def test_the_place_of_many_photos_is_noted_once(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """Photos from a phone all contain it; --fix says of each that it removed it (fault 59)."""
    for number in range(3):
        content = save("JPEG", size=(400 + number, 400), exif=locate())
        (tmp_path / f"{number}.jpg").write_bytes(content)
    argv = ("effect", "squish", tmp_path / "0.jpg", tmp_path / "1.jpg", tmp_path / "2.jpg")
    assert kling(*argv).err.count("it contains the location where it was taken") == 1
    run = kling(*argv, "--fix", "--json")
    assert run.err.count("location and other metadata removed") == 3
    # None is kept in memory: each is repaired again in its turn.
    sent = {f"sha256:{record['images'][0]['sha256']}" for record in run.records}
    assert {sale.images[0] for sale in service.ledger[3:]} == sent


@pytest.mark.parametrize("jobs", ["1", "3"])
@pytest.mark.parametrize("rules", [Rules(), Rules(failure="Risk control")], ids=["good", "bad"])
@pytest.mark.parametrize("more", [(), ("--new",)], ids=["plain", "new"])
def test_the_same_picture_twice_is_bought_once(
    kling: Program, service: LoopbackService, jobs: str, rules: Rules, more: tuple[str, ...]
) -> None:
    """Within a run that holds also under --new and where the task fails; each is reported."""
    assert kling("effect", "squish", PHOTO).code == 0
    service.shop.rules = rules
    kling("effect", "squish", PHOTO, OTHER_PHOTO, PHOTO, "--jobs", jobs, *more)
    bought = [sale.images for sale in service.ledger]
    assert len(bought) == (3 if more else 2)
    before = len(bought)
    run = kling("effect", "squish", OTHER_PHOTO, OTHER_PHOTO, "--jobs", jobs)
    assert len(run.lines) == (0 if rules.failure else 2)
    assert len(service.ledger) == before + (1 if rules.failure else 0)


def test_a_picture_that_goes_before_its_turn_is_told(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """Fault 57: one that was good at the check and is gone when it is to be sent is refused."""
    second = tmp_path / "second.jpg"
    second.write_bytes(OTHER_PHOTO.read_bytes())

    def remove(sale: Purchase | None) -> object:
        second.unlink()
        return accept(sale)

    service.on_create(Reply(json=remove), purchase=True)
    run = kling("effect", "squish", PHOTO, second, "--jobs", "1", "--json")
    assert [one["exit_code"] for one in run.records] == [0, 3]
    assert run.records[1]["error"]["code"] == "image_not_found"
