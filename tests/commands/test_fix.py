"""`kling effect --fix`: what the service would refuse is repaired, told, and bought."""

from pathlib import Path

import pytest
from ground.run import PHOTO, Program
from ground.service import LoopbackService
from PIL import Image


def save(path: Path, picture: Image.Image, **options: object) -> Path:
    """Save a picture and name it."""
    picture.save(path, **options)  # type: ignore[arg-type] # whatever the format takes
    return path


def make_turned(path: Path) -> Path:
    """A photo that is too long and lies on its side, as a phone stores it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return save(path / "turned.jpg", Image.effect_noise((1200, 400), 20), exif=exif)


def make_large(path: Path) -> Path:
    """A photo above the service's limit of bytes."""
    noise = Image.merge("RGB", [Image.effect_noise((2400, 2000), 90)] * 3)
    return save(path / "large.png", noise)


def make_webp(path: Path) -> Path:
    """A picture in a format that the service does not take."""
    with Image.open(PHOTO) as photo:
        return save(path / "photo.webp", photo)


def make_small(path: Path) -> Path:
    """A picture below the service's least side."""
    with Image.open(PHOTO) as photo:
        return save(path / "small.png", photo.resize((200, 240)))


def make_long(path: Path) -> Path:
    """A picture longer than the service takes."""
    with Image.open(PHOTO) as photo:
        return save(path / "long.jpg", photo.resize((1600, 400)))


def make_transparent(path: Path) -> Path:
    """A transparent picture in a format that the service does not take."""
    return save(path / "clear.webp", Image.new("RGBA", (400, 400), (200, 0, 0, 90)))


@pytest.mark.parametrize(
    ("make", "fix"),
    [
        (make_webp, "converted from WebP to JPEG"),
        (make_large, "compressed"),
        (make_small, "enlarged"),
        (make_long, "cropped"),
        (make_turned, "turned"),
        (make_transparent, "flattened on white"),
    ],
)
def test_what_would_be_refused_is_repaired(
    make: object, fix: str, kling: Program, service: LoopbackService, tmp_path: Path
) -> None:
    """Without --fix nothing is sent; with it one task is bought, and the repair is named."""
    assert callable(make)
    picture = make(tmp_path)
    before = picture.read_bytes()
    refused = kling("effect", "squish", picture)
    assert refused.code == 3
    assert "--fix repairs it" in refused.err
    assert not service.ledger
    done = kling("effect", "squish", picture, "--fix", "--json")
    assert done.code == 0, done.err
    (image,) = done.json["images"]
    assert fix in " ".join(image["fixes"])
    assert image["fixes"][0] in done.err
    assert service.ledger[0].images == (f"sha256:{image['sha256']}",)
    assert picture.read_bytes() == before
    assert kling("effect", "squish", picture, "--fix", "--json").json["reused"]
    assert len(service.ledger) == 1
