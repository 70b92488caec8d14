"""A large picture costs little memory: it is held once, and sent in pieces."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.run import PHOTO
from support.service import LoopbackService

_MEGABYTE = 1_000_000
# What a process has had at most, itself alone: getrusage also counts whoever started it.
_PROGRAM = """
import sys
from pathlib import Path
from kling_cli.cli.app import main

code = main(["effect", "squish", sys.argv[1], "--no-wait"])
status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
raise SystemExit(code)
"""


def measure_peak(picture: Path) -> int:
    """Submit a picture in a fresh process; tell its peak memory in bytes."""
    told = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(picture)], capture_output=True, text=True, check=True
    )
    return int(told.stdout.splitlines()[-1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_large_picture_costs_little_memory(service: LoopbackService, tmp_path: Path) -> None:
    """9.9 MB instead of 42 kB raise the peak by 24 MB at most."""
    large = tmp_path / "large.jpg"
    noise = Image.effect_noise((3600, 3000), 80).convert("RGB")
    noise.save(large, quality=90)
    with large.open("ab") as stream:  # what stands behind a JPEG's end is part of the file
        stream.write(bytes(9_900_000 - large.stat().st_size))
    peaks = [measure_peak(PHOTO), measure_peak(large)]
    print([f"{peak / _MEGABYTE:.1f} MB" for peak in peaks])
    assert service.count("POST") == 2
    assert peaks[1] - peaks[0] <= 24 * _MEGABYTE
