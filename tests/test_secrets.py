"""The token goes to its service and into its own file, and into no other byte (fault 76)."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ground.clock import VirtualClock
from ground.fault_server import FaultServer
from ground.process import Process
from ground.replies import DROP, Reply, accept
from ground.run import OTHER_PHOTO, PHOTO, Program, Run
from ground.service import VIDEO, LoopbackService
from ground.shells import ask_bash
from ground.steps import hold, read_request, send
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TOKEN = "sk-Zq7vTk9XwB3nLr5Yp2Hd"  # noqa: S105 - of no service
PASSWORD = "hush-Jm4kQe8sUx"  # noqa: S105 - of no proxy
# As much of a token as the masked form may show, and a little more, in case words coincide.
PIECE = 7
SWITCHES = [(), ("-v",), ("-q",), ("--json",), ("-v", "--json")]
QUIET_COMMANDS: list[tuple[str | Path, ...]] = [
    (),
    ("--help",),
    ("help", "environment"),
    ("completion", "bash"),
    ("scenes",),
    ("scenes", "sqish"),
    ("tasks",),
    ("config", "list"),
    ("config", "get", "token"),
    ("config", "get", TOKEN),
    ("config", "set", "jobs", "3"),
    ("config", "set", "token", TOKEN),
    ("config", "set", TOKEN),
    ("config", "unset", TOKEN),
    ("config", "unset", "jobs"),
    ("config", "path"),
    ("effect", "squish", PHOTO, "--token", TOKEN),
    ("effect", "squish", PHOTO, f"--token={TOKEN}"),
    ("effect", "squish", "missing.jpg"),
    ("effect", "squish", PHOTO, "--dry-run"),
    ("effect", "squish", PHOTO, "--sandbox", "--no-wait"),
    ("sandbox", "--port", "99999"),
]
ASKING_COMMANDS: list[tuple[str | Path, ...]] = [
    ("config", "check"),
    ("effect", "squish", PHOTO, "--no-wait"),
    ("effect", "squish", OTHER_PHOTO, "--new", "-o", "clips/", "--timeout", "2"),
    ("status",),
    ("status", "no-such-task"),
    ("wait", "--timeout", "1"),
    ("tasks",),
]


def find_pieces(token: str, text: str) -> list[str]:
    """Find every piece of the token in a text."""
    starts = range(len(token) - PIECE + 1)
    return [token[at : at + PIECE] for at in starts if token[at : at + PIECE] in text]


def assert_hidden(*runs: Run, secret: str = TOKEN) -> None:
    """Hold what runs have said against every piece of a secret."""
    for run in runs:
        assert find_pieces(secret, run.out + run.err) == [], run.out + run.err
        assert "Traceback" not in run.err


def find_holders(place: Path, secret: str = TOKEN) -> set[str]:
    """Find the files below a directory that hold any piece of a secret, by content or name."""
    pieces = {secret[at : at + PIECE] for at in range(len(secret) - PIECE + 1)}
    return {
        path.name
        for path in place.rglob("*")
        if any(piece in path.name for piece in pieces)
        or (path.is_file() and any(piece.encode() in path.read_bytes() for piece in pieces))
    }


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a directory of the test's own."""
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")


