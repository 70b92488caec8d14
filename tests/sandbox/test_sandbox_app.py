import json
from pathlib import Path
from urllib.parse import quote
from urllib.request import url2pathname

import pytest
from sandbox_caller import ROUTE, Clock, Service, encode, make_png, make_request

from kling_cli.sandbox.app import LARGEST_BODY


def test_a_submission_is_answered_in_the_native_envelope(tmp_path: Path) -> None:
    """An accepted request comes back with ids as strings and times in milliseconds."""
    reply = Service(tmp_path).create(external_task_id="mine-1")
    task = reply.data
    assert reply.status == 200
    assert reply.json["message"] == "SUCCEED"
    assert reply.json["request_id"]
    assert isinstance(task["task_id"], str)
    assert task["task_id"].isdecimal()
    assert 18 <= len(task["task_id"]) <= 19
    del task["task_id"]
    assert task == {
        "task_status": "submitted",
        "task_info": {"external_task_id": "mine-1"},
        "created_at": 1_700_000_000_000,
        "updated_at": 1_700_000_000_000,
    }


@pytest.mark.parametrize(
    ("age", "word", "since"),
    [
        (-5.0, "submitted", 0),
        (0.0, "submitted", 0),
        (0.999, "submitted", 0),
        (1.0, "processing", 1000),
        (2.999, "processing", 1000),
        (3.0, "succeed", 3000),
        (9000.0, "succeed", 3000),
    ],
)
def test_a_task_advances_with_the_clock_alone(
    tmp_path: Path, age: float, word: str, since: int
) -> None:
    """A task is submitted for a second, processed until the third, and then done for good."""
    service = Service(tmp_path)
    task_id = service.create().data["task_id"]
    service.clock.time += age
    task = service.look(task_id).data
    assert task["task_status"] == word
    assert task["task_status_msg"] == ""
    assert task["task_info"] == {}
    assert task["updated_at"] == 1_700_000_000_000 + since
    assert bool(task["task_result"]) == (word == "succeed")


def test_a_finished_task_has_a_playable_file_in_process(tmp_path: Path) -> None:
    """A video that never left the process is named as a file that is there."""
    service = Service(tmp_path)
    task_id = service.create().data["task_id"]
    service.clock.time += 3
    (video,) = service.look(task_id).data["task_result"]["videos"]
    assert video["duration"] == "5.041"
    assert video["id"] not in ("", task_id)
    assert video["url"].startswith("file:///")
    assert Path(url2pathname(video["url"].removeprefix("file://"))).stat().st_size > 1000


@pytest.mark.parametrize(
    ("server", "host", "expected"),
    [
        ("127.0.0.1", "localhost:8080", "http://localhost:8080/clip.mp4?task="),
        ("127.0.0.1", "", "http://127.0.0.1:80/clip.mp4?task="),
        ("127.0.0.1", "sandbox.invalid:443", "file:///"),
        ("sandbox.invalid", "elsewhere.example", "file:///"),
    ],
)
def test_the_video_lies_where_the_caller_can_reach_it(
    tmp_path: Path, server: str, host: str, expected: str
) -> None:
    """Over HTTP the video's address is under the host that the caller asked."""
    service = Service(tmp_path, host=server)
    task_id = service.create().data["task_id"]
    service.clock.time += 3
    reply = service.call("GET", f"{ROUTE}/{task_id}", Authorization="Bearer sandbox", Host=host)
    url = reply.data["task_result"]["videos"][0]["url"]
    assert url.startswith(expected)
    assert url.endswith((f"?task={task_id}", "/clip.mp4"))


def test_a_ten_second_effect_says_ten_seconds(tmp_path: Path) -> None:
    """The length of the video follows the duration that was asked for."""
    service = Service(tmp_path)
    pictures = [encode(make_png()), "https://example.com/right.png"]
    task_id = service.create(effect_scene="hug", input={"images": pictures, "duration": "10"}).data[
        "task_id"
    ]
    service.clock.time += 3
    assert service.look(task_id).data["task_result"]["videos"][0]["duration"] == "10.041"


