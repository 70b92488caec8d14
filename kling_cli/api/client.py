"""The endpoints of the service; each call returns a task or raises an ApiError."""

import base64
import json
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from urllib.parse import quote

from kling_cli.api.errors import ApiError, Kind, find_error
from kling_cli.api.parse import collect_ids, parse_task
from kling_cli.api.transport import ExchangeError, Transport, read_reply
from kling_cli.errors import UnknownError, UnreachableError
from kling_cli.models import EffectRequest, Task
from kling_cli.settings import Token

_PATH = "/v1/videos/effects"
_SAFE = "The same command is safe to run again. kling config list shows the base URL."
_LOOK_SECONDS = 30.0
# For a check that starts at or after the deadline: time for one response.
_LATE_LOOK_SECONDS = 2.0
# A multiple of three, so that the encoded pieces need no padding between them.
_PIECE_BYTES = 3 * 128 * 1024


class Client:
    """The video-effects service at one base URL, used with one token.

    Args:
        transport: sends the requests.
        base_url: the API base URL, without `/v1/videos/effects`.
        token: used only in the Authorization header.

    Attributes:
        url: the URL that creates tasks; a task's own URL is below it.
    """

    def __init__(self, transport: Transport, *, base_url: str, token: Token) -> None:
        self.url = base_url + _PATH
        self._transport = transport
        self._token_source = token.source
        self._headers = {"Authorization": f"Bearer {token.reveal()}"}
        self._read = partial(read_reply, token.reveal())

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def create_effect(
        self,
        request: EffectRequest,
        external_task_id: str,
        *,
        before_first_byte: Callable[[], None],
        progress: Callable[[int, int], None] = lambda _sent, _total: None,
    ) -> Task:
        """Send a request once.

        Args:
            request: what to buy.
            external_task_id: the id by which the task can be looked up if the response is lost.
            before_first_byte: called before anything is sent; an exception stops the request.
            progress: called with the sent and the total bytes of the body.

        Raises:
            ApiError: the response has no task.
        """
        parts = _split_body(request, external_task_id)
        total = sum(len(text) + (len(content) + 2) // 3 * 4 for text, content in parts)
        headers = {"Content-Type": "application/json", "Content-Length": str(total)}
        body = _encode_body(parts, lambda sent: progress(sent, total))
        try:
            reply = self._transport.fetch(
                self.url, headers | self._headers, self._read, None, body, before_first_byte
            )
        except ExchangeError as error:
            if error.sent:
                lost = UnknownError(
                    "reply_lost", f"The response was lost: {error}.", charged="maybe"
                )
                raise ApiError(Kind.AMBIGUOUS, lost) from None
            message = f"Cannot reach the service: {error}. Nothing was sent or charged."
            hint = error.hint or _SAFE
            kind = Kind.REFUSED if error.hint else Kind.NOT_SENT
            raise ApiError(kind, UnreachableError("not_sent", message, hint=hint)) from None
        if refused := find_error(reply, token_source=self._token_source):
            raise refused
        task = parse_task(reply.body)
        if task is None or task.task_id is None:
            text = f"The service's response has no task id: {reply.text[:200]}"
            lost = UnknownError("bad_response", text, charged="maybe", http_status=reply.status)
            raise ApiError(Kind.AMBIGUOUS, lost)
        return task

    def get_task(self, any_id: str, *other_ids: str, seconds: float) -> Task:
        """Check a task once.

        Args:
            any_id: its task id or external task id.
            other_ids: other ids that the response may use.
            seconds: the time until the caller's deadline, which ends the check.

        Raises:
            ApiError: the check failed; only AUTH and NOT_FOUND say something about the task.
        """
        seconds = min(seconds, _LOOK_SECONDS) if seconds > 0 else _LATE_LOOK_SECONDS
        try:
            url = f"{self.url}/{quote(any_id, safe='')}"
            reply = self._transport.fetch(url, self._headers, self._read, seconds)
        except ExchangeError as error:
            failed = UnreachableError("unreachable", f"No response: {error}.", hint=error.hint)
            raise ApiError(Kind.AMBIGUOUS, failed) from None
        if refused := find_error(reply, token_source=self._token_source):
            if refused.kind not in (Kind.AUTH, Kind.NOT_FOUND):
                text = f"{refused.error.message}."
                refused.error = UnreachableError("unreachable", text, cause=refused.error)
            raise refused
        task = parse_task(reply.body)
        if task is None or not {any_id, *other_ids} & collect_ids(reply.body):
            text = "The service's response is about another task, or about none."
            failed = UnreachableError("bad_response", text, http_status=reply.status)
            raise ApiError(Kind.REFUSED, failed, retry_after=reply.retry_after)
        return task


def _split_body(request: EffectRequest, external_task_id: str) -> list[tuple[bytes, bytes]]:
    """Split the JSON body into texts and the pictures that follow them, encoded while sending."""
    # A random mark cannot occur in the user's input.
    mark = os.urandom(16).hex()
    images = tuple(picture.url or mark for picture in request.pictures)
    texts = json.dumps(request.body(external_task_id, images)).encode().split(mark.encode())
    contents = [picture.content for picture in request.pictures if picture.content is not None]
    return list(zip(texts, [*contents, b""], strict=True))


def _encode_body(
    parts: Iterable[tuple[bytes, bytes]], progress: Callable[[int], None]
) -> Iterator[bytes]:
    sent = 0
    for text, content in parts:
        starts, view = range(0, len(content), _PIECE_BYTES), memoryview(content)
        # No `data:` prefix and no line breaks: the service accepts neither.
        encoded = (base64.b64encode(view[start : start + _PIECE_BYTES]) for start in starts)
        for piece in chain([text], encoded):
            yield piece
            sent += len(piece)
            progress(sent)
