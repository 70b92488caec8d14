"""The preflight: read a picture once, and find what the service would refuse.

The service itself reports a bad picture only minutes after the task was created.
"""

import hashlib
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from kling_cli.errors import InputError
from kling_cli.images import (
    MAX_BYTES,
    MAX_PIXELS,
    MIN_SIDE,
    SAFE_BYTES,
    Header,
    decoding,
    walk_jpeg,
)
from kling_cli.models import Picture
from kling_cli.text import clean

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_FIX = "Use --fix to repair it before sending."
_ACCEPTED = ("JPEG", "PNG")
# A file that --fix repairs is held in memory.
_MAX_BYTES_TO_FIX = 128 * 1024 * 1024
# Each keeps a repair below 400 MB. The libraries of these formats hand over a picture in one piece,
# and hold it several times by then. A JPEG whose pixels come row by row is reduced on the way.
_MAX_PIXELS_TO_FIX = 40_000_000
_MAX_PIXELS_TO_FIX_OF = {"WebP": 16_000_000, "AVIF": 25_000_000, "HEIC": 25_000_000}
# How frames begin that are lossless, or made of layers.
_UNCHECKED_FRAMES = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF})
# The decoder of a progressive JPEG keeps up to six bytes for each pixel.
_MAX_PIXELS_IN_SCANS = 16_000_000

