"""Tasks bought at another base URL: `status` and `wait` go there, with the token that bought."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import VirtualClock
from support.purchases import break_journal
from support.run import OTHER_PHOTO, PHOTO, Program
from support.service import LoopbackService
from support.shop import Rules

OWN_TOKEN = "sk-test-0123456789abcdef"
OTHER_TOKEN = "sk-other-fedcba9876543210"
COMMANDS = pytest.mark.parametrize("command", ["status", "wait"])


@pytest.fixture
def other(clock: VirtualClock) -> Iterator[LoopbackService]:
    with LoopbackService(Rules(looks_until_done=0), clock=clock.time) as loopback:
        yield loopback


def buy(kling: Program, *options: str, photo: Path = PHOTO, token: str = OWN_TOKEN) -> str:
    run = kling("effect", "squish", photo, "--no-wait", *options, KLING_TOKEN=token)
    assert run.code == 0, run.err
    return run.out.strip()


def test_paste_the_hint(kling: Program, service: LoopbackService, other: LoopbackService) -> None:
    other.shop.rules = Rules(task_seconds=60)
    run = kling("effect", "squish", PHOTO, "--base-url", other.base_url, "--timeout", "5s")
    (hint,) = re.findall(r"hint: kling (wait \d+)$", run.err, re.MULTILINE)
    assert run.code == 8
    again = kling(*hint.split())
    (bought,) = other.ledger
    assert (again.code, again.out) == (0, f"{other.url}/videos/{bought.task_id}.mp4\n")
    assert service.visits == []


@COMMANDS
def test_a_token_that_did_not_buy_is_not_sent(
    kling: Program, service: LoopbackService, other: LoopbackService, command: str
) -> None:
    task_id = buy(kling, "--base-url", other.base_url, token=OTHER_TOKEN)
    before = len(other.visits)
    run = kling(command, task_id, "--json")
    error = run.json["error"]
    assert (run.code, error["code"]) == (4, "token_mismatch")
    assert other.base_url in error["message"]
    assert "KLING_TOKEN" in error["message"]
    assert (len(other.visits), service.visits) == (before, [])
    # Only the user can say that the token is for that host, too.
    assert error["hint"].endswith(f"kling wait {task_id} --base-url {other.base_url}")
    assert kling(command, task_id, "--base-url", other.base_url).code == 0
    assert other.visits[-1].token == OWN_TOKEN


@COMMANDS
def test_where_the_buyer_is_unknown_no_token_is_sent(
    kling: Program, service: LoopbackService, other: LoopbackService, command: str
) -> None:
    """A task of version 0.1.0 elsewhere waits for the user's word; the own service's does not."""
    buy(kling, "--base-url", other.base_url)
    buy(kling, photo=OTHER_PHOTO)
    break_journal("UPDATE purchases SET tag = NULL")  # as version 0.1.0 left it
    near, away = (str(each.ledger[0].external_task_id) for each in (service, other))
    before = len(other.visits)
    run = kling(command, away)
    assert (run.code, len(other.visits)) == (4, before)
    assert f"kling wait {other.ledger[0].task_id} --base-url {other.base_url}" in run.err
    assert kling(command, away, "--base-url", other.base_url).code == 0
    service.shop.rules = Rules(looks_until_done=0)
    assert kling(command, near).code == 0


def test_the_stored_token_goes_back_to_where_it_bought(
    kling: Program, service: LoopbackService, other: LoopbackService
) -> None:
    """A stored token follows its own task, and no variable makes it follow anybody else's."""
    assert kling("config", "set", "base_url", other.base_url).code == 0
    assert kling("config", "set", "token", stdin=OTHER_TOKEN).code == 0
    task_id = buy(kling, "--base-url", other.base_url, token="")
    assert kling("wait", task_id, KLING_TOKEN="").code == 0
    assert {visit.token for visit in other.visits} == {OTHER_TOKEN}
    before = len(other.visits)
    assert kling("wait", task_id).code == 4
    assert (len(other.visits), service.visits) == (before, [])


def test_who_sends_is_who_bought(
    kling: Program, service: LoopbackService, other: LoopbackService
) -> None:
    """What one token claimed and never sent belongs to the one that sends it."""
    buy(kling, "--base-url", other.base_url)
    # As a run leaves it that was killed before the send.
    break_journal("UPDATE purchases SET stage = 'claimed', task_id = NULL")
    other.shop.rules = Rules(deduplicate="ignore", looks_until_done=0)
    task_id = buy(kling, "--base-url", other.base_url, token=OTHER_TOKEN)
    assert len(other.ledger) == 2
    assert kling("status", task_id).code == 4
    assert kling("status", task_id, KLING_TOKEN=OTHER_TOKEN).code == 0
    assert service.visits == []


@COMMANDS
def test_without_task(
    kling: Program, service: LoopbackService, other: LoopbackService, command: str
) -> None:
    service.shop.rules = Rules(looks_until_done=0)
    with LoopbackService() as third:
        buy(kling)
        buy(kling, "--base-url", other.base_url)
        buy(kling, "--sandbox")
        strange = [
            buy(kling, "--base-url", third.base_url, photo=photo, token=OTHER_TOKEN)
            for photo in (PHOTO, OTHER_PHOTO)
        ]
        run = kling(command, "--json")
        assert run.code == 0, run.err
        urls = [record["videos"][0]["url"] for record in run.records]
        assert sorted(url.split("/videos/")[0] for url in urls) == sorted([service.url, other.url])
        (named,) = [line for line in run.err.splitlines() if third.base_url in line]
        assert all(name in named for name in strange)
        assert f"kling wait --base-url {third.base_url}" in named
        assert third.count("GET") == 0
        # With nothing left but what another token bought the exit code stays 0.
        assert (kling(command).code, kling(command).out) == (0, "")
        assert kling(command, "--base-url", third.base_url).code in (0, 8)
        assert third.count("GET") >= 2


def test_a_token_from_a_pipe_is_read_once(
    kling: Program, service: LoopbackService, other: LoopbackService
) -> None:
    """KLING_TOKEN_FILE=<(...) serves tasks of two base URLs, although a pipe is read only once."""
    service.shop.rules = Rules(looks_until_done=0)
    buy(kling)
    buy(kling, "--base-url", other.base_url)
    reading, writing = os.pipe()
    os.write(writing, OWN_TOKEN.encode())
    os.close(writing)
    run = kling("status", KLING_TOKEN="", KLING_TOKEN_FILE=f"/dev/fd/{reading}")
    os.close(reading)
    assert (run.code, len(run.lines)) == (0, 2), run.err


def test_the_sandbox(kling: Program, service: LoopbackService) -> None:
    """Whoever has set the sandbox as base URL shows no host a token, not even its own task's."""
    task_id = buy(kling)
    assert kling("status", task_id, KLING_BASE_URL="sandbox").code == 4
    run = kling("status", KLING_BASE_URL="sandbox")
    assert (run.code, run.out, service.count("GET")) == (0, "", 0)
