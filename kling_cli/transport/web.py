"""Other hosts than the service: redirects followed by hand, each address judged before it."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

from kling_cli.images.addresses import DEFAULT_PORTS, Fault, Resolve, find_fault, resolve_public

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Answer(Protocol):
    """What a server answered: its HTTP status, and where it leads on to if it does."""

    @property
    def status(self) -> int:
        """Tell the HTTP status."""
        ...

    @property
    def location(self) -> str:
        """Tell the Location header, empty if there is none."""
        ...


_Answered = TypeVar("_Answered", bound=Answer)


class DeadEndError(Exception):
    """The last address on the way must not be asked, or there have been too many.

    The codes are those of `find_fault`, `url_redirects`, `url_private` and `url_downgrade`.
    """

    def __init__(self, way: Sequence[str], fault: Fault) -> None:
        super().__init__(fault.text)
        self.way = way
        self.fault = fault


def follow(
    url: str,
    ask: Callable[[Sequence[str]], _Answered],
    *,
    resolve: Resolve | None,
    allow_downgrade: bool,
) -> tuple[Sequence[str], _Answered]:
    """Follow redirects to the answer at their end; return the way there and the answer.

    Args:
        url: where to begin.
        ask: asks the last address on the way.
        resolve: finds the addresses of a host, to refuse private ones; None where all will do.
        allow_downgrade: whether https may lead on to plain http.

    Raises:
        DeadEndError: an address was refused.
    """
    # The scheme may be written in capitals, and whoever reads it later compares it.
    scheme, colon, rest = url.partition(":")
    way = [f"{scheme.lower()}{colon}{rest}"]
    while True:
        if fault := _judge(way, resolve=resolve, allow_downgrade=allow_downgrade):
            raise DeadEndError(way, fault)
        answer = ask(way)
        if answer.status not in _REDIRECTS or not answer.location:
            return way, answer
        if len(way) > _MOST_REDIRECTS:
            text = f"it redirects more than {_MOST_REDIRECTS} times"
            raise DeadEndError(way, Fault(code="url_redirects", text=text))
        way.append(_join(way[-1], answer.location))


def _join(stop: str, location: str) -> str:
    try:
        return urljoin(stop, location)
    except ValueError:
        return location  # refused as it stands


def _judge(way: Sequence[str], *, resolve: Resolve | None, allow_downgrade: bool) -> Fault | None:
    if fault := find_fault(way[-1]):
        return fault
    schemes = [urlsplit(stop).scheme for stop in way[-2:]]
    if not allow_downgrade and schemes == ["https", "http"]:
        return Fault(code="url_downgrade", text="others could read and change what comes from it")
    problem = _judge_host(way[-1], resolve)
    return Fault(code="url_private", text=problem) if problem else None


def _judge_host(url: str, resolve: Resolve | None) -> str | None:
    if resolve is None:
        return None
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return resolve_public(parts.hostname or "", port, resolve=resolve)
