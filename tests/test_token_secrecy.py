"""The token goes to its service and into its own file, and into no other byte (fault 76)."""

import base64
import json
import secrets
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clock import START, VirtualClock
from support.fault_server import FaultServer
from support.process import Process
from support.replies import Reply
from support.run import OTHER_PHOTO, PHOTO, Program, Run
from support.service import VIDEO, LoopbackService
from support.steps import hold, read_request, send

TOKEN = "sk-Zq7vTk9XwB3nLr5Yp2Hd"
# As much of a token as the masked form may show, and a little more, in case words coincide.
PIECE = 7
SWITCHES = [["-v"], ["-q"], ["-v", "--json"]]
COMMANDS: list[tuple[str | Path, ...]] = [
    ("config", "check"),
    ("effect", "squish", PHOTO, "--no-wait"),
    ("effect", "squish", OTHER_PHOTO, "--new", "-o", "clips/", "--timeout", "2"),
    ("status",),
    ("wait", "--timeout", "1"),
    ("tasks",),
    ("config", "list"),
]
OTHER_COMMANDS: list[tuple[str | Path, ...]] = [
    ("help", "environment"),
    ("scenes", "sqish"),
    ("status", "no-such-task"),
    ("config", "get", "token"),
    ("config", "get", TOKEN),
    ("config", "set", "token", TOKEN),
    ("config", "set", TOKEN),
    ("config", "unset", TOKEN),
    ("effect", "squish", PHOTO, "--token", TOKEN),
    ("effect", "squish", PHOTO, f"--token={TOKEN}"),
    ("effect", "squish", PHOTO, "--dry-run"),
    ("effect", "squish", PHOTO, "--sandbox", "--no-wait"),
]


def assert_hidden(
    *runs: Run, place: Path, secret: str = TOKEN, holders: set[str] | None = None
) -> None:
    pieces = {secret[at : at + PIECE] for at in range(len(secret) - PIECE + 1)}
    for run in runs:
        assert not [piece for piece in pieces if piece in run.out + run.err], run.out + run.err
        assert "Traceback" not in run.err
    found = {
        path.name
        for path in place.rglob("*")
        if any(piece in path.name for piece in pieces)
        or (path.is_file() and any(piece.encode() in path.read_bytes() for piece in pieces))
    }
    assert found == (holders or set())


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.mark.parametrize("source", ["variable", "token.txt", "config.toml"])
@pytest.mark.parametrize("switches", SWITCHES, ids=" ".join)
def test_no_command_shows_the_token(
    kling: Program, service: LoopbackService, tmp_path: Path, source: str, switches: list[str]
) -> None:
    runs, environ = [], {"KLING_TOKEN": ""}
    if source == "variable":
        environ = {"KLING_TOKEN": TOKEN}
    elif source == "token.txt":
        (tmp_path / source).write_text(f"Bearer {TOKEN}\n")
        environ["KLING_TOKEN_FILE"] = str(tmp_path / source)
    else:
        runs.append(kling("config", "set", "base_url", service.base_url))
        runs.append(kling("config", "set", "token", switches[0], stdin=f"{TOKEN}\n"))
    runs += [kling(*argv, *switches, **environ) for argv in (*COMMANDS, *OTHER_COMMANDS)]
    assert_hidden(*runs, place=tmp_path, holders={source} - {"variable"})
    assert {0, 2} <= {run.code for run in runs}
    assert service.ledger
    assert {visit.token for visit in service.visits} <= {TOKEN, None}


def test_nobody_sees_the_token_of_a_running_program(
    service: LoopbackService, kling: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KLING_TOKEN")
    kling("config", "set", "base_url", service.base_url)
    kling("config", "set", "token", stdin=TOKEN)
    half = send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + VIDEO[:1200])
    with FaultServer((read_request, half, hold)) as host:
        task = {"task_status": "succeed", "task_result": {"videos": [{"url": f"{host.url}/c.mp4"}]}}
        service.on_look(Reply(json=lambda sold: {**task, "task_id": sold.task_id if sold else ""}))
        with Process("effect", "squish", PHOTO, "-o", "clip.mp4", "-v", "--json") as process:
            process.wait_for("submitted")
            host.wait_until_held()
            assert list(Path().glob(".kling-*.part"))
            argv = ["ps", "-ww", "-p", str(process.number), "-o", "args=", "e"]
            listed = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
            assert_hidden(place=tmp_path, holders={"config.toml"})
            process.kill(signal.SIGINT)
            run = process.finish()
    assert (run.code, "squish" in listed) == (130, True)
    assert_hidden(run, Run(code=0, out=listed, err=""), place=tmp_path, holders={"config.toml"})


ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789-._~+/:"
TOKENS = st.builds(
    "sk-{}{}".format, st.text(ALPHABET, min_size=16, max_size=60), st.sampled_from(["", "=", "=="])
)
SPELLINGS: list[Callable[[str], str]] = [
    "Authorization: Bearer {}\r\n".format,
    lambda token: f"?key={token}&token={token}",
    lambda token: json.dumps({"authorization": f"Bearer {token}"}),
    lambda token: "x" * 480 + token,
]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    token=TOKENS,
    spell=st.sampled_from(SPELLINGS),
    status=st.sampled_from([200, 302, 400, 401, 403, 404, 429, 500]),
    kind=st.sampled_from(["refusal", "failed", "succeed", "page"]),
)
def test_whatever_the_token_it_comes_out_nowhere(
    tmp_path: Path, *, token: str, spell: Callable[[str], str], status: int, kind: str
) -> None:
    clock, echo = VirtualClock(), spell(token)
    video = {"id": token, "url": f"https://a.example/{token}?t={token}"}
    task = {"task_id": "1", "task_status": kind, "task_status_msg": echo}
    body: dict[str, object] = {"code": status, "message": echo, "request_id": echo, "data": [echo]}
    if kind in ("failed", "succeed"):
        body |= {"code": 0, "data": {**task, "task_result": {"videos": [video]}}}
    reply = Reply(status=status, headers={"Location": f"https://h.example/?key={token}"}, json=body)
    if kind == "page":
        reply = replace(reply, json=None, body=f"<html><title>{echo}</title>".encode())
    with LoopbackService(clock=clock.time) as service, pytest.MonkeyPatch.context() as patch:
        state = tmp_path / f"state-{len(list(tmp_path.iterdir()))}"
        patch.setenv("KLING_STATE_DIR", str(state))
        patch.setenv("KLING_BASE_URL", service.base_url)
        patch.setenv("KLING_TOKEN", token)
        service.on_create(reply, times=99)
        service.on_look(reply, times=99)
        kling = Program(clock=clock)
        argv = ("effect", "squish", PHOTO, "--timeout", "1", "-v", "--json")
        runs = [kling("config", "check", "-v"), kling(*argv), kling("tasks", "--json")]
        service.forget_scripts()
    assert_hidden(*runs, place=state, secret=token)


