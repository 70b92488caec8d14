"""The pictures of a command line: paths, directories, URLs, lists, standard input; checked."""

import codecs
import os
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

from kling_cli.context import Context
from kling_cli.errors import InputError, UsageError
from kling_cli.models import EffectOptions, Picture
from kling_cli.text import clean

STDIN = "-"
_PICTURE = re.compile(r"[^.].*\.(jpe?g|png)", re.IGNORECASE | re.DOTALL)

# The sources of one task's pictures, as the user passed them.
Group = tuple[str, ...]


@dataclass(slots=True, eq=False)
class Item:
    """One task to create: its sources, and the result of the preflight."""

    sources: Group
    pictures: tuple[Picture, ...] = ()
    error: InputError | None = None
    path: Path | None = None


def list_sources(images: Group, list_name: str | None, stdin: TextIO) -> Group:
    """List the pictures of the command line and of a list (one path or URL per line).

    Args:
        images: those of the command line.
        list_name: the path of the list, or `-` for standard input; None if there is none.
        stdin: standard input.

    Raises:
        UsageError: there are no pictures, or standard input would be read twice.
        InputError: `list_unreadable`, or a directory without pictures.
    """
    if list_name is None and not images:
        raise UsageError(
            "usage", "Missing argument 'IMAGE...'.", hint="kling effect --help shows examples."
        )
    named = images if list_name is None else (*images, *_read_list(list_name, stdin))
    if (*named, list_name).count(STDIN) > 1:
        raise UsageError("usage", "Standard input (-) can be read only once.")
    return tuple(chain.from_iterable(map(_expand, named)))


def name_group(group: Group) -> str:
    """Name the pictures of one task as the user passed them, without secrets."""
    return " ".join(str(describe_source(source)["source"]) for source in group)


def describe_source(source: str) -> Mapping[str, object]:
    """Describe a picture that was not read yet."""
    from kling_cli.images.preflight import is_url

    if is_url(source):
        return Picture(source=source, url=source, kind="url").describe()
    return Picture(source=source, kind="stdin" if source == STDIN else "file").describe()


def prepare(
    context: Context,
    group: Group,
    options: EffectOptions,
    before_decoding: Callable[[], None] = lambda: None,
) -> tuple[Picture, ...]:
    """Check the pictures of one task, each file, URL or stream once.

    Raises:
        InputError: its message has a line for each picture that is refused.
    """
    from kling_cli.images.preflight import is_url, merge_errors, prepare

    stdin = getattr(context.stdin, "buffer", None)
    pictures: dict[str, Picture] = {}
    errors: list[InputError] = []
    for source in dict.fromkeys(group):
        try:
            if is_url(source):
                pictures[source] = _prepare_url(context, source, check=not options.no_check_url)
            else:
                pictures[source] = prepare(
                    source, stdin=stdin, fix=options.fix, before_decoding=before_decoding
                )
        except InputError as error:
            errors.append(error)
    if errors:
        raise merge_errors(errors, "\n".join(map(str, errors)))
    return tuple(pictures[source] for source in group)


def _prepare_url(context: Context, url: str, *, check: bool) -> Picture:
    from kling_cli.images.remote import prepare_url

    with closing(context.open_transport()) as transport:
        return prepare_url(
            url,
            transport=transport,
            allow_private=context.reaches_local(),
            # The sandbox must not use the network.
            check=check and not context.settings.is_sandbox,
        )


def _expand(source: str) -> list[str]:
    """List the JPEG and PNG files of a directory by name; else the source itself."""
    try:
        names = sorted(os.listdir(source))
    except OSError:  # reported when it is read
        return [source]
    # Skip names that begin with a dot: macOS creates such files next to real pictures.
    named = [name for name in names if _PICTURE.fullmatch(name)]
    files = [str(Path(source, name)) for name in named if Path(source, name).is_file()]
    return files or [source]


def _read_list(name: str, stdin: TextIO) -> list[str]:
    """Read a list; names may contain any byte except the one that ends a line."""
    try:
        content = stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        shown = "standard input" if name == STDIN else clean(name) or "''"
        reason = clean(getattr(error, "strerror", None) or str(error))
        raise InputError("list_unreadable", f"Cannot read --from {shown}: {reason}.") from None
    if b"\0" in content:  # from `find -print0`, whose names may contain any other byte
        names = [name for name in content.split(b"\0") if name]
    else:
        lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
        lines = [line for line in lines if line.strip() and not line.startswith(b"#")]
        names = [line.removesuffix(b"\r") for line in lines]
    return list(map(os.fsdecode, names))
