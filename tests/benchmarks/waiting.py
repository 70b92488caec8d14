"""What waiting costs: processor time, and what is written where there is no terminal."""

import subprocess
import tempfile
from pathlib import Path

from measuring import KLING, clean_environment, measure
from pictures import SMALL
from serving import serve

MOST_SHARE = 0.005
_SECONDS = 30.0


def measure_share() -> float:
    """Tell the share of a core that waiting for a task takes, beyond what its submission takes."""
    long = _measure_cpu(_SECONDS)
    short = _measure_cpu(0.0)
    return (long - short) / _SECONDS


def list_lines() -> list[str]:
    """List what is said on standard error, off a terminal, while a task is waited for."""
    with tempfile.TemporaryDirectory() as name, serve(seconds=_SECONDS) as serving:
        environ = {**clean_environment(), **serving.environ, **_place(name)}
        done = subprocess.run(
            [KLING, "effect", "squish", str(SMALL)],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
    return done.stderr.splitlines()


def _measure_cpu(seconds: float) -> float:
    with tempfile.TemporaryDirectory() as name, serve(seconds=seconds) as serving:
        environ = {**serving.environ, **_place(name)}
        cost = measure([KLING, "effect", "squish", str(SMALL)], environ=environ)
    assert cost.code == 0
    return cost.cpu


def _place(name: str) -> dict[str, str]:
    return {"KLING_STATE_DIR": str(Path(name) / "state"), "KLING_CONFIG_DIR": name}
