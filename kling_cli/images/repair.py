"""Repair a picture: create a JPEG that passes without a note, with as few changes as possible.

The same input always gives the same output, so that a rerun recognises its request.
"""

import io
from contextlib import suppress

from PIL import ExifTags, Image, ImageCms, ImageOps

from kling_cli.errors import InputError
from kling_cli.images import MIN_SIDE, SAFE_BYTES, Header, decoding, walk_jpeg

# Of more pixels the sides are halved, or quartered: those of a JPEG while it is decoded.
_MAX_PIXELS_KEPT = 25_000_000
# Rows that are converted at a time: a second copy of the whole picture would not fit.
_ROWS = 256
_METADATA_REMOVED = "location and other metadata removed"
_FIXES = {
    "animated": "reduced to its first picture",
    "16-bit": "reduced from 16 to 8 bits",
    "alpha": "flattened on white",
    "cmyk": "converted from CMYK to RGB",
    "turned": "turned upright",
    "location": _METADATA_REMOVED,
}
# The share of each side that is kept, and the quality: above the first quality nothing is seen;
# below 70 fewer pixels look better.
_STEPS = ((1, 95), (1, 90), (1, 80), (1, 70), (0.7, 80), (0.5, 80), (0.35, 80))

_COMMENT, _END_OF_IMAGE = 0xFE, b"\xff\xd9"
_APPLICATION_SEGMENTS = range(0xE1, 0xF0)
_KEPT_SEGMENTS = (b"ICC_PROFILE\0", b"Adobe")


def repair(content: bytes, header: Header) -> tuple[bytes, tuple[str, ...]]:
    """Repair a picture; return a JPEG, and what was done.

    Raises:
        InputError: the picture is damaged, or has more pixels than fit into memory.
    """
    sides = (header.width, header.height)
    is_fit = _fit_sides(sides) == sides and len(content) <= SAFE_BYTES
    if header.format == "JPEG" and header.traits == {"location"} and is_fit:
        return _strip_metadata(content), (_METADATA_REMOVED,)
    if not header.fixable:
        limit = f"but --fix takes at most {header.max_pixels:,}: make it smaller"
        raise InputError("image_too_many_pixels", f"{sides[0]} x {sides[1]} pixels, {limit}")
    fixes: list[str] = []
    with decoding():
        picture = _convert(_decode(content, header, fixes), fixes)
        if picture.width * picture.height < header.width * header.height:
            fixes.append(f"reduced to {picture.width} x {picture.height}")
        picture = _fit(picture, fixes)
        return _compress(picture, before=len(content), fixes=fixes), tuple(fixes)


def _strip_metadata(content: bytes) -> bytes:
    """Remove everything from a JPEG except pixels and colour profile."""
    pieces, position = [], 0
    for code, start, body, end in walk_jpeg(content):
        is_metadata = code in _APPLICATION_SEGMENTS or code == _COMMENT
        if is_metadata and not content.startswith(_KEPT_SEGMENTS, body):
            pieces.append(content[position:start])
            position = end
    # Phones put more pictures and films behind the end, with places of their own.
    last = content.index(_END_OF_IMAGE, end) + len(_END_OF_IMAGE)
    return b"".join([*pieces, content[position:last]])


def _decode(content: bytes, header: Header, fixes: list[str]) -> Image.Image:
    """Decode the first frame as it is stored, opaque, with its orientation and colour profile."""
    image = Image.open(io.BytesIO(content), formats=(header.opener,))
    pixels = header.width * header.height
    scale = next(scale for scale in (1, 2, 4) if pixels <= _MAX_PIXELS_KEPT * scale**2)
    if header.format == "JPEG":
        image.draft(None, (image.width // scale, image.height // scale))
        scale = 1
    else:
        fixes.append(f"converted from {header.format} to JPEG")
    fixes += [fix for trait, fix in _FIXES.items() if trait in header.traits]
    is_turned = "turned" in header.traits
    # Taken out, or Pillow itself would turn a TIFF, and hold it twice.
    orientation = image.getexif().pop(ExifTags.Base.Orientation) if is_turned else 1
    image.load()
    # For a TIFF `image.size` is that of the upright picture.
    width, height = image.im.size
    mode = _flatten(image.crop((0, 0, 1, 1))).mode
    picture = Image.new(mode, (-(-width // scale), -(-height // scale)))
    for top in range(0, height, _ROWS):
        rows = image.crop((0, top, width, min(top + _ROWS, height)))
        picture.paste(_flatten(rows).reduce(scale), (0, top // scale))
    picture.info["icc_profile"] = image.info.get("icc_profile", b"")
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return picture


def _flatten(image: Image.Image) -> Image.Image:
    """Make a picture opaque, with 8 bits."""
    if image.mode.startswith("I;16"):
        # Its own conversion to L would cut every value above 255.
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer)
    return image if image.mode in ("L", "CMYK", "RGB") else image.convert("RGB")


def _convert(picture: Image.Image, fixes: list[str]) -> Image.Image:
    """Make a picture upright, in sRGB."""
    ImageOps.exif_transpose(picture, in_place=True)
    profile = io.BytesIO(picture.info["icc_profile"])
    # A profile that is broken, or of another colour space, says nothing of these pixels.
    with suppress(ImageCms.PyCMSError, OSError):
        source = ImageCms.ImageCmsProfile(profile)
        if not ImageCms.getProfileDescription(source).startswith("sRGB"):
            target = ImageCms.createProfile("sRGB")
            picture = (
                ImageCms.profileToProfile(picture, source, target, outputMode="RGB") or picture
            )
            fixes.append("converted to sRGB")
    return picture.convert("RGB")


def _fit_sides(sides: tuple[int, int]) -> tuple[int, int]:
    """Find the sides after cropping to 2.5:1 and enlarging the shorter one to 300 pixels."""
    short, long = sorted(sides)
    fit_short = max(short, MIN_SIDE)
    fit_long = min(long, short * 5 // 2) * fit_short // short
    return (fit_long, fit_short) if sides[0] > sides[1] else (fit_short, fit_long)


def _fit(picture: Image.Image, fixes: list[str]) -> Image.Image:
    """Crop around the centre, or enlarge."""
    sides = _fit_sides(picture.size)
    if sides == picture.size:
        return picture
    short, long = sorted(picture.size)
    what = " and ".join(["cropped"] * (2 * long > 5 * short) + ["enlarged"] * (short < MIN_SIDE))
    fixes.append(f"{what} from {picture.width} x {picture.height} to {sides[0]} x {sides[1]}")
    return ImageOps.fit(picture, sides, Image.Resampling.LANCZOS)


def _compress(picture: Image.Image, *, before: int, fixes: list[str]) -> bytes:
    """Encode in the best quality that fits; if none does, with fewer pixels."""
    for share, quality in _STEPS:
        smaller = picture if share == 1 else _fit(ImageOps.scale(picture, share), [])
        file = io.BytesIO()
        smaller.save(file, "JPEG", quality=quality, subsampling="4:4:4")
        if file.tell() <= SAFE_BYTES:
            break
    if share < 1:
        fixes.append(f"reduced to {smaller.width} x {smaller.height}")
    if before > SAFE_BYTES or quality < _STEPS[0][1]:
        fixes.append(f"compressed from {before:,} to {file.tell():,} bytes (quality {quality})")
    return file.getvalue()
