"""Photos to measure with: small ones, and one of 9.9 MB that has to be decoded as a whole."""

import io
import random
import sys
from pathlib import Path

SMALL = Path(__file__).parents[1] / "photos" / "astronaut.jpg"
_SIDE = 3000
_BYTES = 9_900_000


def write_pictures(large: Path, progressive: Path) -> None:
    """Write noise, which no encoder can make small, and comments to fill up; and 16 megapixels."""
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
    large.write_bytes(content[:2] + comments + content[2:])
    image.resize((4000, 4000)).save(progressive, "JPEG", quality=50, progressive=True)


def write_photos(directory: Path, number: int) -> list[Path]:
    """Write photos that differ in a comment alone, as small as a service takes them."""
    content = SMALL.read_bytes()
    paths = [directory / f"{each:05}.jpg" for each in range(number)]
    for path in paths:
        comment = b"\xff\xfe\0\x09" + path.stem.encode().rjust(7)
        path.write_bytes(content[:2] + comment + content[2:])
    return paths


if __name__ == "__main__":
    write_pictures(Path(sys.argv[1]), Path(sys.argv[2]))
