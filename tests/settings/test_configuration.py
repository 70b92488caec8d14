"""The settings file: what is read from it, what is refused, what a write keeps."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kling_cli.errors import KlingError, LocalError, SetupError, UsageError
from kling_cli.settings.configuration import read, remove, store

_CREDENTIAL = "sk-0123456789abcdefghij"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a settings file that does not exist yet, in a directory that does."""
    return tmp_path / "config.toml"


def _write(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)


def test_no_file_is_no_settings(path: Path) -> None:
    """Before the first `kling config set` everything is the default, without a word."""
    found = read(path)
    assert (dict(found.values), found.warnings) == ({}, ())


def test_settings_are_read_as_text(path: Path) -> None:
    """Numbers may be written without quotes."""
    _write(path, f'token = "{_CREDENTIAL}"\nmodel="m"\noutput="捏/"\ntimeout = 90.5\njobs = 8\n')
    found = read(path)
    assert found.values == {
        "token": _CREDENTIAL,
        "model": "m",
        "output": "捏/",
        "timeout": "90.5",
        "jobs": "8",
    }
    assert found.warnings == ()
    assert _CREDENTIAL not in repr(found)


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbfmodel = "m"\n',
        b'model = "m"\r\n# words\r\n',
        b'\xef\xbb\xbf\r\nmodel = "m"',
    ],
)
def test_what_other_editors_add_is_accepted(path: Path, content: bytes) -> None:
    """A byte order mark and CRLF line ends change nothing (fault 69)."""
    _write(path, content)
    assert read(path).values == {"model": "m"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f'\ntoken = "{_CREDENTIAL}', "is not valid TOML at its end."),
        (f"jobs = 1\ntoken = {_CREDENTIAL}", "is not valid TOML at line 2, column 9."),
        (f'token = "{_CREDENTIAL}\\q"', "is not valid TOML at line 1"),
        ("jobs = " + "[" * 5000, "is not valid TOML"),
        ("jobs = " + "9" * 5000, "is not valid TOML"),
        (f'token = "{_CREDENTIAL}"'.encode("utf-16"), "is UTF-16 text; save it as UTF-8."),
        (f'token = "{_CREDENTIAL}"'.encode("utf-16-be"), "is not valid TOML at line 1, column 1."),
        (b"jobs = 1\n\nmodel = '\xe9'", "is not UTF-8 text at line 3."),
        (f"token = ['{_CREDENTIAL}']", "has no text in quotes for token."),
        ("base_url = 1", "has no text in quotes for base_url."),
        ("jobs = true", "has neither text in quotes nor a plain number for jobs."),
        ("timeout = nan", "nor a plain number for timeout."),
        ("timeout = -1", "nor a plain number for timeout."),
        ("jobs = 0x" + "f" * 5000, "nor a plain number for jobs."),
        ("timeout = 1979-05-27", "nor a plain number for timeout."),
        ("#" * 1_100_000, "has 1100000 bytes; settings have 1048576 at most."),
    ],
)
def test_a_broken_file_is_told_with_its_place_and_not_its_content(
    path: Path, content: str | bytes, reason: str
) -> None:
    """The line may hold the token, so only its number is told (faults 69 and 76)."""
    _write(path, content)
    with pytest.raises(SetupError) as caught:
        read(path)
    assert caught.value.code == "config_invalid"
    assert caught.value.message.startswith(f"{path} ")
    assert reason in caught.value.message
    assert "sk-" not in caught.value.message + caught.value.hint
    # A report with -v would show the parser's own error, and the file with it.
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_directory_in_the_files_place_is_refused(path: Path) -> None:
    """A directory called config.toml is no settings file (fault 69)."""
    path.mkdir()
    with pytest.raises(SetupError, match="is not a file"):
        read(path)


def test_a_pipe_in_the_files_place_does_not_hang(path: Path) -> None:
    """Reading settings never waits for somebody to write them."""
    os.mkfifo(path)
    with pytest.raises(SetupError, match="is not a file"):
        read(path)


def test_an_unreadable_file_is_told_with_the_systems_reason(path: Path) -> None:
    """What the system will not open is exit 4 with its own words, for root as well (fault 69)."""
    path.symlink_to(path.name)
    with pytest.raises(SetupError, match="cannot be read: Too many levels of symbolic links"):
        read(path)


