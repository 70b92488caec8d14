"""Clips that are saved: where they go, what is refused before buying, what breaks on the way."""

import gzip
import hashlib
import resource
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.photos import make_photos
from support.process import Process
from support.purchases import break_journal, find_video, show
from support.replies import RESET, Reply, refuse
from support.run import OTHER_PHOTO, PHOTO, Program, command, run_installed
from support.service import VIDEO, LoopbackService
from support.shop import Rules
from support.terminal import Terminal

SQUISH = ("effect", "squish")
CLIP, OTHER_CLIP = "astronaut-squish.mp4", "hopper-squish.mp4"
BUNDLED = Path(__file__).parents[1] / "kling_cli" / "sandbox" / "clip.mp4"
TAG = f'"{hashlib.sha256(VIDEO).hexdigest()[:16]}"'
LONGER = {"Content-Length": str(len(VIDEO) + 9)}
HUGE = {"Content-Length": str(2 << 30)}
GZIP = {"Content-Encoding": "gzip"}
# Each is what the video's host says, and what the error's code is.
FAULTS = {
    "cut off": (Reply(body=VIDEO, headers=LONGER), "download_failed"),
    "reset": (RESET, "download_failed"),
    "a gateway's fault": (Reply(status=502), "download_failed"),
    "another part": (Reply(status=206, body=VIDEO), "download_failed"),
    "gzip": (Reply(body=gzip.compress(VIDEO), headers=GZIP), "download_not_a_video"),
    "too large": (Reply(body=VIDEO, headers=HUGE), "download_too_large"),
    "HTML": (Reply(body=b"<html>Hi</html>"), "download_not_a_video"),
    "nothing": (Reply(), "download_not_a_video"),
    "expired": (refuse(403, 1, "expired"), "download_expired"),
}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    directory = tmp_path / "clips"
    directory.mkdir()
    return directory


def count_downloads(service: LoopbackService) -> int:
    return sum("/videos/8" in visit.path for visit in service.visits)


def list_files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("place", ["clips/a clip.mp4", "new/dir/", "clips"])
def test_a_clip_is_saved(kling: Program, service: LoopbackService, clips: Path, place: str) -> None:
    """Fault 83: its path is printed; a directory gets our own name, whatever the server says."""
    output = f"{clips.parent}/{place}"
    path = Path(output) if output.endswith("mp4") else Path(output, CLIP)
    run = kling(*SQUISH, PHOTO, "-o", output, "--json")
    (video,) = run.json["videos"]
    assert (run.code, video["file"], video["url"]) == (0, str(path), find_video(service))
    assert (path.read_bytes(), list_files(path.parent)) == (VIDEO, [path.name])
    assert kling(*SQUISH, PHOTO, "-o", output).out == f"{path}\n"


