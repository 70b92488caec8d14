"""The pictures of the command line, and of a list with one path or address a line."""

import codecs
import os
from collections.abc import Sequence
from pathlib import Path

from kling_cli.errors import InputError, UsageError
from kling_cli.images.sources import STANDARD_INPUT
from kling_cli.text import clean
from kling_cli.world import World


def gather(images: Sequence[str], list_name: str | None, world: World) -> tuple[str, ...]:
    """Gather the pictures to work on; a list may be empty.

    Args:
        images: those of the command line.
        list_name: the path of the list, or `-` for standard input; None where there is none.
        world: whose standard input.

    Raises:
        UsageError: nothing is named, or standard input would have to be read twice.
        InputError: `list_unreadable`.
    """
    if list_name is None:
        if not images:
            raise UsageError(
                "usage", "Missing argument 'IMAGE...'.", hint="kling effect --help shows examples."
            )
        _check_standard_input(*images)
        return tuple(images)
    _check_standard_input(list_name, *images)
    sources = (*images, *_read_list(list_name, world))
    _check_standard_input(list_name, *sources)
    return sources


def _check_standard_input(*names: str) -> None:
    if names.count(STANDARD_INPUT) > 1:
        raise UsageError(
            "usage",
            "Standard input (-) can be read only once.",
            hint="Name a file for the other.",
        )


def _read_list(name: str, world: World) -> tuple[str, ...]:
    """Read a list; names may hold any byte but the one that ends a line."""
    try:
        content = _read(name, world)
    except (OSError, ValueError) as error:
        shown = "standard input" if name == STANDARD_INPUT else clean(name) or "''"
        reason = clean(getattr(error, "strerror", None) or str(error))
        raise InputError("list_unreadable", f"--from {shown} cannot be read: {reason}.") from None
    if b"\0" in content:  # of `find -print0`, whose names may hold any other byte
        names = [name for name in content.split(b"\0") if name]
    else:
        lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
        names = [line.removesuffix(b"\r") for line in lines if line.strip()]
    return tuple(map(os.fsdecode, names))


def _read(name: str, world: World) -> bytes:
    if name != STANDARD_INPUT:
        return Path(name).read_bytes()
    content: bytes = world.stdin.buffer.read()
    return content
