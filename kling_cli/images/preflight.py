"""The preflight: a picture is read once, and what the service would refuse is found before sending.

The service reports a bad picture only minutes after the task was created, and in few words.
"""

import hashlib
import io
import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from kling_cli.errors import InputError
from kling_cli.images import (
    MAX_BYTES,
    MAX_PIXELS,
    MIN_SIDE,
    PILLOW_FORMATS,
    SAFE_BYTES,
    Header,
    decoding,
    explain,
    walk_jpeg,
)
from kling_cli.models import Picture
from kling_cli.text import clean

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

STANDARD_INPUT = "-"
_FIX = "--fix repairs it before sending."
_ACCEPTED = ("JPEG", "PNG")
# A file that --fix repairs is held in memory.
_MAX_BYTES_TO_FIX = 128 * 1024 * 1024
# Each keeps a repair below 400 MB. A JPEG whose pixels come row by row is reduced on the way.
_MAX_PIXELS_TO_FIX = 25_000_000
_MAX_PIXELS_TO_FIX_OF_WEBP = 16_000_000
# The decoder of a progressive JPEG keeps up to six bytes for each pixel.
_MAX_PIXELS_IN_SCANS = 16_000_000

_URL = re.compile(r"\s*([a-z][a-z0-9+.-]+://|(data|file|ftp|https?):)", re.IGNORECASE)
_SIGNATURES = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG"), "PNG"),
    (re.compile(rb"GIF8"), "GIF"),
    (re.compile(rb"II\*\0|MM\0\*"), "TIFF"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WebP"),
    (re.compile(rb"....ftyp(.{4,40})?avi[fs]", re.DOTALL), "AVIF"),
    (re.compile(rb"....ftyp(.{4,40})?(hei[cfxms]|hevc|mif1|msf1)", re.DOTALL), "HEIC"),
    (re.compile(rb"....ftyp", re.DOTALL), "MP4 video"),
    (re.compile(rb"%!PS"), "EPS"),
    (re.compile(rb"%PDF-"), "PDF"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)", re.IGNORECASE), "HTML"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<.*svg\b", re.DOTALL | re.IGNORECASE), "SVG"),
    (re.compile(rb"[^\x00-\x08\x0e-\x1a\x1c-\x1f]+\Z"), "plain text"),
    (re.compile(rb"BM"), "BMP"),
)
_NOTES = {
    "16-bit": "it has 16 bits per colour; the service may reduce them to 8",
    "alpha": "it is transparent in places; the service chooses what stands there",
    "animated": "it is animated; the service takes its first picture",
    "cmyk": "it has CMYK colours, made for printing; the video's may look different",
    "location": "it contains the place where it was taken",
    "turned": "it is turned by its EXIF orientation, which the service may ignore",
}
_EXIF_ORIENTATION, _EXIF_GPS = 0x0112, 0x8825


def is_url(source: str) -> bool:
    r"""Tell whether a picture is given by its URL.

    `C:\photo.jpg` is a path, and so is `data:x` where there is such a file.
    """
    return bool(_URL.match(source)) and not os.path.lexists(source)


def expand(sources: Iterable[str]) -> Iterable[str]:
    """Yield the sources, for each directory the JPEG and PNG files in it, by name."""
    for source in sources:
        files: list[str] = []
        with suppress(OSError):  # said when it is read
            files = [str(path) for path in sorted(Path(source).iterdir()) if _is_picture(path)]
        yield from files or [source]


def prepare(
    sources: Sequence[str], *, stdin: BinaryIO | None = None, fix: bool = False
) -> tuple[Picture, ...]:
    """Read and check the pictures of one task; a source given twice is read once.

    Args:
        sources: paths, or `-` for standard input.
        stdin: what `-` reads.
        fix: repair what would be refused and what a note would warn about.

    Raises:
        InputError: its message has a line for each refused picture with all its problems. Its code
            is that of the problem where all are of one kind, else `image_rejected`. Its hint offers
            --fix where that repairs all of them, as far as the headers say.
    """
    pictures: dict[str, Picture] = {}
    errors: list[InputError] = []
    for source in dict.fromkeys(sources):
        try:
            pictures[source] = _check(source, stdin, fix=fix)
        except InputError as error:
            errors.append(error)
    if errors:
        raise merge_errors(errors, "\n".join(error.message for error in errors))
    return tuple(pictures[source] for source in sources)