@pytest.mark.parametrize("name", ["mine-1", "é 火/x?y", "Ã©", "100%"])
def test_a_task_is_found_by_its_external_id(tmp_path: Path, name: str) -> None:
    """Any external id finds its task, percent-quoted as a URL needs it."""
    service = Service(tmp_path)
    task_id = service.create(external_task_id=name).data["task_id"]
    assert service.look(quote(name, safe="")).data["task_id"] == task_id


def test_a_caller_may_hand_over_decoded_text(tmp_path: Path) -> None:
    """A transport that puts real text into the path finds the same task."""
    service = Service(tmp_path)
    service.create(external_task_id="火é")
    told = {"Path_Info": f"{ROUTE}/火é", "Authorization": "Bearer sandbox"}
    assert service.call("GET", "/", **told).status == 200


def test_the_service_may_stand_behind_a_base_path(tmp_path: Path) -> None:
    """Every route works under a gateway's base path as well."""
    service = Service(tmp_path)
    told = {"Authorization": "Bearer sandbox"}
    task_id = service.create().data["task_id"]
    assert service.call("GET", f"/kling{ROUTE}/{task_id}", **told).status == 200
    assert service.call("GET", f"/kling{ROUTE}", **told).status == 200
    assert service.call("GET", "/kling/clip.mp4").status == 200


def test_tasks_are_listed_newest_first_by_the_page(tmp_path: Path) -> None:
    """The list is an array of tasks, cut into pages."""
    service = Service(tmp_path)
    ids = [service.create().data["task_id"] for _ in range(3)][::-1]
    assert [task["task_id"] for task in service.list_tasks().data] == ids
    assert [task["task_id"] for task in service.list_tasks("?pageNum=2&pageSize=2").data] == ids[2:]
    assert service.list_tasks("?pageNum=1000&pageSize=500").data == []


@pytest.mark.parametrize(
    "query",
    [
        "pageNum=0",
        "pageNum=1001",
        "pageSize=501",
        "pageSize=x",
        "pageSize=",
        "pageNum=" + "9" * 9000,
    ],
)
def test_a_page_out_of_bounds_is_refused(tmp_path: Path, query: str) -> None:
    """Pages run from 1 to 1000 and sizes from 1 to 500, by the documents."""
    reply = Service(tmp_path).list_tasks(f"?{query}")
    assert reply.verdict == (400, 1201)
    assert query.partition("=")[0] in reply.json["message"]


def test_one_token_never_sees_the_tasks_of_another(tmp_path: Path) -> None:
    """Tasks and external ids belong to a token."""
    service = Service(tmp_path)
    task_id = service.create(external_task_id="same").data["task_id"]
    assert service.look(task_id, "sandbox-slow").verdict == (404, 1203)
    assert service.look("same", "sandbox-slow").verdict == (404, 1203)
    assert service.list_tasks(who="sandbox-slow").data == []
    assert service.create("sandbox-slow", external_task_id="same").status == 200


def test_an_external_id_buys_once(tmp_path: Path) -> None:
    """The second request under an external id is refused, and says why."""
    service = Service(tmp_path)
    assert service.create(external_task_id="mine-1").status == 200
    reply = service.create(external_task_id="mine-1")
    assert reply.verdict == (400, 1201)
    assert "external_task_id 'mine-1' already exists" in reply.json["message"]
    assert len(service.list_tasks().data) == 1


def test_requests_without_an_external_id_are_never_the_same(tmp_path: Path) -> None:
    """The service does not deduplicate: two equal requests are two tasks."""
    service = Service(tmp_path)
    assert service.create().data["task_id"] != service.create().data["task_id"]