def test_a_file_in_the_directorys_place_is_no_settings_and_a_warning(tmp_path: Path) -> None:
    """HOME=/dev/null, or XDG_CONFIG_HOME naming a file, still works (fault 113)."""
    (tmp_path / "file").touch()
    found = read(tmp_path / "file" / "config.toml")
    assert dict(found.values) == {}
    assert [warning.endswith("is not a directory.") for warning in found.warnings] == [True]


def test_an_unknown_setting_only_warns(path: Path) -> None:
    """A mistyped or newer setting is named with the nearest one, and not shown raw (fault 69)."""
    _write(path, 'timeuot = "5m"\n"\\u001b[2J" = 1\njobs = 2\n')
    found = read(path)
    assert found.values == {"jobs": "2"}
    assert found.warnings == (
        f"{path}: 'timeuot' is no setting. Did you mean timeout?",
        rf"{path}: '\x1b[2J' is no setting.",
    )


@pytest.mark.parametrize(
    ("mode", "content", "warns"),
    [
        (0o600, f'token = "{_CREDENTIAL}"', False),
        (0o400, f'token = "{_CREDENTIAL}"', False),
        (0o640, f'token = "{_CREDENTIAL}"', True),
        (0o604, f'token = "{_CREDENTIAL}"', True),
        (0o644, "jobs = 2", False),
        (0o660, "jobs = 2", True),
    ],
)
def test_a_token_that_others_can_read_is_a_warning(
    path: Path, mode: int, content: str, *, warns: bool
) -> None:
    """The warning is the very command that closes the file (fault 71)."""
    _write(path, content, mode)
    warning = f"Others have access to {path}. Close it: chmod 600 {path}"
    assert read(path).warnings == ((warning,) if warns else ())


def test_the_command_that_closes_the_file_can_be_pasted(tmp_path: Path) -> None:
    """A path with a space is quoted in it."""
    path = tmp_path / "my settings.toml"
    _write(path, "jobs = 2", 0o660)
    assert read(path).warnings[0].endswith(f"chmod 600 '{path}'")


def test_a_file_that_every_user_can_change_is_refused(path: Path) -> None:
    """Whoever could write the file could send the token elsewhere (fault 71)."""
    _write(path, "jobs = 2", 0o602)
    with pytest.raises(SetupError, match="can be changed by every user") as caught:
        read(path)
    assert caught.value.code == "config_unsafe"
    assert f"chmod 600 {path}" in caught.value.hint


def test_a_file_of_another_user_is_refused(path: Path) -> None:
    """Settings that somebody else planted are not used (fault 71)."""
    _write(path, "jobs = 2")
    owner = os.geteuid()
    if owner == 0:  # root's own files are everybody's to trust, so it has to be another's
        owner = 12345
        os.chown(path, owner, -1)
    assert read(path, find_user=lambda: owner).values == {"jobs": "2"}
    with pytest.raises(SetupError, match="belongs to another user") as caught:
        read(path, find_user=lambda: owner + 1)
    assert caught.value.code == "config_unsafe"


def test_a_system_without_owners_is_not_asked_for_them(path: Path) -> None:
    """Where files have no numeric owner and mode (Windows), none is judged."""
    _write(path, f'token = "{_CREDENTIAL}"', 0o666)
    assert read(path, find_user=None).warnings == ()


def test_a_link_is_followed_for_reading(path: Path, tmp_path: Path) -> None:
    """Settings kept elsewhere behind a link are found (fault 72)."""
    _write(tmp_path / "elsewhere.toml", "jobs = 3")
    path.symlink_to("elsewhere.toml")
    assert read(path).values == {"jobs": "3"}


def test_a_write_keeps_the_other_settings_in_their_order(path: Path) -> None:
    """`config set` changes one setting, also beside ones that this version does not know."""
    _write(path, '# words\nfuture = [1, "b", true]\njobs = 2\n"a key" = 1.5\nmodel = "m"\n')
    store(path, "jobs", " 5 ")
    store(path, "base-url", "https://API.gpt.ge/kling/")
    store(path, "timeout", " 20m ")
    assert path.read_text() == (
        'future = [1, "b", true]\njobs = 5\n"a key" = 1.5\nmodel = "m"\n'
        'base_url = "https://api.gpt.ge/kling"\ntimeout = "20m"\n'
    )
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_token_is_stored_as_it_is_sent(path: Path) -> None:
    """A pasted `Bearer ` and the final newline are not kept (fault 70)."""
    store(path, "token", f"Bearer {_CREDENTIAL}\n")
    assert path.read_text() == f'token = "{_CREDENTIAL}"\n'


