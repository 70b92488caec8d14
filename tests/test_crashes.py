"""Real processes, killed and failed at any moment: bought once, and never lost."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.photos import make_photos
from support.replies import DROP, RESET, Reply, refuse
from support.run import PHOTO, command, run_installed
from support.service import LoopbackService
from support.shop import Purchase, Rules

_TESTS = Path(__file__).parent


def start(
    service: LoopbackService, state: Path, *argv: str | Path, speed: int = 40
) -> "subprocess.Popen[str]":
    environ = {
        "PYTHONPATH": str(_TESTS),
        "KLING_STATE_DIR": str(state),
        "KLING_BASE_URL": service.base_url,
        "KLING_TOKEN": "sk-crashes",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "support.quick", str(speed), *map(str, argv)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )


_PAGE = Reply(status=502, body=b"<html>Bad Gateway</html>", headers={"Content-Type": "text/html"})
# What can become of a submission: the reply, and whether the task was made all the same.
_SUBMISSIONS = {
    "nothing wrong": None,
    "dropped, made": (DROP, True),
    "dropped, not made": (DROP, False),
    "reset, made": (RESET, True),
    "reset, not made": (RESET, False),
    "a proxy's page, made": (_PAGE, True),
    "a proxy's page, not made": (_PAGE, False),
    "half an answer, made": (Reply(body=b'{"code":0,', headers={"Content-Length": "90"}), True),
    "too many tasks": (refuse(429, 1303, "parallel task over resource pack limit"), False),
    "refused": (refuse(400, 1201, "image is invalid"), False),
}
_LOOKS = {
    "nothing wrong": None,
    "dropped": DROP,
    "a proxy's page": _PAGE,
    "another task": Reply(json={"code": 0, "data": {"task_id": "1", "task_status": "failed"}}),
    "nonsense": Reply(body=b"[[["),
}
_KILLS = ("at submission, made", "at submission, not made", "at a look", "at no time")


class Shopping(RuleBasedStateMachine):
    @initialize(deduplicate=st.sampled_from(["refuse", "replay", "ignore"]), looks_up=st.booleans())
    def open_shop(self, deduplicate: str, looks_up: bool) -> None:
        self.directory = tempfile.TemporaryDirectory()
        rules = Rules(
            deduplicate=deduplicate,  # type: ignore[arg-type] # drawn from the three
            lookup_by_external_id=looks_up,
            looks_until_done=0,
        )
        self.service = LoopbackService(rules).__enter__()
        self.process: subprocess.Popen[str] | None = None
        self.delivered = False

    def teardown(self) -> None:
        if not hasattr(self, "service"):
            return
        code, out, err = self.run()
        if code == 9:
            assert "unknown" in self.run("tasks", "--unfinished")[1], err
        else:
            assert (code, out[:4]) == (0, "http"), err
        self.service.__exit__(None, None, None)
        self.directory.cleanup()

    def run(self, *argv: str) -> tuple[int | None, str, str]:
        argv = argv or ("effect", "squish", str(PHOTO), "--timeout", "120s")
        self.process = start(self.service, Path(self.directory.name), *argv, speed=100)
        out, err = self.process.communicate(timeout=60)
        self.service.forget_scripts()
        return self.process.returncode, out, err

    def kill(self, _purchase: Purchase | None) -> object:
        assert self.process is not None
        self.process.kill()
        return {}

    @rule(
        submission=st.sampled_from(sorted(_SUBMISSIONS)),
        look=st.sampled_from(sorted(_LOOKS)),
        kill=st.sampled_from(_KILLS),
    )
    def buy(self, submission: str, look: str, kill: str) -> None:
        if kill.startswith("at submission"):
            made = kill == "at submission, made"
            self.service.on_create(Reply(json=self.kill), purchase=made)
        elif (scripted := _SUBMISSIONS[submission]) is not None:
            self.service.on_create(scripted[0], purchase=scripted[1])
        if kill == "at a look":
            self.service.on_look(Reply(json=self.kill))
        elif (answer := _LOOKS[look]) is not None:
            self.service.on_look(answer)
        code, out, err = self.run()
        assert "Traceback" not in err
        assert code in {0, 6, 7, 9, -signal.SIGKILL}, (code, out, err)
        if code == 0:
            assert out.startswith("http")
            assert len(self.service.ledger) == 1
            self.delivered = True
        else:
            assert not self.delivered or code == -signal.SIGKILL

    @invariant()
    def bought_once_at_most(self) -> None:
        if hasattr(self, "service"):
            assert len(self.service.ledger) <= 1


@pytest.mark.timeout(1200)
def test_no_history_of_troubles_buys_twice_or_loses(request: pytest.FixtureRequest) -> None:
    many = 60 if request.config.getoption("--every-call") else 5
    Shopping.TestCase.settings = settings(
        max_examples=many,
        stateful_step_count=4,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    Shopping.TestCase("runTest").runTest()


@pytest.mark.timeout(1200)
def test_random_kills_buy_each_request_once(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    many = 200 if request.config.getoption("--every-call") else 8
    chance = random.Random(20261122)
    moments = [chance.uniform(0.05, 3.0) for _ in range(many)]
    with LoopbackService(Rules(deduplicate="ignore", looks_until_done=0)) as service:

        def buy(numbered: tuple[int, float]) -> int:
            number, moment = numbered
            picture = f"https://pictures.example/{number}.jpg"
            line = ("effect", "squish", picture, "--no-check-url", "--timeout", "9s")
            killed = start(service, tmp_path, *line, speed=1)
            with suppress(subprocess.TimeoutExpired):
                killed.wait(moment)
            killed.kill()
            killed.communicate()
            again = start(service, tmp_path, *line, speed=1)
            out, err = again.communicate(timeout=60)
            assert again.returncode == 9 or (again.returncode == 0 and out.startswith("http")), err
            return again.returncode

        with ThreadPoolExecutor(10) as pool:
            codes = list(pool.map(buy, enumerate(moments)))
        names = [purchase.external_task_id for purchase in service.ledger]
    print(f"{many} kills: {len(names)} purchases, {codes.count(9)} open")
    assert len(names) == len(set(names))
    assert len(names) >= codes.count(0)
    assert codes.count(9) <= many // 50


def wait_for_sales(service: LoopbackService, count: int) -> None:
    give_up = time.monotonic() + 20
    while len(service.ledger) < count:
        assert time.monotonic() < give_up
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("number", "code", "saves"),
    [
        pytest.param(signal.SIGINT, 130, True, id="SIGINT, files"),
        pytest.param(signal.SIGTERM, 143, False, id="SIGTERM, URLs"),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, True, id="SIGKILL, files"),
    ],
)
def test_killed_batches(tmp_path: Path, number: signal.Signals, code: int, *, saves: bool) -> None:
    """Faults 87 to 90: killed twice at random moments and run again, each photo is bought once."""
    many = 24
    photos, clips = make_photos(tmp_path / "photos", many), tmp_path / "clips"
    options = ("-o", f"{clips}/") if saves else ()
    argv = ("effect", "squish", *photos, "--jobs", "6", "--json", *options)
    chance = random.Random()
    moments = list[int]()
    # Even a service that sells everything twice is asked once.
    with LoopbackService(Rules(deduplicate="ignore", looks_until_done=0)) as service:
        for latest in (many // 2, many - 2):
            moments.append(min(len(service.ledger) + chance.randint(1, 8), latest))
            killed = start(service, tmp_path / "state", *argv)
            wait_for_sales(service, moments[-1])
            time.sleep(chance.uniform(0, 0.03))
            killed.send_signal(number)
            out, err = killed.communicate(timeout=20)
            assert killed.returncode == code, (moments, err)
            if number is not signal.SIGKILL:
                assert len(out.splitlines()) == many
                assert not list(clips.glob("*.part"))
        last = start(service, tmp_path / "state", *argv)
        out, err = last.communicate(timeout=60)
        records = [json.loads(line) for line in out.splitlines()]
        sold = [sale.external_task_id for sale in service.ledger]
    # A kill between the row and its first byte leaves a doubt, which is listed and never resent.
    doubts = [one for one in records if one["exit_code"] == 9]
    assert last.returncode == (9 if doubts else 0), (moments, err)
    assert len(records) == many
    assert {one["exit_code"] for one in records} <= {0, 9}
    assert len(sold) == len(set(sold)) == many - len(doubts)
    assert len({one["videos"][0]["url"] for one in records if one not in doubts}) == len(sold)
    assert len(doubts) <= 4, (moments, err)
    if saves:
        # Nobody cleans up behind SIGKILL; a half clip never has the name of a whole one.
        rest = set(clips.glob(".*.part")) if number is signal.SIGKILL else set()
        assert {path.suffix for path in set(clips.iterdir()) - rest} == {".mp4"}
        assert len(list(clips.glob("*.mp4"))) == len(sold)


@pytest.mark.usefixtures("today")
@pytest.mark.parametrize("kilobytes", [120_000, 160_000, 200_000])
def test_too_little_memory_loses_nothing(kilobytes: int, service: LoopbackService) -> None:
    """Fault 93: out of memory at any place ends in one line; the rerun has the task, once."""
    service.shop.rules = Rules(deduplicate="ignore", looks_until_done=0)
    limit = f'ulimit -v {kilobytes}; exec "$@"'
    line = ["sh", "-c", limit, "sh", *command("effect", "squish", PHOTO, "--timeout", "9s")]
    limited = subprocess.run(line, capture_output=True, timeout=60, check=False)
    assert limited.returncode in {0, 1}
    assert b"Traceback" not in limited.stderr
    again = run_installed("effect", "squish", PHOTO)
    assert (again.code, len(service.ledger)) == (0, 1), again.err
