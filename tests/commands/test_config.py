"""The commands `kling config ...`."""

import os
import stat
from pathlib import Path

import pytest
from ground.run import Program, run_installed
from ground.terminal import Terminal

TOKEN = "sk-0123456789-abcdefghij-WXYZ"  # noqa: S105 - of no service
MASKED = "****WXYZ"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The settings file."""
    return tmp_path / "config" / "config.toml"


def test_the_list_tells_each_setting_and_its_source(
    kling: Program, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every setting is listed with its value and where that comes from, the token masked."""
    kling("config", "set", "timeout", "20m")
    monkeypatch.setenv("KLING_TOKEN", TOKEN)
    run = kling("config", "list")
    assert run.code == 0
    rows = dict(line.split("\t", 1) for line in run.lines)
    assert rows["token"] == f"{MASKED}\tKLING_TOKEN"
    assert rows["timeout"] == f"20m\t{file}"
    assert rows["base_url"] == "https://api.gpt.ge/kling\tdefault"
    assert rows["model"] == "\tdefault"
    assert list(rows) == ["token", "base_url", "model", "timeout", "jobs", "output"]


def test_the_list_has_an_object_for_each_setting(kling: Program) -> None:
    """Under --json each setting is one object, null where it has no value."""
    records = kling("config", "list", "--json").records
    assert records[0]["key"] == "token"
    assert {tuple(record) for record in records} == {
        ("schema", "key", "value", "source", "problem")
    }
    assert records[0]["value"] is None


