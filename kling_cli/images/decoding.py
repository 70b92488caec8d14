"""One picture is decoded at a time, and in silence."""

import os
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager

from kling_cli.text import clean

# Warnings are silenced for the whole process while a picture is decoded, so one at a time; it also
# keeps the memory of a batch from growing with its workers.
_decoding = threading.Lock()
_STANDARD_ERROR = 2
_MOST_HEARD = 1 << 16
# libtiff on tags that it does not know: the pixels are not concerned.
_ON_TAGS = ("TIFFFetch", "TIFFReadDirectory")


@contextmanager
def decode_alone() -> Generator[None]:
    """Wait for the turn to use a decoder, and silence its warnings meanwhile."""
    with _decoding, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def hear_complaints() -> Generator[list[str]]:
    """Collect what a decoder writes to standard error behind Python's back, as libtiff does.

    Where it fills a hole with something, this is the only sign of it. In a thread other than the
    main one nothing is collected, because others might be speaking there.
    """
    complaints = list[str]()
    kept = _keep_standard_error()
    if kept is None:
        yield complaints
        return
    reading, writing = os.pipe()
    # Who says more than fits in is not kept waiting.
    os.set_blocking(writing, False)
    os.dup2(writing, _STANDARD_ERROR)
    os.close(writing)
    try:
        yield complaints
    finally:
        os.dup2(kept, _STANDARD_ERROR)
        os.close(kept)
        lines = os.read(reading, _MOST_HEARD).decode(errors="replace").splitlines()
        os.close(reading)
        complaints += [clean(line).rstrip(".") for line in lines if not line.startswith(_ON_TAGS)]


def _keep_standard_error() -> int | None:
    if threading.current_thread() is not threading.main_thread():
        return None
    try:
        return os.dup(_STANDARD_ERROR)
    except OSError:
        return None  # it is closed: nobody hears anything
