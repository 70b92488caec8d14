"""The settings: where each comes from, what the file may be, and which host gets the token."""

import json
import os
import re
import resource
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support.run import PHOTO, Program, command
from support.service import LoopbackService
from support.shop import Rules

from kling_cli.errors import KlingError
from kling_cli.settings import change, load

TOKEN = "sk-Zq7vTk9XwB3nLr5Yp2Hd"
DEFAULT = "https://api.gpt.ge/kling"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    return tmp_path / "config" / "config.toml"


def write(file: Path, content: str | bytes, mode: int = 0o600) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    file.chmod(mode)


def test_without_any_setting_the_defaults_hold(kling: Program) -> None:
    assert kling("config", "list").rows == {
        "token": ("", ""),
        "base_url": (DEFAULT, "default"),
        "model": ("", "default"),
        "timeout": ("30m", "default"),
        "jobs": ("4", "default"),
        "output": ("", "default"),
    }


def test_a_flag_beats_the_environment_beats_the_file(kling: Program, file: Path) -> None:
    write(file, 'timeout = 90\njobs = "8"\nmodel = "of-the-file"\nbase_url = "https://a.example"\n')
    environ = {"KLING_TIMEOUT": "2m", "KLING_BASE_URL": "https://b.example", "KLING_MODEL": " "}
    shown = kling("config", "list", **environ).rows
    assert shown["timeout"] == ("2m", "KLING_TIMEOUT")
    assert shown["jobs"] == ("8", str(file))
    assert shown["model"] == ("of-the-file", str(file))
    assert shown["base_url"] == ("https://b.example", "KLING_BASE_URL")
    check = kling("config", "check", "--base-url", "sandbox", "--json", **environ).json
    assert (check["base_url"], check["base_url_source"]) == ("sandbox", "--base-url")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--jobs", value) for value in ("many", "65", "0")),
        *(("--timeout", value) for value in ("-1", "9" * 400, "\x1b[2J")),
    ],
)
def test_a_wrong_value_has_its_place(kling: Program, file: Path, option: str, value: str) -> None:
    run = kling("effect", "squish", PHOTO, f"{option}={value}", "--json")
    assert (run.code, run.json["error"]["code"]) == (2, "invalid_setting")
    reason = {"--jobs": "whole number from 1 to 64", "--timeout": "such as 90s, 20m or 1.5h"}
    assert reason[option] in run.err
    assert "\x1b" not in run.err
    key = option.removeprefix("--")
    write(file, f"{key} = {json.dumps(value)}\n")
    run = kling("tasks", "--json")
    assert (run.code, run.json["error"]["code"]) == (4, "invalid_setting")
    assert run.json["error"]["message"].startswith(f"{file}: {key} must be")


def test_a_wrong_value_can_be_mended(kling: Program, file: Path) -> None:
    """`config list` says where a value stands that cannot be used; `config set` replaces it."""
    write(file, 'jobs = "many"\n')
    run = kling("config", "list")
    assert run.code == 4
    assert f"{file}: jobs must be a whole number from 1 to 64, not 'many'." in run.out
    assert kling("config", "set", "jobs", "2").code == 0
    assert kling("config", "list").rows["jobs"] == ("2", str(file))
    run = kling("config", "list", KLING_BASE_URL="ftp://u:hunter2@h")
    assert "KLING_BASE_URL: base_url must be" in run.out
    assert "hunter2" not in run.out


def test_a_duration_is_read_as_people_write_it(kling: Program, service: LoopbackService) -> None:
    service.shop.rules = Rules(looks_until_done=10**6)
    for text, seconds in (("90s", 90), (" 2 m ", 120), ("0.05h", 180), ("240", 240)):
        assert kling("config", "get", "timeout", KLING_TIMEOUT=text).out == f"{text.strip()}\n"
        run = kling("effect", "squish", PHOTO, "--json", KLING_TIMEOUT=text)
        assert (run.code, seconds - 1 < run.json["elapsed"] < seconds + 5) == (8, True)


