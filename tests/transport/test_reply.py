"""An answer is read without trust: it is decoded as JSON, or called unreadable."""

import json
import re
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_cli.transport.reply import Reply, decode, read

SECRET = "sk-test-0123456789abcdef"  # noqa: S105 - of no service
MIB = 1024 * 1024

ODD = {
    "empty": b"",
    "a byte-order mark": b'\xef\xbb\xbf{"code": 0}',
    "UTF-16": '{"code": 0}'.encode("utf-16"),
    "bad UTF-8": b'{"code": "\xff"}',
    "NaN": b'{"code": NaN}',
    "an infinity": b"[Infinity]",
    "a float out of range": b"[1e999]",
    "a key twice": b'{"code": 0, "code": 1}',
    "a key twice, spelt otherwise": b'{"a": 0, "\\u0061": 1}',
    "nesting": b"[" * 200_000 + b"]" * 200_000,
    "nesting of objects": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "5000 digits": b"[" + b"9" * 5000 + b"]",
    "a web page": b"<html><title>Log in</title></html>",
    "something behind it": b'{"code": 0}{"code": 0}',
}


def take(content: bytes, *, status: int = 200, **headers: str) -> Reply:
    """Read an answer of one piece."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read(status, named, [content], secret=SECRET)


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
def test_what_two_readers_may_read_differently_is_unreadable(content: bytes) -> None:
    """No odd body ends in a traceback, and none is half understood (fault 34)."""
    with pytest.raises(ValueError, match=r"."):
        decode(content)
    reply = take(content)
    assert (reply.readable, reply.body) == (False, None)
    assert reply.text.isprintable()
    assert len(reply.text) <= 500


@pytest.mark.parametrize(
    "value", [None, "text", 1, 1.5, True, [], {"a": [{"b": None}]}, {"code": "\ud800"}], ids=repr
)
def test_any_other_json_is_handed_on(value: object) -> None:
    """Also a null, a list, a text or a lone surrogate is for others to judge (fault 34)."""
    reply = take(json.dumps(value).encode())
    assert (reply.readable, reply.body) == (True, value)


@pytest.mark.parametrize("depth", [200, 400, 600, 800, 900, 950, 980, 990, 1000])
def test_deep_nesting_is_read_or_refused(depth: int) -> None:
    """Near the interpreter's own limit an answer is unreadable at worst."""
    reply = take(b"[" * depth + b"]" * depth)
    assert reply.readable is (reply.body is not None)


def test_the_largest_answer_is_a_mebibyte() -> None:
    """Up to 1 MiB is read, and behind that no further piece is asked for (fault 104)."""
    fits = b'"' + b"x" * (MIB - 2) + b'"'
    assert read(200, {}, iter([fits[:9], fits[9:]])).readable

    def pieces() -> Iterator[bytes]:
        yield fits
        yield b" "
        raise AssertionError

    reply = read(200, {}, pieces())
    assert (reply.readable, reply.body) == (False, None)


@pytest.mark.parametrize(("coding", "readable"), [("", True), ("Identity", True), ("gzip", False)])
def test_only_a_plain_body_is_read(coding: str, readable: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """An encoded body is not taken for JSON even if it looks like it (fault 105)."""
    assert take(b"{}", Content_Encoding=coding).readable is readable


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("86400", 86400.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("\u0667", None),
        ("9" * 400, float("inf")),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 99999999 08:49:37 GMT", None),
    ],
)
def test_a_pause_is_read_or_left_out(value: str, seconds: float | None) -> None:
    """Seconds and dates are understood, garbage is no pause at all (fault 20)."""
    assert take(b"", Retry_After=value).retry_after == seconds


def test_a_date_to_come_is_a_pause() -> None:
    """A date counts from now (fault 20)."""
    pause = take(b"", Retry_After=formatdate(time.time() + 60, usegmt=True)).retry_after
    assert pause is not None
    assert 55 < pause <= 60


@settings(deadline=None)
@given(st.text(max_size=40))
def test_no_pause_ends_in_an_error(value: str) -> None:
    """Whatever Retry-After says, it is a number of seconds or nothing."""
    pause = take(b"", Retry_After=value).retry_after
    assert pause is None or pause >= 0


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://other.example:8443/x?token=1", "other.example"),
        ("//other.example/x", "other.example"),
        ("https://me:secret@other.example/", "other.example"),
        ("https://evil\x9b31m.example/", "evil\\x9b31m.example"),
        ("/login", None),
        ("http://[::1", None),
        ("", None),
        (f"https://{SECRET}.example/", "***.example"),
    ],
)
def test_a_redirect_tells_its_host_alone(location: str, host: str | None) -> None:
    """Path, query and user part of a redirect's target may be secrets (fault 26)."""
    assert take(b"", status=302, Location=location).location == host


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"message": f"bad {SECRET}"}),
        json.dumps([[{SECRET: SECRET}]]),
        '{"message": "\\u0073k\\u002dtest-0123456789abcdef"}',
        json.dumps({"upstream": json.dumps({"message": SECRET})}),
        f"<title>{SECRET}</title>",
        f"<title>{''.join(f'&#{ord(each)};' for each in SECRET)}</title>",
        f"<title>{''.join(f'&#x{ord(each):02X};' for each in SECRET)}</title>",
        f"GET /?token={''.join(f'%{ord(each):02X}' for each in SECRET)}",
        f"GET /?token={SECRET.replace('-', '%252D')}",
        SECRET.replace("-", "\\-"),
        "".join(f"\\u{ord(each):04X}" for each in SECRET),
        f'{{"message": "{SECRET.replace("-", chr(92) + "u002D")}", "message": 1}}',
        "x" * 490 + SECRET,
        "x" * 1990 + SECRET,
    ],
)
def test_a_quoted_secret_is_hidden(content: str) -> None:
    """However an answer spells the token, and wherever its text is cut (fault 76)."""
    reply = take(content.encode())
    assert SECRET[:8] not in f"{reply.text}{reply.body}"
    assert SECRET[8:] not in f"{reply.text}{reply.body}"
    assert not re.search("(?i)u0073|%73|&#", f"{reply.text}{reply.body}")
    assert "***" in f"{reply.text}{reply.body}" or reply.text.endswith("...")


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.text() | st.just(SECRET),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_body_lets_a_secret_through(body: object) -> None:
    """In no part of any body is the token left."""
    reply = take(json.dumps(body).encode())
    assert SECRET not in repr(reply)


def test_what_has_no_secret_is_left_as_it_is() -> None:
    """A token as short as a word does not maim the answers that hold the word."""
    content = b'{"url": "http://127.0.0.1/sandbox/clip.mp4"}'
    assert read(200, {}, [content], secret="sandbox").body == json.loads(content)  # noqa: S106 - a word, no secret
    assert read(200, {}, [content]).body == json.loads(content)


def test_a_secret_in_a_number_makes_the_answer_unreadable() -> None:
    """A token of digits cannot be hidden in a number, so such an answer is not shown."""
    reply = read(200, {}, [b'{"task_id": 8153348940361}'], secret="8153348940361")  # noqa: S106
    assert (reply.readable, reply.body) == (False, None)
    assert "8153348940361" not in reply.text