def read_again(picture: Picture) -> Picture | None:
    """Read the bytes of a file that was checked before; None if they have changed."""
    if picture.content is not None or picture.url is not None:
        return picture
    if picture.kind == "file" and not picture.fixes:
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
    from PIL import Image

    kind = next((name for pattern, name in _SIGNATURES if pattern.match(content[:4096])), "")
    if kind == "HEIC":
        with suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener()
    try:
        image = Image.open(io.BytesIO(content), formats=(PILLOW_FORMATS[kind],))
        return _parse_header(content, image, kind), image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        text = f"it has more than {MAX_PIXELS:,} pixels: use a smaller picture"
        raise InputError("image_too_many_pixels", text) from None
    except Exception:
        if kind in _ACCEPTED:
            raise explain(OSError("its header cannot be read")) from None
        return Header(format=kind or "of no known type"), None


def find_problems(header: Header, *, size: int | None) -> list[InputError]:
    """Compare what is known of a picture with the service's rules; `size` is in bytes."""
    found = []
    if header.format not in _ACCEPTED:
        way = "convert it"
        if header.format == "HEIC" and not header.fixable:
            way = 'save it as JPEG, or install "kling-cli[heic]" and add --fix'
        text = f"its content is {header.format}, the service takes JPEG and PNG: {way}"
        found.append(("image_wrong_format", text))
    if size is not None and size > MAX_BYTES:
        found.append(("image_too_large", _explain_size(size)))
    short, long = sorted((header.width, header.height))
    sides = f"{header.width} x {header.height} pixels"
    if 0 < short < MIN_SIDE:
        text = f"{sides}, each side needs at least {MIN_SIDE}: use a larger picture"
        found.append(("image_too_small", text))
    if 2 * long > 5 * short:
        # Rounded up, so that no refused ratio reads as the limit itself.
        ratio = f"{-(-100 * long // short) / 100:g}"
        shape = f"{ratio}:1" if header.width > header.height else f"1:{ratio}"
        text = f"{sides} are {shape}, the service takes 1:2.5 to 2.5:1: crop it"
        found.append(("image_bad_aspect", text))
    hint = _FIX if header.fixable else ""
    return [InputError(code, text, hint=hint) for code, text in found]


def find_notes(header: Header, *, size: int | None) -> tuple[str, ...]:
    """Say what the service accepts, but perhaps not as the owner expects."""
    notes = [_NOTES[trait] for trait in sorted(header.traits)]
    if size is not None and size > SAFE_BYTES:
        notes.append(f"it has {size:,} bytes; the service's limit of 10MB may be 10,000,000")
    return tuple(notes)


def refuse(name: str, problems: Sequence[InputError]) -> InputError:
    """Make one error of the problems of a picture."""
    texts = "; ".join(problem.message for problem in problems)
    return merge_errors(problems, f"{name}: {texts}.")


def merge_errors(errors: Sequence[InputError], message: str) -> InputError:
    """Make one error of several, with the code and the hint that they have in common."""
    codes = {error.code for error in errors}
    hints = {error.hint for error in errors}
    return InputError(
        codes.pop() if len(codes) == 1 else "image_rejected",
        message,
        hint=hints.pop() if len(hints) == 1 else "",
    )


def _is_picture(path: Path) -> bool:
    # Names that begin with a dot are no pictures: macOS puts such files beside the real ones.
    is_named = path.suffix.lower() in (".jpg", ".jpeg", ".png") and path.name[0] != "."
    return is_named and path.is_file()


def _check(source: str, stdin: BinaryIO | None, *, fix: bool) -> Picture:
    is_stdin = source == STANDARD_INPUT
    fixes: tuple[str, ...] = ()
    original = None
    try:
        content = _read(source, stdin)
        header, problems = _inspect(content)
        is_doubtful = problems or find_notes(header, size=len(content))
        if fix and is_doubtful and all(problem.hint for problem in problems):
            from kling_cli.images.repair import repair

            original = hashlib.sha256(content).hexdigest()
            content, fixes = repair(content, header)
            # Nothing is sent on the repair's word alone.
            header, problems = _inspect(content)
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


