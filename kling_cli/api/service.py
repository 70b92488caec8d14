"""The endpoints of the service: a request goes out, a task or a named fault comes back."""

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from urllib.parse import quote

from kling_cli.api.answers import collect_ids
from kling_cli.api.codes import Fault, Kind, explain, judge_reply
from kling_cli.errors import RefusedError, UnknownError, UnreachableError
from kling_cli.purchase import Declined, Event
from kling_cli.secret import Token
from kling_cli.task import Look, Request, Task
from kling_cli.transport.exchange import ExchangeError, Transport
from kling_cli.transport.reply import Reply

_PATH = "/v1/videos/effects"
# The upload takes as long as it needs: cutting it short would leave a doubt behind.
_ANSWER_SECONDS = 120.0
_LOOK_SECONDS = 30.0
# Of a look that begins at the deadline or behind it: time for one answer, not for a second try.
_LATE_LOOK_SECONDS = 2.0
# A multiple of three, so that the encoded pieces join without padding between them.
_PIECE = 3 * 64 * 1024
_EVENTS = {
    Kind.BUSY: Event.BUSY,
    Kind.DUPLICATE: Event.DUPLICATE,
    Kind.AMBIGUOUS: Event.AMBIGUOUS,
}
_REFUSALS = (Kind.REFUSED, Kind.NO_ROUTE, Kind.BALANCE, Kind.DUPLICATE)


class Service:
    """The video-effects service at one base URL, asked with one token.

    Args:
        transport: carries the exchanges.
        base_url: all that stands before `/v1/videos/effects`.
        token: goes into the Authorization header and nowhere else.
        answer_seconds: the longest from a submission's last byte to the end of its answer.
        look_seconds: the longest that a look may take.

    Attributes:
        url: where tasks are made, and below it each task.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        base_url: str,
        token: Token,
        answer_seconds: float = _ANSWER_SECONDS,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self.url = base_url + _PATH
        self._transport = transport
        self._token = token
        self._answer_seconds = answer_seconds
        self._look_seconds = look_seconds

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def submit(
        self, request: Request, external_task_id: str, *, before_first_byte: Callable[[], None]
    ) -> Task | Declined:
        """Send a request once, and tell what became of it.

        Args:
            request: what to buy.
            external_task_id: the id by which the task can be looked up if the answer is lost.
            before_first_byte: called when nothing has left yet; what it raises stops the request.
        """
        try:
            reply = self._transport.send(
                self.url,
                headers={**self._authorize(), "Content-Type": "application/json"},
                body=Upload(request, external_task_id),
                before_first_byte=before_first_byte,
                answer_seconds=self._answer_seconds,
            )
        except ExchangeError as error:
            return _tell_failed_send(error)
        fault, task = judge_reply(reply)
        if fault is not None:
            return Declined(
                event=_EVENTS.get(fault.kind, Event.REFUSED),
                error=explain(fault, token_source=self._token.source),
                retry_after=reply.retry_after,
            )
        if task is None or task.task_id is None:
            return Declined(event=Event.AMBIGUOUS, error=_miss_id(reply))
        return task

    def look(self, any_id: str, *other_ids: str, seconds_left: float = float("inf")) -> Look:
        """Look once at a task.

        Args:
            any_id: its task id or external task id.
            other_ids: further ids by which the answer may call it.
            seconds_left: until the deadline, at which the look is cut.
        """
        seconds = seconds_left if seconds_left > 0 else _LATE_LOOK_SECONDS
        try:
            reply = self._transport.look(
                f"{self.url}/{quote(any_id, safe='')}",
                headers=self._authorize(),
                seconds=min(seconds, self._look_seconds),
            )
        except ExchangeError as error:
            return Look(error=UnreachableError("unreachable", f"No answer: {error.reason}."))
        fault, task = judge_reply(reply)
        if fault is None:
            return _read_look(reply, task, ids={any_id, *other_ids})
        is_verdict = fault.kind in (Kind.AUTH, Kind.NOT_FOUND)
        return Look(
            error=explain(fault, token_source=self._token.source)
            if is_verdict
            else _tell_failed_look(fault),
            is_missing=fault.kind is Kind.NOT_FOUND,
            is_refused=fault.kind in _REFUSALS,
            is_fatal=fault.kind is Kind.AUTH,
            retry_after=reply.retry_after,
        )

    def _authorize(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token.reveal()}"}


class Upload:
    """The JSON body of a submission, its pictures encoded piece by piece from their one buffer."""

    def __init__(self, request: Request, external_task_id: str) -> None:
        # Drawn at random, the marks cannot stand in anything that a user gives.
        marks = [secrets.token_hex(16) for _ in request.pictures]
        text = json.dumps(request.shape_body(external_task_id, tuple(marks)))
        self._pieces: list[tuple[bytes, bytes]] = []
        for mark, picture in zip(marks, request.pictures, strict=True):
            before, _, text = text.partition(mark)
            if picture.content is None:
                before += json.dumps(picture.url)[1:-1]
            self._pieces.append((before.encode(), picture.content or b""))
        self._end = text.encode()

    @property
    def length(self) -> int:
        """The exact number of bytes that the pieces have."""
        pictures = sum(len(before) + _measure(content) for before, content in self._pieces)
        return pictures + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        for before, content in self._pieces:
            yield before
            view = memoryview(content)
            for start in range(0, len(content), _PIECE):
                # No `data:` prefix and no line breaks: the service takes neither.
                yield base64.b64encode(view[start : start + _PIECE])
        yield self._end


def _measure(content: bytes) -> int:
    return (len(content) + 2) // 3 * 4


def _tell_failed_send(error: ExchangeError) -> Declined:
    if not error.sent:
        return Declined(
            event=Event.NOT_SENT,
            error=UnreachableError(
                "not_sent",
                f"{error.reason}; nothing was sent, nothing charged.",
                hint="The same command is safe. kling config list shows the base URL in force.",
            ),
        )
    return Declined(
        event=Event.AMBIGUOUS,
        error=UnknownError("reply_lost", f"The reply was lost: {error.reason}.", charged="maybe"),
    )


def _miss_id(reply: Reply) -> UnknownError:
    return UnknownError(
        "bad_response",
        f"The service answered without a task id: {reply.text[:200]}",
        charged="maybe",
        http_status=reply.status,
    )


def _tell_failed_look(fault: Fault) -> UnreachableError:
    said = f": {fault.message}" if fault.message and not fault.is_page else ""
    leads = f", a redirect to {fault.location}" if fault.location else ""
    return UnreachableError(
        "unreachable",
        f"The service could not tell about the task (HTTP {fault.http_status}{leads}{said}).",
        http_status=fault.http_status,
        service_code=fault.service_code,
        request_id=fault.request_id,
    )


def _read_look(reply: Reply, task: Task | None, *, ids: set[str]) -> Look:
    if task is None or not ids & collect_ids(reply.body):
        return Look(
            is_refused=True,
            error=RefusedError(
                "bad_response",
                "The service answered about another task, or about none.",
                http_status=reply.status,
            ),
            retry_after=reply.retry_after,
        )
    return Look(task=task, retry_after=reply.retry_after)
