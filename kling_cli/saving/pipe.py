"""A stream that cannot be rewound: what was written stays, and what comes again must equal it."""

import hashlib
from typing import BinaryIO

from kling_cli.saving.failure import fail, fail_download, show_reason


class Pipe:
    """Standard output, or another stream, while a clip is written to it.

    Raises:
        BrokenPipeError: the reader has closed it.
        LocalError: `output_failed`; or `download_failed`, where a clip that had to be begun anew
            begins otherwise than before.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._place = 0
        self._seen = hashlib.sha256()
        self._written = 0
        self._digest = hashlib.sha256()

    def rewind(self) -> None:
        """Begin anew: what was written is expected once more, and compared."""
        self._place = 0
        self._seen = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Write the next bytes, but not those that the reader has already."""
        known = piece[: self._written - self._place]
        if known:
            self._place += len(known)
            self._seen.update(known)
            if self._place == self._written and self._seen.digest() != self._digest.digest():
                raise fail_download(
                    "download_failed", "it changed while it was written; what is out is of no use"
                )
        self._write(piece[len(known) :])

    def flush(self) -> None:
        """Hand on what is still held back."""
        try:
            self._file.flush()
        except OSError as error:
            raise _translate(error) from None

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        try:
            while rest:
                # Unbuffered, as under python -u, it may take a part only.
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _translate(error) from None
        self._place += len(piece)
        self._written += len(piece)
        self._digest.update(piece)


def _translate(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return error
    text = f"Standard output could not be written: {show_reason(error)}."
    return fail("output_failed", text)
