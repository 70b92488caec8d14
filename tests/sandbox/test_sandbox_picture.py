import io

import pytest
from PIL import Image

from kling_cli.sandbox.picture import Header, read_header


def draw(picture_format: str, mode: str = "RGB", **options: object) -> bytes:
    """Draw a real picture of 320 by 210 pixels."""
    out = io.BytesIO()
    Image.new(mode, (320, 210)).save(out, picture_format, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (draw("PNG"), "PNG"),
        (draw("PNG", "RGBA"), "PNG"),
        (draw("JPEG"), "JPEG"),
        (draw("JPEG", progressive=True), "JPEG"),
        (draw("JPEG", "CMYK"), "JPEG"),
        (draw("JPEG", exif=b"Exif\x00\x00" + b"\xff\xc0" * 20_000), "JPEG"),
        (draw("JPEG", comment=b"\xff\xc0" * 99), "JPEG"),
    ],
)
def test_real_pictures_tell_their_sides(content: bytes, name: str) -> None:
    """Every kind of JPEG and PNG is measured, whatever stands before its sides."""
    header = read_header(content)
    assert header is not None
    assert (header.format, header.width, header.height) == (name, 320, 210)


@pytest.mark.parametrize("name", ["GIF", "WEBP", "BMP", "TIFF"])
def test_other_formats_are_none(name: str) -> None:
    """A picture of another format is not taken for one of ours."""
    assert read_header(draw(name)) is None
    assert read_header(b"") is None


FRAME = bytes.fromhex("ffc0 0011 08 00d2 0140")


@pytest.mark.parametrize(
    "between",
    [b"\xff", b"\xff\xff\xff", b"\xff\xd0", b"\xff\x01", b"\xff\xc4\x00\x04ab"],
)
def test_what_may_stand_between_segments_is_passed_over(between: bytes) -> None:
    """Fill bytes, lone markers and tables hide no sides."""
    header = read_header(b"\xff\xd8" + between + FRAME)
    assert header == Header(format="JPEG", width=320, height=210)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8\xff",
        b"\xff\xd8" + FRAME[:-1],
        b"\xff\xd8\xff\xda\x00\x02" + FRAME,
        b"\xff\xd8\xff\xe0\x00\x02junk" + FRAME,
        draw("PNG")[:23],
        draw("PNG")[:8] + b"\x00\x00\x00\x0dIDAT" + bytes(30),
    ],
)
def test_a_cut_picture_has_no_sides_and_is_not_acceptable(content: bytes) -> None:
    """A header that does not tell its sides never hangs, crashes or passes."""
    header = read_header(content)
    assert header is not None
    assert (header.width, header.height) == (0, 0)
    assert not header.is_acceptable
