"""Pictures given by their web address: the service fetches them, we only look at the beginning.

The service tells of an address that it cannot read only minutes after the task was made.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlsplit

from kling_cli.errors import InputError
from kling_cli.images.addresses import Fault, Resolve, find_fault, look_up
from kling_cli.images.glimpse import ASKING_FOR_IT, Glimpse, read_glimpse
from kling_cli.images.rules import MOST_BYTES, Problem, judge, note, refuse
from kling_cli.task import Picture
from kling_cli.text import clean, without_query
from kling_cli.transport.exchange import ExchangeError, Transport
from kling_cli.transport.web import DeadEndError, follow

_CHECK_SECONDS = 20.0
_SUCCESSES = range(200, 300)
_ABSENT = frozenset({404, 410})
_CLOSED = frozenset({401, 403})
# An answer of this kind to a request for the first bytes: there is not a single one.
_EMPTY = 416
_OVERRIDE = "If the service can fetch it all the same: --no-check-url"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What a server answered: a redirect, a glimpse of the picture, or neither."""

    status: int
    location: str = ""
    encoding: str = ""
    glimpse: Glimpse | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    """What holds on the whole way: how hosts are resolved to be judged, and until when to wait.

    `resolve` is None where every host will do; `ends` is seconds of the monotonic clock.
    """

    resolve: Resolve | None
    ends: float


def prepare(  # noqa: PLR0913 - resolver and seconds are told by tests alone
    url: str,
    *,
    transport: Transport,
    allow_private: bool,
    check: bool,
    resolve: Resolve = look_up,
    seconds: float = _CHECK_SECONDS,
) -> Picture:
    """Check a picture by its address, which stays exactly as it was given.

    Args:
        url: the address.
        transport: one to the network; the connection that it keeps to a service is closed.
        allow_private: the service itself is on this machine, and reaches what is on it.
        check: ask the picture's server; without it the spelling alone is judged.
        resolve: finds the addresses of a host.
        seconds: for all servers on the way together.

    Raises:
        InputError: `url_invalid`, `url_with_credentials`, `url_not_found`, `url_unreachable`,
            `url_slow`, `url_redirects`, or a code of `images.prepare_all`. Its message is one line
            that begins with the address, without its query.
        SetupError: a proxy or certificate variable cannot be used.
    """
    if fault := find_fault(url):
        raise _refuse(url, fault)
    if not check:
        return Picture(source=url, kind="url", url=url)
    rules = _Rules(resolve=None if allow_private else resolve, ends=time.monotonic() + seconds)
    way, answer = _follow(url, transport, rules=rules)
    glimpse = _find_glimpse(way, answer)
    header = glimpse.header
    if header is None:
        empty = Problem(code="image_empty", text="it is empty: there is no picture in it")
        raise _refuse_picture(url, [empty])
    if problems := judge(header, size=glimpse.size, at_least=glimpse.at_least):
        raise _refuse_picture(url, problems, is_page=header.format == "HTML")
    return Picture(
        source=url,
        kind="url",
        url=url,
        format=header.format,
        width=header.width,
        height=header.height,
        size=glimpse.size,
        notes=(*note(header, size=glimpse.size), *_tell_downgrade(way)),
    )


def _follow(url: str, transport: Transport, *, rules: _Rules) -> tuple[Sequence[str], _Answer]:
    ask = partial(_ask, transport=transport, rules=rules)
    try:
        # The service follows from https to plain http too; it is said, not refused.
        return follow(url, ask, resolve=rules.resolve, allow_downgrade=True)
    except DeadEndError as end:
        raise _refuse_dead_end(end.way, end.fault) from None


def _ask(way: Sequence[str], *, transport: Transport, rules: _Rules) -> _Answer:
    left = rules.ends - time.monotonic()
    take = partial(_take, count_until=rules.ends - left / 2)
    try:
        answer = transport.fetch(way[-1], headers=ASKING_FOR_IT, take=take, seconds=left)
    except ExchangeError as error:
        if time.monotonic() < rules.ends:
            raise _refuse_stop(way, "url_unreachable", error.reason) from None
    else:
        # Where time runs out within an answer of unknown length, what came of it looks complete.
        if time.monotonic() < rules.ends:
            return answer
    raise _refuse_stop(way, "url_slow", "its server takes too long")


def _take(
    status: int, headers: Mapping[str, str], pieces: Iterator[bytes], *, count_until: float
) -> _Answer:
    if status == _EMPTY:
        return _Answer(status=status, glimpse=Glimpse(header=None, size=0))
    if status not in _SUCCESSES:
        return _Answer(status=status, location=headers.get("Location", ""))
    encoding = headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        return _Answer(status=status, encoding=encoding)
    glimpse = read_glimpse(status, headers, pieces, most=MOST_BYTES, count_until=count_until)
    return _Answer(status=status, glimpse=glimpse)


def _find_glimpse(way: Sequence[str], answer: _Answer) -> Glimpse:
    if answer.glimpse is not None:
        return answer.glimpse
    status = f"HTTP {answer.status}"
    if answer.status in _ABSENT:
        raise _refuse_stop(way, "url_not_found", f"there is nothing at this address ({status})")
    if answer.status in _CLOSED:
        text = f"its server does not give it to everybody ({status})"
    elif answer.encoding:
        text = f"its server sends it compressed as {clean(answer.encoding, limit=40)}"
    else:
        text = f"its server answers {status}"
    raise _refuse_stop(way, "url_unreachable", text)


def _refuse(url: str, fault: Fault) -> InputError:
    error = refuse([(_show(url), [Problem(code=fault.code, text=fault.text)])])
    error.hint = fault.hint
    return error


def _refuse_dead_end(way: Sequence[str], fault: Fault) -> InputError:
    if fault.code == "url_redirects":
        return _refuse(way[0], replace(fault, hint=_OVERRIDE))
    if fault.code == "url_private":
        text = f"the service cannot reach this address, {fault.text}"
        return _refuse_stop(way, "url_unreachable", text)
    return _refuse_stop(way, fault.code, fault.text)


def _refuse_stop(way: Sequence[str], code: str, text: str) -> InputError:
    """Make the error of the last address on the way."""
    if len(way) > 1:
        text = f"it redirects to {_show(way[-1])}: {text}"
    return _refuse(way[0], Fault(code=code, text=text, hint=_OVERRIDE))


def _refuse_picture(url: str, problems: Sequence[Problem], *, is_page: bool = False) -> InputError:
    error = refuse([(_show(url), problems)])
    if is_page:
        error.hint = "This is the address of a web page: give that of the picture itself."
    elif error.hint:
        # What lies at an address cannot be repaired there.
        error.hint = "Save it and give the file: --fix repairs it before sending."
    return error


def _show(url: str) -> str:
    if url[:5].lower() == "data:":
        return f"{clean(url.partition(',')[0], limit=80)},..."
    return without_query(url)


def _tell_downgrade(way: Sequence[str]) -> tuple[str, ...]:
    schemes = [urlsplit(stop).scheme for stop in way]
    if "http" in schemes and "https" in schemes[: schemes.index("http")]:
        return (f"{_show(way[0])} redirects from https to plain http",)
    return ()
