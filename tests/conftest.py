"""Fixtures for every test: a clean environment, the program, the loopback service."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.clock import VirtualClock
from support.run import Program
from support.service import LoopbackService

# A busy machine is not a failure; the benchmarks measure speed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell ignores Ctrl-C for background jobs, but the tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

TOKEN = "sk-test-0123456789abcdef"
_CLEARED = ("KLING_", "XDG_")
# With the last one, every process would compile the program again, which is slow.
_NAMED = {
    "CI", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "LINES",
    "NO_COLOR", "NO_PROGRESS", "TERM", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "PYTHONDONTWRITEBYTECODE",
}  # fmt: skip


# Only these measure the coverage of processes, because no other test reaches the same lines, and it
# makes each process 50 % slower.
_MEASURED = "app backoff confirm environment sandbox saving screen signals"


@pytest.fixture(autouse=True)
def _clean_environment(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Isolate every test from the settings, journal and variables of the machine."""
    for name in list(os.environ):
        if name.startswith(_CLEARED) or name.upper() in _NAMED:
            monkeypatch.delenv(name)
    if request.path.stem.removeprefix("test_") not in _MEASURED.split():
        for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KLING_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("KLING_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def today(clock: VirtualClock) -> None:
    """Set the clock to the real date, for processes that resume what this one has bought."""
    clock.shift_date(time.time() - clock.time())


@pytest.fixture
def kling(clock: VirtualClock) -> Program:
    """The program, run inside this process on a clock that costs no time."""
    return Program(clock=clock)


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_TOKEN", TOKEN)


@pytest.fixture
def service(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackService]:
    """The service on loopback, with its ledger; base URL and token point to it."""
    with LoopbackService(clock=clock.time) as loopback:
        monkeypatch.setenv("KLING_BASE_URL", loopback.base_url)
        monkeypatch.setenv("KLING_TOKEN", TOKEN)
        yield loopback


def pytest_xdist_auto_num_workers() -> int:
    """Use more workers than cores, because many tests wait for processes."""
    return 2 * (os.cpu_count() or 1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-call",
        action="store_true",
        help="sweep every system call of a run, not a fixed sample (minutes)",
    )