@pytest.fixture(params=["variable", "file", "stored"])
def told(
    request: pytest.FixtureRequest,
    service: LoopbackService,
    kling: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[set[str]]:
    """Give the token in one of the three ways; tells the files that may hold it."""
    holders: set[str] = set()
    monkeypatch.delenv("KLING_TOKEN")
    if request.param == "variable":
        monkeypatch.setenv("KLING_TOKEN", TOKEN)
    elif request.param == "file":
        holders = {"token.txt"}
        (tmp_path / "token.txt").write_text(f"Bearer {TOKEN}\n")
        monkeypatch.setenv("KLING_TOKEN_FILE", str(tmp_path / "token.txt"))
    else:
        holders = {"config.toml"}
        stored = [
            kling("config", "set", "base_url", service.base_url),
            kling("config", "set", "token", "-v", "--json", stdin=f"{TOKEN}\n".encode()),
        ]
        assert [run.code for run in stored] == [0, 0]
        assert_hidden(*stored)
    yield holders
    assert find_holders(tmp_path) == holders
    assert {visit.token for visit in service.visits} <= {TOKEN, None}


@pytest.mark.parametrize("switches", SWITCHES, ids=" ".join)
def test_no_command_shows_the_token(
    kling: Program, service: LoopbackService, told: set[str], switches: tuple[str, ...]
) -> None:
    """Whatever is asked for, however talkative, and wherever the token comes from."""
    del told
    runs = [kling(*argv, *switches) for argv in (*ASKING_COMMANDS, *QUIET_COMMANDS)]
    assert_hidden(*runs)
    assert {0, 2} <= {run.code for run in runs}
    assert service.ledger


QUOTES = f"Invalid token {TOKEN}. You sent: Authorization: Bearer {TOKEN}"
FAILURES = {
    "401": Reply(status=401, json={"code": 1002, "message": QUOTES, "request_id": TOKEN}),
    "403 page": Reply(status=403, body=f"<html><title>{QUOTES}</title>{QUOTES}".encode()),
    "429": Reply(status=429, json={"code": 1303, "message": QUOTES}),
    "500": Reply(status=500, json={"error": {"message": QUOTES, "type": TOKEN, "code": TOKEN}}),
    "502 text": Reply(status=502, body=QUOTES.encode()),
    "redirect": Reply(status=302, headers={"Location": f"https://{TOKEN}.example/?key={TOKEN}"}),
    "no task": Reply(json={"message": QUOTES, "data": {TOKEN: TOKEN}}),
    "cut": Reply(headers={"Content-Length": "999"}, body=json.dumps({"message": QUOTES}).encode()),
    "dropped": DROP,
}


@pytest.mark.parametrize("switches", [("-v",), ("--json",), ("-v", "--json")], ids=" ".join)
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_no_failure_shows_the_token(  # noqa: PLR0913 - what each of its cases needs
    kling: Program,
    service: LoopbackService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    failure: Reply,
    switches: tuple[str, ...],
) -> None:
    """Whatever the service answers, also when it quotes what it was sent."""
    monkeypatch.setenv("KLING_TOKEN", TOKEN)
    service.on_create(failure, times=99)
    service.on_look(failure, times=99)
    service.on_video(failure, times=99)
    runs = [kling(*argv, *switches) for argv in ASKING_COMMANDS]
    service.forget_scripts()
    assert_hidden(*runs)
    assert runs[0].code in {4, 10}
    assert find_holders(tmp_path) == set()


@pytest.mark.parametrize("switches", [("-v",), ("--json",)], ids=" ".join)
def test_no_ending_shows_the_token(
    kling: Program,
    service: LoopbackService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    switches: tuple[str, ...],
) -> None:
    """A task that fails in words that quote the token leaves them neither here nor in the list."""
    monkeypatch.setenv("KLING_TOKEN", TOKEN)
    task: dict[str, object] = {
        "task_status": "failed",
        "task_status_msg": QUOTES,
        "request_id": TOKEN,
        "task_result": {"videos": [{"id": TOKEN, "url": f"https://a.example/{TOKEN}?t={TOKEN}"}]},
    }
    service.on_create(Reply(json=accept), purchase=True)
    service.on_look(Reply(json=lambda sold: {**task, "task_id": sold.task_id if sold else None}))
    runs = [kling("effect", "squish", PHOTO, *switches), kling("tasks", *switches)]
    assert runs[0].code == 5
    assert_hidden(*runs)
    assert find_holders(tmp_path) == set()


UNREACHABLE: dict[str, Callable[[LoopbackService], dict[str, str]]] = {
    "refused": lambda _: {"KLING_BASE_URL": "http://127.0.0.1:9"},
    "unknown host": lambda _: {"KLING_BASE_URL": "https://no-such-host.invalid"},
    "no TLS": lambda service: {"KLING_BASE_URL": service.base_url.replace("http", "https")},
    "dead proxy": lambda _: {"HTTPS_PROXY": f"http://me:{PASSWORD}@127.0.0.1:9"},
    "bad proxy": lambda _: {"HTTPS_PROXY": f"socks5://me:{PASSWORD}@127.0.0.1:9"},
    "no proxy at all": lambda _: {"HTTPS_PROXY": f"http://me:{PASSWORD}@:x"},
    "bad exception": lambda _: {"NO_PROXY": f"{PASSWORD}:port"},
    "credentials": lambda _: {"KLING_BASE_URL": f"https://me:{PASSWORD}@api.example"},
    "query": lambda _: {"KLING_BASE_URL": f"https://api.example/?key={PASSWORD}"},
}


@pytest.mark.parametrize("switches", [("-v",), ("--json",)], ids=" ".join)
@pytest.mark.parametrize("make", UNREACHABLE.values(), ids=UNREACHABLE)
def test_no_way_that_fails_shows_a_secret(  # noqa: PLR0913 - what each of its cases needs
    kling: Program,
    service: LoopbackService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    make: Callable[[LoopbackService], dict[str, str]],
    switches: tuple[str, ...],
) -> None:
    """Neither the token nor a proxy's password is told when there is no way to the service."""
    monkeypatch.setenv("KLING_TOKEN", TOKEN)
    monkeypatch.setenv("KLING_BASE_URL", "https://127.0.0.1:9")
    for name, value in make(service).items():
        monkeypatch.setenv(name, value)
    runs = [kling(*argv, *switches) for argv in ASKING_COMMANDS]
    assert {run.code for run in runs[:2]} <= {4, 10}
    for secret in (TOKEN, PASSWORD):
        assert_hidden(*runs, secret=secret)
        assert find_holders(tmp_path, secret) == set()
    assert {visit.token for visit in service.visits} <= {None}


@pytest.mark.parametrize(
    "value",
    [f"{TOKEN}\u00e9", f"{TOKEN}\n{TOKEN}", f'"{TOKEN}"', f"{TOKEN} {TOKEN}", f"{TOKEN}={TOKEN}"],
    ids=["accent", "newline", "quotes", "space", "equals"],
)
@pytest.mark.parametrize("switches", SWITCHES, ids=" ".join)
def test_no_wrong_token_is_shown(
    kling: Program,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    value: str,
    switches: tuple[str, ...],
) -> None:
    """A token that cannot be one is described, and still a secret (fault 70)."""
    stored = kling("config", "set", "token", *switches, stdin=value.encode())
    assert_hidden(stored)
    (tmp_path / "desk" / "token.txt").write_text(value)
    sources = {"KLING_TOKEN": value, "KLING_TOKEN_FILE": str(tmp_path / "desk" / "token.txt")}
    for name, text in sources.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, text)
            patch.setenv("KLING_BASE_URL", "https://127.0.0.1:9")
            runs = [kling(*argv, *switches) for argv in ASKING_COMMANDS]
            runs.append(kling("config", "list", *switches))
        assert {run.code for run in runs[:2]} == {4}
        assert_hidden(*runs)
    assert find_holders(tmp_path) <= {"token.txt", "config.toml"}