def test_a_problem_is_listed_and_stops_nothing(
    kling: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that cannot be one is told in its row, not shown, and the others are there."""
    monkeypatch.setenv("KLING_TOKEN", "sk bad token")
    run = kling("config", "list")
    assert run.code == 0
    assert "contains character U+0020 at 3" in run.lines[0]
    assert "bad token" not in run.out + run.err
    one = kling("config", "get", "token")
    assert (one.code, one.out) == (0, "\n")
    assert "kling: warning: The token from KLING_TOKEN contains" in one.err
    assert "U+0020" in kling("config", "get", "token", "--json").json["problem"]


def test_one_setting_is_told_alone(kling: Program) -> None:
    """`config get` prints the value alone, for scripts."""
    assert kling("config", "get", "base_url").out == "https://api.gpt.ge/kling\n"
    assert kling("config", "get", "jobs", "--json").json["source"] == "default"


@pytest.mark.parametrize(
    "argv", [("get", "tokn"), ("set", "tokn", "x"), ("unset", "tokn"), ("set", "jobs", "many")]
)
def test_a_slip_is_a_usage_error(kling: Program, file: Path, argv: tuple[str, ...]) -> None:
    """An unknown key or an impossible value is refused, and no file is written."""
    run = kling("config", *argv)
    assert (run.code, run.out) == (2, "")
    assert "token" in run.err or "jobs" in run.err
    assert not file.exists()


def test_a_value_is_stored_and_removed(kling: Program, file: Path) -> None:
    """A setting is stored, used, told, and removed again; what was not there is no error."""
    assert kling("config", "set", "timeout", "90s").err == (f"kling: timeout stored in {file}.\n")
    assert kling("config", "get", "timeout").out == "90s\n"
    assert kling("config", "unset", "timeout").err == f"kling: timeout removed from {file}.\n"
    assert kling("config", "get", "timeout").out == "30m\n"
    run = kling("config", "unset", "timeout")
    assert run.code == 0
    assert run.err == f"kling: timeout is not in {file}; nothing to remove.\n"


def test_a_change_has_its_object(kling: Program, file: Path) -> None:
    """Under --json a change prints the setting as it now stands in the file, the token masked."""
    stored = kling("config", "set", "jobs", "3", "--json").json
    assert (stored["key"], stored["value"], stored["source"]) == ("jobs", "3", str(file))
    token = kling("config", "set", "token", "--json", stdin=TOKEN.encode()).json
    assert (token["key"], token["value"]) == ("token", MASKED)
    gone = kling("config", "unset", "jobs", "--json").json
    assert (gone["key"], gone["value"], gone["source"]) == ("jobs", None, None)


def test_a_value_of_several_words_needs_quotes(kling: Program, file: Path) -> None:
    """What is not one value is refused with the way to make it one."""
    run = kling("config", "set", "model", "kling", "v1")
    assert run.code == 2
    assert "quotes" in run.err
    assert not file.exists()


@pytest.mark.parametrize(
    "content",
    [TOKEN, f"{TOKEN}\n", f"Bearer {TOKEN}\r\n", f"{TOKEN}\nand more\n"],
    ids=["bare", "newline", "bearer", "more lines"],
)
def test_a_token_comes_from_standard_input(kling: Program, file: Path, content: str) -> None:
    """A script pipes the token in; it is stored for its owner alone and shown masked."""
    before = os.umask(0)
    try:
        run = kling("config", "set", "token", stdin=content.encode())
    finally:
        os.umask(before)
    assert (run.code, run.out) == (0, "")
    assert run.err == f"kling: token stored in {file}.\n"
    assert f'token = "{TOKEN}"' in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert kling("config", "get", "token").out == f"{MASKED}\n"


@pytest.mark.parametrize("content", [b"", b"\n", b"sk bad\n", b"s" * 3_000_000])
def test_a_wrong_token_is_not_stored(kling: Program, file: Path, content: bytes) -> None:
    """Fault 70: what cannot be a token is described, not shown, and not stored."""
    run = kling("config", "set", "token", stdin=content)
    assert (run.code, run.out) == (4, "")
    assert "The token from your input" in run.err
    assert "sss" not in run.err
    assert not file.exists()


def test_bytes_that_are_no_text_are_no_token(file: Path) -> None:
    """Fault 70: what no encoding has is named by its place, as any other wrong character."""
    run = run_installed("config", "set", "token", stdin=b"sk-\xff\n")
    assert (run.code, run.out) == (4, "")
    assert "contains character U+DCFF at 4" in run.err
    assert not file.exists()


@pytest.mark.parametrize(
    "argv",
    [
        (TOKEN,),
        ("Bearer", TOKEN),
        (TOKEN, "--json"),
        ("--verbose", "--", TOKEN),
        (f"  {TOKEN}",),
    ],
)
def test_a_token_as_an_argument_is_refused(
    kling: Program, file: Path, argv: tuple[str, ...]
) -> None:
    """Fault 76: a token on the command line is refused with the reason, and not repeated."""
    run = kling("config", "set", "token", *argv)
    assert run.code == 2
    assert "process list" in run.err
    assert "kling config set token" in run.err
    assert TOKEN not in run.out + run.err
    assert not file.exists()


def test_a_person_is_asked_without_echo(file: Path) -> None:
    """At a terminal the token is asked for and never shown."""
    with Terminal("config", "set", "token") as terminal:
        terminal.wait_for("token:")
        terminal.type(f"{TOKEN}\r")
        assert terminal.finish() == 0
        assert TOKEN.encode() not in terminal.raw
        assert "stored in" in "".join(terminal.lines)
    assert TOKEN in file.read_text()


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["ctrl-c", "ctrl-d"])
def test_a_question_can_be_left(file: Path, key: str) -> None:
    """Fault 75: who leaves the question has changed nothing, and the terminal echoes again."""
    with Terminal("config", "set", "token") as terminal:
        terminal.wait_for("token:")
        terminal.type(key)
        assert terminal.finish() == 130
        assert "Stopped" in "".join(terminal.lines)
    assert not file.exists()


def test_a_person_sees_what_is_no_secret(file: Path) -> None:
    """At a terminal any other setting is asked for and seen while it is typed."""
    with Terminal("config", "set", "timeout") as terminal:
        terminal.wait_for("timeout:")
        terminal.type("20m\r")
        assert terminal.finish() == 0
        assert terminal.lines[0] == "timeout: 20m"
    assert 'timeout = "20m"' in file.read_text()


def test_the_path_is_told_before_the_file_exists(kling: Program, file: Path) -> None:
    """`config path` tells where the settings go, whether or not there are any."""
    assert kling("config", "path").out == f"{file}\n"
    assert kling("config", "path", "--json").json == {"schema": "kling/1", "path": str(file)}
    assert not file.exists()
