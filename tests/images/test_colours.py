"""The repaired picture looks as it did, wherever it is shown."""

import struct

import pytest
from fixing import fix, show, write
from ground.pictures import build_png, chunk, save
from PIL import Image, ImageCms

SMALL = (200, 240)
ENLARGED = "enlarged from 200 x 240 to 300 x 360"


def describe_colours(space: bytes) -> bytes:
    """Build a colour profile: red, green and blue as those of a screen, but red and blue swapped.

    For grey it says that pixels are darker than sRGB has them.
    """

    def place(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(3.0 * 256)) + b"\0\0"
    name = b"swapped\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(80)
    tags = {b"desc": text, b"wtpt": place(0.9642, 1.0, 0.8249)}
    if space == b"GRAY":
        tags |= {b"kTRC": curve}
    else:
        tags |= {b"bXYZ": place(0.436, 0.222, 0.014), b"gXYZ": place(0.385, 0.717, 0.097)}
        tags |= {b"rXYZ": place(0.143, 0.061, 0.714)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    start = 128 + 4 + 12 * len(tags)
    table, bodies = struct.pack(">I", len(tags)), b""
    for tag, body in tags.items():
        padded = body + bytes(-len(body) % 4)
        table += struct.pack(">4sII", tag, start + len(bodies), len(body))
        bodies += padded
    head = struct.pack(
        ">I4sI4s4s4s", start + len(bodies), b"lcms", 0x02100000, b"mntr", space, b"XYZ "
    )
    head = (head + bytes(12) + b"acsp").ljust(68, b"\0")
    return (head + place(0.9642, 1.0, 0.8249)[8:]).ljust(128, b"\0") + table + bodies


def build_deep_png(value: int, transparent: int) -> bytes:
    """Build a grey PNG of 16 bits in one value, with one value that is transparent."""
    content = build_png(
        200, 240, (b"\0" + struct.pack(">H", value) * 200) * 240, layout=b"\x10\0\0\0\0"
    )
    hole = chunk(b"tRNS", struct.pack(">H", transparent))
    return content[:33] + hole + content[33:]


@pytest.mark.parametrize(
    ("content", "shade", "flattened"),
    [
        (write(Image.new("RGBA", SMALL, (0, 0, 0, 0)), "PNG"), 255, True),
        (write(Image.new("RGBA", SMALL, (0, 0, 0, 128)), "PNG"), 127, True),
        (write(Image.new("RGBA", SMALL, (9, 9, 9, 255)), "PNG"), 9, False),
        (write(Image.new("LA", SMALL, (0, 0)), "PNG"), 255, True),
        (write(Image.new("RGBA", SMALL).quantize(), "PNG"), 255, True),
        (save("GIF", "P", size=SMALL, transparency=7), 255, True),
        (build_deep_png(0x1234, 0x1234), 255, True),
        (build_deep_png(0x1234, 0x1235), 0x12, False),
        (build_deep_png(0x1234, 0x1134), 0x12, False),
    ],
    ids=range(9),
)
def test_what_is_transparent_becomes_white(content: bytes, shade: int, flattened: bool) -> None:  # noqa: FBT001 - an expected value
    """Nothing turns black behind a cut-out, and an opaque picture is not called flattened."""
    picture = fix(content)
    (shown,) = set(show(picture).convert("L").tobytes())
    assert abs(shown - shade) <= 1
    assert ("flattened on white" in picture.fixes) is flattened


@pytest.mark.parametrize("byte_order", ["I;16", "I;16B"])
def test_sixteen_bits_keep_their_shade(byte_order: str) -> None:
    """A deep grey is the same grey with 8 bits, in both byte orders."""
    shown = show(fix(write(Image.new(byte_order, SMALL, 0xC0FF), "TIFF")))
    assert (shown.mode, shown.getpixel((9, 9))) == ("L", 0xC0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_colours_of_a_profile_become_plain_ones(kind: str) -> None:
    """Without its profile the picture looks as it did with it: here its red is a blue."""
    profile = describe_colours(b"RGB ")
    picture = fix(write(Image.new("RGB", SMALL, (255, 0, 0)), kind, icc_profile=profile))
    shown = show(picture)
    red, green, blue = shown.tobytes()[:3]
    assert max(red, green) < 60
    assert blue > 240
    assert "converted to sRGB" in picture.fixes
    assert "icc_profile" not in shown.info


def test_alpha_and_profile_go_together() -> None:
    """A cut-out with a profile gets its colours right and its hole white."""
    profile = describe_colours(b"RGB ")
    image = Image.new("RGBA", SMALL, (255, 0, 0, 255))
    image.paste((255, 0, 0, 0), (0, 0, 100, 240))
    picture = fix(write(image, "PNG", icc_profile=profile))
    left, right = (show(picture).getpixel((x, 180)) for x in (50, 250))
    assert left == (255, 255, 255)
    assert isinstance(right, tuple)
    assert right[0] < 60
    assert right[2] > 240
    assert {"converted to sRGB", "flattened on white"} <= {*picture.fixes}


def test_a_grey_profile_is_applied() -> None:
    """The greys of a profile that darkens them come out dark."""
    content = write(Image.new("L", SMALL, 128), "JPEG", icc_profile=describe_colours(b"GRAY"))
    picture = fix(content)
    (shade,) = set(show(picture).convert("L").tobytes())
    assert shade < 110
    assert "converted to sRGB" in picture.fixes


def test_a_plain_profile_changes_nothing() -> None:
    """The profile that nearly every picture carries says nothing new."""
    plain = ImageCms.createProfile("sRGB")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - of C
    profile = ImageCms.ImageCmsProfile(plain).tobytes()  # pyright: ignore[reportUnknownArgumentType] - likewise
    assert fix(save("JPEG", size=SMALL, icc_profile=profile)).fixes == (ENLARGED,)


@pytest.mark.parametrize(
    ("mode", "profile", "kept"),
    [
        ("RGB", bytes(16) + b"RGB " + bytes(200), True),
        ("RGB", bytes(16) + b"RGB " + bytes(1 << 18), False),
        ("RGB", bytes(16) + b"GRAY" + bytes(200), False),
        ("CMYK", bytes(16) + b"CMYK" + bytes(200), False),
        ("L", bytes(16) + b"RGB " + bytes(200), False),
    ],
)
def test_a_profile_that_cannot_be_applied_is_kept(mode: str, profile: bytes, kept: bool) -> None:  # noqa: FBT001 - an expected value
    """It stays with its pixels, unless it describes others or is of no sensible size."""
    shown = show(fix(save("JPEG", mode, size=SMALL, icc_profile=profile)))
    assert shown.info.get("icc_profile") == (profile if kept else None)
