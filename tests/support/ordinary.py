"""Run the program with the file permissions of an ordinary user, and failing disks."""

import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.run import Run, run_process

_TESTS = Path(__file__).parents[1]
# Without these capabilities (Linux numbers), file modes apply to the superuser, too.
_LOSE_RIGHTS = """
import ctypes, os, sys
if os.geteuid() == 0:
    for override in (1, 2):
        if ctypes.CDLL(None).prctl(24, override, 0, 0, 0):
            sys.exit("no rights can be given up here")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def run_ordinary(
    *argv: str | Path, environ: Mapping[str, str], prefix: tuple[str, ...] = ()
) -> Run:
    """Run `kling` as an ordinary user, on a clock that is a hundred times faster."""
    words = ("-m", "support.quick", "100", *map(str, argv))
    line = [*prefix, sys.executable, "-c", _LOSE_RIGHTS, *words]
    return run_process(line, {**os.environ, **environ, "PYTHONPATH": str(_TESTS)})


@contextmanager
def mount_disk(path: Path) -> Generator[Path]:
    """Mount a small disk, if this user may."""
    path.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(path)]
    try:
        subprocess.run(mounted, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(reason="this user may mount no disk")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill_disk(path: Path) -> None:
    with (path / "filler").open("ab", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
