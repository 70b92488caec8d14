"""The command `kling sandbox`."""

import http.client
import json
import signal
from urllib.parse import urlsplit

import pytest
from ground.process import Process
from ground.run import PHOTO, Program, run_installed

from kling_cli.sandbox.trouble import TROUBLES


def test_it_serves_until_it_is_stopped() -> None:
    """Another run of the program, and any other client, buys from it; SIGTERM ends it cleanly."""
    with Process("sandbox") as process:
        url = process.read_line()
        hint = process.wait_for("KLING_TOKEN=sandbox")
        assert hint == (f"kling: KLING_TOKEN=sandbox kling effect SCENE IMAGE --base-url {url}")
        environ = {"KLING_TOKEN": "sandbox"}
        argv = ("effect", "squish", PHOTO, "--base-url", url, "--no-wait")
        bought = run_installed(*argv, environ=environ)
        assert bought.code == 0
        assert bought.lines[0].isdigit()
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        headers = {"Authorization": "Bearer sandbox"}
        connection.request("GET", f"/v1/videos/effects/{bought.lines[0]}", headers=headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert answer["data"]["task_id"] == bought.lines[0]
        process.kill(signal.SIGTERM)
        run = process.finish()
    assert run.code == 143
    assert "Traceback" not in run.err


def test_its_address_has_an_object_and_its_calls_a_line() -> None:
    """Under --json the address is one object; -v shows each call; Ctrl-C ends it."""
    with Process("sandbox", "--json", "-v") as process:
        url = str(json.loads(process.read_line())["url"])
        process.wait_for("KLING_TOKEN=sandbox")
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        connection.request("GET", "/v1/videos/effects")
        assert connection.getresponse().status == 401
        connection.close()
        assert process.wait_for("GET") == "kling: GET /v1/videos/effects 401"
        process.kill(signal.SIGINT)
        assert process.finish().code == 130


def test_a_port_in_use_is_a_usage_error(kling: Program) -> None:
    """A port that somebody has is refused with the way to a free one."""
    with Process("sandbox") as process:
        port = urlsplit(process.read_line()).port
        run = kling("sandbox", "--port", str(port), "--json")
        assert run.code == run.json["exit_code"] == 2
        assert run.json["error"]["code"] == "port_unavailable"
        assert "--port 0" in run.err


@pytest.mark.parametrize("token", TROUBLES)
def test_the_help_tells_each_trouble(kling: Program, token: str) -> None:
    """Whoever tests a script finds every trouble that a token can choose in the help."""
    words = " ".join(kling("sandbox", "--help").out.split())
    code = token.removeprefix("sandbox-")
    if code.isdecimal():
        listed = words.partition("sandbox-CODE ")[2].partition("Options:")[0]
        assert code in listed.split()
    else:
        assert f"{token} {TROUBLES[token]}" in words
