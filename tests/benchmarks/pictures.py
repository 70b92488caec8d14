"""Photos for the measurements: small ones, and one of 9.9 MB."""

import io
import random
import sys
from pathlib import Path

SMALL = Path(__file__).parents[1] / "photos" / "astronaut.jpg"
_SIDE = 3000
_BYTES = 9_900_000


def write_large(path: Path) -> None:
    """Write noise, which does not compress, and comments up to the size."""
    from PIL import Image

    noise = random.Random(1).randbytes(3 * _SIDE**2)
    image = Image.frombytes("RGB", (_SIDE, _SIDE), noise)
    for quality in range(95, 5, -5):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        if stream.tell() <= _BYTES:
            break
    content = stream.getvalue()
    comments = bytearray()
    while (missing := _BYTES - len(content) - len(comments)) >= 4:
        length = min(missing - 4, 65_533)
        comments += b"\xff\xfe" + (length + 2).to_bytes(2) + bytes(length)
    path.write_bytes(content[:2] + comments + content[2:])


def write_photos(directory: Path, number: int) -> list[Path]:
    """Write photos of the smallest accepted size that differ only in a comment."""
    content = SMALL.read_bytes()
    paths = [directory / f"{each:05}.jpg" for each in range(number)]
    for path in paths:
        comment = b"\xff\xfe\0\x09" + path.stem.encode().rjust(7)
        path.write_bytes(content[:2] + comment + content[2:])
    return paths


if __name__ == "__main__":
    write_large(Path(sys.argv[1]))
