"""Clips that are saved: where they go, what is refused before buying, what breaks on the way."""

import hashlib
import os
import resource
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from support.photos import make_photos
from support.process import Process
from support.replies import RESET, Reply, describe, refuse, wrap
from support.run import OTHER_PHOTO, PHOTO, Program, command, run_installed
from support.service import VIDEO, LoopbackService
from support.shop import Purchase, Rules
from support.terminal import Terminal

SQUISH = ("effect", "squish")
CLIP = "astronaut-squish.mp4"
BUNDLED = Path(__file__).parents[1] / "kling_cli" / "sandbox" / "clip.mp4"
HTML = {"Content-Type": "text/html"}
LONGER = {"Content-Type": "video/mp4", "Content-Length": str(len(VIDEO) + 9)}
HUGE = {"Content-Type": "video/mp4", "Content-Length": str(2 << 30)}
# Each is what the video's host says, and what the error's code is.
FAULTS = [
    pytest.param((Reply(body=VIDEO, headers=LONGER), "download_failed"), id="cut off"),
    pytest.param((RESET, "download_failed"), id="reset"),
    pytest.param((Reply(status=502), "download_failed"), id="a gateway's fault"),
    pytest.param((Reply(status=206, body=VIDEO), "download_failed"), id="another part"),
    pytest.param(
        (Reply(body=VIDEO, headers={"Content-Encoding": "gzip"}), "download_failed"), id="gzip"
    ),
    pytest.param((Reply(body=VIDEO, headers=HUGE), "download_too_large"), id="too large"),
    pytest.param((Reply(body=b"<html>Hi</html>", headers=HTML), "download_not_a_video"), id="HTML"),
    pytest.param((Reply(json={"error": "gone"}), "download_not_a_video"), id="JSON"),
    pytest.param((Reply(), "download_not_a_video"), id="nothing"),
    pytest.param((refuse(403, 1, "expired"), "download_expired"), id="expired"),
    pytest.param((Reply(status=404), "download_expired"), id="deleted"),
]


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


def break_journal(*statements: str) -> None:
    """Change the journal's file from outside."""
    path = Path(os.environ["KLING_STATE_DIR"]) / "journal.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


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


def test_the_sandbox_saves_its_clip(kling: Program, clips: Path, tmp_path: Path) -> None:
    """Its file: URL is no obstacle, also where the file that it named is gone since."""
    task_id = kling(*SQUISH, PHOTO, "--sandbox", "--json").json["task_id"]
    (tmp_path / "state" / "sandbox.mp4").unlink()
    for argv in ((*SQUISH, PHOTO), ("wait", task_id)):
        run = kling(*argv, "--sandbox", "-o", clips / f"{argv[0]}.mp4")
        assert (run.code, (clips / f"{argv[0]}.mp4").read_bytes()) == (0, BUNDLED.read_bytes())


