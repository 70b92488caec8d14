"""Standard output: one line for each video, or one JSON object for each task."""

import os
from collections.abc import Mapping, Sequence
from typing import TextIO

from kling_cli.errors import LocalError
from kling_cli.text import clean

SCHEMA = "kling/1"


class Printer:
    """Standard output as text or as JSON Lines; every line is complete, and flushed at once."""

    def __init__(self, stream: TextIO, *, is_json: bool) -> None:
        self.is_json = is_json
        self._stream = stream

    def check(self) -> None:
        """Refuse to begin what could not tell its result.

        Raises:
            LocalError: standard output was closed from the start.
        """
        if not self._stream.writable():
            raise LocalError(
                "output_closed",
                "Standard output is closed, so no result could be told. Nothing was sent.",
                hint="Run it without >&-.",
            )

    def write_line(self, line: str) -> None:
        """Write one line of text.

        Raises:
            LocalError: it cannot be written.
            BrokenPipeError: the reader has closed it.
        """
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except BrokenPipeError:
            raise
        except (OSError, ValueError) as error:
            raise LocalError(
                "output_failed",
                f"Standard output cannot be written: {error}. What should stand there: {line}",
                hint="The same command prints it again and costs nothing.",
            ) from None

    def write_record(self, record: Mapping[str, object]) -> None:
        """Write one JSON object on a line of its own, in ASCII without any control character."""
        import json  # noqa: PLC0415 - rows of text need none

        line = json.dumps({"schema": SCHEMA, **record}, allow_nan=False)
        self.write_line(line.replace("\x7f", "\\u007f"))  # ASCII too, so json leaves it as it is

    def write_table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write rows: in columns below a header on a terminal, else with tabs between the cells.

        Cells beyond the header are for programs alone.
        """
        width = self._find_width()
        if width is None:
            for row in rows:
                self.write_row(*row)
        elif rows:
            from kling_cli.table import lay_out

            shown = [
                [clean(cell, limit=10_000) for cell in row[: len(header)]]
                for row in (header, *rows)
            ]
            for line in lay_out(shown, width=width):
                self.write_line(line)

    def write_row(self, *cells: str) -> None:
        """Write cells with tabs between them; what is in them cannot break the line."""
        self.write_line("\t".join(clean(cell, limit=10_000) for cell in cells))

    def _find_width(self) -> int | None:
        """Find the width of the terminal; None where there is none."""
        if not self._stream.isatty():
            return None
        # The terminal itself knows; a variable may be older than its last resize.
        return os.get_terminal_size(self._stream.fileno()).columns
