"""The surroundings that a run may find: no home, no terminal, an odd locale, a wrong clock."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from support.clock import VirtualClock
from support.replies import Reply
from support.run import OTHER_PHOTO, PHOTO, Program, Run, command
from support.service import LoopbackService
from support.shop import Rules

TOKEN = "sk-test-0123456789abcdef"
YEAR = 365 * 24 * 3600.0
_MEASURING = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
_OWN = ("KLING_CONFIG_DIR", "KLING_STATE_DIR")


def start(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str | None] | None = None,
    shell: str = 'exec "$0" "$@"',
) -> Run:
    places = {**os.environ, **(environ or {})}
    done = subprocess.run(
        ["sh", "-c", shell, *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd="/",
        env={name: value for name, value in places.items() if value is not None},
        start_new_session=True,
        timeout=30,
        check=False,
    )
    return Run(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


HOMELESS: Mapping[str, str | None] = dict.fromkeys(
    ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", *_OWN, *_MEASURING)
)


# Its files stay readable for this user, whom only the system's list of users does not know.
UNKNOWN_USER = """
import os, sys
os.setresuid(54321, 0, 0)
sys.argv[0] = "kling"
from kling_cli.__main__ import main
sys.exit(main())
"""


def start_homeless(*argv: str | Path, token: str | None = TOKEN) -> Run:
    if os.geteuid() != 0:
        pytest.skip(reason="only root can become a user that nobody knows")
    return start(
        argv=[sys.executable, "-c", UNKNOWN_USER, *map(str, argv)],
        environ={**HOMELESS, "KLING_TOKEN": token},
    )


def test_a_user_without_a_home_can_buy(service: LoopbackService) -> None:
    """Fault 111: with a token from the environment all works, without a journal, and says so."""
    run = start_homeless("effect", "squish", PHOTO, "--no-wait")
    (bought,) = service.ledger
    assert (run.code, run.out) == (0, f"{bought.task_id}\n")
    assert "Set KLING_STATE_DIR" in run.err
    assert f"{bought.external_task_id}" in run.err.split("submitted", maxsplit=1)[0]


@pytest.mark.usefixtures("service")
def test_a_user_without_a_home_and_token_is_told_the_way() -> None:
    """Fault 111: without a token the two variables are named, also by those about the file."""
    for argv in (("effect", "squish", PHOTO), ("config", "set", "jobs", "2")):
        run = start_homeless(*argv, token=None)
        assert (run.code, run.out) == (4, "")
        assert "KLING_CONFIG_DIR" in run.err
        assert "KLING_STATE_DIR" in run.err


@pytest.mark.parametrize("argv", [("--help",), ("--version",), ("effect", "--help"), ("scenes",)])
def test_a_user_without_a_home_has_help(argv: tuple[str, ...]) -> None:
    """Fault 111: what needs no place works without one."""
    run = start_homeless(*argv, token=None)
    assert (run.code, run.err) == (0, "")
    assert run.out


@pytest.mark.parametrize("home", ["/proc", "/dev/null", "/nowhere/at-all\n"])
def test_a_home_that_cannot_be_written_stops_nothing(service: LoopbackService, home: str) -> None:
    """Fault 112: a warning, and the external id before anything is sent; the run goes on."""
    if home.startswith("/nowhere") and os.geteuid() == 0:
        home = "/sys/nowhere"  # where even root can make nothing
    environ = {"HOME": home, **dict.fromkeys(_OWN)}
    run = start(command("effect", "squish", PHOTO, "--no-wait"), environ=environ)
    (bought,) = service.ledger
    assert (run.code, run.out) == (0, f"{bought.task_id}\n")
    assert "warning: No journal can be kept: " in run.err
    assert f"{bought.external_task_id}" in run.err.split("submitted", maxsplit=1)[0]
    changed = start(command("config", "set", "jobs", "2"), environ=environ)
    assert changed.code == 11
    assert "KLING_CONFIG_DIR" in changed.err


@pytest.mark.parametrize("value", ["relative/path", "{here}/file"])
def test_odd_xdg_variables_are_fine(service: LoopbackService, tmp_path: Path, value: str) -> None:
    """Fault 113: a relative path is ignored, and one that names a file is no directory."""
    (tmp_path / "file").touch()
    named = value.format(here=tmp_path)
    environ = {"XDG_CONFIG_HOME": named, "XDG_STATE_HOME": named, **dict.fromkeys(_OWN)}
    run = start(command("effect", "squish", PHOTO, "--no-wait"), environ=environ)
    assert (run.code, len(service.ledger)) == (0, 1)
    kept = (tmp_path / "home/.local/state/kling/journal.sqlite3").exists()
    assert kept == ("warning" not in run.err) == (value == "relative/path")


@pytest.mark.parametrize("closed", ["<&-", "</dev/null"])
def test_without_a_terminal_nobody_is_asked(
    service: LoopbackService, tmp_path: Path, closed: str
) -> None:
    """Fault 117: without a terminal there is no prompt and no spinner, and nothing waits."""
    shell = f'exec "$0" "$@" {closed}'
    environ = {"TERM": "xterm-256color"}
    service.shop.rules = Rules(looks_until_done=0)
    bought = start(command("effect", "squish", PHOTO), environ=environ, shell=shell)
    assert bought.code == 0
    assert len(service.ledger) == 1
    token = start(command("config", "set", "token"), environ=environ, shell=shell)
    picture = start(command("effect", "squish", "-"), environ=environ, shell=shell)
    assert (token.code, picture.code) == (4, 3)
    for run in (bought, token, picture):
        assert not {"\x1b", "\r"} & {*run.out, *run.err}
        assert "token:" not in run.err
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize("encoding", ["ascii", "cp936", "cp1252", "latin-1:strict"])
def test_consoles_without_unicode(service: LoopbackService, tmp_path: Path, encoding: str) -> None:
    """Faults 114 and 120: what a locale or console lacks is spelt out, on both streams."""
    photo = tmp_path / "caf\u00e9 \u634f\u2713.jpg"
    photo.write_bytes(PHOTO.read_bytes())
    environ = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    argv = command("effect", "squish", photo, OTHER_PHOTO, "--no-wait")
    done = subprocess.run(argv, capture_output=True, env=environ, check=False)
    assert done.returncode == 0
    shown = photo.name.encode(encoding.partition(":")[0], "backslashreplace")
    assert shown in done.stdout
    assert shown in done.stderr
    assert len(service.ledger) == 2
    for words in (("scenes",), ("help", "environment"), ("--help",), ("completion", "zsh")):
        quiet = subprocess.run(command(*words), capture_output=True, env=environ, check=False)
        assert (quiet.returncode, quiet.stderr) == (0, b"")


@pytest.mark.parametrize("jump", [-30 * YEAR, -3600.0, 3600.0, 30 * YEAR])
def test_a_date_that_jumps_changes_no_wait(service: LoopbackService, jump: float) -> None:
    """Fault 119: a date set in the midst of a wait neither ends it nor draws it out."""
    clock = VirtualClock()
    kling = Program(clock=clock)
    service.shop.rules = Rules(looks_until_done=4)

    def set_date(sold: object) -> object:
        clock.shift_date(jump)
        return {"task_id": getattr(sold, "task_id", None), "task_status": "processing"}

    service.on_look(Reply(json=set_date))
    run = kling("effect", "squish", PHOTO, "--timeout", "10m", "--json")
    assert run.code == 0
    assert 0 < run.json["elapsed"] < 120
    assert clock.monotonic() < 120
    assert len(service.ledger) == 1


@pytest.mark.parametrize("wrong", [-56.0, -2.0, 2.0, 80.0, 7975.0])
def test_a_wrong_date_buys_nothing_again(service: LoopbackService, wrong: float) -> None:
    """Fault 119: a purchase from another age is one all the same, also once the clock is right."""
    clock = VirtualClock()
    kling = Program(clock=clock)
    clock.shift_date(wrong * YEAR)
    first = kling("effect", "squish", PHOTO, "--json").json
    assert (first["exit_code"], first["elapsed"] < 60) == (0, True)
    assert kling("tasks").code == kling("status").code == 0
    assert kling("effect", "squish", PHOTO, "--json").json["reused"] is True
    clock.shift_date(-wrong * YEAR)
    again = kling("effect", "squish", PHOTO, "--json").json
    assert again["reused"] is True
    assert again["videos"] == first["videos"]
    assert len(service.ledger) == 1