def test_a_wrong_token_is_refused_before_it_is_stored(path: Path) -> None:
    """The place of the wrong character is told, the token is not (fault 70)."""
    with pytest.raises(SetupError, match=r"from your input contains character U\+00E9 at 4"):
        store(path, "token", "sk-é")
    assert not path.exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("jobs", "900", "your input: jobs must be a whole number from 1 to 64. It is '900'."),
        ("output", "a\udcff", "your input: output must be spelt in UTF-8 to be kept in the file."),
    ],
)
def test_a_wrong_value_is_refused_before_it_is_stored(
    path: Path, key: str, value: str, message: str
) -> None:
    """A command that would leave a file behind that no later run can use is a usage error."""
    with pytest.raises(UsageError) as caught:
        store(path, key, value)
    assert caught.value.code == "invalid_setting"
    assert caught.value.message.startswith(message)
    assert not path.exists()


def test_a_wrong_setting_in_the_file_can_be_repaired(path: Path) -> None:
    """`config set` works where a run is refused for the type of that very setting."""
    _write(path, "jobs = true")
    store(path, "jobs", "4")
    assert read(path).values == {"jobs": "4"}


@pytest.mark.parametrize("content", ["[table]\na = 1\n", "day = 1979-05-27\n", "x = nan\n"])
def test_a_file_that_cannot_be_written_again_whole_is_left_alone(path: Path, content: str) -> None:
    """Nothing that the user wrote by hand is lost without their knowing."""
    _write(path, content)
    with pytest.raises(SetupError, match="holds what kling cannot write again as it is"):
        store(path, "jobs", "4")
    assert path.read_text() == content


@pytest.mark.parametrize(("content", "mode"), [("jobs = ", 0o600), ("jobs = 2", 0o606)])
def test_a_broken_or_unsafe_file_is_not_overwritten(path: Path, content: str, mode: int) -> None:
    """A file that is refused for reading is not changed either."""
    _write(path, content, mode)
    with pytest.raises(SetupError):
        store(path, "model", "m")
    assert path.read_text() == content


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file in the directory's place is an error of this machine, exit 11."""
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match="could not be written: ") as caught:
        store(tmp_path / "file" / "config.toml", "jobs", "4")
    assert caught.value.code == "config_write_failed"


def test_a_setting_is_removed(path: Path) -> None:
    """`config unset` takes away one setting and tells whether it stood there."""
    _write(path, 'jobs = 2\ntimeuot = 1\nmodel = "m"\n')
    assert remove(path, "jobs")
    assert not remove(path, "base-url")
    assert remove(path, "timeuot")
    assert path.read_text() == 'model = "m"\n'


def test_removing_from_no_file_makes_none(path: Path) -> None:
    """`config unset` on a fresh machine does nothing."""
    assert not remove(path, "token")
    assert not path.exists()


def test_removing_what_is_no_setting_is_a_usage_error(path: Path) -> None:
    """A mistyped name is told the nearest one."""
    with pytest.raises(UsageError, match=r"Did you mean token\?"):
        remove(path, "tokn")


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(output=st.text(), model=st.text())
@example(output='a\x7f\x1b\r\n\u2028\ufeff"\\', model="\udcff")
def test_every_text_that_is_stored_is_read_back_the_same(
    path: Path, output: str, model: str
) -> None:
    """A path with any character survives the file, or is refused and leaves the file as it was."""
    path.unlink(missing_ok=True)
    expected = {}
    for key, text in (("output", output), ("model", model)):
        try:
            store(path, key, text)
        except UsageError:
            continue
        expected[key] = text if key == "output" else text.strip()
    assert read(path).values == expected


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary() | st.text().map(str.encode) | st.just(b"jobs = 2\n"))
def test_any_file_is_settings_or_one_of_our_errors(path: Path, content: bytes) -> None:
    """No content of the file ends in a traceback."""
    _write(path, content)
    try:
        read(path)
        store(path, "jobs", "3")
    except KlingError as error:
        outcome = error.code
    else:
        outcome = read(path).values["jobs"]
    assert outcome in ("config_invalid", "3")
