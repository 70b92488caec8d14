"""The endpoints: what goes out is what the service documents, what comes back is named."""

import base64
import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from ground.fault_server import FaultServer
from ground.replies import DROP, Reply, describe, refuse, wrap
from ground.service import LoopbackService
from ground.shop import Rules
from ground.steps import buy, read_request
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_cli import scenes
from kling_cli.api.service import Service, Upload
from kling_cli.errors import ExitCode
from kling_cli.purchase import Declined, Event
from kling_cli.secret import Token
from kling_cli.task import Picture, Request, Task, TaskStatus
from kling_cli.transport.exchange import Transport

TOKEN = Token("sk-test-0123456789abcdef", source="KLING_TOKEN")
OWN_ID = "kling-own-1"
MOVED = Reply(status=302, headers={"Location": "https://other.example/login?secret"})
# Between encoded pieces there must be no padding, so sizes around a piece's matter most.
PIECE = 3 * 64 * 1024


def make_request(*contents: bytes, callback_url: str | None = None) -> Request:
    """Make a request of one picture or two."""
    return Request(
        base_url="https://service.example",
        scene=scenes.find("hug" if len(contents) > 1 else "squish"),
        pictures=tuple(
            Picture(source="photo.jpg", kind="file", content=content) for content in contents
        ),
        model="kling-v1-6",
        duration="5",
        callback_url=callback_url,
    )


def ask(base_url: str, *, look_seconds: float = 20) -> Service:
    """Open the service at a base URL."""
    return Service(
        Transport(environ={}),
        base_url=base_url,
        token=TOKEN,
        answer_seconds=20,
        look_seconds=look_seconds,
    )


def submit(base_url: str, request: Request | None = None) -> Task | Declined:
    """Submit a request, small if not given."""
    with closing(ask(base_url)) as service:
        return service.submit(
            request or make_request(b"picture"), OWN_ID, before_first_byte=lambda: None
        )


@pytest.fixture
def loopback() -> Iterator[LoopbackService]:
    """The service, which takes one token only."""
    with LoopbackService(Rules(looks_until_done=1), token=TOKEN.reveal()) as service:
        yield service


# --- what goes out ------------------------------------------------------------------------------


