"""Commands measured as the system counts them, and the service that they are measured with."""

import json
import os
import subprocess
import sys
import time
import urllib.request
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
    """What a command cost: seconds of wall and processor time, and peak memory in MB."""

    wall: float
    cpu: float
    peak: float
    code: int


def measure(argv: Sequence[str], environ: Mapping[str, str], *, output: Path | None = None) -> Cost:
    """Run a command to its end; its standard output goes to a file, if one is given."""
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
    """Run the program for what it says."""
    return subprocess.run(
        [KLING, *argv], env=make_environ(environ), capture_output=True, text=True, check=True
    )


def make_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Add variables to an environment without what changes how Python or the program runs."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_CLEARED)}
    return {**kept, **environ}


def name_places(directory: str) -> dict[str, str]:
    """Name the variables that keep settings and journal of a measurement in a directory."""
    return {"KLING_CONFIG_DIR": f"{directory}/config", "KLING_STATE_DIR": f"{directory}/state"}


@contextmanager
def serve(*, limit: int = 1000, seconds: float = 0.0) -> Generator[dict[str, str]]:
    """Run a service of so many tasks at once, each of so many seconds; give its variables."""
    script = Path(__file__).with_name("server.py")
    argv = [sys.executable, str(script), str(limit), str(seconds)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{int(process.stdout.readline())}"
            yield {"KLING_BASE_URL": url, "KLING_TOKEN": "sk-benchmark"}
        finally:
            process.terminate()


def count(environ: Mapping[str, str]) -> dict[str, int]:
    """Ask a service what it has sold, refused and been asked."""
    with urllib.request.urlopen(f"{environ['KLING_BASE_URL']}/count") as answer:
        counted: dict[str, int] = json.load(answer)
    return counted
