"""The preflight: a picture is read once, and what the service would refuse is found before sending.

The service tells of a bad picture only minutes after the task was made, and in few words.
"""

import hashlib
import io
import threading
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from PIL import JpegImagePlugin

from kling_cli.errors import InputError
from kling_cli.images import formats, png
from kling_cli.images.formats import JPEG, PNG, Header
from kling_cli.images.sources import STANDARD_INPUT, read_file, read_stream
from kling_cli.task import Picture
from kling_cli.text import clean

# "At most 10MB", and nobody says whether that is 10 000 000 bytes or 10 MiB: above the larger one
# the picture is refused, between the two it gets a note.
MOST_BYTES = 10 * 1024 * 1024
_DOUBTFUL_BYTES = 10_000_000
LEAST_SIDE = 300
# Not the service's rule: the largest camera sensors have 200 megapixels, and what claims more
# within 10 MiB is made to exhaust whoever decodes it.
MOST_PIXELS = 250_000_000
# A JPEG in several scans (a progressive one) cannot be decoded row by row: its decoder keeps up to
# eight bytes for each pixel. Above this only its structure is checked.
_MOST_PIXELS_IN_SCANS = 1_000_000
# Of a JPEG: each 8 x 8 block takes one bit or more.
_MOST_PIXELS_IN_A_BYTE = 8 * 64