@st.composite
def picture_bytes(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a picture, from none to some 400 kB, often near the end of a piece."""
    near = [size + more for size in (0, PIECE, 2 * PIECE) for more in range(4)]
    size = draw(st.integers(0, 400_000) | st.sampled_from(near))
    seed = draw(st.binary(min_size=4, max_size=4))
    return (seed * (size // 4 + 1))[:size]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(picture_bytes(), min_size=1, max_size=2),
    st.none() | st.just('https://me.example/back?a=%22"é'),
)
def test_a_body_in_pieces_is_the_plain_json(
    contents: list[bytes], callback_url: str | None
) -> None:
    """Byte for byte, the body is what `json` would write, and as long as it says it is."""
    request = make_request(*contents, callback_url=callback_url)
    encoded = tuple(base64.b64encode(content).decode() for content in contents)
    plain: dict[str, object] = {
        "effect_scene": request.scene.name,
        "input": request.shape_input(encoded),
    }
    if callback_url is not None:
        plain["callback_url"] = callback_url
    plain["external_task_id"] = OWN_ID
    upload = Upload(request, OWN_ID)
    body = b"".join(upload)
    assert body == json.dumps(plain).encode()
    assert upload.length == len(body)
    assert b"".join(upload) == body


def test_a_picture_by_url_is_sent_as_it_is() -> None:
    """A URL goes out as the user gave it, its query included, whatever stands in it."""
    urls = ['https://a.example/é"\\.jpg?sig=%2B+/', "https://b.example/x.png"]
    request = Request(
        base_url="https://service.example",
        scene=scenes.find("hug"),
        pictures=tuple(Picture(source=url, kind="url", url=url) for url in urls),
    )
    body = json.loads(b"".join(Upload(request, OWN_ID)))
    assert body["input"]["images"] == urls


def test_an_accepted_request_becomes_a_task(loopback: LoopbackService) -> None:
    """One POST buys one task, with the id by which it can be looked up."""
    task = submit(loopback.base_url)
    assert isinstance(task, Task)
    (purchase,) = loopback.ledger
    assert (task.task_id, task.status) == (purchase.task_id, TaskStatus.SUBMITTED)
    assert purchase.external_task_id == task.external_task_id == OWN_ID
    assert loopback.count("POST") == 1


def test_submission_and_looks_share_a_connection(loopback: LoopbackService) -> None:
    """One connection lasts from the submission over all looks."""
    with closing(ask(loopback.base_url)) as service:
        task = service.submit(make_request(b"x"), OWN_ID, before_first_byte=lambda: None)
        assert isinstance(task, Task)
        looks = [service.look(str(task.task_id)), service.look(OWN_ID)]
    assert [look.task and look.task.status for look in looks] == ["processing", "succeed"]
    assert loopback.connections == 1


# --- what a submission comes to -----------------------------------------------------------------


REFUSALS = [
    (refuse(400, 1201, "bad"), Event.REFUSED, ExitCode.REFUSED),
    (refuse(401, 1002, "bad"), Event.REFUSED, ExitCode.AUTH),
    (refuse(429, 1101, "bad"), Event.REFUSED, ExitCode.LATER),
    (refuse(429, 1303, "full"), Event.BUSY, ExitCode.LATER),
]
DOUBTS = [
    (refuse(400, 1201, "external_task_id already exists"), Event.DUPLICATE),
    (refuse(500, 5000, "oh"), Event.AMBIGUOUS),
    (Reply(json=wrap({"task_status": "submitted"})), Event.AMBIGUOUS),
    (Reply(json=wrap(None)), Event.AMBIGUOUS),
    (Reply(json=wrap({"task_id": "../x"})), Event.AMBIGUOUS),
    (MOVED, Event.AMBIGUOUS),
    (Reply(status=204), Event.AMBIGUOUS),
    (Reply(status=206, json=wrap({"task_id": "815"})), Event.AMBIGUOUS),
    (DROP, Event.AMBIGUOUS),
]


def name_reply(value: object) -> str | None:
    """Name a reply in the report of a test."""
    if not isinstance(value, Reply):
        return None
    return f"{value.status} {value.json or value.body or value.ending}"


@pytest.mark.parametrize(("reply", "event", "exit_code"), REFUSALS, ids=name_reply)
def test_what_is_clearly_stated_costs_nothing(
    loopback: LoopbackService, reply: Reply, event: Event, exit_code: ExitCode
) -> None:
    """A refusal and a full queue are told apart, and neither was charged."""
    loopback.on_create(reply)
    declined = submit(loopback.base_url)
    assert isinstance(declined, Declined)
    assert (declined.event, declined.error.exit_code) == (event, exit_code)
    assert declined.error.charged == "no"


@pytest.mark.parametrize(("reply", "event"), DOUBTS, ids=name_reply)
def test_all_else_is_in_doubt(loopback: LoopbackService, reply: Reply, event: Event) -> None:
    """What may have been accepted is never called a refusal (faults 24, 26, 31, 36)."""
    loopback.on_create(reply)
    declined = submit(loopback.base_url)
    assert isinstance(declined, Declined)
    assert (declined.event, declined.error.exit_code) == (event, ExitCode.UNKNOWN)
    assert declined.error.charged == "maybe"


def test_a_redirect_names_its_target(loopback: LoopbackService) -> None:
    """The host that it leads to is shown, its path and query are not (fault 26)."""
    loopback.on_create(MOVED)
    declined = submit(loopback.base_url)
    assert isinstance(declined, Declined)
    assert "It leads to other.example. " in declined.error.message
    assert "secret" not in declined.error.message


def test_an_answer_with_the_external_id_alone_is_in_doubt(loopback: LoopbackService) -> None:
    """A task without an id of its own cannot be followed: it is looked up (fault 36)."""
    loopback.on_create(Reply(json=wrap({"task_info": {"external_task_id": OWN_ID}})))
    declined = submit(loopback.base_url)
    assert isinstance(declined, Declined)
    assert declined.event is Event.AMBIGUOUS
    assert "without a task id" in declined.error.message


def test_what_was_not_sent_says_so() -> None:
    """Where nobody listens, nothing was sent and nothing charged (fault 2)."""
    with FaultServer() as server:
        pass
    declined = submit(server.base_url)
    assert isinstance(declined, Declined)
    assert (declined.event, declined.error.code) == (Event.NOT_SENT, "not_sent")
    assert declined.error.message.endswith("nothing was sent, nothing charged.")
    assert declined.error.charged == "no"


def test_a_busy_service_names_its_pause(loopback: LoopbackService) -> None:
    """Retry-After comes with the refusal (fault 19)."""
    loopback.on_create(Reply(status=429, headers={"Retry-After": "7"}))
    declined = submit(loopback.base_url)
    assert isinstance(declined, Declined)
    assert (declined.event, declined.retry_after) == (Event.BUSY, 7.0)


def test_the_first_byte_of_a_lost_reply_is_told_before() -> None:
    """The step is taken once, before the service can know of the request (fault 7)."""
    steps: list[int] = []
    with FaultServer((read_request, buy)) as server, closing(ask(server.base_url)) as service:
        declined = service.submit(
            make_request(b"x"), OWN_ID, before_first_byte=lambda: steps.append(len(server.ledger))
        )
        assert len(server.ledger) == 1
    assert steps == [0]
    assert isinstance(declined, Declined)
    assert (declined.event, declined.error.code) == (Event.AMBIGUOUS, "reply_lost")


# --- what a look comes to -----------------------------------------------------------------------


VERDICTS = [
    (refuse(404, 1203, "task not found"), "not_found"),
    (refuse(401, 1002, "bad token"), "token_refused"),
    (refuse(403, 1103, "no right"), "permission_denied"),
]
FAILED_LOOKS = [
    (refuse(500, 5000, "oh"), "unreachable"),
    (refuse(429, 1302, "slower"), "unreachable"),
    (Reply(status=502, body=b"<html>Bad gateway</html>"), "unreachable"),
    (Reply(body=b"\xff"), "unreachable"),
    (MOVED, "unreachable"),
    (DROP, "unreachable"),
    (Reply(json=wrap({"task_id": "816", "task_status": "succeed"})), "bad_response"),
    (Reply(json=wrap({})), "bad_response"),
]


@pytest.mark.parametrize(("reply", "code"), [*VERDICTS, *FAILED_LOOKS], ids=name_reply)
def test_a_failed_look_is_no_verdict(loopback: LoopbackService, reply: Reply, code: str) -> None:
    """Only a refused token and a missing task mean anything (faults 11, 30, 41)."""
    loopback.on_look(reply)
    with closing(ask(loopback.base_url)) as service:
        look = service.look("815")
    assert look.task is None
    assert look.error is not None
    assert look.error.code == code
    assert look.is_missing is (code == "not_found")
    assert look.is_fatal is (code in {"token_refused", "permission_denied"})


def test_a_page_is_not_quoted_at_every_look(loopback: LoopbackService) -> None:
    """A failed look is one short line, with the service's words but no page's."""
    page = b"<html><title>Bad gateway</title></html>"
    loopback.on_look(refuse(500, 5000, "internal trouble"))
    loopback.on_look(Reply(status=502, body=page, headers={"Retry-After": "9"}))
    loopback.on_look(MOVED)
    with closing(ask(loopback.base_url)) as service:
        looks = [service.look("815") for _ in range(3)]
    assert [look.error and look.error.message for look in looks] == [
        "The service could not tell about the task (HTTP 500: internal trouble).",
        "The service could not tell about the task (HTTP 502).",
        "The service could not tell about the task (HTTP 302, a redirect to other.example).",
    ]
    assert [look.retry_after for look in looks] == [None, 9.0, None]


def test_an_id_is_quoted_into_the_path(loopback: LoopbackService) -> None:
    """No id changes which address is asked (fault 36)."""
    with closing(ask(loopback.base_url)) as service:
        assert service.look("a/../b?c#d").is_missing
    (visit,) = loopback.visits
    assert visit.path == "/kling/v1/videos/effects/a%2F..%2Fb%3Fc%23d"


def test_a_look_takes_no_longer_than_it_may(loopback: LoopbackService) -> None:
    """A service that never answers costs a look its own time-out."""
    loopback.on_look(Reply(delay=5, status=500))
    with closing(ask(loopback.base_url, look_seconds=0.2)) as service:
        look = service.look("815")
    assert look.error is not None
    assert look.error.message == "No answer: no full answer came in time."


def test_another_id_of_the_same_task_will_do(loopback: LoopbackService) -> None:
    """A relay may answer with the external id alone (fault 41)."""
    loopback.on_look(
        Reply(json=wrap({"task_status": "processing", "task_info": {"external_task_id": OWN_ID}}))
    )
    with closing(ask(loopback.base_url)) as service:
        look = service.look("815", OWN_ID)
    assert look.task is not None
    assert look.task.status is TaskStatus.PROCESSING


def test_a_finished_task_comes_with_its_video(loopback: LoopbackService) -> None:
    """What a look tells is the task as the service describes it."""
    task = submit(loopback.base_url)
    assert isinstance(task, Task)
    (purchase,) = loopback.ledger
    loopback.on_look(
        Reply(json=wrap(describe(purchase, "succeed", video_url="https://v.example/1")))
    )
    with closing(ask(loopback.base_url)) as service:
        look = service.look(str(task.task_id))
    assert look.task is not None
    assert [video.url for video in look.task.videos] == ["https://v.example/1"]
