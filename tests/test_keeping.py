"""Clips that are saved: where they lie, what is refused before buying, what a rerun does."""

import hashlib
from pathlib import Path

import pytest
from ground.photos import make_photos
from ground.replies import Reply, describe, wrap
from ground.run import OTHER_PHOTO, PHOTO, Program, run_installed
from ground.service import VIDEO, LoopbackService
from ground.shop import Purchase, Rules
from ground.terminal import Terminal

SQUISH = ("effect", "squish")
CLIP = "astronaut-squish.mp4"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A directory that is there."""
    directory = tmp_path / "clips"
    directory.mkdir()
    return directory


def count_downloads(service: LoopbackService) -> int:
    """Count the requests for videos."""
    return sum("/videos/8" in visit.path for visit in service.visits)


def find_url(service: LoopbackService, number: int = 0) -> str:
    """Spell the URL of a video."""
    return f"{service.url}/videos/{service.ledger[number].task_id}.mp4"


def list_files(directory: Path) -> list[str]:
    """List what lies in a directory, hidden files too."""
    return sorted(path.name for path in directory.iterdir())


# Where a clip comes to lie


def test_a_clip_becomes_a_file(kling: Program, service: LoopbackService, clips: Path) -> None:
    """Its path is printed in place of the URL, and the file is the clip, whole and alone."""
    path = clips / "a clip.mp4"
    run = kling(*SQUISH, PHOTO, "-o", path)
    assert (run.code, run.out, path.read_bytes()) == (0, f"{path}\n", VIDEO)
    assert (list_files(clips), len(service.ledger)) == (["a clip.mp4"], 1)


@pytest.mark.parametrize("shape", ["new/dir/", "clips", "clips/"])
def test_a_directory_gets_our_own_names(
    kling: Program, service: LoopbackService, clips: Path, shape: str
) -> None:
    """Fault 83: the name is that of the picture and the scene, whatever the server says."""
    directory = f"{clips.parent}/{shape}"
    run = kling(*SQUISH, PHOTO, "-o", directory, "--json")
    (video,) = run.json["videos"]
    path = Path(directory, CLIP)
    assert (run.code, video["file"], video["url"]) == (0, str(path), find_url(service))
    assert path.read_bytes() == VIDEO


def test_several_clips_go_to_a_directory(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """Each line is a path, a tab and the input; nothing else lies there."""
    run = kling(*SQUISH, PHOTO, OTHER_PHOTO, "-o", tmp_path / "new")
    names = {PHOTO: CLIP, OTHER_PHOTO: "hopper-squish.mp4"}
    expected = {f"{tmp_path}/new/{name}\t{photo}" for photo, name in names.items()}
    assert (run.code, set(run.lines)) == (0, expected)
    assert list_files(tmp_path / "new") == sorted(names.values())
    assert len(service.ledger) == 2


def test_the_setting_saves_too(
    kling: Program, service: LoopbackService, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KLING_OUTPUT is -o for effect and wait; --no-wait does not stay for it."""
    monkeypatch.setenv("KLING_OUTPUT", str(clips))
    run = kling(*SQUISH, PHOTO, "--no-wait")
    assert (run.code, list_files(clips)) == (0, [])
    assert kling("wait", run.out.strip()).out == f"{clips / CLIP}\n"
    assert kling(*SQUISH, OTHER_PHOTO).out == f"{clips}/hopper-squish.mp4\n"
    assert kling("wait").code == 0
    assert len(service.ledger) == 2


def test_the_sandbox_saves_its_clip(kling: Program, clips: Path) -> None:
    """Its file: URL is no obstacle; the file is the bundled clip."""
    run = kling(*SQUISH, PHOTO, "--sandbox", "-o", clips)
    bundled = Path(__file__).parents[1] / "kling_cli" / "sandbox" / "clip.mp4"
    assert (run.code, (clips / CLIP).read_bytes()) == (0, bundled.read_bytes())


