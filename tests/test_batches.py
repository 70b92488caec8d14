"""Batches of real processes: killed and run again, and shared by several machines."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.photos import make_photos
from support.service import LoopbackService
from support.shop import Rules

_TESTS = Path(__file__).parent
_PHOTOS = 24
# The pauses of a look-up are a minute in all.
_SPEED = "40"


def start(service: LoopbackService, state: Path, *argv: str | Path) -> "subprocess.Popen[str]":
    """Start `kling effect squish` with a clock that runs faster, on a machine of its own."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(_TESTS),
        "KLING_STATE_DIR": str(state),
        "KLING_BASE_URL": service.base_url,
        "KLING_TOKEN": "sk-many",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "support.quick", _SPEED, "effect", "squish", *map(str, argv)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )


def wait_for_sales(service: LoopbackService, count: int) -> None:
    """Wait until so much was bought."""
    give_up = time.monotonic() + 20
    while len(service.ledger) < count:
        assert time.monotonic() < give_up
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
@pytest.mark.parametrize("saves", [False, True], ids=["URLs", "files"])
def test_a_killed_batch_goes_on(
    tmp_path: Path, number: signal.Signals, code: int, *, saves: bool
) -> None:
    """Faults 87 to 90: killed twice at random moments and run again, each photo is bought once."""
    photos = make_photos(tmp_path / "photos", _PHOTOS)
    clips = tmp_path / "clips"
    argv = (*photos, "--jobs", "6", "--json", *(("-o", clips) if saves else ()))
    chance = random.Random()
    moments = list[int]()
    # Even a service that sells everything twice is asked once.
    with LoopbackService(Rules(deduplicate="ignore", looks_until_done=0)) as service:
        for latest in (_PHOTOS // 2, _PHOTOS - 2):
            moments.append(min(len(service.ledger) + chance.randint(1, 8), latest))
            killed = start(service, tmp_path / "state", *argv)
            wait_for_sales(service, moments[-1])
            time.sleep(chance.uniform(0, 0.03))
            killed.send_signal(number)
            out, err = killed.communicate(timeout=20)
            assert killed.returncode == code, (moments, err)
            if number is not signal.SIGKILL:
                assert len(out.splitlines()) == _PHOTOS
                assert not list(clips.glob("*.part"))
        last = start(service, tmp_path / "state", *argv)
        out, err = last.communicate(timeout=60)
        records = [json.loads(line) for line in out.splitlines()]
        sold = [sale.external_task_id for sale in service.ledger]
    # A kill between the row and its first byte leaves a doubt, which is listed and never resent.
    doubts = [one for one in records if one["exit_code"] == 9]
    assert last.returncode == (9 if doubts else 0), (moments, err)
    assert len(records) == _PHOTOS
    assert {one["exit_code"] for one in records} <= {0, 9}
    assert len(sold) == len(set(sold)) == _PHOTOS - len(doubts)
    assert len({one["videos"][0]["url"] for one in records if one not in doubts}) == len(sold)
    assert len(doubts) <= 4, (moments, err)
    if saves:
        # Nobody cleans up behind SIGKILL; a half clip never has the name of a whole one.
        rest = set(clips.glob(".*.part")) if number is signal.SIGKILL else set()
        assert {path.suffix for path in set(clips.iterdir()) - rest} == {".mp4"}
        assert len(list(clips.glob("*.mp4"))) == len(sold)
