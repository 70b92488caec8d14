"""What a run is given from outside: streams, environment, clock. Tests give their own."""

import gc
import io
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from kling_cli.clock import Clock, SystemClock

_STREAMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The surroundings of one run."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Clock = field(default_factory=SystemClock)


@contextmanager
def open_world() -> Generator[World]:
    """Use the surroundings of this process, whatever state it was started in."""
    _plug_descriptors()
    # What a locale cannot say must not end a run that has bought something, and what it cannot
    # read is judged by whoever asked for it.
    _relax(sys.stdin, errors="surrogateescape")
    _relax(sys.stdout, errors="backslashreplace")
    _relax(sys.stderr, errors="backslashreplace")
    # A stream that was closed is None; one that cannot be written says so when it is tried.
    with ExitStack() as opened:
        nothing = opened.enter_context(Path(os.devnull).open(encoding="utf-8"))
        stderr = sys.stderr or nothing
        if sys.stderr:
            with suppress(OSError):  # it has no descriptor
                stderr = opened.enter_context(_open_again(sys.stderr))
        yield World(stdin=sys.stdin or nothing, stdout=sys.stdout or nothing, stderr=stderr)


def settle() -> None:
    """Look for garbage again, now that a run may go on for hours; all that was loaded stays."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def can_animate(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether a stream is a terminal that a person watches, and wants animated.

    This is our own judgement: a library that is told FORCE_COLOR by a CI system would fill its log
    with cursor movements.
    """
    refused = ("CI", "NO_PROGRESS", "NO_COLOR")
    return not any(environ.get(name) for name in refused) and is_capable(stream, environ)


def can_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether what we write there may hold colours.

    NO_COLOR forbids every escape byte (no-color.org); FORCE_COLOR and CLICOLOR_FORCE ask for
    colours where there is no terminal, and CLICOLOR=0 asks for none where there is one
    (bixense.com/clicolors).
    """
    if environ.get("NO_COLOR"):
        return False
    if any(environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return environ.get("CLICOLOR") != "0" and is_capable(stream, environ)


def is_capable(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether a stream is a terminal that understands escape sequences."""
    return environ.get("TERM", "") not in ("", "dumb", "unknown") and stream.isatty()


def _open_again(stream: TextIO) -> TextIO:
    """Write over a descriptor of our own.

    Decoders complain on the usual one, where we listen to them meanwhile: what we say ourselves at
    that moment would be taken for theirs.
    """
    return open(  # noqa: PTH123 - of a descriptor
        os.dup(stream.fileno()),
        "w",
        encoding=stream.encoding,
        errors="backslashreplace",
        buffering=1,
    )


def _relax(stream: TextIO | None, *, errors: str) -> None:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=errors)


def _plug_descriptors() -> None:
    """Fill closed descriptors, or the journal could be opened as standard output."""
    for descriptor in range(_STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
