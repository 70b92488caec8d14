"""Escape sequences of our own, which nothing foreign can end or change."""

import re

from hypothesis import given
from hypothesis import strategies as st

from kling_cli.ink import Colour, link, paint

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


def test_a_painted_text_ends_its_colour() -> None:
    """What follows is not painted too."""
    assert paint("error:", Colour.RED) == "\x1b[31merror:\x1b[0m"


def test_a_link_keeps_its_address() -> None:
    """An address as the service gives it is not changed."""
    url = "https://host.example:8443/a%20b/v.mp4?x-kcdn-pid=112452&s=1#t"
    assert link("video", url) == f"\x1b]8;;{url}\x1b\\video\x1b]8;;\x1b\\"


@given(ANY_TEXT)
def test_no_address_can_end_the_link(url: str) -> None:
    """Fault 101: whatever an address holds, the sequence has its one end."""
    shown = link("video", url)
    assert re.fullmatch(r"\x1b\]8;;[!-~]*\x1b\\video\x1b\]8;;\x1b\\", shown)