_URL = re.compile(r"\s*([a-z][a-z0-9+.-]+://|(data|file|ftp|https?):)", re.IGNORECASE)
# How a file begins, its type, and Pillow's name of what it can open.
_SIGNATURES = (
    (rb"\xff\xd8\xff", "JPEG", "JPEG"),
    (rb"\x89PNG", "PNG", "PNG"),
    (rb"GIF8", "GIF", "GIF"),
    (rb"II\*\0|MM\0\*", "TIFF", "TIFF"),
    (rb"RIFF....WEBP", "WebP", "WEBP"),
    (rb"....ftyp(.{4,40})?avi[fs]", "AVIF", "AVIF"),
    (rb"....ftyp(.{4,40})?(hei[cfxms]|hevc|mif1|msf1)", "HEIC", "HEIF"),
    (rb"....ftyp", "MP4 video", ""),
    (rb"%!PS", "EPS", ""),
    (rb"%PDF-", "PDF", ""),
    (rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", "HTML", ""),
    (rb"(?i)(\xef\xbb\xbf)?\s*<.*svg\b", "SVG", ""),
    (rb"[^\x00-\x08\x0e-\x1a\x1c-\x1f]+\Z", "plain text", ""),
    (rb"BM", "BMP", "BMP"),
    (rb"", "of no known type", ""),
)
LOCATION = "it contains the location where it was taken"
_NOTES = {
    "16-bit": "it has 16 bits per channel, which the service may reduce to 8",
    "alpha": "it has transparent areas, which the service may fill with any colour",
    "animated": "it is animated; the service uses the first frame",
    "cmyk": "it has CMYK (print) colours, which may look different in the video",
    "location": LOCATION,
    "turned": "it is rotated by its EXIF orientation, which the service may ignore",
}
_EXIF_ORIENTATION, _EXIF_GPS = 0x0112, 0x8825


def is_url(source: str) -> bool:
    r"""Tell whether a picture is given by its URL.

    `C:\photo.jpg` is a path, and so is `data:x` where there is such a file.
    """
    return bool(_URL.match(source)) and not os.path.lexists(source)


def prepare(
    source: str,
    *,
    stdin: BinaryIO | None = None,
    fix: bool = False,
    before_decoding: Callable[[], None] = lambda: None,
) -> Picture:
    """Read and check a picture.

    Args:
        source: a path, or `-` for standard input.
        stdin: what `-` reads.
        fix: repair what would be refused and what a note would warn about.
        before_decoding: called before a JPEG is decoded, which leaves other threads the GIL.

    Raises:
        InputError: its message names all problems. Its code is that of the problem where all are of
            one kind, else `image_rejected`. Its hint offers --fix where that repairs all of them,
            as far as the header says.
    """
    fixes: tuple[str, ...] = ()
    original = None
    is_stdin = source == "-"
    try:
        content = _read(source, stdin)
        header, problems = _inspect(content, before_decoding)
        if fix and header.max_pixels and (problems or find_notes(header, size=len(content))):
            from kling_cli.images.repair import repair

            original = hashlib.sha256(content).hexdigest()
            content, fixes = repair(content, header)
            # Check the repaired picture again.
            header, problems = _inspect(content, before_decoding)
    except InputError as error:
        problems = [error]
    if problems:
        raise refuse("standard input" if is_stdin else clean(source) or "''", problems)
    return Picture(
        source=source,
        kind="stdin" if is_stdin else "file",
        content=content,
        format=header.format,
        width=header.width,
        height=header.height,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        notes=find_notes(header, size=len(content)),
        fixes=fixes,
        repaired_from=original,
    )


def read_again(picture: Picture) -> Picture | None:
    """Read the bytes of a file that was checked before; None if they have changed."""
    if picture.content is not None or picture.url is not None:
        return picture
    with suppress(InputError):
        content = _read(picture.source, None)
        if hashlib.sha256(content).hexdigest() == picture.sha256:
            return replace(picture, content=content)
    return None


def read_header(content: bytes) -> "tuple[Header, ImageFile | None]":
    """Read the header of a picture, while `decoding()`; no image where it cannot be opened.

    Raises:
        InputError: a JPEG or PNG is damaged, or has too many pixels.
    """
    from PIL import Image, JpegImagePlugin

    start = content[:4096]
    kind, opener = next(
        (kind, opener) for begin, kind, opener in _SIGNATURES if re.match(begin, start, re.DOTALL)
    )
    if kind == "HEIC":
        with suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener()
    try:
        if kind == "JPEG":  # Image.open would import five plugins for it
            image: ImageFile = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
        else:
            image = Image.open(io.BytesIO(content), formats=(opener,))
        header = _parse_header(content, image, kind)
    except Exception:
        if kind in _ACCEPTED:
            raise OSError("unreadable header") from None
        if kind == "HEIC" and opener in Image.OPEN:
            raise ValueError("pillow-heif does not support this kind of HEIC") from None
        return Header(format=kind), None
    if header.width * header.height > MAX_PIXELS:
        text = f"it has more than {MAX_PIXELS:,} pixels: use a smaller picture"
        raise InputError("image_too_many_pixels", text)
    return header._replace(opener=opener), image


def find_problems(header: Header, *, size: int | None) -> list[InputError]:
    """Compare a picture with the service's rules; `size` is in bytes."""
    found = {}
    if header.format not in _ACCEPTED:
        way = "convert it"
        if header.format == "HEIC" and not header.width:  # without the library it is not opened
            way = 'save it as JPEG, or install "kling-cli[heic]" and add --fix'
        elif header.format == "HTML":
            way = "pass the picture itself"
        text = f"its format is {header.format}, but the service accepts only JPEG and PNG: {way}"
        found["image_wrong_format"] = text
    if size is not None and size > MAX_BYTES:
        text = f"{size:,} bytes, but the limit is {MAX_BYTES:,} (10 MiB): make it smaller"
        found["image_too_large"] = text
    short, long = sorted((header.width, header.height))
    sides = f"{header.width} x {header.height} pixels"
    if 0 < short < MIN_SIDE:
        text = f"{sides}, but each side must be at least {MIN_SIDE}: use a larger picture"
        found["image_too_small"] = text
    if 2 * long > 5 * short:
        # Rounded up, so that a refused ratio never looks like the limit itself.
        ratio = f"{-(-100 * long // short) / 100:g}"
        shape = f"{ratio}:1" if header.width > header.height else f"1:{ratio}"
        text = f"{sides}, aspect ratio {shape}, but the limits are 1:2.5 and 2.5:1: crop it"
        found["image_bad_aspect"] = text
    hint = _FIX if header.fixable else ""
    return [InputError(code, text, hint=hint) for code, text in found.items()]


def find_notes(header: Header, *, size: int | None) -> tuple[str, ...]:
    """List what the service accepts, but may handle unexpectedly."""
    notes = [_NOTES[trait] for trait in sorted(header.traits)]
    if size is not None and size > SAFE_BYTES:
        notes.append(f"it has {size:,} bytes; the service's limit of 10 MB may mean 10,000,000")
    return tuple(notes)


def refuse(name: str, problems: Sequence[InputError]) -> InputError:
    """Combine the problems of a picture into one error."""
    texts = "; ".join(problem.message for problem in problems)
    return merge_errors(problems, f"{name}: {texts}.")


def merge_errors(errors: Sequence[InputError], message: str) -> InputError:
    """Combine errors into one, with the code and the hint that they have in common."""
    codes = {error.code for error in errors}
    hints = {error.hint for error in errors}
    return InputError(
        codes.pop() if len(codes) == 1 else "image_rejected",
        message,
        hint=hints.pop() if len(hints) == 1 else "",
    )


def _read(source: str, stdin: BinaryIO | None) -> bytes:
    try:
        if source == "-":
            content = (stdin or sys.stdin.buffer).read(_MAX_BYTES_TO_FIX + 1)
        else:
            # Before it is opened: whoever opens a pipe waits for its writer.
            mode = os.stat(source).st_mode
            if not stat.S_ISREG(mode):
                is_directory = stat.S_ISDIR(mode)
                kind = "directory without JPEG or PNG files" if is_directory else "special file"
                raise InputError("image_not_a_file", f"it is a {kind}")
            with open(source, "rb") as file:
                content = file.read(_MAX_BYTES_TO_FIX + 1)
    except (OSError, ValueError) as error:
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        code = "image_not_found" if is_missing else "image_unreadable"
        raise InputError(code, getattr(error, "strerror", None) or str(error)) from None
    if len(content) > _MAX_BYTES_TO_FIX:
        text = f"more than {_MAX_BYTES_TO_FIX:,} bytes, but the limit is {MAX_BYTES:,} (10 MiB)"
        raise InputError("image_too_large", text)
    if not content:
        raise InputError("image_empty", "the file is empty")
    return content


def _inspect(
    content: bytes, before_decoding: Callable[[], None]
) -> tuple[Header, list[InputError]]:
    """Read the header, find damage that it does not show, and compare with the service's rules."""
    with decoding():
        header, image = read_header(content)
        if image and header.format == "PNG":
            image.verify()
        if image and header.format == "JPEG":
            codes, _, _, ends = zip(*walk_jpeg(content), strict=True)
            if not _UNCHECKED_FRAMES.isdisjoint(codes):
                raise ValueError("this kind of JPEG cannot be checked")
            # Pillow fills in the missing data of a truncated file.
            if content.rfind(b"\xff\xd9", ends[-1]) < 0:
                raise OSError("it ends early")
            is_progressive = image.info.get("progressive")
            if not is_progressive or header.width * header.height <= _MAX_PIXELS_IN_SCANS:
                # A grey image of an eighth of each side: reads all data, and needs little memory.
                image.draft("L", (1, 1))
                # Decoded in one piece: after each piece Pillow waits for the GIL.
                image.decodermaxblock = len(content)
                before_decoding()
                image.load()
    return header, find_problems(header, size=len(content))


def _parse_header(content: bytes, image: "ImageFile", kind: str) -> Header:
    from PIL import Image

    try:
        # PNG's own getexif() would decode the whole picture.
        exif = Image.Image.getexif(image)
        turned, places = exif.get(_EXIF_ORIENTATION, 1) in range(2, 9), exif.get_ifd(_EXIF_GPS)
    except Exception:
        turned, places = False, {}
    metadata = str(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
    traits = {
        # Pillow silently reads such colours with 8 bits.
        "16-bit": image.mode.startswith("I;16") or (kind == "PNG" and content[24] == 16),
        "alpha": image.has_transparency_data,
        # The MPO of a phone is a JPEG followed by more pictures.
        "animated": kind != "JPEG" and getattr(image, "is_animated", False),
        "cmyk": image.mode == "CMYK",
        "location": bool(places) or "GPSLatitude" in metadata,
        "turned": turned,
    }
    max_pixels = _MAX_PIXELS_TO_FIX_OF.get(kind, _MAX_PIXELS_TO_FIX)
    if kind == "JPEG" and not image.info.get("progressive"):
        max_pixels = MAX_PIXELS
    elif kind == "JPEG" and image.mode == "CMYK":  # held in whole, with eight bytes for each pixel
        max_pixels = 25_000_000
    elif image.mode in ("I", "F"):  # measurements, not colours
        max_pixels = 0
    return Header(
        format=kind,
        width=image.width,
        height=image.height,
        traits=frozenset(trait for trait, has in traits.items() if has),
        max_pixels=max_pixels,
    )
