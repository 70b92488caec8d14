"""The played servers and the clock do what they say, and their strictness can fail."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import pytest
from ground import openapi, steps, tls
from ground.clock import START, VirtualClock
from ground.fault_server import FaultServer
from ground.loopback import reset_on_close
from ground.replies import DROP, RESET, Reply, accept
from ground.service import VIDEO, LoopbackService
from ground.shop import Deduplicate, Rules
from openapi_spec_validator import validate

PICTURE = b"\xff\xd8 a picture"
IMAGE = base64.b64encode(PICTURE).decode()
PICTURE_NAME = f"sha256:{hashlib.sha256(PICTURE).hexdigest()}"
HEADERS = {"Authorization": "Bearer sk-test", "Content-Type": "application/json"}
PATH = "/kling/v1/videos/effects"


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body, decoded."""
        return cast("dict[str, Any]", json.loads(self.body))

    @property
    def task(self) -> dict[str, Any]:
        """The task in the envelope."""
        return cast("dict[str, Any]", self.json["data"])


class Client:
    """One kept-alive connection."""

    def __init__(self, port: int, *, context: ssl.SSLContext | None = None) -> None:
        self.link = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            if context is None
            else http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.link.close()

    def ask(
        self,
        method: str,
        path: str = PATH,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = HEADERS,
    ) -> Got:
        """Send a request and read its answer."""
        self.link.request(method, path, body=body, headers=dict(headers))
        response = self.link.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        return Got(status=response.status, headers=told, body=response.read())

    def create(self, own_id: str = "kling-1", *, image: str = IMAGE) -> Got:
        """Order a squish."""
        return self.ask("POST", body=write_order(own_id, image=image))

    def look(self, wanted: str) -> Got:
        """Look at a task."""
        return self.ask("GET", f"{PATH}/{wanted}")


def write_order(own_id: str = "kling-1", *, image: str = IMAGE, **stray: object) -> bytes:
    """Write the body of a valid create request, and whatever is to spoil it."""
    fields = {"model_name": "kling-v1-6", "image": image, "duration": "5"}
    order = {"effect_scene": "squish", "input": fields, "external_task_id": own_id}
    return json.dumps({**order, **stray}).encode()


def find_port(server: LoopbackService | FaultServer) -> int:
    """Find the port in a server's URL."""
    return int(server.url.rpartition(":")[2])


def check(content: Mapping[str, object]) -> openapi.Order | None:
    """Check a create request's content against the document."""
    return openapi.check_request("POST", PATH, HEADERS, json.dumps(content).encode())


# The document


def test_document_is_valid() -> None:
    """The document is an OpenAPI document itself."""
    text = Path(openapi.__file__).with_name("effects.openapi.json").read_text(encoding="utf-8")
    validate(json.loads(text))


@pytest.mark.parametrize(
    ("scene", "fields"),
    [
        ("squish", {"model_name": "kling-v1-6", "image": IMAGE, "duration": "5"}),
        ("hug", {"images": [IMAGE, "https://example.com/b.jpg"], "duration": "10"}),
        ("hug", {"images": [IMAGE] * 2, "duration": "5", "model_name": "kling-v1", "mode": "pro"}),
        ("let's_ride", {"image": IMAGE}),
        ("hug_pro", {"images": [IMAGE, IMAGE]}),
    ],
    ids=["single", "pair", "pair in full", "one picture", "two pictures"],
)
def test_documented_forms_pass(scene: str, fields: dict[str, object]) -> None:
    """Each documented form of a request passes, and is told with hashes for its pictures."""
    order = check({"effect_scene": scene, "input": fields})
    assert order is not None
    assert (order.effect_scene, set(order.images) - {PICTURE_NAME}) in [
        (scene, set()),
        (scene, {"https://example.com/b.jpg"}),
    ]
    assert order.input.keys() == fields.keys()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ({"stray": 1}, "'stray' was unexpected"),
        ({"effect_scene": ""}, "effect_scene"),
        ({"effect_scene": "hug"}, "'images' is a required property"),
        ({"callback_url": "/relative"}, "callback_url"),
        ({"external_task_id": ""}, "external_task_id"),
        ({"input": {"image": IMAGE}}, "'model_name' is a required property"),
        ({"input": "squish"}, "not of type 'object'"),
    ],
    ids=["stray", "no scene", "wrong form", "callback", "own id", "incomplete", "no object"],
)
def test_broken_orders_are_named(spoil: dict[str, object], reason: str) -> None:
    """A request that breaks the document is refused with the reason."""
    with pytest.raises(AssertionError, match=reason):
        check({**json.loads(write_order()), **spoil})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("duration", 5),
        ("duration", "10"),
        ("model_name", "kling-v1"),
        ("mode", "std"),
        ("image", ""),
        ("image", f"data:image/png;base64,{IMAGE}"),
        ("image", IMAGE[:8] + "\n" + IMAGE[8:]),
        ("image", "photo.jpg"),
    ],
)
def test_broken_fields_are_named(field: str, value: object) -> None:
    """A wrong value in the input is refused; the reason names it."""
    content = json.loads(write_order())
    content["input"][field] = value
    with pytest.raises(AssertionError, match=f"{field}|base64"):
        check(content)


