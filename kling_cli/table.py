"""Rows laid out in columns for people; in a pipe the same rows go with tabs between."""

import unicodedata
from collections.abc import Iterator, Sequence

_GAP = "  "
# So much of the last column is shown even where the terminal has no room for it.
_LEAST = 8


def lay_out(rows: Sequence[Sequence[str]], *, width: int) -> Iterator[str]:
    """Give each row as a line of a terminal.

    Args:
        rows: cells that are safe to show, as many in each row.
        width: of the terminal, in cells; what is too long in the last column is cut.
    """
    most = [max(map(_measure, column)) for column in zip(*rows, strict=True)]
    room = max(width - sum(most[:-1]) - len(_GAP) * (len(most) - 1), _LEAST)
    for row in rows:
        padded = [
            cell + " " * (wide - _measure(cell)) for cell, wide in zip(row[:-1], most, strict=False)
        ]
        yield _GAP.join([*padded, _cut(row[-1], room)]).rstrip()


def _measure(text: str) -> int:
    """Measure how many cells of a terminal a text takes: most Chinese characters take two."""
    return sum(_measure_character(character) for character in text)


def _measure_character(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"F", "W"} else 1


def _cut(text: str, most: int) -> str:
    if _measure(text) <= most:
        return text
    while _measure(text) > most - len("..."):
        text = text[:-1]
    return text + "..."