def test_the_setting_saves_too(
    kling: Program, service: LoopbackService, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KLING_OUTPUT", str(clips))
    run = kling(*SQUISH, PHOTO, "--no-wait")
    assert (run.code, list_files(clips)) == (0, [])
    assert kling("wait", run.out.strip()).out == f"{clips / CLIP}\n"
    assert kling(*SQUISH, OTHER_PHOTO).out == f"{clips / OTHER_CLIP}\n"
    assert len(service.ledger) == 2


def test_the_sandbox_saves_its_clip(kling: Program, clips: Path) -> None:
    """Its file: URL is no obstacle."""
    task_id = kling(*SQUISH, PHOTO, "--sandbox", "--json").json["task_id"]
    for argv in ((*SQUISH, PHOTO), ("wait", task_id)):
        run = kling(*argv, "--sandbox", "-o", clips / f"{argv[0]}.mp4")
        assert (run.code, (clips / f"{argv[0]}.mp4").read_bytes()) == (0, BUNDLED.read_bytes())


def test_a_long_name_is_cut(kling: Program, service: LoopbackService, clips: Path) -> None:
    photo = clips.parent / ("火" * 83 + "a.jpg")
    photo.write_bytes(PHOTO.read_bytes())
    run = kling(*SQUISH, photo, "-o", clips)
    assert (run.code, run.out.endswith("火-squish.mp4\n"), len(service.ledger)) == (0, True, 1)


@pytest.mark.usefixtures("today")
def test_a_stream_is_the_clip_and_nothing_else(kling: Program, service: LoopbackService) -> None:
    service.shop.rules = Rules(looks_until_done=0)
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    for argv in ((*SQUISH, PHOTO), ("wait", task_id)):
        run = run_installed(*argv, "-o", "-")
        assert (run.code, run.out.encode()) == (0, VIDEO)


def test_a_second_clip_has_a_number(kling: Program, service: LoopbackService, clips: Path) -> None:
    """A task with two videos makes two files, two lines, and two names in JSON (fault 39)."""
    url = service.publish("/v.mp4", VIDEO, media_type="video/mp4")
    videos = [{"id": name, "url": f"{url}?{name}"} for name in "ab"]
    service.on_look(show("succeed", task_result={"videos": videos}))
    path = clips / "c.mp4"
    assert kling(*SQUISH, PHOTO, "-o", path).lines == [str(path), f"{clips}/c.2.mp4"]
    again = kling(*SQUISH, PHOTO, "-o", path, "--json").json
    assert [one["file"] for one in again["videos"]] == [str(path), f"{clips}/c.2.mp4"]
    assert service.requests["GET", "/v.mp4?a"] == service.requests["GET", "/v.mp4?b"] == 1


@pytest.mark.parametrize(
    ("place", "fault", "words"),
    [
        pytest.param("there.mp4", "exists", "--force to replace it", id="fault 80"),
        pytest.param("no/a.mp4", "not_writable", "-o DIR/ creates the directory", id="fault 81"),
        pytest.param("/proc/a/", "not_writable", "No such file", id="fault 81: a directory"),
        pytest.param("there.mp4/", "not_writable", "File exists", id="a file as a directory"),
        pytest.param("pipe", "not_writable", "not a regular file", id="a pipe"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_sending(
    kling: Program, service: LoopbackService, clips: Path, *, place: str, fault: str, words: str
) -> None:
    (clips / "there.mp4").write_text("mine")
    subprocess.run(["mkfifo", clips / "pipe"], check=True)
    run = kling(*SQUISH, PHOTO, "-o", f"{clips}/{place}" if place[0] != "/" else place, "--json")
    assert (run.code, run.json["error"]["code"], service.visits) == (3, f"output_{fault}", [])
    assert words in run.err
    assert list_files(clips) == ["pipe", "there.mp4"]
    assert (clips / "there.mp4").read_text() == "mine"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        pytest.param((PHOTO, "-o", "-", "--json"), "both write to standard output", id="with JSON"),
        pytest.param((PHOTO, OTHER_PHOTO, "-o", "-"), "videos need a directory", id="two streams"),
        pytest.param((PHOTO, OTHER_PHOTO, "-o", PHOTO), "videos need a directory", id="two in one"),
        pytest.param((PHOTO, "-o", "a.mp4", "--no-wait"), "exclude each other", id="no wait"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(
    kling: Program, service: LoopbackService, argv: tuple[str | Path, ...], words: str
) -> None:
    run = kling(*SQUISH, *argv)
    assert (run.code, run.out if "--json" not in argv else "", service.visits) == (2, "", [])
    assert words in run.err


def test_a_terminal_is_spared(service: LoopbackService) -> None:
    with Terminal(*SQUISH, PHOTO, "-o", "-") as terminal:
        assert terminal.finish() == 2
        assert "mpv" in "".join(terminal.lines)
    assert service.visits == []


def test_a_file_in_the_way_stops_one(kling: Program, service: LoopbackService, clips: Path) -> None:
    """In a batch a file that is in the way refuses its own input alone, and first."""
    (clips / CLIP).write_text("mine")
    run = kling(*SQUISH, OTHER_PHOTO, PHOTO, "-o", clips, "--json")
    refused, saved = run.records
    assert (run.code, refused["exit_code"], saved["exit_code"]) == (3, 3, 0)
    assert refused["images"][0]["source"] == str(PHOTO)
    assert (len(service.ledger), (clips / CLIP).read_text()) == (1, "mine")


def test_a_rehearsal_makes_nothing(kling: Program, service: LoopbackService, clips: Path) -> None:
    for photos in ((PHOTO,), (PHOTO, OTHER_PHOTO)):
        assert kling(*SQUISH, *photos, "-o", f"{clips.parent}/new/", "--dry-run").code == 0
    assert not (clips.parent / "new").exists()
    (clips / CLIP).write_text("mine")
    assert kling(*SQUISH, PHOTO, "-o", clips, "--dry-run").code == 3
    assert (list_files(clips), service.visits) == ([CLIP], [])


def test_a_rerun_finds_its_files(kling: Program, service: LoopbackService, clips: Path) -> None:
    """What was saved is known by its bytes: nothing is bought, downloaded or refused."""
    expected = [f"{clips / CLIP}\t{PHOTO}", f"{clips / OTHER_CLIP}\t{OTHER_PHOTO}"]
    for force in ((), (), ("--force",)):
        run = kling(*SQUISH, PHOTO, OTHER_PHOTO, "-o", clips, *force)
        assert (run.code, sorted(run.lines)) == (0, expected)
    waited = kling("wait", *(sale.task_id for sale in service.ledger), "-o", clips)
    assert {line.split("\t")[0] for line in waited.lines} == {
        str(clips / CLIP),
        str(clips / OTHER_CLIP),
    }
    assert (len(service.ledger), count_downloads(service)) == (2, 2)


def test_another_file_is_left_alone(kling: Program, service: LoopbackService, clips: Path) -> None:
    """Neither a clip that the user has cut since, nor that of an earlier task, is replaced."""
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 0
    assert kling(*SQUISH, PHOTO, "-o", clips, "--new").code == 3
    changed = VIDEO[:-1] + b"x"
    (clips / CLIP).write_bytes(changed)
    run = kling(*SQUISH, PHOTO, "-o", clips)
    assert (run.code, (clips / CLIP).read_bytes(), len(service.ledger)) == (3, changed, 1)
    assert kling(*SQUISH, PHOTO, "-o", clips, "--new", "--force").code == 0
    assert ((clips / CLIP).read_bytes(), len(service.ledger)) == (VIDEO, 2)


def test_inputs_of_one_name(kling: Program, service: LoopbackService, tmp_path: Path) -> None:
    """a/p00.jpg and b/p00.jpg get a file each, and keep them in a rerun."""
    first, *_ = make_photos(tmp_path / "a", 1)
    _, second = make_photos(tmp_path / "b", 2)
    second = second.rename(second.with_name("p00.jpg"))
    expected = [
        f"{tmp_path}/clips/p00-squish-2.mp4\t{second}",
        f"{tmp_path}/clips/p00-squish.mp4\t{first}",
    ]
    for _ in range(2):
        run = kling(*SQUISH, first, second, "-o", f"{tmp_path}/clips/")
        assert sorted(run.lines) == expected
    assert (len(service.ledger), count_downloads(service)) == (2, 2)


def test_one_picture_is_one_task(kling: Program, service: LoopbackService, clips: Path) -> None:
    """Named twice it is saved once and printed twice; each name has its file, also in a rerun."""
    copy = clips.parent / "copy.jpg"
    copy.write_bytes(PHOTO.read_bytes())
    run = kling(*SQUISH, PHOTO, PHOTO, "-o", clips)
    assert (run.code, run.lines) == (0, [f"{clips / CLIP}\t{PHOTO}"] * 2)
    for _ in range(2):
        assert kling(*SQUISH, PHOTO, copy, "-o", clips).code == 0
        assert list_files(clips) == [CLIP, "copy-squish.mp4"]
    assert len(service.ledger) == 1


def test_the_hint_saves_where_the_run_would_have(
    kling: Program, service: LoopbackService, clips: Path
) -> None:
    """What a run with -o prints as the way on can be pasted, and saves the same file."""
    service.shop.rules = Rules(task_seconds=60)
    place = clips / "my clip.mp4"
    run = kling(*SQUISH, PHOTO, "-o", place, "--timeout", "5s", "--json")
    hint = run.json["error"]["hint"]
    assert hint == f"kling wait {run.json['task_id']} -o '{place}'"
    assert kling(*shlex.split(hint)[1:]).out == f"{place}\n"
    assert (place.read_bytes(), len(service.ledger)) == (VIDEO, 1)


def test_wait_names_the_clip_of_a_strange_task_by_its_id(
    kling: Program, service: LoopbackService, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    monkeypatch.setenv("KLING_STATE_DIR", str(clips.parent / "elsewhere"))
    for _ in range(2):
        assert kling("wait", task_id, "-o", clips).out == f"{clips}/{task_id}.mp4\n"
    assert count_downloads(service) == 1


def test_wait_refuses_a_taken_place(kling: Program, service: LoopbackService, clips: Path) -> None:
    """Nobody should wait for minutes to learn that; --force replaces it."""
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    (clips / "c.mp4").write_text("mine")
    run = kling("wait", task_id, "-o", clips / "c.mp4")
    assert (run.code, run.out, service.count("GET")) == (3, "", 0)
    assert kling("wait", task_id, "-o", clips / "c.mp4", "--force").code == 0
    assert (clips / "c.mp4").read_bytes() == VIDEO


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_download_leaves_nothing_and_loses_nothing(
    kling: Program, service: LoopbackService, clips: Path, fault: str
) -> None:
    """Fault 82: no file of any name, the URL on both streams, 11; a rerun completes it."""
    reply, code = FAULTS[fault]
    path = clips / "c.mp4"
    service.on_video(reply, times=5)
    run = kling(*SQUISH, PHOTO, "-o", path, "--json")
    url, error = find_video(service), run.json["error"]
    assert (run.code, run.json["task_status"]) == (11, "succeed")
    assert (error["code"], error["charged"]) == (code, "yes")
    assert [(video["url"], video["file"]) for video in run.json["videos"]] == [(url, None)]
    assert url in run.err
    assert list_files(clips) == []
    service.forget_scripts()
    again = kling(*SQUISH, PHOTO, "-o", path)
    assert (again.code, again.out, path.read_bytes()) == (0, f"{path}\n", VIDEO)
    assert (list_files(clips), len(service.ledger)) == (["c.mp4"], 1)


@pytest.mark.parametrize("etag", [TAG, '"another version"', ""])
def test_a_download_that_breaks_goes_on_where_it_broke(
    kling: Program, service: LoopbackService, clips: Path, etag: str
) -> None:
    """Fault 82: only the rest is asked for, and only of the same version; else all of it again."""
    headers = {"Content-Length": str(len(VIDEO)), **({"ETag": etag} if etag else {})}
    service.on_video(Reply(body=VIDEO[:99], headers=headers))
    begin = 99
    if etag == TAG:  # a server may send the rest in parts
        part = {"Content-Range": f"bytes 99-198/{len(VIDEO)}"}
        service.on_video(Reply(status=206, body=VIDEO[99:199], headers=part))
        begin = 199
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 0
    asked = service.visits[-1].headers
    assert asked.get("range") == (f"bytes={begin}-" if etag else None)
    assert asked.get("if-range") == (etag or None)
    assert (clips / CLIP).read_bytes() == VIDEO


def test_a_full_disk(kling: Program, service: LoopbackService, clips: Path) -> None:
    """No room for the clip is exit 11 with its URL, and a rerun with room completes it."""
    service.video = VIDEO + bytes(1 << 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, hard))
    try:
        run = kling(*SQUISH, PHOTO, "-o", clips, "--json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (run.code, run.json["error"]["code"]) == (11, "output_failed")
    assert find_video(service) in run.json["error"]["message"]
    assert list_files(clips) == []
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 0
    assert ((clips / CLIP).read_bytes(), len(service.ledger)) == (service.video, 1)


def test_the_same_command_twice_at_once(service: LoopbackService, clips: Path) -> None:
    """Fault 95: both runs end with 0 and print the path; one purchase, one whole file."""
    service.shop.rules = Rules(looks_until_done=0)
    argv = (*SQUISH, PHOTO, "-o", clips / "c.mp4")
    with Process(*argv) as first, Process(*argv) as second:
        runs = [first.finish(), second.finish()]
    assert [(run.code, run.out) for run in runs] == [(0, f"{clips}/c.mp4\n")] * 2, runs
    assert ((clips / "c.mp4").read_bytes(), list_files(clips)) == (VIDEO, ["c.mp4"])
    assert len(service.ledger) == 1


def test_a_file_system_without_links_will_do(
    kling: Program, service: LoopbackService, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def refuse_to_link(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refuse_to_link)
    assert kling(*SQUISH, PHOTO, "-o", clips / "c.mp4").code == 0
    assert ((clips / "c.mp4").read_bytes(), list_files(clips)) == (VIDEO, ["c.mp4"])
    assert len(service.ledger) == 1


def test_a_place_taken_meanwhile(kling: Program, service: LoopbackService, clips: Path) -> None:
    """A file that appears while the task runs is not replaced: 11, and the clip is not lost."""
    path = clips / CLIP

    def put_a_file_there(_sale: object) -> object:
        path.write_text("mine")
        return {"code": 1302, "message": "busy"}

    service.on_look(Reply(status=429, json=put_a_file_there))
    run = kling(*SQUISH, PHOTO, "-o", clips)
    assert (run.code, run.out, path.read_text()) == (11, f"{find_video(service)}\n", "mine")
    assert list_files(clips) == [CLIP]


@pytest.mark.usefixtures("today")
@pytest.mark.parametrize(("name", "number"), [("effect", signal.SIGINT), ("wait", signal.SIGTERM)])
def test_a_signal_in_a_download_leaves_no_part(
    kling: Program, service: LoopbackService, clips: Path, name: str, number: signal.Signals
) -> None:
    """Ctrl-C while a clip is saved leaves nothing behind; the way on costs nothing (fault 89)."""
    service.shop.rules = Rules(looks_until_done=0)
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    service.on_video(Reply(body=VIDEO, delay=30))
    argv = (*SQUISH, PHOTO) if name == "effect" else ("wait", task_id)
    with Process(*argv, "-o", clips / "c.mp4") as process:
        give_up = time.monotonic() + 10
        while not count_downloads(service):
            assert time.monotonic() < give_up
            time.sleep(0.01)
        (part,) = list_files(clips)
        assert part.endswith(".part")
        process.kill(number)
        run = process.finish()
    assert (run.code, list_files(clips)) == (128 + number, [])
    assert f"Stopped. Task {task_id} has ended (already paid for)." in run.err
    assert kling(*argv, "-o", clips / "c.mp4").code == 0
    assert (list_files(clips), len(service.ledger)) == (["c.mp4"], 1)


@pytest.mark.usefixtures("today")
def test_a_reader_that_left_ends_it(kling: Program, service: LoopbackService) -> None:
    """Fault 85: `kling wait TASK -o - | head -c 1` ends with 141, without a word."""
    service.video += bytes(1 << 20)
    service.shop.rules = Rules(looks_until_done=0)
    task_id = kling(*SQUISH, PHOTO, "--no-wait").out.strip()
    pipe = ("sh", "-c", '{ "$@"; echo $? >&2; } | head -c 1', "sh")
    argv = [*pipe, *command("wait", task_id, "-o", "-", "-q")]
    reader = subprocess.run(argv, capture_output=True, timeout=60, check=True)
    assert (reader.stdout, reader.stderr) == (service.video[:1], b"141\n")


@pytest.mark.parametrize(
    "fault",
    [
        "CREATE TRIGGER full BEFORE INSERT ON files BEGIN SELECT abs(-9223372036854775808); END",
        "DROP TABLE files",
    ],
)
def test_a_journal_that_fails_does_not_keep_a_clip_from_being_saved(
    kling: Program, service: LoopbackService, clips: Path, fault: str
) -> None:
    """Fault 78: what was paid for is saved; only a rerun leaves the file alone."""
    assert kling(*SQUISH, PHOTO, "--no-wait").code == 0
    break_journal(fault)
    run = kling(*SQUISH, PHOTO, "-o", clips)
    assert (run.code, (clips / CLIP).read_bytes()) == (0, VIDEO)
    assert kling(*SQUISH, PHOTO, "-o", clips).code == 3
    assert kling(*SQUISH, PHOTO, "-o", clips, "--force").code == 0
    assert len(service.ledger) == 1
