"""The preflight: a picture is read once, and what the service would refuse is found before sending.

The service tells of a bad picture only minutes after the task was made, and in few words.
"""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import replace
from typing import BinaryIO

from PIL import JpegImagePlugin

from kling_cli.errors import InputError
from kling_cli.images import formats, png
from kling_cli.images.decoding import decode_alone
from kling_cli.images.formats import PNG, Header
from kling_cli.images.rules import (
    MOST_BYTES,
    MOST_BYTES_REPAIRED,
    Problem,
    judge,
    judge_shape,
    note,
    refuse,
    tell_damage,
)
from kling_cli.images.sources import STANDARD_INPUT, read_file, read_stream
from kling_cli.task import Picture
from kling_cli.text import clean

# A JPEG in several scans (a progressive one) cannot be decoded row by row: its decoder keeps up to
# eight bytes for each pixel. Above this only its structure is checked.
_MOST_PIXELS_IN_SCANS = 1_000_000
# Of a JPEG: each 8 x 8 block takes one bit or more.
_MOST_PIXELS_IN_A_BYTE = 8 * 64

_UNDECODABLE = frozenset({"image_wrong_format", "image_damaged", "image_too_many_pixels"})


def prepare(source: str, *, standard_input: BinaryIO | None = None, fix: bool = False) -> Picture:
    """Read and check one picture, given by its path or as `-`; see `prepare_all`.

    Raises:
        InputError: with all problems of the picture.
    """
    return prepare_all((source,), standard_input=standard_input, fix=fix)[0]


def prepare_all(
    sources: Iterable[str], *, standard_input: BinaryIO | None = None, fix: bool = False
) -> tuple[Picture, ...]:
    """Read and check the pictures of one task; the same source given twice is read once.

    Every picture's bytes stay in memory: a batch prepares the pictures of each task on its own.

    Args:
        sources: paths, or `-` for standard input.
        standard_input: what `-` reads.
        fix: repair what would be refused, where that can be done; what passes stays as it is.

    Raises:
        InputError: its message has a line for each picture with problems, which names them all.
            Its code is that of the problem (`image_not_found`, `image_not_a_file`,
            `image_unreadable`, `image_empty`, `image_wrong_format`, `image_damaged`,
            `image_too_large`, `image_too_small`, `image_bad_aspect`, `image_too_many_pixels`) where
            all problems are of one kind, and `image_rejected` where they are of several. Its hint
            offers --fix exactly where that would repair all of them.
    """
    wanted = tuple(sources)
    findings = {source: _check(source, standard_input, fix=fix) for source in dict.fromkeys(wanted)}
    refused = [(source, found) for source, found in findings.items() if isinstance(found, list)]
    if refused:
        raise refuse(refused)
    pictures = {s: found for s, found in findings.items() if isinstance(found, Picture)}
    return tuple(pictures[source] for source in wanted)


def read_again(picture: Picture) -> Picture | None:
    """Read the bytes of a file again that was checked before; None if they are others by now."""
    if picture.kind != "file" or picture.fixes:
        return None
    try:
        content, _ = read_file(picture.source, most=MOST_BYTES, beginning=0)
    except InputError:
        return None
    is_same = hashlib.sha256(content).hexdigest() == picture.sha256
    return replace(picture, content=content) if is_same else None


def _check(source: str, standard_input: BinaryIO | None, *, fix: bool) -> Picture | list[Problem]:
    piped = source == STANDARD_INPUT
    most = MOST_BYTES_REPAIRED
    try:
        content, size = (
            read_stream(standard_input, most=most)
            if piped
            else read_file(source, most=most, beginning=formats.HEADER_BYTES)
        )
    except InputError as error:
        return [Problem(code=error.code, text=error.message)]
    if not content:
        return [Problem(code="image_empty", text="it is empty: there is no picture in it")]
    header, problems = _inspect(content, size, piped=piped)
    fixes: tuple[str, ...] = ()
    original = None
    if problems and all(problem.fixable for problem in problems):
        # Its decoders are loaded only for a picture that needs them.
        from kling_cli.images.repair import (  # noqa: PLC0415 - for the reason above
            FlawError,
            check_repair,
            repair,
        )

        try:
            if not fix:
                return [*problems, *judge_shape(header, *check_repair(content, header))]
            original = hashlib.sha256(content).hexdigest()
            content, fixes = repair(content, header)
        except FlawError as flaw:
            return [*problems, flaw.problem]
        # The same judge, so that nothing is sent on the repair's word alone.
        header, problems = _inspect(content, len(content), piped=piped)
    if problems:
        return problems
    picture = _make_picture(source, content, header)
    return replace(picture, fixes=fixes, repaired_from=original)


def _inspect(content: bytes, size: int, *, piped: bool) -> tuple[Header, list[Problem]]:
    """Find all that can be said of a picture; where it is too large, of its first bytes."""
    whole = size <= MOST_BYTES_REPAIRED
    header = formats.read_header(content) or Header(
        format=formats.recognise(content), damage=formats.WITHOUT_SIZE if whole else ""
    )
    problems = judge(header, size=size, at_least=piped and not whole)
    if whole and _UNDECODABLE.isdisjoint(problem.code for problem in problems):
        problems += _find_damage(content, header)
    return header, problems


def _make_picture(source: str, content: bytes, header: Header) -> Picture:
    size = len(content)
    return Picture(
        source=source,
        kind="stdin" if source == STANDARD_INPUT else "file",
        content=content,
        format=header.format,
        width=header.width,
        height=header.height,
        size=size,
        sha256=hashlib.sha256(content).hexdigest(),
        notes=note(header, size=size),
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
    return [tell_damage(damage)] if damage else []


def _decode_jpeg(content: bytes) -> list[Problem]:
    # This class and not Image.open, which has limits of its own and refuses what is only unusual.
    try:
        with decode_alone(), JpegImagePlugin.JpegImageFile(io.BytesIO(content)) as image:
            # An eighth of each side, without colours: all data is read, little is kept.
            image.draft("L", (1, 1))
            image.load()
    except OSError as error:
        return [tell_damage(clean(str(error)))]
    except Exception as error:  # noqa: BLE001 - a decoder of foreign bytes may raise anything
        text = f"it cannot be read as a JPEG ({clean(str(error))}): save it anew"
        return [Problem(code="image_unreadable", text=text)]
    return []