def test_a_relative_directory_is_refused(kling: Program) -> None:
    """A journal that changes with the working directory would buy twice."""
    run = kling("effect", "squish", PHOTO, "--sandbox", "--json", KLING_STATE_DIR="he\nre")
    assert (run.code, run.json["error"]["code"]) == (4, "invalid_setting")
    expected = "KLING_STATE_DIR must be an absolute path, not 'he re'."
    assert run.json["error"]["message"] == expected


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("sandbox", "sandbox"),
        (f"{DEFAULT}/v1", DEFAULT),
        (f"{DEFAULT}/v1/videos/effects/", DEFAULT),
        (" HTTPS://API.gpt.ge:443/kling// ", DEFAULT),
        ("https://h.example:8443/a/v1x", "https://h.example:8443/a/v1x"),
        ("https://[2001:DB8::1]:443/", "https://[2001:db8::1]"),
        ("http://127.0.0.2:80", "http://127.0.0.2"),
    ],
)
def test_two_spellings_of_one_base_url_come_out_equal(kling: Program, text: str, url: str) -> None:
    """Case, default port, a final slash or the endpoint's path make no other host of a base URL."""
    assert kling("config", "get", "base_url", KLING_BASE_URL=text).out == f"{url}\n"


@pytest.mark.parametrize(
    "text",
    [
        "api.gpt.ge/kling",
        "https://h:99999",
        "https://h\\@evil/",
        "https://\u0430pi.gpt.ge/",
        "https://h/\x1b[2J",
        "http://api.gpt.ge/kling",
        "http://localhost.evil.example/",
        "https://name:hunter2@api.gpt.ge/",
        "https://api.gpt.ge/?key=hunter2",
    ],
)
def test_a_base_url_that_must_not_get_the_token_is_refused(kling: Program, text: str) -> None:
    """Fault 74: the token goes over https to a named host, or to this machine's own loopback."""
    run = kling("config", "check", "--json", KLING_TOKEN=TOKEN, KLING_BASE_URL=text)
    assert (run.code, run.json["error"]["code"]) == (4, "invalid_setting")
    assert "KLING_BASE_URL: base_url" in run.err
    assert not re.search("hunter2|\x1b", run.out + run.err)


def test_no_token_is_answered_with_every_way_to_give_one(kling: Program, file: Path) -> None:
    """Fault 68: the variables, the file's path, the command and --sandbox are named."""
    run = kling("effect", "squish", PHOTO, "--json")
    assert (run.code, run.json["error"]["code"]) == (4, "token_missing")
    ways = ("KLING_TOKEN ", "KLING_TOKEN_FILE", str(file), "kling config set token", "--sandbox")
    assert [way for way in ways if way not in run.json["error"]["hint"]] == []


def test_a_token_is_accepted_as_people_paste_it(kling: Program, service: LoopbackService) -> None:
    """Fault 70: a final newline and `Bearer ` in front are no part of a token."""
    assert kling("config", "check", KLING_TOKEN=f" bearer   {TOKEN}\r\n").code == 0
    assert {visit.token for visit in service.visits} == {TOKEN}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Bearer  ", "is empty"),
        ("sk-\u00e9Zq7v", "contains character U+00E9 at position 4"),
        ("sk-a Zq7v", "contains character U+0020 at position 5"),
        ('"sk-Zq7v"', "contains character U+0022 at position 1"),
        ("sk-\udcffZq7v", "contains character U+DCFF at position 4"),
        ("sk=Zq7v", "contains character U+003D at position 3"),
        ("Zq7v" * 250_000, "has 1000000 characters"),
    ],
)
def test_a_wrong_token_is_not_shown(
    kling: Program, tmp_path: Path, *, text: str, fault: str
) -> None:
    """Fault 70: a message names what is wrong with a token and where, and does not show it."""
    (tmp_path / "token").write_bytes(text.encode("utf-8", "surrogateescape"))
    run = kling("config", "check", "--json", KLING_TOKEN_FILE=str(tmp_path / "token"))
    assert (run.code, run.json["error"]["code"]) == (4, "token_invalid")
    assert "The token from KLING_TOKEN_FILE" in run.err
    assert fault in run.err
    assert "Zq7v" not in run.out + run.err


