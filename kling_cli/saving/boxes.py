"""An MP4 file seen as what it is, a row of boxes: it begins with `ftyp` and ends with a whole one.

Only what sits at the top is looked at (ISO/IEC 14496-12, section 4.2).
"""

# Size, type, and the longer size that follows where the first one is 1.
BEGINNING = 8
_LONG_HEADER = 16
_SIZE_FOLLOWS = 1


def is_clip(beginning: bytes) -> bool:
    """Tell whether a file that begins with these bytes, eight or more, is a clip."""
    return beginning[4:BEGINNING] == b"ftyp"


class Boxes:
    """The boxes of a file that comes piece by piece, from who knows no length."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self._has_index = False
        self._is_readable = True

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        place = 0
        while place < len(piece) and self._is_readable:
            if self._left:
                step = min(self._left, len(piece) - place)
                self._left -= step
            else:
                step = 1 if self._header else min(BEGINNING, len(piece) - place)
                self._header += piece[place : place + step]
                self._read_header()
            place += step

    @property
    def is_whole(self) -> bool:
        """Whether the file may end here: behind a box, and not before the index of its frames."""
        return self._is_readable and self._has_index and not self._left and not self._header

    def _read_header(self) -> None:
        header = self._header
        if len(header) < BEGINNING:
            return
        size = int.from_bytes(header[:4])
        if size == _SIZE_FOLLOWS:
            if len(header) < _LONG_HEADER:
                return
            size = int.from_bytes(header[BEGINNING:])
        # A size of 0 is "up to the end", and nobody could tell whether that is here.
        self._is_readable = size >= len(header)
        self._left = max(size - len(header), 0)
        self._has_index |= header[4:BEGINNING] == b"moov"
        self._header = b""