def _read(source: str, stdin: BinaryIO | None) -> bytes:
    size, is_stdin = 0, source == STANDARD_INPUT
    try:
        with nullcontext(stdin or sys.stdin.buffer) if is_stdin else _open(source) as file:
            if not is_stdin:
                state = os.fstat(file.fileno())
                if not stat.S_ISREG(state.st_mode):
                    raise InputError("image_not_a_file", "it is no regular file")
                size = state.st_size  # 0 below /proc
            content = b"" if size > _MAX_BYTES_TO_FIX else file.read(_MAX_BYTES_TO_FIX + 1)
    except IsADirectoryError:
        text = "it is a directory without JPEG or PNG files"
        raise InputError("image_not_a_file", text) from None
    except (OSError, ValueError) as error:
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        code = "image_not_found" if is_missing else "image_unreadable"
        raise InputError(code, getattr(error, "strerror", None) or str(error)) from None
    if max(size, len(content)) > _MAX_BYTES_TO_FIX:
        raise InputError("image_too_large", _explain_size(max(size, len(content))))
    if not content:
        raise InputError("image_empty", "it is empty: there is no picture in it")
    return content


def _open(path: str) -> BinaryIO:
    # A pipe without a writer would hang without O_NONBLOCK, which not every system has.
    flag = getattr(os, "O_NONBLOCK", 0)
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | flag))


def _inspect(content: bytes) -> tuple[Header, list[InputError]]:
    """Find all that can be said of a picture."""
    with decoding():
        header, image = read_header(content)
        problems = find_problems(header, size=len(content))
        if image and header.format in _ACCEPTED:
            try:
                _verify(content, image)
            except Exception as error:
                problems.append(explain(error))
    return header, problems


def _parse_header(content: bytes, image: "ImageFile", kind: str) -> Header:
    from PIL import Image

    try:
        # Not that of a PNG, which would decode all of it.
        exif = Image.Image.getexif(image)
        turned, places = exif.get(_EXIF_ORIENTATION, 1) in range(2, 9), exif.get_ifd(_EXIF_GPS)
    except Exception:
        turned, places = False, {}
    metadata = str(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
    traits = {
        # Pillow reads such colours as 8 bits and does not say so.
        "16-bit": image.mode.startswith("I;16") or (kind == "PNG" and content[24] == 16),
        "alpha": image.has_transparency_data,
        # A phone's MPO is a JPEG with more of them behind it.
        "animated": kind != "JPEG" and getattr(image, "is_animated", False),
        "cmyk": image.mode == "CMYK",
        "location": bool(places) or "GPSLatitude" in metadata,
        "turned": turned,
    }
    max_pixels = _MAX_PIXELS_TO_FIX_OF_WEBP if kind == "WebP" else _MAX_PIXELS_TO_FIX
    if kind == "JPEG" and not image.info.get("progressive"):
        max_pixels = MAX_PIXELS
    elif image.mode in ("I", "F"):  # measurements, not colours
        max_pixels = 0
    return Header(
        format=kind,
        width=image.width,
        height=image.height,
        traits=frozenset(trait for trait, has in traits.items() if has),
        max_pixels=max_pixels,
    )


def _verify(content: bytes, image: "ImageFile") -> None:
    """Find damage that the header does not show; raises whatever Pillow raises."""
    if image.format == "PNG":
        image.verify()
        return
    *_, (_, _, _, start) = walk_jpeg(content)
    # Pillow fills what is missing behind an end that comes too early, or not at all.
    if content.find(b"\xff\xd9", start) < 0:
        raise OSError("it ends early")
    if not image.info.get("progressive") or image.width * image.height <= _MAX_PIXELS_IN_SCANS:
        # An eighth of each side, without colours: all data is read, little is kept.
        image.draft("L", (1, 1))
        image.load()


def _explain_size(size: int) -> str:
    return f"{size:,} bytes, the limit is {MAX_BYTES:,} (10 MiB): save it smaller"