def list_process(number: int) -> str:
    """Tell what the process list shows of a process, with its environment."""
    argv = ["ps", "-ww", "-p", str(number), "-o", "args=", "e"]
    return subprocess.run(argv, capture_output=True, check=True).stdout.decode()


def test_nobody_sees_the_token_of_a_running_program(
    service: LoopbackService, kling: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a clip is fetched, neither the process list nor any file shows a stored token."""
    monkeypatch.delenv("KLING_TOKEN")
    kling("config", "set", "base_url", service.base_url)
    kling("config", "set", "token", stdin=TOKEN.encode())
    half = send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + VIDEO[:1200])
    part = tmp_path / "desk" / "clip.mp4.part"
    with FaultServer((read_request, half, hold)) as host:
        video = {"url": f"{host.url}/clip.mp4"}
        service.on_look(
            Reply(
                json=lambda sold: {
                    "task_id": sold.task_id if sold else None,
                    "task_status": "succeed",
                    "task_result": {"videos": [video]},
                }
            )
        )
        argv = ("effect", "squish", PHOTO, "-o", "clip.mp4", "-v", "--json")
        with Process(*argv) as process:
            process.wait_for("submitted")
            while not part.exists():
                assert process.is_running
                time.sleep(0.02)
            listed = list_process(process.number)
            holders = find_holders(tmp_path)
            process.kill(signal.SIGINT)
            run = process.finish()
    assert run.code == 130
    assert " effect squish " in listed
    assert find_pieces(TOKEN, listed) == []
    assert holders == {"config.toml"}
    assert_hidden(run)


def test_completion_offers_no_token(
    service: LoopbackService, kling: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the shell completes, the journal's tasks and the settings, holds no token."""
    monkeypatch.setenv("KLING_TOKEN", TOKEN)
    kling("effect", "squish", PHOTO, "--no-wait")
    lines = ("kling status ", "kling config get ", "kling config set token ")
    offered = [ask_bash(line, tmp_path / "desk") for line in lines]
    assert service.ledger[0].task_id in str(offered)
    assert find_pieces(TOKEN, str(offered)) == []


ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789-._~+/:"
TOKENS = st.builds(
    "sk-{}{}".format, st.text(ALPHABET, min_size=16, max_size=60), st.sampled_from(["", "=", "=="])
)
SPELLINGS: list[Callable[[str], str]] = [
    str,
    "Bearer {}".format,
    "Authorization: Bearer {}\r\n".format,
    lambda token: f"?key={token}&token={token}",
    lambda token: json.dumps({"authorization": f"Bearer {token}"}),
    lambda token: "x" * 480 + token,
]


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    token=TOKENS,
    spell=st.sampled_from(SPELLINGS),
    status=st.sampled_from([200, 302, 400, 401, 403, 404, 429, 500]),
    as_json=st.booleans(),
    switches=st.sampled_from(SWITCHES),
)
def test_whatever_the_token_it_comes_out_nowhere(  # noqa: PLR0913 - the parts of one case
    tmp_path: Path,
    *,
    token: str,
    spell: Callable[[str], str],
    status: int,
    as_json: bool,
    switches: tuple[str, ...],
) -> None:
    """Any token that a header can carry is hidden, however an answer quotes it."""
    clock = VirtualClock()
    echo = spell(token)
    body: dict[str, object] = {"code": status, "message": echo, "request_id": echo, "data": [echo]}
    reply = Reply(status=status, json=body) if as_json else Reply(status=status, body=echo.encode())
    with LoopbackService(clock=clock.time) as service, pytest.MonkeyPatch.context() as patch:
        state = tmp_path / f"state-{len(list(tmp_path.iterdir()))}"
        patch.setenv("KLING_STATE_DIR", str(state))
        patch.setenv("KLING_BASE_URL", service.base_url)
        patch.setenv("KLING_TOKEN", token)
        service.on_create(reply, times=99)
        service.on_look(reply, times=99)
        kling = Program(clock=clock)
        runs = [
            kling("config", "check", *switches),
            kling("effect", "squish", PHOTO, "--timeout", "1", *switches),
            kling("tasks", *switches),
        ]
        service.forget_scripts()
    assert_hidden(*runs, secret=token)
    assert find_holders(state, token) == set()


CRASH = """
import sys
from kling_cli import app
from kling_cli.session import Session

def fail(session):
    raise ERROR(session.token.reveal())

Session.schedule = property(fail)
sys.exit(app.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("error", ["ValueError", "OSError", "KeyError", "RecursionError"])
@pytest.mark.parametrize("switches", SWITCHES, ids=" ".join)
def test_no_crash_shows_the_token(
    service: LoopbackService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: str,
    switches: tuple[str, ...],
) -> None:
    """What nobody foresaw, in the midst of a run, is told without the values that were at hand."""
    monkeypatch.setenv("KLING_TOKEN", TOKEN)
    script = CRASH.replace("ERROR", error)
    argv = [sys.executable, "-c", script, "effect", "squish", str(PHOTO), *switches]
    done = subprocess.run(argv, capture_output=True, check=False)
    run = Run(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())
    assert run.code in {1, 11}
    assert_hidden(run)
    assert find_holders(tmp_path) == set()
    assert service.visits == []
