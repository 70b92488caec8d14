"""Read, check and repair pictures before anything is sent; this module has the shared parts."""

import re
import threading
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kling_cli.errors import InputError
from kling_cli.text import clean

# The service says "at most 10MB", but not whether this means 10 000 000 bytes or 10 MiB. A picture
# above the larger limit is refused; between the two it gets a note.
MAX_BYTES = 10 * 1024 * 1024
SAFE_BYTES = 10_000_000
MIN_SIDE = 300
# Not the service's rule: the largest camera sensors have 200 megapixels, and what claims more
# within 10 MiB is made to exhaust whoever decodes it.
MAX_PIXELS = 250_000_000
_START_OF_SCAN = 0xDA
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xda-\xfe])")
# Pillow's limits and warnings are global. One picture at a time also limits the memory of a batch.
_decoding = threading.Lock()


class Header(NamedTuple):
    """What is known about a picture without decoding it.

    `opener` is Pillow's name of the format. Sides are in pixels, 0 where they are not known.
    `traits` are worth a note; `max_pixels` is the most that --fix decodes of this format.
    """

    format: str
    opener: str = ""
    width: int = 0
    height: int = 0
    traits: frozenset[str] = frozenset()
    max_pixels: int = 0

    @property
    def fixable(self) -> bool:
        """Whether --fix can decode it, according to the header."""
        return 0 < self.width * self.height <= self.max_pixels


def walk_jpeg(content: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield the segments of a JPEG, up to the header of its first scan.

    Each is the code of its marker, the start of marker and body, and the end.
    """
    position = 2
    while marker := _MARKER.search(content, position):
        body = marker.end() + 2
        position = marker.end() + max(2, int.from_bytes(content[marker.end() : body]))
        yield marker[1][0], marker.start(), body, position
        if marker[1][0] == _START_OF_SCAN:
            return


@contextmanager
def decoding() -> Generator[None]:
    """Wait for the turn to use Pillow, which is silent and refuses bombs meanwhile.

    Raises:
        InputError: with a code of `image_damaged` or `image_unreadable`.
    """
    import logging

    from PIL import Image

    with _decoding, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.MAX_IMAGE_PIXELS = None  # `read_header` has a limit of its own
        logging.getLogger("PIL").setLevel(logging.CRITICAL)
        try:
            yield
        except InputError:
            raise
        except (OSError, EOFError, SyntaxError) as error:
            text = f"the file is damaged ({clean(str(error))}): copy or save it again"
            raise InputError("image_damaged", text) from None
        except Exception as error:
            text = f"it cannot be read ({clean(str(error))}): save it as a plain JPEG"
            raise InputError("image_unreadable", text) from None
