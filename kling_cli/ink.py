"""The escape sequences that the program writes itself: colours and links, around cleaned text."""

from enum import IntEnum
from urllib.parse import quote

# What an address may hold as it is; all else is spelt in percents, so that nothing in it can end
# the sequence (RFC 3986, section 2).
_OF_ADDRESSES = "!#$%&'()*+,/:;=?@[]~"


class Colour(IntEnum):
    """The terminal's own colours, which each user has chosen to be legible."""

    RED = 31
    YELLOW = 33
    CYAN = 36


def paint(text: str, colour: Colour) -> str:
    """Give a text a colour."""
    return f"\x1b[{colour.value}m{text}\x1b[0m"


def link(text: str, url: str) -> str:
    """Make a text lead to an address, in terminals that know OSC 8; others show the text alone."""
    address = quote(url, safe=_OF_ADDRESSES, errors="replace")
    return f"\x1b]8;;{address}\x1b\\{text}\x1b]8;;\x1b\\"
