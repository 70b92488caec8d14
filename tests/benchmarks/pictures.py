"""Photos to measure with: one of 42 kB, and one of 9.9 MB that has to be decoded as a whole."""

import io
import random
import subprocess
import sys
from pathlib import Path

SMALL = Path(__file__).parents[1] / "photos" / "astronaut.jpg"
_LARGE_SIDE = 3000
_LARGE_BYTES = 9_900_000


def write_large(path: Path) -> None:
    """Write a JPEG of 9.9 MB: noise, which no encoder can make small, and a comment to fill up."""
    from PIL import Image

    noise = random.Random(1).randbytes(3 * _LARGE_SIDE**2)
    image = Image.frombytes("RGB", (_LARGE_SIDE, _LARGE_SIDE), noise)
    for quality in range(95, 5, -5):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        content = stream.getvalue()
        if len(content) <= _LARGE_BYTES:
            break
    path.write_bytes(_fill(content, _LARGE_BYTES))


def write_large_elsewhere(path: Path) -> None:
    """Write it in another process: a child is counted with what its parent had in memory."""
    subprocess.run([sys.executable, __file__, path], check=True)


def _fill(content: bytes, size: int) -> bytes:
    most = 65_533
    missing = size - len(content)
    comments = bytearray()
    while missing >= 4:
        length = min(missing - 4, most)
        comments += b"\xff\xfe" + (length + 2).to_bytes(2) + bytes(length)
        missing -= length + 4
    return content[:2] + bytes(comments) + content[2:]


if __name__ == "__main__":
    write_large(Path(sys.argv[1]))
