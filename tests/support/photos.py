"""Many small photos, each with different bytes."""

import io
from functools import cache
from pathlib import Path

from PIL import Image

_SIDE = 300


@cache
def _draw(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE)).save(stream, "JPEG", comment=str(number))
    return stream.getvalue()


def make_photos(directory: Path, count: int) -> list[Path]:
    directory.mkdir(exist_ok=True)
    paths = [directory / f"p{number:02}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(_draw(number))
    return paths
