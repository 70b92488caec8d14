"""Pictures of every kind, good and bad, built where they are needed, each with its verdict."""

import io
import struct
import zlib
from dataclasses import dataclass
from functools import cache

import pillow_heif
from PIL import ExifTags, Image
from support.run import PHOTO

LARGEST = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A file: its name in bytes, its content, and the code of its refusal, None if it is good.

    `note` is a word of what is said of a good one; it is repaired too. `is_fixable` tells of a bad
    one whether its header promises a repair, `fix_code` how that fails all the same.
    """

    name: bytes
    content: bytes
    code: str | None = None
    note: str | None = None
    is_fixable: bool = False
    fix_code: str | None = None


def save(
    kind: str, mode: str = "RGB", size: tuple[int, int] = (320, 300), **options: object
) -> bytes:
    """Let Pillow write a picture of one colour."""
    return write(Image.new(mode, size, 7), kind, **options)


def write(image: Image.Image, kind: str, **options: object) -> bytes:
    """Let Pillow write this picture."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turn(orientation: int) -> bytes:
    """Build the EXIF block of a picture that is turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def locate() -> bytes:
    """Build the EXIF block of a picture that says where it was taken."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "PRIVATE"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif.tobytes()


def chunk(name: bytes, body: bytes) -> bytes:
    """Build a chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def build_png(width: int, height: int, pixels: bytes, *, layout: bytes = b"\x08\2\0\0\0") -> bytes:
    """Build a PNG that says it has these sides, around pixels that may be too few."""
    header = struct.pack(">II", width, height) + layout
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in parts)


def build_alpha_bmp(width: int, height: int) -> bytes:
    """Build a BMP of transparent red pixels, as some editors write it."""
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, 0, 0, 0, 0, 0) + masks
    pixels = bytes((0, 0, 255, 0)) * (width * height)
    start = 14 + 108
    return (
        b"BM"
        + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
        + header.ljust(108, b"\0")
        + pixels
    )


def save_heic(image: Image.Image, **options: object) -> bytes:
    """Write a picture as a phone does."""
    pillow_heif.register_heif_opener()
    return write(image, "HEIF", **options)


def resize_frame(content: bytes, width: int, height: int) -> bytes:
    """Change the size that a JPEG says it has."""
    frame = content.index(b"\xff\xc0") + 5
    return content[:frame] + struct.pack(">HH", height, width) + content[frame + 4 :]


@cache
def build_corpus() -> tuple[Sample, ...]:
    """Build every sample."""
    return (
        *_build_good(),
        *_build_oddly_named(),
        *_build_repairable(),
        *_build_deceptive(),
        *_build_hopeless(),
    )


def _build_good() -> list[Sample]:
    photo = PHOTO.read_bytes()
    more = [Image.new("RGB", (320, 300))]
    contents = {
        "photo.jpg": (photo, None),
        "phone.mpo": (save("MPO", save_all=True, append_images=more) + bytes(5000), None),
        "progressive.jpg": (save("JPEG", progressive=True), None),
        "large-progressive.jpg": (save("JPEG", size=(1200, 1000), progressive=True), None),
        "grey.jpg": (save("JPEG", "L"), None),
        "cmyk.jpg": (save("JPEG", "CMYK"), "CMYK"),
        "restarts.jpg": (save("JPEG", restart_marker_blocks=3, subsampling=0), None),
        "turned.jpg": (save("JPEG", exif=turn(6)), "EXIF orientation"),
        "place.jpg": (save("JPEG", exif=locate()), "the place"),
        "place-in-xmp.jpg": (save("JPEG", xmp=b"<x exif:GPSLatitude='1,2N'/>"), "the place"),
        "broken-exif.jpg": (save("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\5\0"), None),
        "comment.jpg": (save("JPEG", comment="\x1b[31m"), None),
        "profile.jpg": (save("JPEG", icc_profile=bytes(9000)), None),
        "square.jpg": (save("JPEG", size=(300, 300)), None),
        "longest.jpg": (save("JPEG", size=(750, 300)), None),
        "tallest.png": (save("PNG", size=(300, 750)), None),
        "ten-million.jpg": (photo.ljust(10_000_000, b"\0"), None),
        "full.jpg": (photo.ljust(LARGEST, b"\0"), "10,485,760 bytes"),
        "plain.png": (save("PNG"), None),
        "two-colours.png": (save("PNG", "1"), None),
        "grey.png": (save("PNG", "L"), None),
        "grey-alpha.png": (save("PNG", "LA"), "transparent"),
        "palette.png": (save("PNG", "P"), None),
        "palette-alpha.png": (save("PNG", "P", transparency=0), "transparent"),
        "alpha.png": (save("PNG", "RGBA"), "transparent"),
        "deep.png": (save("PNG", "I;16"), "16 bits"),
        "deep-colours.png": (
            build_png(320, 300, bytes(300 * (1 + 320 * 6)), layout=b"\x10\2\0\0\0"),
            "16 bits",
        ),
        "animated.png": (save("PNG", save_all=True, append_images=more), "animated"),
        "turned.png": (save("PNG", exif=turn(8)), "EXIF orientation"),
        "wrong-ending.gif": (photo, None),
        "no-ending": (save("PNG"), None),
    }
    return [
        Sample(name=name.encode(), content=content, note=note)
        for name, (content, note) in contents.items()
    ]


def _build_oddly_named() -> list[Sample]:
    photo = save("JPEG")
    names = (
        b"two words.jpg",
        b" .jpg",
        b"two\nlines.jpg",
        b"\x1b[31mred.jpg",
        b"\r.jpg",
        b"-rf.jpg",
        b"--json",
        "\u202egpj.jpg".encode(),
        "照片 \U0001f600.jpg".encode(),
        b"\xff\xfe.jpg",
        b"'quoted' \"twice\" $HOME `id`.jpg",
        b"[red]markup[red].jpg",
        b"%s{0}.jpg",
    )
    bad = (b"empty\nline.jpg", b"\x1b]0;title\x07.jpg", b"\xc3.jpg")
    return [
        *(Sample(name=name, content=photo) for name in names),
        *(Sample(name=name, content=b"", code="image_empty") for name in bad),
    ]


def _build_repairable() -> list[Sample]:
    more = [Image.new("RGB", (320, 300))]
    large, small = "image_too_large", "image_too_small"
    long, other, several = "image_bad_aspect", "image_wrong_format", "image_rejected"
    contents = {
        "narrow.jpg": (save("JPEG", size=(299, 400)), small),
        "flat.png": (save("PNG", size=(400, 299)), small),
        "dot.png": (save("PNG", "1", size=(1, 1)), small),
        "deep-dot.png": (save("PNG", "I;16", size=(2, 3)), small),
        "alpha-dot.png": (save("PNG", "RGBA", size=(9, 9)), small),
        "cmyk-small.jpg": (save("JPEG", "CMYK", size=(30, 40)), small),
        "turned-small.jpg": (save("JPEG", size=(200, 280), exif=turn(6)), small),
        "broken-exif-small.jpg": (save("JPEG", size=(99, 99), exif=b"Exif\0\0II*\0\5"), small),
        "long.png": (save("PNG", size=(751, 300)), long),
        "tall.jpg": (save("JPEG", size=(300, 751)), long),
        "line.png": (save("PNG", "L", size=(4000, 1)), several),
        "heavy.jpg": (PHOTO.read_bytes().ljust(LARGEST + 1, b"\0"), large),
        "heavy-long.jpg": (save("JPEG", size=(900, 300)).ljust(LARGEST + 1, b"\0"), several),
        "a.gif": (save("GIF", "P"), other),
        "film.gif": (save("GIF", save_all=True, append_images=more), other),
        "a.webp": (save("WEBP"), other),
        "alpha.webp": (save("WEBP", "RGBA", lossless=True), other),
        "film.webp": (save("WEBP", save_all=True, append_images=more), other),
        "a.bmp": (save("BMP"), other),
        "reserved.bmp": (save("BMP").replace(b"\0\0\0\0", b"\1\2\3\4", 1), other),
        "alpha.bmp": (build_alpha_bmp(320, 300), other),
        "phone.heic": (save_heic(Image.new("RGB", (320, 300))), other),
        "a.avif": (save("AVIF"), other),
        "a.tif": (save("TIFF"), other),
        "lzw.tif": (save("TIFF", compression="tiff_lzw"), other),
        "cmyk.tif": (save("TIFF", "CMYK"), other),
        "deep.tif": (save("TIFF", "I;16"), other),
        "two-colours.tif": (save("TIFF", "1", compression="group4"), other),
        "pages.tif": (save("TIFF", save_all=True, append_images=more), other),
        "webp-named.jpg": (save("WEBP", size=(100, 100)), several),
        "heavy.bmp": (save("BMP", size=(1900, 1900)), several),
    }
    return [
        Sample(name=name.encode(), content=content, code=code, is_fixable=True)
        for name, (content, code) in contents.items()
    ]


def _build_deceptive() -> list[Sample]:
    """Build what only shows when it is decoded."""
    contents = {
        "cut.gif": (save("GIF", "P")[:400], "image_damaged"),
        "cut.bmp": (save("BMP")[:-999], "image_damaged"),
        "cut.tif": (save("TIFF")[:-999], "image_damaged"),
        "cut.avif": (save("AVIF")[:-9], "image_damaged"),
        "holed.heic": (save_heic(Image.effect_noise((320, 300), 9))[:-999], "image_unreadable"),
    }
    return [
        Sample(
            name=name.encode(),
            content=content,
            code="image_wrong_format",
            is_fixable=True,
            fix_code=code,
        )
        for name, (content, code) in contents.items()
    ]


def _build_hopeless() -> list[Sample]:
    photo = PHOTO.read_bytes()
    other, damaged, several = "image_wrong_format", "image_damaged", "image_rejected"
    pixels = "image_too_many_pixels"
    frame = photo.index(b"\xff\xc0") + 4
    wide = save("PNG", size=(200, 900))
    contents = {
        "empty.jpg": (b"", "image_empty"),
        "page.jpg": (b"<!doctype html><title>Not found</title>", other),
        "letter.jpg": (b"Dear Sir or Madam,", other),
        "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', other),
        "paper.pdf": (save("PDF"), other),
        "print.eps": (save("EPS"), other),
        "icon.ico": (save("ICO"), other),
        "cut.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", other),
        "film.mp4": (b"\0\0\0\x18ftypisom\0\0\2\0isommp42", other),
        "zeros.jpg": (bytes(5000), other),
        "float.tif": (save("TIFF", "F"), other),
        "cut.jpg": (photo[: len(photo) // 2], damaged),
        "one-less.jpg": (photo[:-1], damaged),
        "holes.jpg": (photo[: len(photo) // 2].ljust(len(photo), b"\0"), damaged),
        "beginning.jpg": (photo[:4], damaged),
        "sideless.jpg": (resize_frame(photo, 0, 512), damaged),
        "checksum.png": (save("PNG").replace(b"IDATx", b"IDATy"), damaged),
        "endless.png": (save("PNG")[:-12], damaged),
        "text-mode.png": (save("PNG").replace(b"\r\n", b"\n", 1), damaged),
        "small-and-cut.png": (wide[:-12], several),
        "large-and-cut.jpg": (photo[:9999].ljust(LARGEST + 1, b"\0"), several),
        "cut.webp": (save("WEBP")[:-9], other),
        "lossless.jpg": (photo.replace(b"\xff\xc0", b"\xff\xc3", 1), damaged),
        "twelve-bits.jpg": (photo[:frame] + b"\x0c" + photo[frame + 1 :], damaged),
        "bomb.png": (build_png(20_000, 20_000, b""), pixels),
        "great-bomb.png": (build_png(2**31 - 1, 2**31 - 1, b""), pixels),
        "bomb.jpg": (resize_frame(photo, 65_000, 65_000), pixels),
        # More pixels than --fix takes.
        "wall.png": (
            build_png(20_000, 3300, bytes(2501 * 3300), layout=b"\1\0\0\0\0"),
            "image_bad_aspect",
        ),
    }
    return [
        Sample(name=name.encode(), content=content, code=code)
        for name, (content, code) in contents.items()
    ]
