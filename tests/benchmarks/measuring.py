"""Commands measured as the system counts them: wall time, processor time, peak memory."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KLING = str(Path(sys.executable).with_name("kling"))
_CLEARED = ("KLING_", "PYTHON", "XDG_", "NO_COLOR", "CI", "FORCE_COLOR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command cost: seconds of wall and processor time, and peak memory in MB."""

    wall: float
    cpu: float
    peak: float
    code: int


def measure(
    argv: Sequence[str], *, environ: Mapping[str, str] | None = None, output: Path | None = None
) -> Cost:
    """Run a command to its end.

    Args:
        argv: the command.
        environ: variables to add to a clean environment.
        output: where its standard output goes; nowhere if not given.
    """
    with Path(output or os.devnull).open("wb") as stream:
        began = time.perf_counter()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.DEVNULL,
            env={**clean_environment(), **(environ or {})},
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


def clean_environment() -> dict[str, str]:
    """Take the environment without whatever changes how Python or the program runs."""
    return {name: text for name, text in os.environ.items() if not name.startswith(_CLEARED)}
