"""What a run is given from outside: streams, environment, clock. Tests give their own."""

import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
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


def open_world() -> World:
    """Take the surroundings of this process, whatever state it was started in."""
    _plug_descriptors()
    # A stream that was closed is None; one that cannot be written says so when it is tried.
    nothing = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - as long as the process
    # What a locale cannot say must not end a run that has bought something, and what it cannot
    # read is judged by whoever asked for it.
    _relax(sys.stdin, errors="surrogateescape")
    _relax(sys.stdout, errors="backslashreplace")
    _relax(sys.stderr, errors="backslashreplace")
    return World(
        stdin=sys.stdin or nothing, stdout=sys.stdout or nothing, stderr=sys.stderr or nothing
    )


def can_animate(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether a stream is a terminal that a person watches, and wants animated.

    This is our own judgement: a library that is told FORCE_COLOR by a CI system would fill its log
    with cursor movements.
    """
    refused = ("CI", "NO_PROGRESS", "NO_COLOR")
    return (
        environ.get("TERM", "") not in ("", "dumb", "unknown")
        and not any(environ.get(name) for name in refused)
        and stream.isatty()
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
