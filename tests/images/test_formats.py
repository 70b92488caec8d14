"""The type of a file and the header of a picture, told by the first bytes."""

import io
import struct

import pytest
from PIL import Image

from kling_cli.images.formats import (
    HEADER_BYTES,
    Header,
    is_in_one_scan,
    reaches_end,
    read_header,
    recognise,
    walk_jpeg,
)


def save(kind: str, mode: str = "RGB", **options: object) -> bytes:
    """Let Pillow write a picture of 320 x 300 pixels."""
    file = io.BytesIO()
    Image.new(mode, (320, 300)).save(file, kind, **options)
    return file.getvalue()


def segment(code: int, body: bytes = b"") -> bytes:
    """Build a JPEG segment with its marker and length."""
    return bytes([0xFF, code]) + struct.pack(">H", len(body) + 2) + body


PHOTO = save("JPEG")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (PHOTO, "JPEG"),
        (save("PNG"), "PNG"),
        (save("GIF"), "GIF"),
        (save("WEBP"), "WebP"),
        (save("TIFF"), "TIFF or camera raw"),
        (b"MM\0*\0\0\0\x08", "TIFF or camera raw"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"MM\0+\0\x08\0\0", "TIFF"),
        (save("BMP"), "BMP"),
        (save("EPS"), "EPS"),
        (b"\xc5\xd0\xd3\xc6\x20\0\0\0", "EPS"),
        (save("PDF"), "PDF"),
        (save("ICO"), "ICO"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\xff\x0a\x10", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
        (b"\x1aE\xdf\xa3\x01", "WebM video"),
        (b"PK\3\4\x14\0", "ZIP archive"),
        (b"\x1f\x8b\x08\0", "gzip archive"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp42", "MP4 video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "QuickTime video"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x">', "SVG"),
        (b"\xef\xbb\xbf <SVG>", "SVG"),
        (b"<!DOCTYPE html><title>404</title>", "HTML"),
        (b'\n<html lang="en">', "HTML"),
        (b'<?xml version="1.0"?><html>', "HTML"),
        (b"/9j/4AAQSkZJRgABAQ", "plain text"),
        ("hello, \u4f60\u597d".encode(), "plain text"),
        (b"x" + "\u4f60".encode() * 2000, "plain text"),
        (b"RIFF\x10\0\0\0WAVE", "unknown"),
        (b"BMW is no picture", "plain text"),
        (b"caf\xe9 au lait", "unknown"),
        (bytes(100), "unknown"),
        (b" \n ", "unknown"),
    ],
    ids=range(39),
)
def test_every_type_is_named_by_its_content(content: bytes, name: str) -> None:
    """A refused file is named as what it is, whatever it is called (fault 51)."""
    assert recognise(content) == name


@pytest.mark.parametrize(
    ("content", "header"),
    [
        (PHOTO, Header(format="JPEG", width=320, height=300)),
        (save("PNG"), Header(format="PNG", width=320, height=300)),
        (save("JPEG", progressive=True), Header(format="JPEG", width=320, height=300)),
        (save("JPEG", "L"), Header(format="JPEG", width=320, height=300)),
        (
            save("JPEG", "CMYK"),
            Header(format="JPEG", width=320, height=300, traits=frozenset({"cmyk"})),
        ),
        (save("WEBP"), Header(format="WebP")),
    ],
    ids=range(6),
)
def test_a_header_tells_type_and_sides(content: bytes, header: Header) -> None:
    """The sides in pixels are found without decoding anything."""
    assert read_header(content) == header


@pytest.mark.parametrize("content", [PHOTO, save("PNG")], ids=["JPEG", "PNG"])
def test_a_beginning_is_enough_or_asks_for_more(content: bytes) -> None:
    """From the type's first bytes on, each longer beginning says "more" until it says the sides."""
    found = [read_header(content[:length]) for length in range(4, 1000)]
    enough = found.index(Header(format=recognise(content), width=320, height=300))
    assert set(found[:enough]) == {None}
    assert set(found[enough:]) == {found[enough]}


def test_the_sides_are_found_behind_a_large_profile() -> None:
    """Metadata of many times 64 kB stand in front of the sides of a real picture."""
    content = PHOTO[:2] + segment(0xE2, bytes(65_000)) * 15 + PHOTO[2:]
    assert read_header(content[:900_000]) is None
    assert read_header(content[:HEADER_BYTES]) == Header(format="JPEG", width=320, height=300)