def test_a_stream_is_the_clip_and_nothing_else(kling: Program, service: LoopbackService) -> None:
    """-o - writes the bytes as they are, of effect and wait; the talk is on standard error."""
    service.shop.rules = Rules(looks_until_done=0)
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    for argv in ((*SQUISH, PHOTO), ("wait", task_id)):
        run = run_installed(*argv, "-o", "-")
        assert (run.code, run.out.encode()) == (0, VIDEO)
    assert len(service.ledger) == 1


@pytest.mark.parametrize("command", ["effect", "wait"])
def test_a_second_clip_of_a_task_gets_a_number(
    kling: Program, service: LoopbackService, clips: Path, command: str
) -> None:
    """A task with two videos makes two files, two lines, and two names in JSON."""
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()

    def tell_two(sale: Purchase | None) -> object:
        assert sale is not None
        url = f"{service.url}/videos/{sale.task_id}.mp4?"
        videos = [{"id": name, "url": url + name, "duration": "5"} for name in "ab"]
        return wrap({**describe(sale, "succeed"), "task_result": {"videos": videos}})

    service.on_look(Reply(json=tell_two))
    argv = (*SQUISH, PHOTO) if command == "effect" else ("wait", task_id)
    path = clips / "c.mp4"
    assert kling(*argv, "-o", path).lines == [str(path), f"{clips}/c.2.mp4"]
    again = kling(*argv, "-o", path, "--json").json
    assert [one["file"] for one in again["videos"]] == [str(path), f"{clips}/c.2.mp4"]
    assert count_downloads(service) == 2


