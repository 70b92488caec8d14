"""Foreign text made safe to show."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.text import clean, without_query

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@given(ANY_TEXT, st.integers(min_value=4, max_value=60))
def test_nothing_shown_can_change_a_terminal(text: str, limit: int) -> None:
    """Fault 101: whatever the text, no control, format or surrogate character is shown."""
    shown = clean(text, limit=limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    assert not any(unicodedata.category(each) in {"Cc", "Cf", "Cs", "Co", "Cn"} for each in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("捏捏乐 é", "捏捏乐 é"),
        ("  two\nlines\tand\ra tab ", "  two lines and a tab "),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb", r"a\u202eb"),
        ("a\udcffb", r"a\udcffb"),
        ("[link=x]y[/]", "[link=x]y[/]"),
        ("x" * 501, "x" * 497 + "..."),
        ("x" * 500, "x" * 500),
        ("\x1b" * 200, (r"\x1b" * 200)[:497] + "..."),
    ],
)
def test_text_is_shown_on_one_line(text: str, shown: str) -> None:
    """Faults 58, 101, 102: text stays readable, on one line, and its tricks are spelt out."""
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a.jpg", "https://host/a.jpg"),
        ("https://host/a.jpg?token=secret", "https://host/a.jpg?..."),
        ("https://user:secret@host:8443/a?b#secret", "https://host:8443/a?..."),
        ("https://host/a#secret", "https://host/a"),
        ("https://[host/a?secret", "https://[host/a"),
        ("https://user:secret@[host/a#secret", "[host/a"),
        ("https://host/\x1b", r"https://host/\x1b"),
        ("data:image/png;base64,iVBORw0K", "data:image/png;base64,..."),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    """Fault 66: user part, query and fragment of a URL are shown nowhere."""
    assert without_query(url) == shown
