"""What each setting may be."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.settings.values import (
    InvalidValueError,
    format_duration,
    parse_base_url,
    parse_duration,
    parse_jobs,
    parse_model,
    parse_output,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("20m", 1200),
        ("1h", 3600),
        ("1.5h", 5400),
        ("90", 90),
        (" 2 m ", 120),
        ("0.5", 0.5),
        ("8760h", 31_536_000),
        ("0", None),
        ("0s", None),
        ("0.0h", None),
    ],
)
def test_a_duration_is_read_as_seconds_and_zero_is_no_limit(
    text: str, seconds: float | None
) -> None:
    """90s, 20m, 1h and a bare number mean what they say; 0 waits without a limit."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "abc", "-1", "1d", "1h30m", "1e3", "inf", "nan", "٣m", "1.s", "8761h", "9" * 400, "5\n5"],
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    """A mistyped timeout never becomes another one, nor a number that the system cannot wait."""
    with pytest.raises(InvalidValueError, match=r"such as 90s, 20m or 1\.5h"):
        parse_duration(text)


@given(st.decimals(min_value=0, max_value=Decimal(31_536_000), places=3))
def test_a_duration_survives_being_shown(seconds: Decimal) -> None:
    """What `config list` shows as the timeout can be given back as it is."""
    assert parse_duration(format_duration(float(seconds) or None)) == (float(seconds) or None)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "0"), (1800, "30m"), (7200, "2h"), (5400, "90m"), (90.5, "90.5s")]
)
def test_a_duration_is_shown_in_its_largest_even_unit(seconds: float | None, text: str) -> None:
    """A user reads 30m, not 1800.0."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("sandbox", "sandbox"),
        ("https://api.gpt.ge/kling", "https://api.gpt.ge/kling"),
        (" HTTPS://API.gpt.ge:443/kling// ", "https://api.gpt.ge/kling"),
        ("https://api-singapore.klingai.com", "https://api-singapore.klingai.com"),
        ("https://api.gpt.ge/kling/v1x", "https://api.gpt.ge/kling/v1x"),
        ("https://h.example:8443/a", "https://h.example:8443/a"),
        ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]"),
        ("http://localhost:8000/", "http://localhost:8000"),
        ("http://127.0.0.2:80", "http://127.0.0.2"),
        ("http://[::1]:9", "http://[::1]:9"),
    ],
)
def test_two_spellings_of_one_base_url_come_out_equal(text: str, url: str) -> None:
    """Case, default port and a final slash make no other host of a base URL."""
    assert parse_base_url(text) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be a URL"),
        ("Sandbox", "must name a host"),
        ("api.gpt.ge/kling", "must name a host"),
        ("https://", "must name a host"),
        ("https:///kling", "must name a host"),
        ("https://-x/", "must name a host"),
        ("https://a_b/", "must name a host"),
        ("https://[::1%25eth0]/", "must name a host"),
        ("https://[v1.x:y]/", "must name a host"),
        ("https://h:port", "must be a URL"),
        ("https://h:99999", "must be a URL"),
        ("https://[::1", "must be a URL"),
        ("https://h ost/", "must be a URL"),
        ("https://h\\@evil/", "must be a URL"),
        ("https://\u0430pi.gpt.ge/", "must be a URL"),
        ("https://h/\x1b[2J", "must be a URL"),
        ("http://api.gpt.ge/kling", "must begin with https://"),
        ("http://192.168.0.1/", "must begin with https://"),
        ("http://localhost.evil.example/", "must begin with https://"),
        ("http://127.1/", "must begin with https://"),
        ("ftp://localhost/", "must begin with https://"),
        ("https://name:secret@api.gpt.ge/", "must not hold a user name"),
        ("https://@api.gpt.ge/", "must not hold a user name"),
        ("https://api.gpt.ge/kling?key=1", "must not hold a query"),
        ("https://api.gpt.ge/kling#", "must not hold a query"),
    ],
)
def test_a_base_url_that_must_not_get_the_token_is_refused(text: str, reason: str) -> None:
    """The token goes over https to a named host, or to this machine's own loopback (fault 74)."""
    with pytest.raises(InvalidValueError, match=reason):
        parse_base_url(text)


@pytest.mark.parametrize("end", ["/v1", "/v1/", "/v1/videos", "/v1/videos/effects/"])
def test_an_endpoint_given_as_base_url_is_told_in_its_shorter_form(end: str) -> None:
    """Who pastes the endpoint's whole address reads the base URL that was meant."""
    with pytest.raises(InvalidValueError, match=r"videos/effects: https://api\.gpt\.ge/kling$"):
        parse_base_url("https://api.gpt.ge/kling" + end)


def test_a_model_is_one_printable_word() -> None:
    """A new model needs no new program, but no control character is sent."""
    assert parse_model(" kling-v9.x\n") == "kling-v9.x"


@pytest.mark.parametrize("text", ["", " ", "two words", "a\x1b[2J", "a\u202eb", "a\udcffb"])
def test_what_is_no_word_is_no_model(text: str) -> None:
    """An empty or unprintable model is refused before anything is sent."""
    with pytest.raises(InvalidValueError, match="one printable word"):
        parse_model(text)


@pytest.mark.parametrize(("text", "jobs"), [("1", 1), (" 64 ", 64), ("008", 8)])
def test_jobs_are_a_whole_number(text: str, jobs: int) -> None:
    """1 to 64 tasks may be under way at once."""
    assert parse_jobs(text) == jobs


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "4.0", "four", "٤", "9" * 5000])
def test_jobs_out_of_range_are_refused(text: str) -> None:
    """A typing mistake never starts thousands of tasks."""
    with pytest.raises(InvalidValueError, match="whole number from 1 to 64"):
        parse_jobs(text)


@pytest.mark.parametrize("text", ["-", "clips/", "a b.mp4", "捏.mp4", "\udcff.mp4"])
def test_any_path_may_be_the_output(text: str) -> None:
    """A file name that the system allows is taken as it is, undecodable bytes included."""
    assert parse_output(text) == text


@pytest.mark.parametrize("text", ["", "  ", "a\0b"])
def test_an_empty_output_is_refused(text: str) -> None:
    """`-o "$UNSET"` does not silently save nothing."""
    with pytest.raises(InvalidValueError, match="file, a directory, or -"):
        parse_output(text)
