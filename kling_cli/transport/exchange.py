"""One HTTP exchange done well; the only user of httpx.

No redirects, no cookies, no content encoding, at most 1 MiB of answer, one deadline for the whole
exchange; where something is sent, for all that follows its last byte. Whether a request has left
this machine is told by the connection itself, never guessed from the kind of an error.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import httpx

from kling_cli.text import without_query
from kling_cli.transport.client import open_client
from kling_cli.transport.deadline import Deadline
from kling_cli.transport.failure import name_host, tell
from kling_cli.transport.reply import Reply, read
from kling_cli.transport.trace import Trace

if TYPE_CHECKING:
    import socket
    from wsgiref.types import WSGIApplication

_CONNECT_SECONDS = 10.0
_STILL_SECONDS = 120.0

_Taken = TypeVar("_Taken")
# Given the status, the headers and the pieces of an answer; it need not read to the end.
Take = Callable[[int, Mapping[str, str], Iterator[bytes]], _Taken]


class Body(Protocol):
    """A request's body: its exact length in bytes, and its pieces in order."""

    @property
    def length(self) -> int:
        """Tell the length in bytes."""
        ...

    def __iter__(self) -> Iterator[bytes]:
        """Give the pieces."""
        ...


class _OwnError(Exception):
    """An error of the caller's own function, on its way out through the library."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class ExchangeError(Exception):
    """No usable reply came; `sent` tells whether any byte of the request may have left."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Transport:
    """A connection to one service, kept alive between exchanges; for one thread at a time.

    Args:
        application: a WSGI application that takes the place of the network (the sandbox).
        environ: where proxy and certificate variables are looked up.
        log: told one line for each exchange, never a header or a body.
        connect_seconds: the longest to wait for a connection, and again for its TLS.
    """

    def __init__(
        self,
        *,
        application: "WSGIApplication | None" = None,
        environ: Mapping[str, str] = os.environ,
        log: Callable[[str], None] | None = None,
        connect_seconds: float = _CONNECT_SECONDS,
    ) -> None:
        self._application = application
        self._environ = environ
        self._log = log
        self._connect_seconds = connect_seconds
        self._client: httpx.Client | None = None
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
        self._client = self._socket = None

    def look(self, url: str, *, headers: Mapping[str, str], seconds: float) -> Reply:
        """Ask for what is there; may be repeated at will.

        Raises:
            ExchangeError: no usable reply within so many seconds.
        """
        take = _read_reply_to(headers)
        return self._exchange("GET", url, headers=headers, seconds=seconds, take=take)

    def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Body,
        before_first_byte: Callable[[], None],
        answer_seconds: float,
    ) -> Reply:
        """Send something that must not be sent twice, over a connection of its own.

        A connection that sat idle may be dead without a sign, and then nobody could tell whether
        the request arrived. An error raised by `before_first_byte` comes out of here unchanged, and
        no byte has left.

        Raises:
            ExchangeError: no usable reply within so many seconds after the last byte.
        """
        self.close()
        return self._exchange(
            "POST",
            url,
            headers={**headers, "Content-Length": str(body.length)},
            seconds=answer_seconds,
            take=_read_reply_to(headers),
            body=body,
            before_first_byte=before_first_byte,
        )

    def fetch(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        take: Take[_Taken],
        seconds: float | None,
        still_seconds: float = _STILL_SECONDS,
    ) -> _Taken:
        """Ask another host than the service, over a connection of its own, for what `take` reads.

        An error raised by `take` comes out of here unchanged.

        Args:
            url: what to ask for.
            headers: besides those of every request.
            take: reads the answer.
            seconds: for the whole exchange; None where only standing still ends it.
            still_seconds: the longest without a single byte.

        Raises:
            ExchangeError: nothing usable came in time.
        """
        self.close()
        try:
            return self._exchange(
                "GET",
                url,
                headers=headers,
                seconds=seconds,
                still_seconds=still_seconds,
                take=take,
            )
        finally:
            self.close()

    def _exchange(  # noqa: PLR0913 - the parts of one HTTP exchange
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        seconds: float | None,
        take: Take[_Taken],
        still_seconds: float = _STILL_SECONDS,
        body: Body | None = None,
        before_first_byte: Callable[[], None] = lambda: None,
    ) -> _Taken:
        if self._client is None:
            self._client = open_client(
                url, headers, application=self._application, environ=self._environ
            )
        host = name_host(url)
        connect_seconds = self._connect_seconds
        with Deadline(seconds) as deadline:
            if body is None:
                deadline.start()
                connect_seconds = min(connect_seconds, seconds or connect_seconds)
            deadline.watch(self._socket)
            trace = Trace(
                host=host,
                deadline=deadline,
                before_first_byte=partial(_run_own, before_first_byte),
            )
            try:
                if self._application is not None:
                    trace.start()  # no connection, so no event will tell it
                with self._client.stream(
                    method,
                    url,
                    headers=headers,
                    content=body,
                    timeout=httpx.Timeout(still_seconds, connect=connect_seconds),
                    extensions={"trace": trace},
                ) as response:
                    status = response.status_code
                    taken = _run_own(partial(take, status, response.headers, response.iter_raw()))
            except _OwnError as own:
                self.close()
                raise own.error from None
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                self.close()
                reason = tell(error, host=host, peer=trace.peer)
                if deadline.expired:
                    reason = "no full answer came in time"
                self._note(method, url, reason)
                raise ExchangeError(reason, sent=trace.sent) from None
            self._socket = trace.socket or self._socket
        self._note(method, url, f"HTTP {status}")
        return taken

    def _note(self, method: str, url: str, end: str) -> None:
        if self._log is not None:
            self._log(f"{method} {without_query(url)}: {end}")


def _read_reply_to(headers: Mapping[str, str]) -> Take[Reply]:
    """Make the reader of an answer, which hides the token if the answer quotes it."""
    return partial(read, secret=headers.get("Authorization", "").removeprefix("Bearer "))


def _run_own(function: Callable[[], _Taken]) -> _Taken:
    """Run a function of the caller so that its errors are not taken for the network's."""
    try:
        return function()
    except httpx.HTTPError:
        raise  # from the pieces that it was reading
    except Exception as error:  # noqa: BLE001 - none is swallowed
        raise _OwnError(error) from None