@pytest.mark.parametrize(
    ("images", "duration"), [([IMAGE], "5"), ([IMAGE] * 3, "5"), ([IMAGE] * 2, "7")]
)
def test_broken_pairs_are_refused(images: list[str], duration: str) -> None:
    """Two people are two pictures, for 5 or 10 seconds."""
    with pytest.raises(AssertionError, match=r"input\.(images|duration)"):
        check({"effect_scene": "kiss", "input": {"images": images, "duration": duration}})


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"\xff{}", b'{"input": {}, "input": {}}', b'{"input": NaN}'],
    ids=["empty", "list", "cut", "no UTF-8", "key twice", "NaN"],
)
def test_bodies_must_be_plain_json(body: bytes) -> None:
    """A body that decoders read differently, or not at all, is refused."""
    with pytest.raises(AssertionError):
        openapi.check_request("POST", PATH, HEADERS, body)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("POST", "/v1/videos/text2video", HEADERS, write_order()),
        ("POST", PATH, {"Content-Type": "application/json"}, write_order()),
        ("POST", PATH, {**HEADERS, "Authorization": "Basic sk-test"}, write_order()),
        ("POST", PATH, {**HEADERS, "Content-Type": "text/plain"}, write_order()),
        ("DELETE", f"{PATH}/1", HEADERS, b""),
        ("GET", f"{PATH}/1", {}, b""),
        ("GET", f"{PATH}/1", HEADERS, b"{}"),
        ("GET", f"{PATH}?pageSize=501", HEADERS, b""),
    ],
    ids=["path", "no token", "basic", "type", "method", "look", "look with body", "page"],
)
def test_broken_requests_are_refused(
    method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    """Method, path, token and media type are checked too, and no reason shows the token."""
    with pytest.raises(AssertionError) as caught:
        openapi.check_request(method, path, headers, body)
    assert "sk-test" not in str(caught.value)


def test_looks_pass() -> None:
    """A look and a list pass below any base URL; an id may carry an escaped slash."""
    for path in (f"{PATH}/kling-1", "/v1/videos/effects/a%2Fb", f"{PATH}?pageNum=1&pageSize=500"):
        assert openapi.check_request("GET", path, HEADERS, b"") is None


def test_large_pictures_are_checked_quickly() -> None:
    """A picture of 10 MB is hashed and checked in about the time that decoding it takes."""
    content = os.urandom(10_000_000)
    body = write_order(image=base64.b64encode(content).decode())
    begin = time.process_time()
    order = openapi.check_request("POST", PATH, HEADERS, body)
    assert time.process_time() - begin < 1
    assert order is not None
    assert order.images == (f"sha256:{hashlib.sha256(content).hexdigest()}",)


# The service


def test_purchase_look_and_video() -> None:
    """A task is bought, processing at the first look, done at the second, and its video served."""
    with LoopbackService() as service, Client(find_port(service)) as client:
        created = client.create()
        task_id = str(created.task["task_id"])
        states = [client.look(wanted).task["task_status"] for wanted in (task_id, "kling-1")]
        done = client.look(task_id).task
        assert (created.status, created.json["code"]) == (200, 0)
        assert service.base_url == f"{service.url}/kling"
        assert created.task["task_status"] == "submitted"
        assert states == ["processing", "succeed"]
        assert done["task_info"] == {"external_task_id": "kling-1"}
        url = f"{service.url}/videos/{task_id}.mp4"
        assert done["task_result"] == {
            "videos": [{"id": f"video-{task_id}", "url": url, "duration": "5.041"}]
        }
        whole = client.ask("GET", url.removeprefix(service.url), headers={})
        assert whole.body == VIDEO
        (bought,) = service.ledger
        assert (bought.task_id, bought.external_task_id) == (task_id, "kling-1")
        assert (bought.token, bought.connection, bought.effect_scene) == ("sk-test", 1, "squish")
        assert (bought.shape, bought.images) == (
            ("duration", "image", "model_name"),
            (PICTURE_NAME,),
        )
        assert abs(bought.bought_at - time.time()) < 60
        assert (service.connections, service.count("POST"), service.count("GET")) == (1, 1, 4)
        assert service.requests["GET", f"/v1/videos/effects/{task_id}"] == 2
        assert "authorization" not in service.visits[-1].headers


@pytest.mark.parametrize(
    ("deduplicate", "status", "bought"),
    [("refuse", 400, 1), ("replay", 200, 1), ("ignore", 200, 2)],
)
def test_duplicates(deduplicate: Deduplicate, status: int, bought: int) -> None:
    """An external id that is known is refused, answered with the old task, or bought again."""
    rules = Rules(deduplicate=deduplicate)
    with LoopbackService(rules) as service, Client(find_port(service)) as client:
        first = client.create()
        second = client.create()
        assert (second.status, len(service.ledger)) == (status, bought)
        if deduplicate == "refuse":
            assert second.json["code"] == 1201
        else:
            same = second.task["task_id"] == first.task["task_id"]
            assert same == (deduplicate == "replay")


def test_orders_without_an_own_id_are_never_duplicates() -> None:
    """Two orders without an external id are two purchases."""
    order = json.loads(write_order())
    del order["external_task_id"]
    with LoopbackService() as service, Client(find_port(service)) as client:
        for _ in range(2):
            client.ask("POST", body=json.dumps(order).encode())
        assert [one.external_task_id for one in service.ledger] == [None, None]


def test_lookup_by_external_id_can_be_missing() -> None:
    """A gateway that knows no external ids answers 404 with code 1203, to others it answers."""
    rules = Rules(lookup_by_external_id=False)
    with LoopbackService(rules) as service, Client(find_port(service)) as client:
        task_id = client.create().task["task_id"]
        missing = client.look("kling-1")
        assert (missing.status, missing.json["code"]) == (404, 1203)
        assert client.look(str(task_id)).status == 200


def test_time_concurrency_and_failure() -> None:
    """Tasks end by the clock, as failed where told so, and free their slot."""
    clock = VirtualClock()
    rules = Rules(task_seconds=60, concurrency_limit=1, failure="Image pixel is invalid")
    with LoopbackService(rules, clock=clock.time) as service, Client(find_port(service)) as client:
        task_id = str(client.create("a").task["task_id"])
        busy = client.create("b")
        assert (busy.status, busy.json["code"], service.running) == (429, 1303, 1)
        clock.advance(59.5)
        assert client.look(task_id).task["task_status"] == "processing"
        clock.advance(0.5)
        failed = client.look(task_id).task
        assert failed["task_status"] == "failed"
        assert failed["task_status_msg"] == "Image pixel is invalid"
        assert failed["updated_at"] == (START + 60) * 1000
        assert (service.running, client.create("b").status) == (0, 200)


def test_list_is_newest_first() -> None:
    """The list answers one page of tasks and counts as no look."""
    with LoopbackService() as service, Client(find_port(service)) as client:
        ids = [client.create(own).task["task_id"] for own in ("a", "b", "c")]
        page = client.ask("GET", f"{PATH}?pageNum=2&pageSize=2").json["data"]
        assert [(one["task_id"], one["task_status"]) for one in page] == [(ids[0], "processing")]
        assert client.look("a").task["task_status"] == "processing"


def test_only_one_token_is_taken() -> None:
    """Where one token is fixed, another is refused with 401 and buys nothing."""
    with LoopbackService(token="sk-other") as service, Client(find_port(service)) as client:  # noqa: S106 - made up
        refused = client.create()
        assert (refused.status, refused.json["code"], service.ledger) == (401, 1002, [])


def test_scripted_answers_come_first() -> None:
    """Scripted answers are used once each, literally, before the service's own."""
    with LoopbackService() as service, Client(find_port(service)) as client:
        service.on_create(Reply(status=503, headers={"X-Tried": "1"}, body=b"<html>"), times=2)
        told = {"Content-Type": "text/json"}
        service.on_look(
            Reply(json=lambda one: {"id": one and one.task_id}, delay=0.05, headers=told)
        )
        tried = [client.create().status for _ in range(3)]
        assert tried == [503, 503, 200]
        begin = time.monotonic()
        looked = client.look("kling-1")
        assert looked.json == {"id": service.ledger[0].task_id}
        assert looked.headers["content-type"] == "text/json"
        assert time.monotonic() - begin >= 0.05
        assert client.look("kling-1").task["task_status"] == "processing"
        assert (len(service.ledger), service.connections) == (1, 1)


@pytest.mark.parametrize("purchase", [True, False])
def test_replies_are_lost(purchase: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A connection is dropped or reset without a reply, with a purchase or without."""
    with LoopbackService() as service:
        for reply, error in (
            (DROP, http.client.RemoteDisconnected),
            (RESET, ConnectionResetError),
        ):
            service.on_create(reply, purchase=purchase)
            with Client(find_port(service)) as client, pytest.raises(error) as caught:
                client.create(reply.ending)
            assert isinstance(caught.value, http.client.RemoteDisconnected) == (reply is DROP)
        bought = [one.external_task_id for one in service.ledger]
        assert bought == (["drop", "reset"] if purchase else [])


def test_lengths_can_lie() -> None:
    """A scripted Content-Length is sent as it stands and the connection closed behind it."""
    with LoopbackService() as service, Client(find_port(service)) as client:
        service.on_create(Reply(headers={"Content-Length": "100"}, body=b"{"))
        with pytest.raises(http.client.IncompleteRead):
            client.create()


def test_files_are_served_in_parts() -> None:
    """Files and videos come with an ETag, from a byte on, or whole where they have changed."""
    with LoopbackService(video=b"0123456789") as service, Client(find_port(service)) as client:
        path = f"/videos/{client.create().task['task_id']}.mp4"
        service.publish("/photo.jpg", PICTURE)
        tag = client.ask("HEAD", path, headers={}).headers["etag"]
        part = client.ask("GET", path, headers={"Range": "bytes=4-", "If-Range": tag})
        inner = client.ask("GET", path, headers={"Range": "bytes=4-5"})
        stale = client.ask("GET", path, headers={"Range": "bytes=4-", "If-Range": '"old"'})
        beyond = client.ask("GET", path, headers={"Range": "bytes=10-"})
        photo = client.ask("GET", "/photo.jpg?signed", headers={})
        assert (part.status, part.body) == (206, b"456789")
        assert part.headers["content-range"] == "bytes 4-9/10"
        assert (inner.body, stale.status, stale.body) == (b"45", 200, b"0123456789")
        assert (beyond.status, photo.body) == (416, PICTURE)
        assert client.ask("GET", "/videos/1.mp4", headers={}).status == 404


def test_expected_paths_and_videos_are_scripted() -> None:
    """A path outside the API can be expected, and a video's answer replaced."""
    with LoopbackService() as service, Client(find_port(service)) as client:
        service.on_path("GET", "/v1/dashboard/billing/usage", Reply(json={"total_usage": 1.0}))
        service.on_video(Reply(status=403, ending="close"))
        usage = client.ask("GET", "/v1/dashboard/billing/usage")
        video = client.ask("GET", "/videos/1.mp4", headers={})
        assert (usage.json, video.status) == ({"total_usage": 1.0}, 403)


def test_many_clients_at_once() -> None:
    """Fifty parallel clients with one external id make one purchase; nothing is miscounted."""
    results: list[int] = []
    with LoopbackService() as service:

        def buy() -> None:
            with Client(find_port(service)) as client:
                results.append(client.create().status)
                results.append(client.create(threading.current_thread().name).status)

        threads = [threading.Thread(target=buy) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (results.count(200), results.count(400)) == (51, 49)
        assert (len(service.ledger), service.connections, service.count("POST")) == (51, 50, 100)
        assert len({one.task_id for one in service.ledger}) == 51


def test_cut_uploads_buy_nothing() -> None:
    """A request that ends in its middle is noted as incomplete; it buys nothing, no breach."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with LoopbackService() as service:
        with socket.create_connection(("127.0.0.1", find_port(service))) as link:
            link.sendall(head.encode() + b"{")
            link.shutdown(socket.SHUT_WR)
            assert link.recv(1) == b""
        with socket.create_connection(("127.0.0.1", find_port(service))) as link:
            link.sendall(head.encode() + b"{")
            while service.connections < 2:
                time.sleep(0.001)
            reset_on_close(link)
        while service.count("POST") < 2:
            time.sleep(0.001)
        assert [visit.complete for visit in service.visits] == [False, False]
        assert (service.visits[0].size, service.ledger) == (1, [])


def test_closing_is_quick() -> None:
    """Leaving the context cuts idle connections and delays short."""
    with LoopbackService() as service, Client(find_port(service)) as idle:
        idle.create()
        service.on_look(Reply(delay=60))
        with socket.create_connection(("127.0.0.1", find_port(service))) as link:
            link.sendall(f"GET {PATH}/1 HTTP/1.1\r\nAuthorization: Bearer x\r\n\r\n".encode())
            while service.count("GET") == 0:
                time.sleep(0.001)
            begin = time.monotonic()
            service.__exit__(None, None, None)
    assert time.monotonic() - begin < 1


def send_stray(service: LoopbackService) -> None:
    """Create with a stray field."""
    with Client(find_port(service)) as client:
        assert client.ask("POST", body=write_order(stray=1)).status == 400


def send_data_url(service: LoopbackService) -> None:
    """Create with a data: prefix."""
    with Client(find_port(service)) as client:
        assert client.create(image=f"data:image/jpeg;base64,{IMAGE}").status == 400


def send_chunks(service: LoopbackService) -> None:
    """Create without a length."""
    # The reply itself may be lost: the server closes on chunks that it has not read.
    with Client(find_port(service)) as client, contextlib.suppress(ConnectionError):
        client.link.request("POST", PATH, iter([write_order()]), HEADERS, encode_chunked=True)
        assert client.link.getresponse().status == 400


def call_elsewhere(service: LoopbackService) -> None:
    """Call a path that nobody expects."""
    with Client(find_port(service)) as client:
        assert client.ask("GET", "/task/1").status == 404


def leak_token(service: LoopbackService) -> None:
    """Send the token along for a video."""
    with Client(find_port(service)) as client:
        client.ask("GET", f"/videos/{client.create().task['task_id']}.mp4")


def leave_script(service: LoopbackService) -> None:
    """Script more answers than are asked for."""
    service.on_look(Reply(), times=2)


def fail_inside(service: LoopbackService) -> None:
    """Make the server itself fail."""
    service.on_create(Reply(json=accept))
    with Client(find_port(service)) as client, pytest.raises(http.client.RemoteDisconnected):
        client.create()


def leave_and_fail(service: LoopbackService) -> None:
    """Fail for a reason of the test's own, with scripts left."""
    leave_script(service)
    assert service.ledger[0]


@pytest.mark.parametrize(
    ("misuse", "reason"),
    [
        (send_stray, "'stray' was unexpected"),
        (send_data_url, "strict base64"),
        (send_chunks, "without Content-Length"),
        (call_elsewhere, "unexpected call: GET /task/1"),
        (leak_token, "a token went to the file"),
        (leave_script, "2 unused for look"),
        (fail_inside, "the played server failed"),
    ],
)
def test_service_is_strict(misuse: Callable[[LoopbackService], None], reason: str) -> None:
    """What a client must never do fails the test on leaving the context."""
    with pytest.raises(AssertionError, match=reason), LoopbackService() as service:
        misuse(service)


def test_strictness_does_not_hide_the_first_error() -> None:
    """A test's own failure stays the failure; the complaint stands beside it."""
    with pytest.raises(IndexError) as caught, LoopbackService() as service:
        leave_and_fail(service)
    assert "2 unused for look" in caught.value.__notes__[0]


# The fault server


def test_kept_alive_connection_answers_several_times() -> None:
    """A script reads and answers several requests on one connection, and keeps their bytes."""
    script = (
        *(steps.read_request, steps.buy, steps.answer(Reply(json=accept))),
        *(steps.read_head, steps.trickle(Reply(json=[1]).frame(), interval=0.0005, size=9)),
    )
    with FaultServer(script) as server, Client(server.port) as client:
        created = client.create()
        assert client.look("kling-1").body == b"[1]"
        assert created.task["task_id"] == server.ledger[0].task_id
        first, second = server.requests
        assert server.base_url == f"http://127.0.0.1:{server.port}/kling"
        assert first.raw.startswith(f"POST {PATH} HTTP/1.1\r\n".encode())
        assert first.raw.endswith(b"\r\n\r\n" + write_order())
        assert (second.method, second.target) == ("GET", f"{PATH}/kling-1")
        assert (server.connections, server.ledger[0].images) == (1, (PICTURE_NAME,))


def test_reset_in_the_upload_may_have_bought() -> None:
    """A reset in mid-upload reaches the client; what had arrived is in the ledger."""
    body = write_order(image=IMAGE * 40_000)
    start = b'{"effect_scene": "squish", "external_task_id": "kling-7", ' + body[1:]
    script = (steps.read_head, steps.read_body(1000), steps.buy, steps.reset)
    with FaultServer(script) as server, Client(server.port) as client:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.ask("POST", body=start)
        (bought,) = server.ledger
        assert (bought.external_task_id, bought.effect_scene) == ("kling-7", "squish")
        assert (bought.token, bought.images) == ("sk-test", ())
        assert len(server.requests[0].body) == 1000


def test_service_goes_on_behind_the_faults() -> None:
    """A late purchase behind a lost reply is met by look-ups at the service, in one ledger."""
    script = (steps.read_request, steps.close, steps.sleep(0.02), steps.buy)
    with LoopbackService() as service, FaultServer(script, service=service) as server:
        with Client(server.port) as client, pytest.raises(http.client.RemoteDisconnected):
            client.create()
        with Client(server.port) as client:
            while client.look("kling-1").status == 404:
                time.sleep(0.005)
            assert client.look("kling-1").task["task_status"] == "succeed"
        assert server.ledger == service.ledger
        assert (len(server.ledger), server.connections, service.connections) == (1, 2, 1)


def test_service_goes_on_within_a_connection() -> None:
    """A script may leave the rest of its connection to the service."""
    script = (steps.read_request, steps.answer(Reply(status=503)), steps.serve)
    with LoopbackService() as service, FaultServer(script, service=service) as server:
        with Client(server.port) as client:
            assert [client.create().status, client.create().status] == [503, 200]
        assert len(service.ledger) == 1


def test_connection_is_held_until_released() -> None:
    """A held connection is silent until the server releases it."""
    script = (steps.hold, steps.send(b"HTTP/1.1 204 No Content\r\n\r\n"))
    with (
        FaultServer(script) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=0.02) as link,
    ):
        server.wait_until_held()
        with pytest.raises(TimeoutError):
            link.recv(1)
        server.release()
        link.settimeout(5)
        assert link.recv(100) == b"HTTP/1.1 204 No Content\r\n\r\n"
        assert link.recv(100) == b""


@pytest.mark.parametrize("step", [steps.hold, steps.sleep(60), steps.read_head])
def test_fault_server_closes_quickly(step: steps.Step) -> None:
    """Leaving the context ends whatever a script is waiting for."""
    begin = time.monotonic()
    with (
        FaultServer((step,)) as server,
        socket.create_connection(("127.0.0.1", server.port)),
    ):
        while not server.connections:
            time.sleep(0.001)
    assert time.monotonic() - begin < 1


def test_early_answer_arrives() -> None:
    """An answer in the middle of an upload reaches a client that goes on writing."""
    script = (steps.read_head, steps.answer(Reply(status=413)), steps.drain)
    with FaultServer(script) as server, Client(server.port) as client:
        assert client.create(image=IMAGE * 200_000).status == 413


def test_other_paths_are_not_checked() -> None:
    """A fault server can play a proxy or a picture host: only the API's paths are checked."""
    script = (steps.read_request, steps.answer(Reply(status=407, ending="close")))
    with FaultServer(script) as server, Client(server.port) as client:
        assert client.ask("CONNECT", "api.example:443", headers={}).status == 407


def test_answers_can_be_endings() -> None:
    """The endings that a reply may have work in a script too."""
    scripts = [(steps.read_head, steps.answer(reply)) for reply in (DROP, RESET)]
    with FaultServer(*scripts) as server:
        with Client(server.port) as client, pytest.raises(http.client.RemoteDisconnected):
            client.look("1")
        with Client(server.port) as client, pytest.raises(ConnectionResetError) as caught:
            client.look("1")
        assert not isinstance(caught.value, http.client.RemoteDisconnected)


@pytest.mark.parametrize("flaw", [None, "expired", "wrong host", "unknown authority"])
def test_certificates(flaw: tls.Flaw | None, tmp_path: Path) -> None:
    """A client that trusts our authority takes the good certificate and refuses each other one."""
    context = ssl.create_default_context(cafile=str(tls.write_authority(tmp_path)))
    scripts = () if flaw else ((steps.read_request, steps.answer(Reply(json=[]))),)
    refusal = pytest.raises(ssl.SSLCertVerificationError) if flaw else contextlib.nullcontext()
    with (
        FaultServer(*scripts, tls=tls.make_context(flaw)) as server,
        Client(server.port, context=context) as client,
        refusal,
    ):
        assert client.create().body == b"[]"
    assert server.failed_handshakes == (flaw is not None)
    assert server.url.startswith("https://")


def test_tls_connection_goes_on_at_the_service(tmp_path: Path) -> None:
    """The service answers over TLS behind a fault server."""
    context = ssl.create_default_context(cafile=str(tls.write_authority(tmp_path)))
    with (
        LoopbackService() as service,
        FaultServer(service=service, tls=tls.make_context()) as server,
        Client(server.port, context=context) as client,
    ):
        assert client.create().status == 200
        assert client.look("kling-1").status == 200


def connect(server: FaultServer) -> None:
    """Open a connection and wait until the server ends it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as link:
        link.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert link.recv(1) == b""


def break_document(server: FaultServer) -> None:
    """Create with a stray field."""
    with Client(server.port) as client:
        client.ask("POST", body=write_order(stray=1))


def do_nothing(_server: FaultServer) -> None:
    """Leave the server alone."""


@pytest.mark.parametrize(
    ("misuse", "scripts", "reason"),
    [
        (do_nothing, [()], "scripts left unused: 1"),
        (connect, [], "no script"),
        (connect, [(steps.read_head, steps.serve)], "only a service can go on"),
        (connect, [(steps.buy,)], "a script failed: IndexError"),
        (break_document, [(steps.read_request, steps.answer(Reply()))], "'stray' was unexpected"),
    ],
    ids=["unused", "unexpected", "no service", "no request", "document"],
)
def test_fault_server_is_strict(
    misuse: Callable[[FaultServer], None], scripts: list[steps.Script], reason: str
) -> None:
    """Scripts and connections that do not match, and broken requests, fail the test."""
    with pytest.raises(AssertionError, match=reason), FaultServer(*scripts) as server:
        misuse(server)


def test_fault_server_does_not_hide_the_first_error() -> None:
    """A test's own failure stays the failure; the complaint stands beside it."""
    with pytest.raises(KeyError) as caught, FaultServer(()):
        raise KeyError
    assert "scripts left unused" in caught.value.__notes__[0]


# The clock


def test_virtual_clock_passes_only_by_sleep() -> None:
    """An hour of sleep takes no time; both clocks move alike, and the date alone can be shifted."""
    clock, begin = VirtualClock(), time.monotonic()
    assert (clock.monotonic(), clock.time()) == (0, START)
    assert time.gmtime(START)[:4] == (2026, 11, 22, 0)
    clock.sleep(3600)
    clock.advance(1)
    clock.shift_date(-86_400)
    assert (clock.monotonic(), clock.time()) == (3601, START + 3601 - 86_400)
    assert list(clock.sleeps) == [3600]
    assert time.monotonic() - begin < 1
    with pytest.raises(ValueError, match="non-negative"):
        clock.sleep(-1)


def test_virtual_clock_is_shared_by_threads() -> None:
    """No sleep of any thread is lost."""
    clock = VirtualClock()

    def sleep_often() -> None:
        for _ in range(50):
            clock.sleep(1)

    threads = [threading.Thread(target=sleep_often) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (clock.monotonic(), len(clock.sleeps)) == (400, 400)


def test_virtual_chance_is_fixed_and_spread() -> None:
    """Two clocks draw the same numbers in [0, 1), and ten draws meet every fifth of the range."""
    one, other = VirtualClock(), VirtualClock()
    drawn = [one.random() for _ in range(10)]
    assert drawn == [other.random() for _ in range(10)]
    assert {int(number * 5) for number in drawn} == set(range(5))
