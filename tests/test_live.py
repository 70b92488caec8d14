"""The one line of a terminal during a batch, and while a clip is saved."""

import re
import time
from pathlib import Path

from ground.fault_server import FaultServer
from ground.photos import make_photos
from ground.replies import Reply, describe, refuse, wrap
from ground.run import PHOTO, Program
from ground.service import VIDEO, LoopbackService
from ground.shop import Purchase, Rules
from ground.steps import read_request, send, trickle
from ground.terminal import Terminal

SPINNER = re.compile(r"[⠀-⣿] ")


def find_live(terminal: Terminal) -> list[str]:
    """Find the lines that move, without their first character."""
    return [line[2:] for line in terminal.lines if SPINNER.match(line)]


def test_a_batch_has_one_line_that_counts(service: LoopbackService, tmp_path: Path) -> None:
    """Done, running, waiting for a slot, failed, elapsed; one line whatever the number of tasks."""
    photos = make_photos(tmp_path / "photos", 4)
    service.shop.rules = Rules(concurrency_limit=2, looks_until_done=0)
    service.on_create(refuse(400, 1201, "image is invalid"))
    seen = set[str]()
    with Terminal("effect", "squish", *photos, "--yes", "--jobs", "4") as terminal:
        terminal.wait_for("0 of 4 done, 2 running, 1 waiting for a slot, 1 failed  0:0")
        while len(service.ledger) < 3:
            terminal.wait_for(" of 4 done")
            live = find_live(terminal)
            assert len(live) <= 1
            seen.update(re.sub(r"  0:0\d$", "", line) for line in live)
            assert not terminal.is_cursor_hidden
            time.sleep(0.01)
        terminal.wait_for("2 of 4 done, 1 running, 1 failed  0:0")
        assert terminal.lines[-1] == terminal.wait_for("2 of 4 done")
        assert terminal.finish() == 6
        assert find_live(terminal) == []
        urls = [line for line in terminal.lines if line.startswith(service.url)]
        assert len(urls) == 3
        assert not terminal.is_cursor_hidden
    assert "0 of 4 done, 2 running, 1 waiting for a slot, 1 failed" in seen
    assert not [line for line in seen if "%" in line or "[" in line]


def test_the_check_of_many_pictures_is_shown_and_taken_away(
    service: LoopbackService, tmp_path: Path
) -> None:
    """Ctrl-C while pictures are checked leaves a clean screen, and nothing was sent."""
    links = [tmp_path / f"{number:04}.jpg" for number in range(1500)]
    for link in links:
        link.symlink_to(PHOTO)
    with Terminal("effect", "squish", *links, "--no-wait") as terminal:
        live = terminal.wait_for(" of 1500  0:0")
        assert re.match(r". checking pictures  \d+ of 1500  0:0\d", live)
        terminal.type("\x03")
        assert terminal.finish() == 130
        assert find_live(terminal) == []
        assert "kling: error: Stopped. Nothing was sent." in terminal.lines
        assert not terminal.is_cursor_hidden
    assert service.visits == []


def test_saving_shows_size_and_speed(
    kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """While one clip is saved the line has a bar, what is there of how much, and how fast."""
    video = VIDEO + bytes(2_000_000 - len(VIDEO))
    head = f"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {len(video)}\r\n\r\n"
    script = (read_request, send(head.encode()), trickle(video, interval=0.05, size=50_000))
    task_id = kling("effect", "squish", PHOTO, "--no-wait").out.strip()
    with FaultServer(script) as server:

        def tell(sale: Purchase | None) -> object:
            assert sale is not None
            videos = [{"id": "v", "url": f"{server.url}/v.mp4", "duration": "5"}]
            return wrap({**describe(sale, "succeed"), "task_result": {"videos": videos}})

        service.on_look(Reply(json=tell))
        argv = ("wait", task_id, "-o", tmp_path / "c.mp4")
        with Terminal(*argv) as terminal:
            line = terminal.wait_for("#-")
            assert re.search(r"  saving \[#+-+\] [01]\.\d", line)
            line = terminal.wait_for(" MB/s")
            assert re.search(r"saving \[#+-+\] [01]\.\d of 2\.0 MB \d\.\d MB/s  0:0\d", line)
            assert len(find_live(terminal)) == 1
            assert terminal.finish() == 0
            assert terminal.raw.endswith(f"{tmp_path}/c.mp4\r\n".encode())
            assert find_live(terminal) == []
    assert (tmp_path / "c.mp4").read_bytes() == video
