"""Where settings and journal live."""

import os
import pwd
import sys
from pathlib import Path

import pytest

from kling_cli.errors import SetupError
from kling_cli.settings.directories import Directories, find_directories

_UNKNOWN_USER = 54321


def test_variables_move_everything_away(tmp_path: Path) -> None:
    """KLING_CONFIG_DIR and KLING_STATE_DIR decide alone where files lie."""
    found = find_directories(
        {"KLING_CONFIG_DIR": str(tmp_path / "c"), "KLING_STATE_DIR": str(tmp_path / "s")}
    )
    assert found == Directories(config=tmp_path / "c", state=tmp_path / "s")
    assert found.require_config_file() == tmp_path / "c" / "config.toml"


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG rules are Linux's")
def test_the_systems_directories_are_used_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without variables of our own the user's XDG directories are taken; empty ones are unset."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config\n"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = find_directories({"KLING_CONFIG_DIR": "", "KLING_STATE_DIR": " "})
    assert found.config == tmp_path / "config\n" / "kling"
    assert found.state == tmp_path / "state" / "kling"


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG rules are Linux's")
def test_a_relative_xdg_directory_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read from the working directory, as the XDG rules say (fault 113)."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "config")
    monkeypatch.setenv("XDG_STATE_HOME", "./state")
    found = find_directories({})
    assert found.config == tmp_path / ".config" / "kling"
    assert found.state == tmp_path / ".local" / "state" / "kling"


@pytest.mark.parametrize("variable", ["KLING_CONFIG_DIR", "KLING_STATE_DIR"])
def test_a_relative_directory_is_refused(variable: str) -> None:
    """A journal that changes with the working directory would buy twice."""
    with pytest.raises(SetupError) as caught:
        find_directories({variable: "he\nre"})
    assert caught.value.code == "invalid_setting"
    assert caught.value.message == f"{variable}: must be an absolute path. It is 'he re'."


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that nobody knows")
def test_a_user_without_a_home_has_no_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    """No HOME and an unknown user id are no traceback, and the variables still work (fault 111)."""
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(KeyError):
        pwd.getpwuid(_UNKNOWN_USER)
    os.setresuid(_UNKNOWN_USER, 0, 0)
    try:
        nowhere = find_directories({})
        somewhere = find_directories({"KLING_CONFIG_DIR": "/etc/kling"})
    finally:
        os.setresuid(0, 0, 0)
    assert nowhere == Directories(config=None, state=None)
    assert somewhere == Directories(config=Path("/etc/kling"), state=None)


def test_the_commands_about_the_file_say_that_there_is_no_place_for_it() -> None:
    """Without a home, `config set` names the two variables that help (fault 111)."""
    nowhere = Directories(config=None, state=None)
    assert nowhere.config_file is None
    with pytest.raises(SetupError, match="no home directory") as caught:
        nowhere.require_config_file()
    assert caught.value.code == "config_directory_unknown"
    assert "KLING_CONFIG_DIR" in caught.value.hint
    assert "KLING_STATE_DIR" in caught.value.hint