# What is refused before anything is sent


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        pytest.param("there.mp4", ("output_exists", "is there already"), id="fault 80"),
        pytest.param("no/a.mp4", ("output_directory_missing", "is no directory"), id="fault 81"),
        pytest.param("/proc/a.mp4", ("output_not_writable", "No such file"), id="fault 81: file"),
        pytest.param("/proc/a/", ("output_not_writable", "No such file"), id="fault 81: directory"),
        pytest.param("there.mp4/", ("output_not_writable", "no directory"), id="a file as one"),
        pytest.param("/dev/full", ("output_not_writable", "a device"), id="a device"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_sending(
    kling: Program, service: LoopbackService, clips: Path, place: str, fault: tuple[str, str]
) -> None:
    """Nothing is bought whose clip could not be saved; what lies there is not touched."""
    code, words = fault
    (clips / "there.mp4").write_text("mine")
    run = kling(*SQUISH, PHOTO, "-o", f"{clips}/{place}" if place[0] != "/" else place, "--json")
    assert (run.code, run.json["error"]["code"], service.visits) == (3, code, [])
    assert words in run.err
    assert (list_files(clips), (clips / "there.mp4").read_text()) == (["there.mp4"], "mine")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        pytest.param((PHOTO, "-o", "-", "--json"), "both want standard output", id="with JSON"),
        pytest.param((PHOTO, OTHER_PHOTO, "-o", "-"), "one behind the other", id="two streams"),
        pytest.param((PHOTO, OTHER_PHOTO, "-o", PHOTO), "cannot go to one file", id="two in one"),
        pytest.param((PHOTO, "-o", "a.mp4", "--no-wait"), "does not stay to save", id="no wait"),
        pytest.param((PHOTO, "-o", ""), "must be a file, a directory", id="empty"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(
    kling: Program, service: LoopbackService, argv: tuple[str | Path, ...], words: str
) -> None:
    """They end with 2, and nothing is sent."""
    run = kling(*SQUISH, *argv)
    assert (run.code, run.out if "--json" not in argv else "", service.visits) == (2, "", [])
    assert words in run.err


def test_a_terminal_is_spared(service: LoopbackService) -> None:
    """-o - to a terminal is refused: a clip would garble it."""
    with Terminal(*SQUISH, PHOTO, "-o", "-") as terminal:
        assert terminal.finish() == 2
        assert "A clip would garble the terminal." in terminal.lines[0]
    assert service.visits == []


def test_one_that_cannot_be_saved_does_not_stop_the_others(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """In a batch a file that is in the way refuses its own input alone, and first."""
    (clips / CLIP).write_text("mine")
    run = kling(*SQUISH, OTHER_PHOTO, PHOTO, "-o", clips, "--json")
    refused, saved = run.records
    assert (run.code, refused["exit_code"], saved["exit_code"]) == (3, 3, 0)
    assert refused["images"][0]["source"] == str(PHOTO)
    assert (len(service.ledger), (clips / CLIP).read_text()) == (1, "mine")


def test_a_picture_that_was_refused_has_no_place_to_check(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """What is wrong with a picture is told as that, also where a file is in its way."""
    (clips / "bad-squish.mp4").write_text("mine")
    bad = clips.parent / "bad.jpg"
    bad.write_text("no picture")
    run = kling(*SQUISH, bad, PHOTO, "-o", clips, "--json")
    assert [one["exit_code"] for one in run.records] == [3, 0]
    assert run.records[0]["error"]["code"] == "image_wrong_format"
    assert (list_files(clips), len(service.ledger)) == ([CLIP, "bad-squish.mp4"], 1)


def test_force_replaces(kling: Program, service: LoopbackService, clips: Path) -> None:
    """--force is the user's word that what lies there may go, and no later file of another."""
    (clips / CLIP).write_text("mine")
    assert kling(*SQUISH, PHOTO, "-o", clips, "--force").code == 0
    assert (clips / CLIP).read_bytes() == VIDEO
    assert len(service.ledger) == 1


def test_a_rehearsal_makes_nothing(kling: Program, service: LoopbackService, clips: Path) -> None:
    """--dry-run tells what would be refused, and leaves the disk as it is."""
    assert kling(*SQUISH, PHOTO, "-o", clips.parent / "new/", "--dry-run").code == 0
    assert kling(*SQUISH, PHOTO, OTHER_PHOTO, "-o", clips.parent / "new", "--dry-run").code == 0
    assert not (clips.parent / "new").exists()
    assert kling(*SQUISH, PHOTO, "-o", clips, "--dry-run").code == 0
    (clips / CLIP).write_text("mine")
    assert kling(*SQUISH, PHOTO, "-o", clips, "--dry-run").code == 3
    assert (list_files(clips), service.visits) == ([CLIP], [])


# The same again


def test_a_rerun_finds_its_files(kling: Program, service: LoopbackService, clips: Path) -> None:
    """What was saved is known by its bytes: nothing is bought, downloaded or refused."""
    first = kling(*SQUISH, PHOTO, OTHER_PHOTO, "-o", clips)
    before = len(service.visits)
    for force in ((), ("--force",)):
        again = kling(*SQUISH, PHOTO, OTHER_PHOTO, "-o", clips, *force)
        assert (again.code, sorted(again.lines)) == (0, sorted(first.lines))
    names = [sale.task_id for sale in service.ledger]
    waited = kling("wait", *names, "-o", clips)
    assert sorted(line.split("\t")[0] for line in waited.lines) == sorted(
        line.split("\t")[0] for line in first.lines
    )
    assert len(service.visits) == before
    assert count_downloads(service) == 2


def test_a_rerun_clears_up_behind_a_killed_one(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """A run that was killed between two names of its clip leaves both; then one is left."""
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 0
    (clips / f"{CLIP}.part").hardlink_to(clips / CLIP)
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 0
    assert (list_files(clips), count_downloads(service)) == ([CLIP], 1)


def test_a_file_that_was_changed_is_somebody_elses(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """A clip that the user has cut since is neither replaced nor taken for the clip."""
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 0
    changed = VIDEO[:-1] + b"x"
    (clips / CLIP).write_bytes(changed)
    run = kling(*SQUISH, PHOTO, "-o", clips)
    assert (run.code, (clips / CLIP).read_bytes()) == (3, changed)
    assert kling(*SQUISH, PHOTO, "-o", clips, "--new").code == 3
    assert len(service.ledger) == 1


def test_a_new_task_does_not_take_the_old_clip_for_its_own(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """--new buys another clip, for which the first one's place is taken."""
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 0
    assert kling(*SQUISH, PHOTO, "-o", clips, "--new").code == 3
    assert kling(*SQUISH, PHOTO, "-o", clips, "--new", "--force").code == 0
    assert (len(service.ledger), count_downloads(service)) == (2, 2)


def test_two_inputs_of_one_name_do_not_meet(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """a/p00.jpg and b/p00.jpg get a file each, and keep them in a rerun."""
    first, *_ = make_photos(tmp_path / "a", 1)
    _, second = make_photos(tmp_path / "b", 2)
    second = second.rename(second.with_name("p00.jpg"))
    argv = (*SQUISH, first, second, "-o", tmp_path / "clips")
    expected = [
        f"{tmp_path}/clips/p00-squish-2.mp4\t{second}",
        f"{tmp_path}/clips/p00-squish.mp4\t{first}",
    ]
    assert sorted(kling(*argv).lines) == expected
    assert sorted(kling(*argv).lines) == expected
    assert (len(service.ledger), count_downloads(service)) == (2, 2)


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_the_same_picture_twice_is_one_clip(
    kling: Program, service: LoopbackService, tmp_path: Path, jobs: str
) -> None:
    """Named twice it is bought, downloaded and saved once, and told twice."""
    argv = (*SQUISH, PHOTO, PHOTO, "-o", tmp_path / "clips", "--jobs", jobs)
    run = kling(*argv)
    assert (run.code, run.lines) == (0, [f"{tmp_path}/clips/{CLIP}\t{PHOTO}"] * 2)
    assert (len(service.ledger), count_downloads(service)) == (1, 1)
    assert list_files(tmp_path / "clips") == [CLIP]


def test_the_same_picture_under_two_names_is_two_files(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """One task, and each name has its file; a rerun finds both."""
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(PHOTO.read_bytes())
    argv = (*SQUISH, PHOTO, copy, "-o", tmp_path / "clips")
    for _ in range(2):
        assert kling(*argv).code == 0
        assert list_files(tmp_path / "clips") == [CLIP, "copy-squish.mp4"]
    assert (len(service.ledger), count_downloads(service)) == (1, 2)


# kling wait


def test_wait_saves_what_it_waited_for(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """As a file for one task, in a directory for all that are unfinished, under the same names."""
    first = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    assert kling("wait", first, "-o", clips / "one.mp4").out == f"{clips}/one.mp4\n"
    for photo in (PHOTO, OTHER_PHOTO):
        assert kling(*SQUISH, photo, "--no-wait", "--new").code == 0
    run = kling("wait", "-o", clips.parent / "all/")
    assert sorted(line.split("\t")[0] for line in run.lines) == [
        f"{clips.parent}/all/{CLIP}",
        f"{clips.parent}/all/hopper-squish.mp4",
    ]
    digest = hashlib.sha256((clips / "one.mp4").read_bytes()).digest()
    assert digest == hashlib.sha256(VIDEO).digest()
    assert len(service.ledger) == 3


def test_wait_names_the_clip_of_a_strange_task_by_its_id(
    kling: Program, service: LoopbackService, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a task of another machine nothing but the id is known."""
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    monkeypatch.setenv("KLING_STATE_DIR", str(clips.parent / "elsewhere"))
    assert kling("wait", task_id, "-o", clips).out == f"{clips}/{task_id}.mp4\n"
    assert kling("wait", task_id, "-o", clips).code == 0
    assert count_downloads(service) == 1


def test_wait_refuses_a_place_that_is_taken_before_it_waits(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """Nobody should wait for minutes to learn that."""
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    (clips / "c.mp4").write_text("mine")
    run = kling("wait", task_id, "-o", clips / "c.mp4")
    assert (run.code, run.out, service.count("GET")) == (3, "", 0)
    assert kling("wait", task_id, "-o", clips / "no" / "c.mp4").code == 3
    assert kling("wait", task_id, "-o", clips / "c.mp4", "--force").code == 0
    assert (clips / "c.mp4").read_bytes() == VIDEO
