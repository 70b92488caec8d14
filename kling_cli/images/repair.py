"""A picture that would be refused becomes a JPEG that passes, changed as little as possible.

The same bytes always become the same bytes: a rerun knows its request again, and buys nothing.
"""

import io
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NamedTuple

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from kling_cli.images import formats
from kling_cli.images.colours import make_plain
from kling_cli.images.compression import compress
from kling_cli.images.decoding import decode_alone, hear_complaints
from kling_cli.images.formats import JPEG, PNG, Header
from kling_cli.images.framing import fit, show_sides
from kling_cli.images.rules import Problem, tell_damage
from kling_cli.text import clean

# What Pillow logs would go to standard error where nobody listens.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Each takes four bytes of memory, in some steps twice. A phone's panorama has fewer.
_MOST_PIXELS = 64_000_000
# These are decoded at once, in several copies.
_MOST_PIXELS_AT_ONCE = {"AVIF": 32_000_000, "WebP": 32_000_000}
# By these a JPEG can be reduced while it is decoded.
_SCALES = (1, 2, 4, 8)

_READERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    JPEG: JpegImagePlugin.JpegImageFile,
    PNG: PngImagePlugin.PngImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}
_PLAIN_MODES = frozenset(
    {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B"}
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_METADATA = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "comment", "photoshop"})
# Description, maker, model, software, date, author, XMP, copyright, IPTC.
_TIFF_METADATA = frozenset({270, 271, 272, 305, 306, 315, 700, 33432, 33723}) | {
    ExifTags.IFD.Exif,
    ExifTags.IFD.GPSInfo,
}
_SUBFILE_TYPE, _BITS, _DNG_VERSION = 254, 258, 50706
_CANON_RAW = b"CR"
_MOST_BITS = 8


class FlawError(Exception):
    """A picture cannot be repaired; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


class Repaired(NamedTuple):
    """A JPEG that passes the preflight, and what was done to the picture."""

    content: bytes
    fixes: tuple[str, ...]


def check_repair(content: bytes, header: Header) -> tuple[int, int]:
    """Find out whether a picture can be repaired, without doing it.

    Returns:
        Its width and height in pixels, as it is stored.

    Raises:
        FlawError: it cannot.
    """
    with _telling_flaws(header):
        _decode(content, header, [], is_trial=True)
        return _open(content, header).size  # a trial is smaller, and may be turned


def repair(content: bytes, header: Header) -> Repaired:
    """Make a JPEG that passes of a picture whose problems are all fixable.

    Raises:
        FlawError: it is damaged, or of a kind that cannot be converted.
    """
    fixes = list[str]()
    with _telling_flaws(header):
        image = _decode(content, header, fixes)
        is_described = _has_metadata(image)
        image, profile = make_plain(image, fixes)
        image = fit(image, fixes)
        repaired = compress(image, profile, before=len(content), fixes=fixes)
    if is_described:
        fixes.append("metadata removed")
    return Repaired(repaired, tuple(fixes))


@contextmanager
def _telling_flaws(header: Header) -> Generator[None]:
    with decode_alone():
        try:
            yield
        except FlawError:
            raise
        except (OSError, EOFError) as error:
            raise FlawError(tell_damage(clean(str(error)))) from None
        except Exception as error:  # noqa: BLE001 - a decoder of foreign bytes may raise anything
            text = f"it cannot be read as {_name(header)} ({clean(str(error))}): save it anew"
            raise FlawError(Problem(code="image_unreadable", text=text)) from None


def _name(header: Header) -> str:
    return "TIFF" if header.format.startswith("TIFF") else header.format


def _open(content: bytes, header: Header) -> ImageFile:
    """Open a picture that can be decoded within the memory that is meant for it."""
    # Its own class and not Image.open, which has limits of its own and loads more than is needed.
    image = _READERS[_name(header)](io.BytesIO(content))
    if isinstance(image, TiffImagePlugin.TiffImageFile) and _is_camera_raw(content, image):
        raise _refuse("it is a camera's raw file: save it as JPEG")
    if image.mode not in _PLAIN_MODES:
        raise _refuse(f"its kind of pixels ({image.mode}) cannot be converted: save it as JPEG")
    width, height = image.size
    in_rows = header.format == JPEG and formats.is_in_one_scan(content)
    most = _MOST_PIXELS_AT_ONCE.get(header.format, _MOST_PIXELS)
    if width * height > most and not in_rows:
        text = f"{show_sides(width, height)} pixels are more than --fix takes ({most:,})"
        raise FlawError(Problem(code="image_too_many_pixels", text=text))
    return image


def _refuse(text: str) -> FlawError:
    return FlawError(Problem(code="image_wrong_format", text=text))


def _is_camera_raw(content: bytes, image: TiffImagePlugin.TiffImageFile) -> bool:
    """Tell whether what can be read as a TIFF is only the preview of what the file holds."""
    is_preview = bool(image.tag_v2.get(_SUBFILE_TYPE, 0) & 1)
    return is_preview or _DNG_VERSION in image.tag_v2 or content[8:10] == _CANON_RAW


def _decode(
    content: bytes, header: Header, fixes: list[str], *, is_trial: bool = False
) -> Image.Image:
    """Decode a picture and turn it upright; a trial leaves out a JPEG's colours and details."""
    image = _open(content, header)
    if header.format != JPEG:
        fixes.append(f"converted from {_name(header)} to JPEG")
    if getattr(image, "is_animated", False):
        fixes.append("reduced to its first picture")
    if _is_deep(image, header):
        fixes.append("reduced from 16 to 8 bits")
    orientation = _read_orientation(image)
    width, height = image.size
    scale = next(n for n in _SCALES if width * height <= _MOST_PIXELS * n**2)
    if is_trial:
        image.draft("L", (1, 1))
    elif scale > 1:
        image.draft(None, (width // scale, height // scale))
    with hear_complaints() as complaints:
        image.load()
    if complaints:
        raise FlawError(tell_damage(complaints[0]))
    upright: Image.Image = image
    if orientation in _TURNS:
        fixes.append("turned upright")
        # A TIFF is turned by Pillow itself.
        if not isinstance(image, TiffImagePlugin.TiffImageFile):
            upright = image.transpose(_TURNS[orientation])
    if scale > 1:
        fixes.append(f"reduced to {show_sides(*upright.size)}")
    return upright


def _is_deep(image: ImageFile, header: Header) -> bool:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return bool(max(image.tag_v2.get(_BITS, (1,))) > _MOST_BITS)
    return "16-bit" in header.traits


def _read_orientation(image: ImageFile) -> int | None:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - broken metadata are no reason to refuse a picture
        return None
    return orientation if isinstance(orientation, int) else None


def _has_metadata(image: Image.Image) -> bool:
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else ()
    return not _METADATA.isdisjoint(image.info) or not _TIFF_METADATA.isdisjoint(tags)
