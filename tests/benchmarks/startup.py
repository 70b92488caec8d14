"""How long commands take in multiples of `python -c pass`, most of them asking nobody."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from measuring import KLING, clean_environment, measure
from pictures import SMALL
from serving import serve

PASS = (sys.executable, "-c", "pass")
COMMANDS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("kling --version", ("--version",), 1.25),
    ("a usage error", ("effect", "squich", "photo.jpg"), 6.0),
    ("kling config list", ("config", "list"), 6.0),
    ("kling scenes", ("scenes",), 6.0),
    ("kling tasks", ("tasks",), 6.0),
    ("kling --help", ("--help",), 18.0),
)
STATUS_BAR = 12.0
_PAIRS = 21


def compare(argv: Sequence[str]) -> float:
    """Compare a command that asks nobody."""
    with tempfile.TemporaryDirectory() as name:
        return _compare(argv, _place(name))


def compare_status() -> float:
    """Compare one look at one task of a service on this machine."""
    with tempfile.TemporaryDirectory() as name, serve(seconds=3600) as serving:
        environ = {**_place(name), **serving.environ}
        done = subprocess.run(
            [KLING, "effect", "squish", str(SMALL), "--no-wait"],
            env={**clean_environment(), **environ},
            capture_output=True,
            text=True,
            check=True,
        )
        return _compare(("status", done.stdout.strip()), environ)


def _compare(argv: Sequence[str], environ: Mapping[str, str]) -> float:
    """Tell the median ratio of pairs of runs: the machine's moods strike both of a pair."""
    ours = [KLING, *argv]
    measure(ours, environ=environ)  # once for the caches
    return median(measure(ours, environ=environ).wall / measure(PASS).wall for _ in range(_PAIRS))


def _place(name: str) -> dict[str, str]:
    return {
        "KLING_CONFIG_DIR": str(Path(name) / "config"),
        "KLING_STATE_DIR": str(Path(name) / "state"),
    }
