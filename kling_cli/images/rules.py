"""The service's rules for pictures: what breaks them, in words, and how all of it is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from kling_cli.errors import InputError
from kling_cli.images import formats
from kling_cli.images.formats import JPEG, PNG, Header
from kling_cli.images.sources import STANDARD_INPUT
from kling_cli.text import clean

# "At most 10MB", and nobody says whether that is 10 000 000 bytes or 10 MiB: above the larger one
# the picture is refused, between the two it gets a note.
MOST_BYTES = 10 * 1024 * 1024
DOUBTFUL_BYTES = 10_000_000
LEAST_SIDE = 300
# Not the service's rule: the largest camera sensors have 200 megapixels, and what claims more
# within 10 MiB is made to exhaust whoever decodes it.
MOST_PIXELS = 250_000_000
# A file to be repaired lies in memory as a whole. This is that of 40 megapixels without any
# compression, and more than any camera's JPEG.
MOST_BYTES_REPAIRED = 128 * 1024 * 1024

CONVERTIBLE = frozenset({"AVIF", "BMP", "GIF", "TIFF", "TIFF or camera raw", "WebP"})

_NOTES = {
    "cmyk": "it has CMYK colours, made for printing; the video's may look different",
    "16-bit": "it has 16 bits per colour; the service may reduce them to 8",
    "alpha": "it is transparent in places; the service chooses what stands there",
    "animated": "it is animated; the service takes its first picture",
    "turned": "it is turned by its EXIF orientation, which the service may ignore",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One reason to refuse a picture: a stable code, and the measured value, limit and way out.

    It is fixable if --fix removes what it tells of. What cannot be repaired for another reason,
    such as damage, has a problem that says so.
    """

    code: str
    text: str
    fixable: bool = False


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
        fixable = header.format in CONVERTIBLE
        problems.append(Problem(code="image_wrong_format", text=text, fixable=fixable))
    if header.damage:
        problems.append(tell_damage(header.damage))
    if size is not None and size > MOST_BYTES:
        measured = f"{'at least ' if at_least else ''}{size:,} bytes"
        text = f"{measured}, the limit is {MOST_BYTES:,} (10 MiB): save it smaller"
        fixable = size <= MOST_BYTES_REPAIRED
        problems.append(Problem(code="image_too_large", text=text, fixable=fixable))
    if header.width is not None and header.height is not None:
        problems += _judge_sides(header.width, header.height)
    return problems


def judge_shape(header: Header, width: int, height: int) -> list[Problem]:
    """Judge the sides of a picture whose header, as read by us, does not tell them."""
    return _judge_sides(width, height) if header.width is None else []


def note(header: Header, *, size: int | None) -> tuple[str, ...]:
    """Tell what the service takes, but perhaps not as its owner thinks; `size` is in bytes."""
    notes = [_NOTES[trait] for trait in sorted(header.traits)]
    if size is not None and size > DOUBTFUL_BYTES:
        notes.append(f"it has {size:,} bytes; the service's limit of 10MB may be 10,000,000")
    return tuple(notes)


def tell_damage(how: str) -> Problem:
    """Say that the file is damaged, and how it shows."""
    return Problem(code="image_damaged", text=f"the file is damaged, {how}: copy or save it anew")


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