def make_jwt(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.{secrets.token_urlsafe(32)}"


ACCOUNT = {"iss": "Ak-Zq7vTk9XwB3nLr5Yp2Hd", "exp": 1_900_000_000, "nbf": 1_800_000_000}


@pytest.mark.parametrize(
    ("claims", "purchases"),
    [
        ([ACCOUNT, {**ACCOUNT, "exp": 1_900_001_800, "iat": 7}], 1),
        ([{"iss": "Ak-Zq7vTk9X"}, {"iss": "Ak-Zq7vTk9X", "exp": "soon"}], 1),
        ([ACCOUNT, {**ACCOUNT, "iss": "Ak-another-account"}], 2),
        ([{**ACCOUNT, "sub": "Zq7vTk9"}, {**ACCOUNT, "sub": "another"}], 2),
        ([{"exp": 1}, {"exp": 2}], 2),
        ([{**ACCOUNT, "iss": ""}, {**ACCOUNT, "iss": "", "exp": 1e400}], 2),
        ([[ACCOUNT], [ACCOUNT]], 2),
    ],
)
def test_a_self_signed_token_is_its_account(
    kling: Program, service: LoopbackService, tmp_path: Path, claims: list[object], purchases: int
) -> None:
    """A JWT is new every half hour; from two machines of one account a request is bought once."""
    runs, tokens = [], [make_jwt(claim) for claim in claims]
    for number, token in enumerate(tokens):
        environ = {"KLING_TOKEN": token, "KLING_STATE_DIR": str(tmp_path / f"machine-{number}")}
        lines = (("effect", "squish", PHOTO), ("config", "check"), ("tasks", "--json"))
        runs += [kling(*argv, "-v", **environ) for argv in lines]
    assert {run.code for run in runs} == {0}
    assert len(service.ledger) == purchases
    for token in tokens:
        assert_hidden(*runs, place=tmp_path, secret=token.removeprefix("eyJhbGciOiJIUzI1NiJ9."))
    assert_hidden(*runs, place=tmp_path, secret=str(ACCOUNT["iss"]))


@pytest.mark.usefixtures("service")
def test_the_check_tells_the_expiry(kling: Program) -> None:
    """The date is the token's own claim; a token that makes none, or nonsense, has no date."""
    token = make_jwt(ACCOUNT)
    assert "expires\t2030-03-17T17:46:40Z\t" in kling("config", "check", KLING_TOKEN=token).lines
    for token in (make_jwt({"exp": "soon"}), make_jwt({"exp": 1e99}), "eyJ.eyJ.a", TOKEN):
        assert kling("config", "check", "--json", KLING_TOKEN=token).json["expires"] is None
        assert len(kling("config", "check", KLING_TOKEN=token).lines) == 3


@pytest.mark.parametrize(
    ("expires", "words"),
    [(-1, "expired at 2026-11-21T23:59:59Z"), (600, "before the wait may end"), (1801, None)],
)
@pytest.mark.usefixtures("service")
def test_a_token_that_expires_early(kling: Program, expires: int, words: str | None) -> None:
    """A wait takes 30 minutes at most; a JWT that does not live as long may end it."""
    token = make_jwt({"iss": "me", "exp": int(START) + expires})
    run = kling("effect", "squish", PHOTO, "--dry-run", "--json", KLING_TOKEN=token)
    warnings = run.json["warnings"]
    assert [words is not None and words in warning for warning in warnings] == [True] * bool(words)
    assert all(f"warning: {warning}\n" in run.err for warning in warnings)
