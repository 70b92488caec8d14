"""The token, which nothing prints."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.errors import SetupError
from kling_cli.secret import Token

VALUE = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    "text", [VALUE, f"{VALUE}\n", f"  {VALUE}\r\n", f"Bearer {VALUE}", f"bearer   {VALUE}\n"]
)
def test_a_token_is_taken_as_people_paste_it(text: str) -> None:
    """Fault 70: a final newline and `Bearer ` in front are no part of a token."""
    token = Token.parse(text, source="here")
    assert token.reveal() == VALUE
    assert token.source == "here"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("Bearer  ", "is empty"),
        ("sk-é", "contains character U+00E9 at 4"),
        ("sk-a b", "contains character U+0020 at 5"),
        ('"sk-ab"', "contains character U+0022 at 1"),
        ("sk-\0", "contains character U+0000 at 4"),
        ("sk-\udcff", "contains character U+DCFF at 4"),
        ("sk=ab", "has '=' in its middle"),
        ("s" * 4097, "has 4097 characters; a token has 4096 at most"),
        ("s" * 1_000_000, "has 1000000 characters"),
    ],
)
def test_a_wrong_token_is_described_and_not_shown(text: str, fault: str) -> None:
    """Fault 70: a message names what is wrong with a token and where, and does not show it."""
    with pytest.raises(SetupError) as caught:
        Token.parse(text, source="KLING_TOKEN")
    told = caught.value.message + caught.value.hint
    assert fault in told
    assert "KLING_TOKEN" in told
    assert (text[:4] or "-no token-") not in told.replace("KLING_TOKEN", "")
    assert caught.value.code == "token_invalid"


@given(st.text("abcXYZ0189-._~+/:", min_size=13, max_size=60))
def test_no_way_of_printing_shows_a_token(value: str) -> None:
    """Fault 76: repr, str and format of a token hold at most its last four characters."""
    token = Token(value, source="x")
    for shown in (repr(token), str(token), f"{token}", f"{token:>99}", f"{token!r}"):
        assert value[:-4] not in shown
    assert token.masked == "****" + value[-4:]


def test_a_short_token_shows_nothing_of_itself() -> None:
    """Of a token that is short, four characters would be too much."""
    assert Token("sandbox", source="x").masked == "****"


def test_a_token_cannot_be_written_away() -> None:
    """A token is not serialised, into no cache and no other process."""
    with pytest.raises(TypeError):
        pickle.dumps(Token(VALUE, source="x"))


def test_the_same_request_has_the_same_id_from_every_machine() -> None:
    """The external task id depends on token and request alone, and reveals neither."""
    first = Token(VALUE, source="here").derive("request")
    assert first == Token(VALUE, source="there").derive("request")
    # HMAC-SHA256 of the request under the token, the first 26 characters of its base32.
    assert first == "kling-izaah7r45hwfxmxcht5rp7xjx3"
    assert VALUE not in first
    assert Token("other", source="here").derive("request") != first
    assert Token(VALUE, source="here").derive("other") != first