def test_a_name_may_be_as_long_as_the_file_system_allows(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """A legal name of 255 bytes is saved, a longer one refused; a photo's long name is cut."""
    assert kling(*SQUISH, PHOTO, "-o", clips / ("é" * 125 + "x.mp4")).code == 0
    photo = clips.parent / ("火" * 83 + "a.jpg")
    photo.write_bytes(PHOTO.read_bytes())
    run = kling(*SQUISH, photo, "-o", clips)
    assert (run.code, run.out.endswith("火-squish.mp4\n")) == (0, True)
    assert kling(*SQUISH, PHOTO, "-o", clips / ("x" * 252 + ".mp4")).code == 3
    assert (len(list_files(clips)), len(service.ledger)) == (2, 1)


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
    ("place", "fault", "words"),
    [
        pytest.param("there.mp4", "exists", "--force replaces it", id="fault 80"),
        pytest.param("no/a.mp4", "not_writable", "no/ makes it", id="fault 81"),
        pytest.param("/proc/a.mp4", "not_writable", "No such file", id="fault 81: a file"),
        pytest.param("/proc/a/", "not_writable", "No such file", id="fault 81: a directory"),
        pytest.param("there.mp4/", "not_writable", "File exists", id="a file as a directory"),
        pytest.param("pipe", "not_writable", "not a regular file", id="a pipe"),
        pytest.param("dangling", "exists", "--force replaces it", id="a dangling link"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_sending(
    kling: Program, service: LoopbackService, clips: Path, *, place: str, fault: str, words: str
) -> None:
    """Nothing is bought whose clip could not be saved; what is there is not touched."""
    (clips / "there.mp4").write_text("mine")
    (clips / "dangling").symlink_to("nowhere")
    os.mkfifo(clips / "pipe")
    run = kling(*SQUISH, PHOTO, "-o", f"{clips}/{place}" if place[0] != "/" else place, "--json")
    assert (run.code, run.json["error"]["code"], service.visits) == (3, f"output_{fault}", [])
    assert words in run.err
    assert list_files(clips) == ["dangling", "pipe", "there.mp4"]
    assert (clips / "there.mp4").read_text() == "mine"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        pytest.param((PHOTO, "-o", "-", "--json"), "both want standard output", id="with JSON"),
        pytest.param(
            (PHOTO, OTHER_PHOTO, "-o", "-"), "2 videos cannot go to one file", id="two streams"
        ),
        pytest.param((PHOTO, OTHER_PHOTO, "-o", PHOTO), "cannot go to one file", id="two in one"),
        pytest.param(
            (PHOTO, "-o", "a.mp4", "--no-wait"), "exits before there is a video", id="no wait"
        ),
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
        assert "mpv" in "".join(terminal.lines)
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


def test_the_same_picture_twice_is_one_clip(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """Named twice it is bought and saved once, and printed twice."""
    run = kling(*SQUISH, PHOTO, PHOTO, "-o", tmp_path / "clips")
    assert (run.code, run.lines) == (0, [f"{tmp_path}/clips/{CLIP}\t{PHOTO}"] * 2)
    assert (len(service.ledger), list_files(tmp_path / "clips")) == (1, [CLIP])


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


# What breaks on the way


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", ["effect", "wait"])
def test_a_broken_download_leaves_nothing_and_loses_nothing(
    kling: Program, service: LoopbackService, clips: Path, fault: tuple[Reply, str], command: str
) -> None:
    """Fault 82: no file of any name, the URL on both streams, 11; a rerun completes it."""
    reply, code = fault
    path = clips / "c.mp4"
    argv: tuple[str | Path, ...] = (*SQUISH, PHOTO, "-o", path)
    if command == "wait":
        argv = ("wait", kling(*SQUISH, PHOTO, "--no-wait").out.strip(), "-o", path)
    service.on_video(reply, times=40)
    run = kling(*argv)
    url = find_url(service)
    assert (run.code, run.out, list_files(clips)) == (11, f"{url}\n", [])
    assert url in run.err
    result = kling(*argv, "--json").json
    assert (result["exit_code"], result["task_status"]) == (11, "succeed")
    assert (result["error"]["code"], result["error"]["charged"]) == (code, "yes")
    assert [(video["url"], video["file"]) for video in result["videos"]] == [(url, None)]
    assert list_files(clips) == []
    service.forget_scripts()
    again = kling(*argv)
    assert (again.code, again.out, path.read_bytes()) == (0, f"{path}\n", VIDEO)
    assert (list_files(clips), len(service.ledger)) == (["c.mp4"], 1)


def test_a_download_that_breaks_goes_on_where_it_broke(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """Fault 82: only the rest is asked for, and only of the same version; else all of it again."""
    tag = f'"{hashlib.sha256(VIDEO).hexdigest()[:16]}"'
    part = {"Content-Type": "video/mp4", "Content-Length": str(len(VIDEO))}
    for etag in (tag, '"another version"', "W/weak"):
        service.on_video(Reply(body=VIDEO[:99], headers={**part, "ETag": etag}))
        path = clips / f"{len(service.visits)}.mp4"
        assert kling(*SQUISH, PHOTO, "-o", path).code == 0
        asked = service.visits[-1].headers
        is_resumed = not etag.startswith("W/")
        assert asked.get("range") == ("bytes=99-" if is_resumed else None)
        assert asked.get("if-range") == (etag if is_resumed else None)
        assert path.read_bytes() == VIDEO
    assert len(list_files(clips)) == 3


def test_a_server_may_send_the_rest_in_parts(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """Fault 82: an answer that ends properly before the clip does is not the end."""
    tag = f'"{hashlib.sha256(VIDEO).hexdigest()[:16]}"'
    whole = {"ETag": tag, "Content-Length": str(len(VIDEO))}
    service.on_video(Reply(body=VIDEO[:99], headers=whole))
    part = {"ETag": tag, "Content-Range": f"bytes 99-198/{len(VIDEO)}"}
    service.on_video(Reply(status=206, body=VIDEO[99:199], headers=part))
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 0
    assert service.visits[-1].headers["range"] == "bytes=199-"
    assert (clips / CLIP).read_bytes() == VIDEO


def test_a_full_disk_leaves_nothing(
    kling: Program, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for the clip is exit 11 with its URL, and a rerun with room completes it."""
    video = VIDEO + bytes(1 << 20)
    with LoopbackService(video=video) as service:
        monkeypatch.setenv("KLING_BASE_URL", service.base_url)
        monkeypatch.setenv("KLING_TOKEN", "sk-test-0123456789")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, hard))
        try:
            run = kling(*SQUISH, PHOTO, "-o", clips, "--json")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (run.code, run.json["error"]["code"]) == (11, "output_failed")
        assert find_url(service) in run.json["error"]["message"]
        assert list_files(clips) == []
        assert kling(*SQUISH, PHOTO, "-o", clips).code == 0
        assert ((clips / CLIP).read_bytes(), len(service.ledger)) == (video, 1)


def test_the_same_command_twice_at_once(service: LoopbackService, clips: Path) -> None:
    """Fault 95: both runs end with 0 and print the path; one purchase, one whole file."""
    service.shop.rules = Rules(looks_until_done=1)
    argv = (*SQUISH, PHOTO, "-o", clips / "c.mp4")
    with Process(*argv) as first, Process(*argv) as second:
        runs = [first.finish(), second.finish()]
    assert [(run.code, run.out) for run in runs] == [(0, f"{clips}/c.mp4\n")] * 2, runs
    assert ((clips / "c.mp4").read_bytes(), list_files(clips)) == (VIDEO, ["c.mp4"])
    assert len(service.ledger) == 1


def test_a_file_system_without_links_will_do(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """Where no link can be made, the clip is renamed, and still replaces nothing."""
    service.shop.rules = Rules(looks_until_done=0)
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    inject = ["strace", "-f", "-o", "/dev/null", "-e", "trace=link,linkat"]
    inject += ["-e", "inject=link,linkat:error=EPERM"]
    try:
        argv = [*inject, *command("wait", task_id, "-o", clips / "c.mp4")]
        done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip(reason="strace is not installed")
    assert (done.returncode, (clips / "c.mp4").read_bytes()) == (0, VIDEO)
    assert list_files(clips) == ["c.mp4"]


def test_a_place_that_was_taken_meanwhile_is_left_alone(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """A file that appears while the task runs is not replaced: 11, and the clip is not lost."""
    path = clips / CLIP

    def put_a_file_there(_sale: object) -> object:
        path.write_text("mine")
        return {"code": 1302, "message": "busy"}

    service.on_look(Reply(status=429, json=put_a_file_there))
    run = kling(*SQUISH, PHOTO, "-o", clips)
    assert (run.code, run.out, path.read_text()) == (11, f"{find_url(service)}\n", "mine")
    assert list_files(clips) == [CLIP]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["effect", "wait"])
def test_a_signal_in_a_download_leaves_no_part(
    kling: Program,
    service: LoopbackService,
    clips: Path,
    number: signal.Signals,
    command: str,
) -> None:
    """Ctrl-C while a clip is saved leaves nothing behind; the way on costs nothing."""
    service.shop.rules = Rules(looks_until_done=0)
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    service.on_video(Reply(body=VIDEO, delay=30))
    argv = (*SQUISH, PHOTO) if command == "effect" else ("wait", task_id)
    with Process(*argv, "-o", clips / "c.mp4") as process:
        give_up = time.monotonic() + 10
        while not any("/videos/8" in visit.path for visit in service.visits):
            assert time.monotonic() < give_up
            time.sleep(0.01)
        (part,) = list_files(clips)
        assert part.endswith(".part")
        process.kill(number)
        run = process.finish()
    assert (run.code, list_files(clips)) == (128 + number, [])
    assert "Stopped." in run.err
    assert kling(*argv, "-o", clips / "c.mp4").code == 0
    assert (list_files(clips), len(service.ledger)) == (["c.mp4"], 1)


def test_a_reader_that_leaves_ends_it_quietly(
    kling: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 85: `kling wait TASK -o - | head -c 1` ends with 141, without a word."""
    video = VIDEO + bytes(1 << 20)
    with LoopbackService(Rules(looks_until_done=0), video=video) as service:
        monkeypatch.setenv("KLING_BASE_URL", service.base_url)
        monkeypatch.setenv("KLING_TOKEN", "sk-test")
        task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
        child = subprocess.Popen(
            command("wait", task_id, "-o", "-", "-q"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.read(1)
        child.stdout.close()
        said = child.stderr.read()
        child.stderr.close()
        assert (child.wait(20), said) == (141, b"")


def test_a_full_standard_output_is_told(kling: Program, service: LoopbackService) -> None:
    """Fault 84: a stream that cannot be written ends with 11, and tells the URL on stderr."""
    service.shop.rules = Rules(looks_until_done=0)
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("wait", task_id, "-o", "-"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 11
    assert find_url(service) in done.stderr


# The journal behind it


_FAULT = "abs(-9223372036854775807 - 1)"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            (f"CREATE TRIGGER full BEFORE INSERT ON files BEGIN SELECT {_FAULT}; END",),
            id="fault 78: it is full",
        ),
        pytest.param(("DROP TABLE files",), id="it cannot be read"),
    ],
)
def test_a_journal_that_fails_does_not_keep_a_clip_from_being_saved(
    kling: Program, service: LoopbackService, clips: Path, fault: tuple[str, ...]
) -> None:
    """What was paid for is saved; only a rerun does not know the file, and leaves it alone."""
    assert kling(*SQUISH, PHOTO, "--no-wait").code == 0
    break_journal(*fault)
    run = kling(*SQUISH, PHOTO, "-o", clips)
    assert (run.code, (clips / CLIP).read_bytes()) == (0, VIDEO)
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 3
    assert kling(*SQUISH, PHOTO, "-o", clips, "--force").code == 0
    assert len(service.ledger) == 1
