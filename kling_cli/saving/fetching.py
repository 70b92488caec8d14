"""A clip fetched from the host where it lies: tried again, and resumed where it broke."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from kling_cli.clock import Clock
from kling_cli.errors import LocalError, SetupError
from kling_cli.images.addresses import Resolve
from kling_cli.sandbox.clip import read_clip
from kling_cli.saving.failure import fail_download, show_reason
from kling_cli.saving.receiving import BrokenError, Receiver, Sink, Tell
from kling_cli.transport.exchange import ExchangeError, Transport
from kling_cli.transport.reply import read_retry_after
from kling_cli.transport.web import DeadEndError, follow

_ACCEPT = "video/mp4, */*;q=0.5"
_LONGEST_PAUSE = 120.0
_SUCCESSES = frozenset({200, 206})
# What a store of files answers to a link that has run out, or was never good.
_EXPIRED = frozenset({401, 403, 404, 410})
_NO_SUCH_RANGE = 416
_TEMPORARY = frozenset({408, 425, 429, *range(500, 600)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is downloaded, and how long it may take.

    `most_bytes` is far above any clip: ten seconds of the best quality are some 30 MB. It keeps a
    wrong or hostile server from filling the disk. `still_seconds` is the longest without a byte.
    """

    most_bytes: int = 1 << 30
    still_seconds: float = 60.0
    tries: int = 5


LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How clips are reached.

    `resolve` finds the addresses of a host, to refuse private ones; None where all will do.
    `allow_file` lets the sandbox's `file:` URL through.
    """

    transport: Transport
    clock: Clock
    resolve: Resolve | None
    allow_file: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    location: str = ""
    retry_after: float = 0.0


def fetch(url: str, sink: Sink, *, access: Access, limits: Limits, tell: Tell) -> None:
    """Fetch a clip to its end.

    Raises:
        LocalError: it cannot be had, or the sink's own error.
    """
    receiver = Receiver(sink, most_bytes=limits.most_bytes, clock=access.clock, tell=tell)
    if access.allow_file and url[:5].lower() == "file:":
        _copy(url, receiver)
        return
    number = 1
    while broken := _try(url, receiver, access=access, limits=limits):
        if number == limits.tries:
            text = f"{broken.reason}; {limits.tries} tries were made"
            raise fail_download("download_failed", text)
        access.clock.sleep(max(2.0 ** (number - 1), min(broken.retry_after, _LONGEST_PAUSE)))
        number += 1


def _copy(url: str, receiver: Receiver) -> None:
    try:
        try:
            content = Path(url2pathname(urlsplit(url).path)).read_bytes()
        except FileNotFoundError:
            content = read_clip()  # a journal outlives the files that it names
        receiver.receive(200, {"Content-Length": str(len(content))}, iter([content]))
    except BrokenPipeError:
        raise
    except (BrokenError, OSError, ValueError) as error:
        reason = show_reason(error) if isinstance(error, OSError) else str(error)
        raise fail_download("download_failed", reason) from None


def _try(url: str, receiver: Receiver, *, access: Access, limits: Limits) -> BrokenError | None:
    """Make one try; return why it came to nothing where another may not."""
    ask = partial(_ask, receiver=receiver, transport=access.transport, limits=limits)
    try:
        _, answer = follow(url, ask, resolve=access.resolve, allow_downgrade=False)
    except BrokenError as broken:
        return broken
    except ExchangeError as error:
        return BrokenError(error.reason)
    except DeadEndError as end:
        raise _explain(end) from None
    except SetupError as error:
        raise fail_download("download_failed", error.message.rstrip(".")) from None
    return _judge(answer, receiver)


def _ask(
    way: Sequence[str], *, receiver: Receiver, transport: Transport, limits: Limits
) -> _Answer:
    return transport.fetch(
        way[-1],
        headers={"Accept": _ACCEPT, **receiver.headers},
        take=partial(_take, receiver=receiver),
        seconds=None,
        still_seconds=limits.still_seconds,
    )


def _take(
    status: int, headers: Mapping[str, str], pieces: Iterator[bytes], *, receiver: Receiver
) -> _Answer:
    if status in _SUCCESSES:
        receiver.receive(status, headers, pieces)
    return _Answer(
        status=status,
        location=headers.get("Location", ""),
        retry_after=read_retry_after(headers.get("Retry-After", "")) or 0.0,
    )


def _judge(answer: _Answer, receiver: Receiver) -> BrokenError | None:
    if answer.status in _SUCCESSES:
        return None
    reason = f"its server answers HTTP {answer.status}"
    if answer.status in _EXPIRED:
        raise fail_download("download_expired", f"{reason}: the link is refused or has expired")
    if answer.status == _NO_SUCH_RANGE:
        receiver.restart()
    elif answer.status not in _TEMPORARY:
        raise fail_download("download_failed", reason)
    return BrokenError(reason, retry_after=answer.retry_after)


def _explain(end: DeadEndError) -> LocalError:
    """Tell why an address was not asked, without the address: its query may be a secret."""
    start = "it redirects to" if len(end.way) > 1 else "it has"
    fault = end.fault
    if fault.code == "url_private":
        text = f"{start} an address that no public server has: {fault.text}"
        return fail_download("download_private_address", text)
    if fault.code == "url_redirects":
        return fail_download("download_failed", fault.text)
    if fault.code == "url_downgrade":
        text = "it redirects from https to plain http, where others could change it"
        return fail_download("download_failed", text)
    return fail_download("download_failed", f"{start} an address that cannot be used")