def test_the_tokens_order_is_variable_then_named_file_then_settings(
    kling: Program, file: Path, tmp_path: Path
) -> None:
    """Fault 73: KLING_TOKEN, KLING_TOKEN_FILE, the file; an empty one is unset, with a notice."""
    named = tmp_path / "token"
    named.write_bytes(b"\xef\xbb\xbfsk-of-the-named-file\r\n")
    write(file, f'token = "{TOKEN}"\n')
    for variable, name, shown in (
        ("sk-of-the-variable", str(named), ("****able", "KLING_TOKEN")),
        ("", str(named), ("****file", f"KLING_TOKEN_FILE ({named})")),
        ("", "", ("****p2Hd", str(file))),
    ):
        run = kling("config", "list", KLING_TOKEN=variable, KLING_TOKEN_FILE=name)
        assert run.rows["token"] == shown
        assert ("KLING_TOKEN is empty and is ignored." in run.err) == (not variable)
    run = kling("config", "check", "--json", KLING_TOKEN_FILE=str(tmp_path / "missing"))
    assert (run.code, run.json["error"]["code"]) == (4, "token_file_unreadable")


@pytest.mark.parametrize("home", ["https://relay.example/kling", None, "http://not.valid"])
@pytest.mark.parametrize("is_option", [False, True])
def test_the_stored_token_goes_to_the_stored_base_url_alone(
    kling: Program, file: Path, service: LoopbackService, *, home: str | None, is_option: bool
) -> None:
    """Fault 74: another base URL, named for one run, gets a token of its own or none."""
    write(file, f'token = "{TOKEN}"\n' + (f'base_url = "{home}"\n' if home else ""))
    argv = ("config", "check", "--json", *(("--base-url", service.base_url) if is_option else ()))
    run = kling(*argv, KLING_TOKEN="")
    assert (run.code, run.json["error"]["code"]) == (4, "token_not_for_this_host")
    assert service.base_url in run.err
    assert home is None or "not.valid" in home or home in run.err
    assert service.visits == []
    assert kling(*argv, KLING_TOKEN="sk-another-one-0123").code == 0
    assert {visit.token for visit in service.visits} == {"sk-another-one-0123"}


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("", ("****", "sandbox")),
        (TOKEN, ("****", "sandbox")),
        ("sandbox-1", ("****1", "KLING_TOKEN")),
    ],
)
def test_no_token_in_the_sandbox(
    kling: Program, file: Path, token: str, shown: tuple[str, str]
) -> None:
    """The sandbox accepts a token that chooses trouble, and no real one."""
    write(file, f'token = "{TOKEN}"\nbase_url = "sandbox"\n')
    assert kling("config", "list", KLING_TOKEN=token).rows["token"] == shown


BROKEN = {
    "the token": (f'token = "{TOKEN}\njobs = 2\n', " at line 1, column 33."),
    "a token's name": (f"tokn = {TOKEN}\n", " at line 1, column 8."),
    "a token alone": (f"jobs = 2\n  {TOKEN}\n", " at line 2, column 26."),
    "a URL": (
        "base_url = https://me:Zq7vTk@h.example/kling?Zq7vTk\n",
        " at line 1, column 12: base_url = https://h.example/kling.",
    ),
    "a number": ("jobs = 2x\n", " at line 1, column 9: jobs = 2x."),
    "UTF-16": (f'token = "{TOKEN}"\n'.encode("utf-16"), "."),
}