def test_an_unknown_task_is_not_found(tmp_path: Path) -> None:
    """An id that nobody has is the documents' 404 with code 1203."""
    reply = Service(tmp_path).look("815336894036197446")
    assert reply.verdict == (404, 1203)
    assert "data" not in reply.json


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", "/v1/videos/text2video"),
        ("POST", f"{ROUTE}s"),
        ("GET", f"{ROUTE}s"),
        ("GET", f"{ROUTE}/"),
        ("POST", f"{ROUTE}/"),
        ("POST", f"{ROUTE}/1"),
        ("PUT", ROUTE),
        ("DELETE", f"{ROUTE}/1"),
        ("POST", "/clip.mp4"),
        ("GET", "/no-clip.mp4"),
    ],
)
def test_a_wrong_path_or_method_is_named(tmp_path: Path, method: str, target: str) -> None:
    """What the service does not offer is the documents' 404 with code 1202."""
    reply = Service(tmp_path).call(method, target, Authorization="Bearer sandbox")
    assert reply.verdict == (404, 1202)


@pytest.mark.parametrize(
    ("header", "code", "words"),
    [
        ("", 1001, "empty"),
        ("Bearer", 1002, "takes the token sandbox"),
        ("Basic sandbox", 1002, "takes the token sandbox"),
        ("Bearer sk-real-token-0123456789", 1002, "takes the token sandbox"),
        ("Bearer sandboxer", 1002, "takes the token sandbox"),
        ("Bearer sandbox-typo", 1002, "lost-reply"),
        ("Bearer sandbox-", 1002, "1303"),
        ("Bearer sandbox-9999", 1002, "1303"),
    ],
)
def test_only_the_sandbox_tokens_are_taken(
    tmp_path: Path, header: str, code: int, words: str
) -> None:
    """A real token is refused, never repeated, and the message says which one to use."""
    service = Service(tmp_path)
    for method, target in (("POST", ROUTE), ("GET", ROUTE), ("GET", f"{ROUTE}/1")):
        reply = service.call(method, target, b"{}", Authorization=header)
        assert reply.verdict == (401, code)
        assert words in reply.json["message"]
        assert "0123456789" not in reply.body.decode()
        assert len(reply.json["message"]) < 500


def test_the_scheme_of_the_authorization_is_read_in_any_case(tmp_path: Path) -> None:
    """`bearer` and spaces around the token are as good as `Bearer`."""
    reply = Service(tmp_path).call("GET", ROUTE, Authorization="  bearer   sandbox ")
    assert reply.status == 200


def test_every_answer_says_that_it_is_the_sandbox(tmp_path: Path) -> None:
    """No answer can be mistaken for the real service's."""
    service = Service(tmp_path)
    replies = [service.create(), service.create("sk-1"), service.create("sandbox-html")]
    replies += [service.call("GET", "/clip.mp4"), service.call("GET", "/nothing")]
    for reply in replies:
        assert reply.headers["X-Kling-Sandbox"] == "1"
        assert reply.headers["Content-Length"] == str(len(reply.body))


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({"Content_Length": str(LARGEST_BODY + 1)}, (413, 1200)),
        ({"Content_Length": "9" * 9000}, (413, 1200)),
        ({"Content_Length": ""}, (411, 1200)),
        ({"Content_Length": "-1"}, (411, 1200)),
        ({"Content_Type": "text/plain"}, (400, 1200)),
        ({"Content_Type": ""}, (400, 1200)),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_before_reading(
    tmp_path: Path, headers: dict[str, str], verdict: tuple[int, int]
) -> None:
    """Too large, of unknown length or no JSON: refused with JSON, nothing stored."""
    service = Service(tmp_path)
    told = {"Authorization": "Bearer sandbox"} | headers
    assert service.call("POST", ROUTE, b"{}", **told).verdict == verdict
    assert service.list_tasks().data == []


def test_the_content_type_may_carry_a_charset(tmp_path: Path) -> None:
    """`application/json; charset=utf-8` is JSON."""
    told = {"Authorization": "Bearer sandbox", "Content_Type": "Application/JSON; charset=utf-8"}
    body = json.dumps(make_request()).encode()
    assert Service(tmp_path).call("POST", ROUTE, body, **told).status == 200


def test_a_new_application_over_the_same_store_knows_the_tasks(tmp_path: Path) -> None:
    """A task goes on in the next process."""
    task_id = Service(tmp_path).create().data["task_id"]
    later = Service(tmp_path, clock=Clock(time=1_700_000_003.0))
    assert later.look(task_id).data["task_status"] == "succeed"
