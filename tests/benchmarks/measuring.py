"""Commands measured as the system counts them, and the service that they are measured with."""

import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

KLING = str(Path(sys.executable).with_name("kling"))
_CLEARED = ("KLING_", "PYTHON", "XDG_", "NO_COLOR", "CI", "FORCE_COLOR")


class Figure(NamedTuple):
    """A measured figure and its bar; None where it is only told."""

    what: str
    figure: float
    bar: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    wall: float
    cpu: float
    peak: float
    code: int


def measure(argv: Sequence[str], environ: Mapping[str, str], *, output: Path | None = None) -> Cost:
    with Path(output or os.devnull).open("wb") as stream:
        began = time.perf_counter()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.DEVNULL,
            env=make_environ(environ),
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        peak=usage.ru_maxrss / 1000,
        code=process.returncode,
    )


def run(*argv: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [KLING, *argv], env=make_environ(environ), capture_output=True, text=True, check=True
    )


def make_environ(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_CLEARED)}
    return {**kept, **environ}


def name_places(directory: str) -> dict[str, str]:
    """Name the variables that keep settings and journal of a measurement in a directory."""
    return {"KLING_CONFIG_DIR": f"{directory}/config", "KLING_STATE_DIR": f"{directory}/state"}


@contextmanager
def serve(*, limit: int = 1000, seconds: float = 0.0) -> Generator[dict[str, str]]:
    """Run a service with this limit of parallel tasks and this task duration in seconds."""
    script = Path(__file__).with_name("server.py")
    argv = [sys.executable, str(script), str(limit), str(seconds)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{int(process.stdout.readline())}"
            yield {"KLING_BASE_URL": url, "KLING_TOKEN": "sk-benchmark"}
        finally:
            process.terminate()