@pytest.mark.parametrize(("content", "reason"), BROKEN.values(), ids=BROKEN)
def test_broken_file_named(kling: Program, file: Path, content: bytes | str, reason: str) -> None:
    """Fault 69: file and line are named; the line is shown where it cannot hold the token."""
    write(file, content)
    run = kling("config", "list", "--json")
    assert (run.code, run.json["error"]["code"]) == (4, "config_invalid")
    assert run.json["error"]["message"] == f"{file} is not valid TOML in UTF-8{reason}"
    assert "Zq7v" not in run.out + run.err
    before = file.read_bytes()
    assert kling("config", "set", "model", "m").code == 4
    assert file.read_bytes() == before


def test_a_file_of_an_editor_counts(kling: Program, file: Path) -> None:
    """Fault 69: a file with a byte-order mark, Windows line ends and bare numbers is read."""
    write(file, b"\xef\xbb\xbf# words\r\ntimeout = 90\r\njobs = 3\r\n")
    shown = kling("config", "list").rows
    assert (shown["timeout"], shown["jobs"]) == (("90", str(file)), ("3", str(file)))


def test_a_directory_or_a_closed_file_is_named(kling: Program, file: Path) -> None:
    """Fault 69: what cannot be read is exit 4 with the system's own reason."""
    file.mkdir()
    run = kling("config", "list", "--json")
    assert (run.code, run.json["error"]["code"]) == (4, "config_invalid")
    assert "cannot be read: Is a directory" in run.err


def test_an_unknown_setting_only_warns(kling: Program, file: Path) -> None:
    """Fault 69: a mistyped or newer setting is named, and can be removed."""
    write(file, 'timeuot = "5m"\njobs = 2\n')
    run = kling("config", "get", "jobs")
    assert (run.code, run.out) == (0, "2\n")
    assert f"{file}: unknown setting 'timeuot'." in run.err
    assert kling("config", "unset", "timeuot").code == 0
    assert "timeuot" not in file.read_text()


def test_a_token_that_others_can_read_is_a_warning(kling: Program, file: Path) -> None:
    """Fault 71: the warning is the very command that closes the file."""
    for mode, content, warns in (
        (0o600, f'token = "{TOKEN}"', False),
        (0o640, f'token = "{TOKEN}"', True),
        (0o604, f'token = "{TOKEN}"', True),
        (0o644, "jobs = 2", False),
        (0o660, "jobs = 2", True),
    ):
        write(file, content, mode)
        run = kling("config", "list")
        assert (run.code, f"To prevent it: chmod 600 {file}" in run.err) == (0, warns)


def test_a_file_that_every_user_can_change_is_refused(kling: Program, file: Path) -> None:
    """Fault 71: whoever can write the file could send the token to a host of their own."""
    write(file, "jobs = 2", 0o602)
    run = kling("config", "list", "--json")
    assert (run.code, run.json["error"]["code"]) == (4, "config_unsafe")
    assert f"chmod 600 {file}" in run.json["error"]["hint"]
    assert kling("config", "set", "jobs", "3").code == 4
    assert file.read_text() == "jobs = 2"


def test_a_link_is_followed_and_stays(kling: Program, file: Path, tmp_path: Path) -> None:
    """Fault 72: settings kept elsewhere behind links are read and replaced there."""
    (tmp_path / "dotfiles").mkdir()
    target, inner = tmp_path / "dotfiles" / "kling.toml", tmp_path / "dotfiles" / "link.toml"
    write(target, "jobs = 3\n", 0o644)
    inner.symlink_to("kling.toml")
    file.symlink_to(inner)
    assert kling("config", "get", "jobs").out == "3\n"
    assert kling("config", "set", "jobs", "5").code == 0
    assert (file.is_symlink(), inner.is_symlink(), target.is_symlink()) == (True, True, False)
    assert target.read_text() == 'jobs = "5"\n'
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in target.parent.iterdir()) == ["kling.toml", "link.toml"]