@pytest.mark.parametrize("between", [b"\xff" * 9, b"\0junk", b"\xff\x01", b"\xff\x00", b"\xff\xd0"])
def test_what_decoders_skip_is_skipped(between: bytes) -> None:
    """Filling and foreign bytes between segments do not hide the sides."""
    content = PHOTO[:20] + between + PHOTO[20:]
    assert read_header(content) == Header(format="JPEG", width=320, height=300)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("value", "turned"), [(1, False), (2, False), (3, True), (6, True)])
def test_a_turned_picture_is_noticed(order: str, value: int, turned: bool) -> None:  # noqa: FBT001 - an expected value
    """The EXIF orientation is read in both byte orders, in JPEG and PNG, behind other entries."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "maker"
    exif[0x0112] = value
    for kind in ("JPEG", "PNG"):
        header = read_header(save(kind, exif=exif.tobytes()))
        assert header is not None
        assert header.traits == ({"turned"} if turned else set())


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff\1\2",
        b"MM\0*\0\0\0\x08\0\0",
    ],
)
def test_broken_exif_says_nothing(exif: bytes) -> None:
    """Metadata that make no sense are no reason to refuse a picture."""
    content = PHOTO[:2] + segment(0xE1, b"Exif\0\0" + exif) + PHOTO[2:]
    assert read_header(content) == Header(format="JPEG", width=320, height=300)


@pytest.mark.parametrize(
    ("mode", "options", "traits"),
    [
        ("RGBA", {}, {"alpha"}),
        ("LA", {}, {"alpha"}),
        ("P", {"transparency": 0}, {"alpha"}),
        ("I;16", {}, {"16-bit"}),
        ("1", {}, set[str]()),
        (
            "RGB",
            {"save_all": True, "append_images": [Image.new("RGB", (320, 300), 9)]},
            {"animated"},
        ),
    ],
)
def test_traits_worth_a_note_are_noticed(
    mode: str, options: dict[str, object], traits: set[str]
) -> None:
    """Transparent, 16-bit and animated pictures are told apart from plain ones (fault 53)."""
    header = read_header(save("PNG", mode, **options))
    assert header is not None
    assert header.traits == traits


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8" + segment(0xDA, b"\1"),
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8" + segment(0xC0, b"\x08\0"),
        save("PNG").replace(b"\r\n", b"\n", 1),
        save("PNG").replace(b"IHDR", b"IDAT", 1),
    ],
    ids=range(5),
)
def test_a_broken_header_is_told_as_damage(content: bytes) -> None:
    """A header that contradicts its format is damage, not a request for more bytes (fault 52)."""
    header = read_header(content)
    assert header is not None
    assert header.damage
    assert header.pixels == 0


@pytest.mark.parametrize("between", [segment(0xFE) * 20_000, bytes(100_000)], ids=range(2))
def test_files_made_to_waste_time_are_given_up(between: bytes) -> None:
    """A huge number of segments, or much between them, ends the search (fault 56)."""
    assert read_header(PHOTO[:20] + between + PHOTO[20:]) is None


def test_the_walk_ends_at_the_end_marker() -> None:
    """What cameras append after the picture (films, more pictures) belongs to nobody here."""
    assert list(walk_jpeg(PHOTO + PHOTO)) == list(walk_jpeg(PHOTO))


def test_a_picture_that_comes_row_by_row_is_told_from_one_in_scans() -> None:
    """A progressive picture, or one with its colours apart, cannot be decoded in small memory."""
    scan = PHOTO.index(b"\xff\xda") + 4
    assert is_in_one_scan(PHOTO)
    assert not is_in_one_scan(save("JPEG", progressive=True))
    assert not is_in_one_scan(PHOTO[:scan] + b"\1" + PHOTO[scan + 1 :])
    assert not is_in_one_scan(PHOTO[: scan - 4])


@pytest.mark.parametrize("content", [PHOTO, save("JPEG", progressive=True)], ids=["rows", "scans"])
def test_the_end_of_a_picture_is_found(content: bytes) -> None:
    """A picture reaches its end with its last byte, and not with one less (fault 52)."""
    assert reaches_end(content)
    assert not reaches_end(content[:-1])
    assert not reaches_end(content[: len(content) // 2])
