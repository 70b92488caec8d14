"""Real processes, killed and failed at any moment: bought once, and never lost."""

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.replies import DROP, RESET, Reply, refuse
from support.run import PHOTO, command
from support.service import LoopbackService
from support.shop import Purchase, Rules

_SPEED = "100"
_TESTS = Path(__file__).parent
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
    """The same command again and again, under every trouble, until it has been delivered once."""

    @initialize(deduplicate=st.sampled_from(["refuse", "replay", "ignore"]), looks_up=st.booleans())
    def open_shop(self, deduplicate: str, looks_up: bool) -> None:
        """Open a service with its own habits."""
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
        """Run once more without trouble, and close the service."""
        if not hasattr(self, "service"):
            return
        code, out, err = self.run()
        assert (code == 0 and out.startswith("http")) or self.is_open(code), (code, out, err)
        self.service.__exit__(None, None, None)
        self.directory.cleanup()

    def is_open(self, code: int | None) -> bool:
        """Tell whether a run ended in doubt, and the doubt is listed."""
        return code == 9 and "unknown" in self.run("tasks", "--unfinished")[1]

    def run(self, *argv: str) -> tuple[int | None, str, str]:
        """Run the command to its end, however it ends."""
        argv = argv or ("effect", "squish", str(PHOTO), "--timeout", "120s")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.quick", _SPEED, *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.shape_environment(),
        )
        out, err = self.process.communicate(timeout=60)
        self.service.forget_scripts()
        return self.process.returncode, out, err

    def shape_environment(self) -> Mapping[str, str]:
        """Point the command to its own state and to the service."""
        return {
            **os.environ,
            "PYTHONPATH": str(_TESTS),
            "KLING_STATE_DIR": self.directory.name,
            "KLING_BASE_URL": self.service.base_url,
            "KLING_TOKEN": "sk-shopping",
        }

    def kill(self, _purchase: Purchase | None) -> object:
        """Kill the process that has just asked."""
        assert self.process is not None
        self.process.kill()
        return {}

    @rule(
        submission=st.sampled_from(sorted(_SUBMISSIONS)),
        look=st.sampled_from(sorted(_LOOKS)),
        kill=st.sampled_from(_KILLS),
    )
    def buy(self, submission: str, look: str, kill: str) -> None:
        """Run the command under a trouble of each kind."""
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
        """Nothing is bought twice, whatever has happened so far."""
        if hasattr(self, "service"):
            assert len(self.service.ledger) <= 1


@pytest.mark.timeout(1200)
def test_no_history_of_troubles_buys_twice_or_loses(request: pytest.FixtureRequest) -> None:
    """Whatever happens to run after run, the ledger shows one purchase, and none is lost."""
    many = 60 if request.config.getoption("--every-call") else 5
    Shopping.TestCase.settings = settings(
        max_examples=many,
        stateful_step_count=4,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    Shopping.TestCase("runTest").runTest()


@pytest.mark.timeout(1200)
def test_kills_at_random_moments_buy_each_request_once(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Runs killed at a random moment and run again buy each of their requests once."""
    many = 200 if request.config.getoption("--every-call") else 8
    chance = random.Random(20261122)
    moments = [chance.uniform(0.05, 3.0) for _ in range(many)]
    with LoopbackService(Rules(deduplicate="ignore", looks_until_done=0)) as service:
        environ = {
            **os.environ,
            "KLING_STATE_DIR": str(tmp_path),
            "KLING_BASE_URL": service.base_url,
            "KLING_TOKEN": "sk-random",
        }

        def buy(numbered: tuple[int, float]) -> int:
            number, moment = numbered
            picture = f"https://pictures.example/{number}.jpg"
            line = command("effect", "squish", picture, "--no-check-url", "--timeout", "9s")
            killed = subprocess.Popen(
                line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ
            )
            with suppress(subprocess.TimeoutExpired):
                killed.wait(moment)
            killed.kill()
            killed.wait()
            again = subprocess.run(
                line, capture_output=True, env=environ, timeout=60, check=False, text=True
            )
            assert again.returncode in {0, 9}, again.stderr
            assert again.returncode == 9 or again.stdout.startswith("http")
            return again.returncode

        with ThreadPoolExecutor(10) as pool:
            codes = list(pool.map(buy, enumerate(moments)))
        names = [purchase.external_task_id for purchase in service.ledger]
        print(f"{many} kills: {len(names)} purchases, {codes.count(9)} open")
        assert len(names) == len(set(names))
        assert len(names) >= codes.count(0)
        assert codes.count(9) <= many // 50
