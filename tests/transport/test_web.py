"""Redirects of other hosts are followed by hand, and each address is judged before it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from kling_cli.transport.web import DeadEndError, follow

BEGIN = "https://a.example/0?x"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer of a played host."""

    status: int = 200
    location: str = ""


class Hosts:
    """Hosts that lead on from one address to the next, and then answer."""

    def __init__(self, *locations: str, status: int = 302) -> None:
        self._answers = [Answer(status=status, location=location) for location in locations]
        self.asked = list[str]()

    def ask(self, way: Sequence[str]) -> Answer:
        """Answer the last address on the way."""
        self.asked.append(way[-1])
        return self._answers.pop(0) if self._answers else Answer()


def refuse(hosts: Hosts, url: str = BEGIN) -> DeadEndError:
    """Follow to a dead end, private addresses and plain http being refused."""
    with pytest.raises(DeadEndError) as caught:
        follow(url, hosts.ask, resolve=lambda host, _port: [host], allow_downgrade=False)
    assert caught.value.way[: len(hosts.asked)] == hosts.asked
    return caught.value


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_five_redirects_are_followed(status: int) -> None:
    """Relative or absolute, to the answer at the end, and the way is told."""
    hosts = Hosts("1", "/b/2", "//c.example/3", "https://d.example/4", "?5", status=status)
    way, answer = follow(BEGIN, hosts.ask, resolve=None, allow_downgrade=False)
    assert answer == Answer()
    assert hosts.asked == way
    assert way == [
        BEGIN,
        "https://a.example/1",
        "https://a.example/b/2",
        "https://c.example/3",
        "https://d.example/4",
        "https://d.example/4?5",
    ]


@pytest.mark.parametrize(("status", "location"), [(302, ""), (200, "/x"), (304, "/x"), (404, "/x")])
def test_what_leads_nowhere_is_the_answer(status: int, location: str) -> None:
    """Only a redirect with an address leads on."""
    hosts = Hosts(location, status=status)
    _, answer = follow(BEGIN, hosts.ask, resolve=None, allow_downgrade=False)
    assert answer == Answer(status=status, location=location)
    assert hosts.asked == [BEGIN]


def test_a_sixth_redirect_is_not_followed() -> None:
    """A loop ends."""
    hosts = Hosts(*"123456")
    assert refuse(hosts).fault.code == "url_redirects"
    assert len(hosts.asked) == 6


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("ftp://a.example/", "url_invalid"),
        ("file:///etc/passwd", "url_invalid"),
        ("http://[x@a.example/", "url_invalid"),
        ("https://me:secret@b.example/", "url_with_credentials"),
        ("http://b.example/", "url_downgrade"),
        ("https://10.0.0.1/", "url_private"),
        ("https://localhost:8443/", "url_private"),
    ],
)
def test_a_bad_address_is_not_asked(location: str, code: str) -> None:
    """Neither at the end of a redirect nor at the beginning."""
    hosts = Hosts(location)
    assert refuse(hosts).fault.code == code
    assert hosts.asked == [BEGIN]
    if code != "url_downgrade":
        assert refuse(Hosts(), location).fault.code == code


def test_the_way_back_to_https_is_free() -> None:
    """Plain http may lead to https, and where it is allowed https to plain http."""
    hosts = Hosts("https://b.example/")
    follow("HTTP://a.example/", hosts.ask, resolve=None, allow_downgrade=False)
    assert hosts.asked == ["http://a.example/", "https://b.example/"]
    hosts = Hosts("http://b.example/")
    follow(BEGIN, hosts.ask, resolve=None, allow_downgrade=True)
    assert hosts.asked[1] == "http://b.example/"


def test_a_resolver_is_asked_for_the_port_in_use() -> None:
    """The port of the scheme counts where none is given."""
    asked = list[tuple[str, int]]()

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["93.184.215.14"]

    hosts = Hosts("https://b.example:8443/")
    follow("http://a.example/", hosts.ask, resolve=resolve, allow_downgrade=False)
    assert asked == [("a.example", 80), ("b.example", 8443)]
