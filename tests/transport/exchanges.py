"""Exchanges with a scripted server: what the tests of the transport share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from ground.replies import Reply as Answer

from kling_cli.transport.exchange import ExchangeError, Transport
from kling_cli.transport.reply import Reply

SECRET = "sk-test-0123456789abcdef"  # noqa: S105 - of no service
HEADERS = {"Authorization": f"Bearer {SECRET}"}
FINE = Answer(json={"code": 0})
LARGE = b"x" * 8_000_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ENDLESS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Blob:
    """A body of one piece."""

    content: bytes

    @property
    def length(self) -> int:
        """Tell the length in bytes."""
        return len(self.content)

    def __iter__(self) -> Iterator[bytes]:
        yield self.content


def look(transport: Transport, url: str, *, seconds: float = 20) -> Reply:
    """Look with a token."""
    return transport.look(url, headers=HEADERS, seconds=seconds)


def post(
    transport: Transport,
    url: str,
    content: bytes = b"{}",
    *,
    step: Callable[[], None] = lambda: None,
    seconds: float = 20,
) -> Reply:
    """Send a body with a token."""
    return transport.send(
        url, headers=HEADERS, body=Blob(content), before_first_byte=step, answer_seconds=seconds
    )


def fail_to_post(transport: Transport, url: str, content: bytes = b"{}") -> tuple[str, bool, int]:
    """Send what cannot be sent: the reason, whether it counts as sent, how often it set out."""
    steps: list[None] = []
    with pytest.raises(ExchangeError) as caught:
        post(transport, url, content, step=lambda: steps.append(None), seconds=20)
    assert SECRET not in caught.value.reason
    return caught.value.reason, caught.value.sent, len(steps)
