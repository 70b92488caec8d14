"""What the tests of the repair share: a picture is repaired, and the result is looked at."""

import hashlib
import io
import random

from PIL import Image

from kling_cli.images.preflight import prepare
from kling_cli.task import Picture


def fix(content: bytes) -> Picture:
    """Repair a picture, and hold the result against the preflight."""
    picture = prepare("-", standard_input=io.BytesIO(content), fix=True)
    assert picture.content is not None
    again = prepare("-", standard_input=io.BytesIO(picture.content))
    assert (again.width, again.height) == (picture.width, picture.height)
    assert picture.size == len(picture.content)
    assert picture.sha256 == hashlib.sha256(picture.content).hexdigest()
    return picture


def show(picture: Picture) -> Image.Image:
    """Decode what is sent."""
    assert picture.content is not None
    image = Image.open(io.BytesIO(picture.content))
    image.load()
    return image


def write(image: Image.Image, kind: str, **options: object) -> bytes:
    """Let Pillow write this picture."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def make_noise(width: int, height: int) -> Image.Image:
    """Make a picture that no encoder makes small, the same each time."""
    noise = random.Random(1).randbytes(width * height * 3)  # noqa: S311 - no secret
    return Image.frombytes("RGB", (width, height), noise)
