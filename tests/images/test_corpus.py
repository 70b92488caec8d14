"""No bad picture reaches the service, no good one is refused, and --fix keeps its promise."""

import hashlib
import os
from pathlib import Path

import pytest
from ground.pictures import Sample, build_corpus
from ground.run import Program
from ground.service import LoopbackService

from kling_cli.errors import InputError
from kling_cli.images.preflight import prepare

CORPUS = build_corpus()
GOOD = [sample for sample in CORPUS if sample.code is None]
BAD = [sample for sample in CORPUS if sample.code is not None]


def name_of(sample: Sample) -> str:
    """Name a test by its sample."""
    return ascii(sample.name)


def write(sample: Sample, directory: Path) -> Path:
    """Write a sample as a file."""
    path = directory / os.fsdecode(sample.name)
    path.write_bytes(sample.content)
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in the folder of the pictures, so that they are named as a user names them."""
    path = tmp_path / "pictures"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def test_the_corpus_is_large_enough() -> None:
    """Good, repairable and hopeless pictures are all there, each under its own name."""
    assert len({sample.name for sample in CORPUS}) == len(CORPUS) >= 100
    assert min(len(GOOD), len(BAD)) >= 30


@pytest.mark.parametrize("sample", GOOD, ids=name_of)
def test_a_good_picture_is_bought(
    sample: Sample, folder: Path, kling: Program, service: LoopbackService
) -> None:
    """What the service takes is sent as it is, whatever its name (faults 53, 54, 55, 57, 58)."""
    write(sample, folder)
    run = kling("effect", "squish", "--", os.fsdecode(sample.name))
    assert run.code == 0, run.err
    assert len(run.lines) == len(service.ledger) == 1
    assert service.ledger[0].images == (f"sha256:{hashlib.sha256(sample.content).hexdigest()}",)
    assert "\x1b" not in run.out + run.err


@pytest.mark.parametrize("sample", BAD, ids=name_of)
def test_a_bad_picture_never_reaches_the_service(
    sample: Sample, folder: Path, kling: Program, service: LoopbackService
) -> None:
    """It is refused with the right code before any connection (faults 51, 52, 54, 55, 56, 60)."""
    write(sample, folder)
    run = kling("effect", "squish", "--json", "--", os.fsdecode(sample.name))
    assert run.code == 3
    assert run.json["error"]["code"] == sample.code, run.json["error"]["message"]
    assert run.json["error"]["charged"] == "no"
    assert ("--fix" in run.json["error"]["hint"]) is sample.is_fixable
    assert run.err.replace("\n", "").isprintable()
    assert service.visits == []


def test_what_is_no_file_never_reaches_the_service(
    folder: Path, kling: Program, service: LoopbackService
) -> None:
    """Missing files, links to nothing, folders and pipes are refused at once (faults 49, 50)."""
    (folder / "link").symlink_to("nothing")
    os.mkfifo(folder / "pipe")
    codes = {
        "missing.jpg": "image_not_found",
        "link": "image_not_found",
        "": "image_not_found",
        ".": "image_not_a_file",
        "pipe": "image_not_a_file",
        "/dev/zero": "image_not_a_file",
    }
    for name, code in codes.items():
        run = kling("effect", "squish", "--json", "--", name)
        assert (run.code, run.json["error"]["code"]) == (3, code)
    assert service.visits == []


@pytest.mark.parametrize("sample", CORPUS, ids=name_of)
def test_a_repair_keeps_what_the_hint_promises(
    sample: Sample, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The hint is there exactly when --fix would succeed, and what it makes passes as it is."""
    path = write(sample, folder)
    name = str(path)
    try:
        as_it_is = prepare(name)
    except InputError as error:
        promised = error.hint == "--fix repairs it before sending."
        assert promised is sample.is_fixable
    else:
        assert prepare(name, fix=True) == as_it_is
        assert as_it_is.fixes == ()
        return
    if promised:
        repaired = prepare(name, fix=True)
        assert (repaired.source, repaired.kind, repaired.format) == (name, "file", "JPEG")
        assert repaired.fixes
        assert repaired.notes == ()
        assert repaired.content is not None
        path.with_name("again.jpg").write_bytes(repaired.content)
        again = prepare(str(path.with_name("again.jpg")))
        assert (again.sha256, again.size) == (repaired.sha256, repaired.size)
        assert (again.width, again.height) == (repaired.width, repaired.height)
    else:
        with pytest.raises(InputError) as caught:
            prepare(name, fix=True)
        assert caught.value.code == sample.code
        assert caught.value.hint == ""
    assert path.read_bytes() == sample.content
    assert capfd.readouterr() == ("", "")
