"""Addresses that the service cannot use are told apart from those that it can, and why."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.images.addresses import (
    Resolve,
    find_fault,
    is_loopback,
    judge_callback_url,
    judge_host,
    look_up,
    resolve_public,
)

PUBLIC = "93.184.215.14"


def give(*addresses: str) -> Resolve:
    """Make a resolver that gives these addresses for every host."""
    return lambda _host, _port: addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://photos.example/a.jpg",
        "http://photos.example:8080/a.jpg",
        "HTTPS://Photos.Example./a.jpg?signature=a%20b&c=d#e",
        "https://bücher.example/照片.jpg",
        "https://under_score.example/{a}|b",
        "https://[2606:2800:21f::1]:443/a.jpg",
        f"https://{PUBLIC}:/a.jpg",
    ],
)
def test_a_usable_address_has_no_fault(url: str) -> None:
    """What browsers take is taken, also in unusual spellings."""
    assert find_fault(url) is None


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("data:image/png;base64,iVBORw0KGgo=", "it is the picture itself, not its address"),
        ("DATA:image/png;base64,iVBO\nRw0KGgo=", "it is the picture itself, not its address"),
        ("file:///home/me/a.jpg", "the service has no access to files here"),
        ("file:a.jpg", "the service has no access to files here"),
        ("ftp://photos.example/a.jpg", "it does not begin with https:// or http://"),
        ("//photos.example/a.jpg", "it does not begin with https:// or http://"),
        ("photos.example/a.jpg", "it does not begin with https:// or http://"),
        ("", "it does not begin with https:// or http://"),
        ("https:///a.jpg", "its host or port is not valid"),
        ("https:/photos.example/a.jpg", "its host or port is not valid"),
        ("https://a..example/a.jpg", "its host or port is not valid"),
        (f"https://{'a' * 64}.example/a.jpg", "its host or port is not valid"),
        ("https://a,b.example/a.jpg", "its host or port is not valid"),
        ("https://%31%32%37.0.0.1/a.jpg", "its host or port is not valid"),
        ("https://[::1/a.jpg", "its host or port is not valid"),
        ("https://[v1.a:b]/a.jpg", "its host or port is not valid"),
        ("https://[fe80::1%25eth0]/a.jpg", "its host or port is not valid"),
        ("https://photos.example:0/a.jpg", "its host or port is not valid"),
        ("https://photos.example:70000/a.jpg", "its host or port is not valid"),
        ("https://photos.example:x/a.jpg", "its host or port is not valid"),
        ("https://photos.example/a b.jpg", "it contains a space: write it as %20"),
        (" https://photos.example/a.jpg", "it contains a space: write it as %20"),
        (
            "https://photos.example/\x1b[2J",
            "it contains the character U+001B, which no address may",
        ),
        ("https://photos.example/a\n", "it contains the character U+000A, which no address may"),
        ("https://photos.example\\@b/", "it contains the character U+005C, which no address may"),
        (
            "https://photos.example/\u202eg",
            "it contains the character U+202E, which no address may",
        ),
        (
            "https://photos.example/\udcff",
            "it contains the character U+DCFF, which no address may",
        ),
        (f"https://photos.example/{'a' * 65536}", "it has more than 65,536 characters"),
    ],
)
def test_a_malformed_address_is_refused_with_the_reason(url: str, text: str) -> None:
    """An address that nobody can fetch is refused in words that help (fault 61)."""
    fault = find_fault(url)
    assert fault is not None
    assert (fault.code, fault.text) == ("url_invalid", text)


@pytest.mark.parametrize("url", ["data:image/jpeg;base64,/9j/", "file:///home/me/a.jpg"])
def test_a_local_picture_is_to_be_given_as_a_file(url: str) -> None:
    """Whoever gives the picture itself is told how to give it (fault 61)."""
    fault = find_fault(url)
    assert fault is not None
    assert fault.hint == "Give the file's path."


@pytest.mark.parametrize(
    "url", ["https://me:secret@photos.example/", "https://me@photos.example/", "http://@a.example"]
)
def test_a_user_name_or_password_is_refused_and_not_quoted(url: str) -> None:
    """A password in an address would leak to the service (fault 62)."""
    fault = find_fault(url)
    assert fault is not None
    assert fault.code == "url_with_credentials"
    assert "secret" not in fault.text + fault.hint


@given(st.text(max_size=60), st.sampled_from(["", "https://", "http://a.example", "https://["]))
def test_no_text_is_too_odd_to_be_judged(text: str, beginning: str) -> None:
    """Any text at all is judged; what passes shows as it is and names a host that is judged too."""
    url = beginning + text
    if find_fault(url) is None:
        assert url.isprintable()
        assert " " not in url
    judge_host(text)
    is_loopback(text)
    judge_callback_url(url)


@pytest.mark.parametrize(
    "host",
    [
        "photos.example",
        "a.b.c.example.com",
        "local.example",
        "mylocalhost.example",
        "bücher.example",
        PUBLIC,
        "0x5d.184.215.14",
        "2606:2800:21f::1",
        "64:ff9b::5db8:d70e",
        "2002:5db8:d70e::1",
    ],
)
def test_a_public_host_can_be_reached(host: str) -> None:
    """Nothing that may be public is held back."""
    assert judge_host(host) is None


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("localhost", "localhost is this machine itself"),
        ("LocalHost.", "localhost is this machine itself"),
        ("app.localhost", "names in .localhost are known in the local network only"),
        ("printer.local", "names in .local are known in the local network only"),
        ("metadata.google.internal", "names in .internal are known in the local network only"),
        ("nas.lan", "names in .lan are known in the local network only"),
        ("nas.home.arpa", "names in .home.arpa are known in the local network only"),
        ("intranet", "intranet is a name of the local network"),
        ("", "a host without a name is a name of the local network"),
        ("127.0.0.1", "127.0.0.1 is this machine itself"),
        ("127.9.9.9", "127.9.9.9 is this machine itself"),
        ("2130706433", "127.0.0.1 is this machine itself"),
        ("0x7f.1", "127.0.0.1 is this machine itself"),
        ("0177.0.0.1", "127.0.0.1 is this machine itself"),
        ("127.1.", "127.0.0.1 is this machine itself"),
        ("１２７。0。0。1", "127.0.0.1 is this machine itself"),  # noqa: RUF001 - the point of it
        ("::1", "::1 is this machine itself"),
        ("::ffff:127.0.0.1", "127.0.0.1 is this machine itself"),
        ("64:ff9b::a00:1", "10.0.0.1 is a private or reserved address"),
        ("2002:a00:1::", "10.0.0.1 is a private or reserved address"),
        ("10.0.0.1", "10.0.0.1 is a private or reserved address"),
        ("172.31.0.1", "172.31.0.1 is a private or reserved address"),
        ("192.168.1.1", "192.168.1.1 is a private or reserved address"),
        ("100.64.0.1", "100.64.0.1 is a private or reserved address"),
        ("198.18.0.1", "198.18.0.1 is a private or reserved address"),
        ("0", "0.0.0.0 is a private or reserved address"),
        ("255.255.255.255", "255.255.255.255 is a private or reserved address"),
        ("240.0.0.1", "240.0.0.1 is a private or reserved address"),
        ("169.254.169.254", "169.254.169.254 is known on one network link only"),
        ("fe80::1", "fe80::1 is known on one network link only"),
        ("224.0.0.1", "224.0.0.1 is a multicast address"),
        ("ff02::1", "ff02::1 is a multicast address"),
        ("::", ":: is a private or reserved address"),
        ("fd00::1", "fd00::1 is a private or reserved address"),
        ("fec0::1", "fec0::1 is a private or reserved address"),
        ("4000::1", "4000::1 is a private or reserved address"),
    ],
)
def test_a_host_out_of_reach_is_told_in_every_spelling(host: str, problem: str) -> None:
    """What only this machine or network knows is refused, however it is written (fault 63)."""
    assert judge_host(host) == problem


def test_every_address_of_a_host_is_judged() -> None:
    """One private address among public ones is enough to refuse a host."""
    problem = resolve_public("a.example", 443, resolve=give(PUBLIC, "10.0.0.1"))
    assert problem == "10.0.0.1 is a private or reserved address"
    assert resolve_public("a.example", 443, resolve=give(PUBLIC, "2606:2800::1")) is None


def test_a_local_name_is_refused_without_looking_it_up() -> None:
    """A name that says that it is local counts, whatever it resolves to."""
    asked = list[str]()

    def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return [PUBLIC]

    problem = resolve_public("nas.local", 80, resolve=resolve)
    assert problem == "names in .local are known in the local network only"
    assert not asked


def test_an_unknown_name_is_left_to_whoever_connects() -> None:
    """Behind a proxy names need not resolve here, so this alone is no problem."""
    assert resolve_public("a.example", 443, resolve=give()) is None
    assert resolve_public("a.example", 443, resolve=give("no address")) is None


def test_the_stand_in_of_a_proxy_tells_nothing_of_a_name() -> None:
    """Proxies that answer every name with 198.18.x.x do not make all pictures unreachable."""
    assert resolve_public("a.example", 443, resolve=give("198.18.0.7")) is None
    literal = resolve_public("198.18.0.7", 443, resolve=give("198.18.0.7"))
    assert literal == "198.18.0.7 is a private or reserved address"


def test_the_system_resolves_names_and_literals() -> None:
    """The machine's own resolver is asked, and its failure is an empty answer."""
    assert "127.0.0.1" in look_up("2130706433", 80)
    assert look_up("a..b", 80) == ()
    assert look_up("::1%no-such-zone", 80) == ()
    assert resolve_public("127.0.0.1", 80) == "127.0.0.1 is this machine itself"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("photos.example", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback_is_known(host: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    """A service on this machine is recognised by its host alone."""
    assert is_loopback(host) is expected


def test_a_public_callback_is_taken() -> None:
    """An absolute https address with a public host is fine, also with a secret query."""
    assert judge_callback_url("https://hooks.example/kling?key=secret") == (None, None)


def test_a_plain_callback_warns() -> None:
    """Plain http is allowed, with a warning (fault 67)."""
    problem, warning = judge_callback_url("http://hooks.example/kling?key=secret")
    assert problem is None
    assert warning == "The callback URL is plain http: others can read and change what goes there."


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("/kling?key=secret", "it does not begin with https:// or http://"),
        ("hooks.example/kling?key=secret", "it does not begin with https:// or http://"),
        (
            "https://me:secret@hooks.example",
            "it holds a user name or password, which the service would see",
        ),
        (
            "http://localhost:8000/?key=secret",
            "the service cannot reach it, localhost is this machine itself",
        ),
        (
            "https://10.0.0.1/?key=secret",
            "the service cannot reach it, 10.0.0.1 is a private or reserved address",
        ),
    ],
)
def test_a_callback_out_of_reach_is_a_problem(url: str, problem: str) -> None:
    """Relative, private and leaking callback addresses are refused, none is quoted (fault 67)."""
    assert judge_callback_url(url) == (f"cannot be used: {problem}.", None)


def test_a_local_service_can_call_back_here() -> None:
    """A service on this machine reaches what is on it."""
    assert judge_callback_url("https://localhost/", allow_private=True) == (None, None)
