"""A picture becomes a JPEG that is no larger than the service surely takes."""

import io

from PIL import Image

from kling_cli.images.formats import JPEG
from kling_cli.images.framing import resize, show_sides, shrink
from kling_cli.images.rules import DOUBTFUL_BYTES, MOST_BYTES

# Beyond this a better quality is not seen.
_BEST_QUALITY = 95
# Below this a picture with fewer pixels looks better than the same with all of them.
_LEAST_QUALITY = 70
# From here on colours are stored in full, as the fine quality of the rest asks for.
_FULL_COLOURS = 90
# A reduced picture is a bit sharper than what it came from, so it takes more bytes per pixel.
_MARGIN = 0.95
_KILOBYTE, _MEGABYTE = 1_000, 1_000_000


def compress(image: Image.Image, profile: bytes | None, *, before: int, fixes: list[str]) -> bytes:
    """Encode in the best quality that fits; where none does, with fewer pixels.

    Args:
        image: opaque, in RGB or grey.
        profile: the colour profile to store with it.
        before: how many bytes the file had.
        fixes: what was done so far; what is done here is added.
    """
    # Pillow writes a comment that it finds here.
    image.info = {}
    content, quality = _encode_best(image, profile)
    share, smaller = 1.0, image
    while len(content) > DOUBTFUL_BYTES:
        share *= _MARGIN * DOUBTFUL_BYTES / len(content)
        # Of the whole picture each time: it is blurred once.
        smaller = resize(image, *shrink(*image.size, share=share))
        content, quality = _encode_best(smaller, profile)
    if smaller is not image:
        fixes.append(f"reduced to {show_sides(*smaller.size)}")
    if before > MOST_BYTES:
        sizes = f"from {_show_bytes(before)} to {_show_bytes(len(content))}"
        fixes.append(f"compressed {sizes} (quality {quality})")
    elif quality < _BEST_QUALITY:
        fixes.append(f"compressed to {_show_bytes(len(content))} (quality {quality})")
    return content


def _encode_best(image: Image.Image, profile: bytes | None) -> tuple[bytes, int]:
    """Find the best quality that fits, or give the least, which does not."""
    content = _encode(image, profile, _BEST_QUALITY)
    if len(content) <= DOUBTFUL_BYTES:
        return content, _BEST_QUALITY
    fits, exceeds = _LEAST_QUALITY, _BEST_QUALITY
    content = _encode(image, profile, fits)
    while len(content) <= DOUBTFUL_BYTES and exceeds - fits > 1:
        quality = (fits + exceeds) // 2
        tried = _encode(image, profile, quality)
        if len(tried) <= DOUBTFUL_BYTES:
            fits, content = quality, tried
        else:
            exceeds = quality
    return content, fits


def _encode(image: Image.Image, profile: bytes | None, quality: int) -> bytes:
    file = io.BytesIO()
    subsampling = "4:4:4" if quality >= _FULL_COLOURS else "4:2:0"
    image.save(file, JPEG, quality=quality, subsampling=subsampling, icc_profile=profile)
    return file.getvalue()


def _show_bytes(size: int) -> str:
    is_large = size >= _MEGABYTE
    return f"{size / _MEGABYTE:.1f} MB" if is_large else f"{size / _KILOBYTE:.0f} kB"