_CONVERTIBLE = frozenset({"WebP", "GIF", "TIFF", "TIFF or camera raw", "BMP"})
_NOTES = {
    "cmyk": "it has CMYK colours, made for printing; the video's may look different",
    "16-bit": "it has 16 bits per colour; the service may reduce them to 8",
    "alpha": "it is transparent in places; the service chooses what stands there",
    "animated": "it is animated; the service takes its first picture",
    "turned": "it is turned by its EXIF orientation, which the service may ignore",
}
_UNDECODABLE = frozenset(
    {"image_wrong_format", "image_damaged", "image_too_large", "image_too_many_pixels"}
)
# Warnings are silenced for the whole process while a picture is decoded, so one at a time; it also
# keeps the memory of a batch from growing with its workers.
_decoding = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One reason to refuse a picture: a stable code, and the measured value, limit and way out."""

    code: str
    text: str
    fixable: bool = False


def prepare(source: str, *, standard_input: BinaryIO | None = None) -> Picture:
    """Read and check one picture, given by its path or as `-`; see `prepare_all`.

    Raises:
        InputError: with all problems of the picture.
    """
    return prepare_all((source,), standard_input=standard_input)[0]


def prepare_all(
    sources: Iterable[str], *, standard_input: BinaryIO | None = None
) -> tuple[Picture, ...]:
    """Read and check the pictures of one task; the same source given twice is read once.

    Every picture's bytes stay in memory: a batch prepares the pictures of each task on its own.

    Raises:
        InputError: its message has a line for each picture with problems, which names them all.
            Its code is that of the problem (`image_not_found`, `image_not_a_file`,
            `image_unreadable`, `image_empty`, `image_wrong_format`, `image_damaged`,
            `image_too_large`, `image_too_small`, `image_bad_aspect`, `image_too_many_pixels`) where
            all problems are of one kind, and `image_rejected` where they are of several.
    """
    wanted = tuple(sources)
    findings = {source: _check(source, standard_input) for source in dict.fromkeys(wanted)}
    refused = [(source, found) for source, found in findings.items() if isinstance(found, list)]
    if refused:
        raise refuse(refused)
    pictures = {s: found for s, found in findings.items() if isinstance(found, Picture)}
    return tuple(pictures[source] for source in wanted)


def judge(header: Header, *, size: int | None, at_least: bool = False) -> list[Problem]:
    """Hold what is known of a picture, from a file or from a URL, against the service's rules.

    Args:
        header: as `formats.read_header` tells it.
        size: of the whole file in bytes; None if unknown.
        at_least: only so much was read, there is more.
    """
    problems = list[Problem]()
    if header.format not in {JPEG, PNG}:
        known = "of no known type" if header.format == formats.UNKNOWN else header.format
        text = f"its content is {known}, the service takes JPEG and PNG: convert it"
        fixable = header.format in _CONVERTIBLE
        problems.append(Problem(code="image_wrong_format", text=text, fixable=fixable))
    if header.damage:
        problems.append(_damaged(header.damage))
    if size is not None and size > MOST_BYTES:
        measured = f"{'at least ' if at_least else ''}{size:,} bytes"
        text = f"{measured}, the limit is {MOST_BYTES:,} (10 MiB): save it smaller"
        problems.append(Problem(code="image_too_large", text=text, fixable=True))
    if header.width is not None and header.height is not None:
        problems += _judge_sides(header.width, header.height)
    return problems


def refuse(findings: Sequence[tuple[str, Sequence[Problem]]]) -> InputError:
    """Make one error of the problems of several pictures, each under its own name."""
    problems = [problem for _, found in findings for problem in found]
    codes = {problem.code for problem in problems}
    lines = [
        f"{_name(source)}: {'; '.join(problem.text for problem in found)}"
        for source, found in findings
    ]
    return InputError(
        codes.pop() if len(codes) == 1 else "image_rejected",
        "\n".join(line if line.endswith("?") else f"{line}." for line in lines),
        hint="--fix repairs it before sending." if all(p.fixable for p in problems) else "",
    )


def _name(source: str) -> str:
    return "standard input" if source == STANDARD_INPUT else clean(source) or "''"


def _damaged(how: str) -> Problem:
    return Problem(code="image_damaged", text=f"the file is damaged, {how}: copy or save it anew")


def _judge_sides(width: int, height: int) -> list[Problem]:
    problems = list[Problem]()
    short, long = sorted((width, height))
    sides = f"{width} x {height} pixels"
    if short < LEAST_SIDE:
        text = f"{sides}, each side needs at least {LEAST_SIDE}: use a larger picture"
        problems.append(Problem(code="image_too_small", text=text, fixable=True))
    if 2 * long > 5 * short:
        # Rounded up, so that no refused ratio reads as the limit itself.
        ratio = f"{-(-100 * long // short) / 100:g}"
        shape = f"{ratio}:1" if width > height else f"1:{ratio}"
        text = f"{sides} are {shape}, the service takes 1:2.5 to 2.5:1: crop it"
        problems.append(Problem(code="image_bad_aspect", text=text, fixable=True))
    if width * height > MOST_PIXELS:
        text = f"{sides}, no more than {MOST_PIXELS:,} in all are taken: use a smaller picture"
        problems.append(Problem(code="image_too_many_pixels", text=text))
    return problems


def _check(source: str, standard_input: BinaryIO | None) -> Picture | list[Problem]:
    piped = source == STANDARD_INPUT
    try:
        content, size = (
            read_stream(standard_input, most=MOST_BYTES)
            if piped
            else read_file(source, most=MOST_BYTES, beginning=formats.HEADER_BYTES)
        )
    except InputError as error:
        return [Problem(code=error.code, text=error.message)]
    if not content:
        return [Problem(code="image_empty", text="it is empty: there is no picture in it")]
    whole = size <= MOST_BYTES
    header = formats.read_header(content) or Header(
        format=formats.recognise(content), damage=formats.WITHOUT_SIZE if whole else ""
    )
    problems = judge(header, size=size, at_least=piped)
    if _UNDECODABLE.isdisjoint(problem.code for problem in problems):
        problems += _find_damage(content, header)
    if problems:
        return problems
    notes = [_NOTES[trait] for trait in sorted(header.traits)]
    if size > _DOUBTFUL_BYTES:
        notes.append(f"it has {size:,} bytes; the service's limit of 10MB may be 10,000,000")
    return Picture(
        source=source,
        kind="stdin" if piped else "file",
        content=content,
        format=header.format,
        width=header.width,
        height=header.height,
        size=size,
        sha256=hashlib.sha256(content).hexdigest(),
        notes=tuple(notes),
    )


def _find_damage(content: bytes, header: Header) -> list[Problem]:
    if header.format == PNG:
        damage = png.find_damage(content)
    elif not formats.reaches_end(content):
        damage = "it ends early"
    elif header.pixels > _MOST_PIXELS_IN_A_BYTE * len(content):
        damage = f"{len(content):,} bytes cannot hold {header.pixels:,} pixels"
    elif header.pixels <= _MOST_PIXELS_IN_SCANS or formats.is_in_one_scan(content):
        return _decode_jpeg(content)
    else:
        damage = ""
    return [_damaged(damage)] if damage else []


def _decode_jpeg(content: bytes) -> list[Problem]:
    # This class and not Image.open, which has limits of its own and refuses what is only unusual.
    try:
        with _decoding, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with JpegImagePlugin.JpegImageFile(io.BytesIO(content)) as image:
                # An eighth of each side, without colours: all data is read, little is kept.
                image.draft("L", (1, 1))
                image.load()
    except OSError as error:
        return [_damaged(clean(str(error)))]
    except Exception as error:  # noqa: BLE001 - a decoder of foreign bytes may raise anything
        text = f"it cannot be read as a JPEG ({clean(str(error))}): save it anew"
        return [Problem(code="image_unreadable", text=text)]
    return []
