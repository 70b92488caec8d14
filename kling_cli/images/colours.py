"""The colours of a picture become those that every JPEG reader shows alike: sRGB or grey."""

import io

from PIL import Image, ImageChops, ImageCms

# A conversion to the same mode would be one more copy.
_PLAIN_MODES = frozenset({"L", "RGB", "CMYK"})
_DEEP_MODES = frozenset({"I;16", "I;16B"})
_OPAQUE = 255
# Of each colour space, the modes that its profiles describe.
_RGB = b"RGB "
_SPACES = {_RGB: ("RGB", "RGBA"), b"GRAY": ("L",), b"CMYK": ("CMYK",)}
# Those of cameras and screens have a few kilobytes.
_MOST_PROFILE_BYTES = 1 << 18


def make_plain(image: Image.Image, fixes: list[str]) -> tuple[Image.Image, bytes | None]:
    """Make a picture opaque and plain, in sRGB or grey.

    Returns:
        The picture, and the colour profile that has to go with it, because it could not be applied.
    """
    profile = image.info.get("icc_profile")
    image = _make_shallow(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in _PLAIN_MODES:
        image = image.convert("L" if image.mode == "1" else "RGB")
    was = image.mode
    image, kept = _apply_profile(image, profile, fixes) if profile else (image, None)
    if was == "CMYK":
        fixes.append("converted from CMYK to RGB")
    if image.mode == "CMYK":
        image = image.convert("RGB")
    return _flatten(image, fixes), kept


def _make_shallow(image: Image.Image) -> Image.Image:
    if image.mode not in _DEEP_MODES:
        return image
    # The two bytes of each pixel, taken for two channels.
    pair = Image.frombytes("LA", image.size, image.tobytes()).split()
    high, low = pair if image.mode == "I;16B" else reversed(pair)
    transparent = image.info.get("transparency")
    if transparent is None:
        return high
    # One value stands for nothing at all.
    alphas = (
        # Pillow names types of numpy here, which is not installed.
        band.point(  # pyright: ignore[reportUnknownMemberType]
            [0 if value == wanted else _OPAQUE for value in range(256)]
        )
        for band, wanted in zip((high, low), divmod(transparent, 256), strict=True)
    )
    return Image.merge("LA", (high, ImageChops.lighter(*alphas)))


def _apply_profile(
    image: Image.Image, content: bytes, fixes: list[str]
) -> tuple[Image.Image, bytes | None]:
    # One of another space, as that of a grey picture in colours, says nothing of these pixels.
    space = content[16:20]
    if image.mode not in _SPACES.get(space, ()):
        return image, None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        if ImageCms.getProfileDescription(profile).startswith("sRGB"):
            return image, None
        converted = ImageCms.profileToProfile(
            image,
            profile,
            ImageCms.createProfile("sRGB"),  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - of C
            outputMode="RGBA" if image.mode == "RGBA" else "RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        # Whoever shows the picture may make more of the profile.
        return image, content if space == _RGB and len(content) <= _MOST_PROFILE_BYTES else None
    fixes.append("converted to sRGB")
    return converted or image, None


def _flatten(image: Image.Image, fixes: list[str]) -> Image.Image:
    if image.mode != "RGBA":
        return image
    alpha = image.getchannel("A")
    flat = image.convert("RGB")
    if alpha.getextrema()[0] == _OPAQUE:
        return flat
    fixes.append("flattened on white")
    white = Image.new("RGB", image.size, "white")
    white.paste(flat, mask=alpha)
    return white