def test_a_write_keeps_the_rest_of_the_file(kling: Program, file: Path) -> None:
    write(file, '# mine\nfuture = [1, "b"]\njobs = 2\nmodel="m" # good', 0o644)
    for key, value in (("jobs", " 5 "), ("base-url", f"{DEFAULT}/"), ("timeout", " 20m ")):
        assert kling("config", "set", key, value).code == 0
    assert file.read_text() == (
        '# mine\nfuture = [1, "b"]\nmodel="m" # good\n'
        f'jobs = "5"\nbase_url = "{DEFAULT}/"\ntimeout = "20m"\n'
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["[table]\na = 1\n", 'jobs = """\n2"""\n'])
def test_a_file_of_tables_or_long_texts_is_kept(kling: Program, file: Path, content: str) -> None:
    """Nothing that the user wrote by hand is lost."""
    write(file, content)
    run = kling("config", "set", "jobs", "4")
    assert run.code == 4
    assert "it was not changed" in run.err
    assert file.read_text() == content


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(output=st.text(), model=st.text())
@example(output='a\x7f\x1b\r\n\u2028\ufeff"\\', model="\udcff")
def test_each_stored_text_is_read_back_the_same(file: Path, output: str, model: str) -> None:
    """A path with any character survives the file, or is refused and leaves the file as it was."""
    file.unlink(missing_ok=True)
    expected: dict[str, str | None] = {"output": None, "model": None}
    for key, text in (("output", output), ("model", model)):
        try:
            change(file, key, text)
        except KlingError:
            continue
        expected[key] = text.strip()
    environ = {"KLING_CONFIG_DIR": str(file.parent), "KLING_STATE_DIR": str(file.parent)}
    found = load(environ, flags={}, warn=pytest.fail)
    assert {"output": found.output, "model": found.model} == expected


def test_the_file_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 75: it is 0600 by the very call that creates it, in a directory 0700."""
    file = tmp_path / "new" / "kling" / "config.toml"
    monkeypatch.setenv("KLING_CONFIG_DIR", str(file.parent))
    trace = tmp_path / "trace"
    traced = ["strace", "-f", "-e", "trace=openat,rename,renameat,chmod,fchmod", "-o", str(trace)]
    before = os.umask(0)
    try:
        argv = [*traced, *command("config", "set", "jobs", "3")]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip(reason="strace is not installed")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]
    calls = [line for line in trace.read_text().splitlines() if ".config.toml." in line]
    assert "O_CREAT|O_EXCL" in calls[0]
    assert ", 0600)" in calls[0]
    assert "rename" in calls[1]
    assert "chmod" not in "".join(calls)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(kling: Program, file: Path) -> None:
    """Fault 75: no room for the new settings is exit 11; the old ones stay whole."""
    write(file, 'model = "m"\n')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
    try:
        run = kling("config", "set", "jobs", "3")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert run.code == 11
    assert "Nothing was changed." in run.err
    assert file.read_text() == 'model = "m"\n'
    assert list(file.parent.iterdir()) == [file]


WRITE_FOREVER = """
import sys
from pathlib import Path
from kling_cli.settings import change
while True:
    change(Path(sys.argv[1]), "output", sys.argv[2] * 100_000)
"""


def test_two_writers_and_a_kill_leave_a_whole_file(file: Path) -> None:
    """Fault 75: while two processes write and then die by SIGKILL, every read is one's work."""
    whole = {f'output = "{letter * 100_000}"\n' for letter in "ab"}
    change(file, "output", "a" * 100_000)
    argv = [sys.executable, "-c", WRITE_FOREVER, str(file)]
    writers = [subprocess.Popen([*argv, letter]) for letter in "ab"]
    seen: set[str] = set()
    end = time.monotonic() + 20
    try:
        while seen != whole and time.monotonic() < end:
            seen.add(file.read_text())
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert seen == whole
    assert file.read_text() in whole
