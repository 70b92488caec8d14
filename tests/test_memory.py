"""A large picture costs little memory: it is held once, and sent and repaired in pieces."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.pictures import build_corpus, build_png, needs_heic, resize_frame, turn, write
from support.run import PHOTO
from support.service import LoopbackService

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")

# What a process has had at most, itself alone: getrusage also counts whoever started it.
PROGRAM = """
import sys
from pathlib import Path
from kling_cli.cli.app import main

main(["effect", "squish", *sys.argv[1:], "--no-wait", "--yes", "--jobs", "1"])
status = Path("/proc/self/status").read_text(encoding="utf-8")
print(int(status.partition("VmHWM:")[2].split()[0]) * 1024 // 1_000_000)
"""


def measure(*argv: str | Path) -> tuple[int, str]:
    """Submit pictures in a fresh process; return its peak memory in MB, and what it said."""
    run = [sys.executable, "-W", "always", "-c", PROGRAM, *argv]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert "Warning" not in done.stderr
    return int(done.stdout.splitlines()[-1]), done.stderr


def test_checking_takes_little_memory(service: LoopbackService, tmp_path: Path) -> None:
    """Bombs and large pictures cost far less than their pixels (fault 56).

    24 MB for a photo of 9.9 MB, 120 MB for a progressive one of 16 megapixels.
    """
    noise = Image.effect_noise((3600, 3000), 60).convert("RGB")
    soft = Image.merge("RGB", [Image.effect_noise((4618, 3464), 9)] * 3)
    contents = {
        "bomb.png": (build_png(20_000, 20_000, b""), 24),
        "bomb.jpg": (resize_frame(PHOTO.read_bytes(), 15_000, 16_000), 24),
        # What stands behind a JPEG's end is part of the file.
        "photo.jpg": (write(noise, "JPEG", quality=90).ljust(9_900_000, b"\0"), 24),
        "progressive.jpg": (
            write(soft, "JPEG", progressive=True, subsampling=0, quality=60),
            120,
        ),
    }
    before, _ = measure(PHOTO)
    for name, (content, most) in contents.items():
        (tmp_path / name).write_bytes(content)
        assert measure(tmp_path / name)[0] - before <= most, name


LARGE: dict[str, tuple[str, tuple[int, int], dict[str, object]]] = {
    "PNG": ("RGBA", (8000, 5000), {"compress_level": 1}),
    "TIFF": ("RGB", (8000, 5000), {}),
    "JPEG": ("RGB", (8000, 5000), {"progressive": True, "subsampling": 0}),
    "WEBP": ("RGBA", (4000, 4000), {"lossless": True, "method": 0, "quality": 0}),
    "AVIF": ("RGBA", (5000, 5000), {"speed": 10}),
    "HEIF": ("RGB", (5000, 5000), {"quality": 1, "enc_params": {"preset": "ultrafast"}}),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=needs_heic if kind == "HEIF" else ()) for kind in LARGE]
)
def test_a_repair_takes_bounded_memory(kind: str, service: LoopbackService, tmp_path: Path) -> None:
    """At the limit of each format less than 400 MB are needed, also to turn it upright."""
    mode, size, options = LARGE[kind]
    image = Image.new(mode, size, (200, 99, 9, 128)[: len(mode)])
    path = tmp_path / "large"
    path.write_bytes(write(image, kind, exif=turn(6), **options))
    peak, said = measure(path, "--fix")
    print(kind, peak)
    assert peak < 400
    # Above 25 megapixels the sides are halved.
    assert ("reduced to 2500 x 4000" in said) is (size == (8000, 5000)), said
    assert service.count("POST") == 1


def test_the_corpus_is_repaired_in_bounded_memory(service: LoopbackService, tmp_path: Path) -> None:
    """However a picture is made, a run that repairs it needs less than 400 MB."""
    for number, sample in enumerate(build_corpus()):
        (tmp_path / f"{number}.png").write_bytes(sample.content)
    assert measure(tmp_path, "--fix")[0] < 400
    assert service.ledger
