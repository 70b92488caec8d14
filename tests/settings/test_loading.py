"""The settings in force, and the token that goes to its own host alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.errors import SetupError, UsageError
from kling_cli.settings.configuration import store
from kling_cli.settings.directories import Directories
from kling_cli.settings.keys import KEYS
from kling_cli.settings.loading import Described, Setting, Settings, describe, load

_CREDENTIAL = "sk-0123456789abcdefghij"
_OTHER_CREDENTIAL = "sk-zyxwvutsrqponmlkjihg"


class Machine:
    """A user's machine: its settings file and the variables of the next run."""

    def __init__(self, root: Path) -> None:
        self.file = root / "config" / "config.toml"
        self.state = root / "state"
        self.environ = {
            "KLING_CONFIG_DIR": str(self.file.parent),
            "KLING_STATE_DIR": str(self.state),
        }

    def store(self, **settings: str) -> None:
        """Keep settings in the file."""
        for key, value in settings.items():
            store(self.file, key, value)

    def write(self, text: str) -> None:
        """Write the file by hand."""
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(text)
        self.file.chmod(0o600)

    def load(self, **flags: str | None) -> Settings:
        """Load the settings of a run with these flags."""
        return load(self.environ, flags=flags)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Make a machine on which nothing is set."""
    return Machine(tmp_path)


def test_without_any_setting_the_defaults_hold(machine: Machine) -> None:
    """A fresh machine waits 30 minutes for the provider of the documents, four tasks at once."""
    settings = machine.load()
    assert settings.base_url == Setting(value="https://api.gpt.ge/kling", source="default")
    assert settings.model == Setting(value=None, source="default")
    assert settings.timeout == Setting(value=1800.0, source="default")
    assert settings.jobs == Setting(value=4, source="default")
    assert settings.output == Setting(value=None, source="default")
    assert settings.config_file == machine.file
    assert settings.state_directory == machine.state
    assert settings.warnings == ()
    assert not settings.is_sandbox


def test_a_flag_beats_the_environment_beats_the_file(machine: Machine) -> None:
    """Each value knows the place that it comes from, the strongest that has one."""
    machine.store(timeout="1m", jobs="1", model="of-the-file", output="film.mp4")
    machine.environ |= {"KLING_TIMEOUT": "2m", "KLING_JOBS": "2", "KLING_MODEL": ""}
    settings = machine.load(timeout="0", jobs=None, output=None)
    assert settings.timeout == Setting(value=None, source="--timeout")
    assert settings.jobs == Setting(value=2, source="KLING_JOBS")
    assert settings.model == Setting(value="of-the-file", source=str(machine.file))
    assert settings.output == Setting(value="film.mp4", source=str(machine.file))


def test_numbers_in_the_file_need_no_quotes(machine: Machine) -> None:
    """A file written by hand may say timeout = 90."""
    machine.write("timeout = 90\njobs = 8\n")
    settings = machine.load()
    assert (settings.timeout.value, settings.jobs.value) == (90, 8)


def test_a_wrong_flag_is_a_usage_error(machine: Machine) -> None:
    """A flag's wrong value is exit 2 and says what is allowed."""
    with pytest.raises(UsageError, match="--jobs: jobs must be a whole number") as caught:
        machine.load(jobs="many")
    assert caught.value.code == "invalid_option"


def test_an_empty_flag_is_not_taken_for_an_absent_one(machine: Machine) -> None:
    """`-o "$UNSET"` is told instead of saving nothing."""
    with pytest.raises(UsageError, match="--output: output must be a file"):
        machine.load(output="")


def test_a_wrong_variable_is_an_error_of_the_setup(machine: Machine) -> None:
    """A variable's wrong value is exit 4, names the variable and shows the value cleaned."""
    machine.environ["KLING_TIMEOUT"] = "soon\x1b[2J"
    with pytest.raises(SetupError, match=r"KLING_TIMEOUT: .*'soon\\x1b\[2J'") as caught:
        machine.load()
    assert caught.value.code == "invalid_setting"


def test_a_wrong_value_in_the_file_names_the_file(machine: Machine) -> None:
    """A wrong value in the file is exit 4 and names the file."""
    machine.write('jobs = "many"\n')
    with pytest.raises(SetupError) as caught:
        machine.load()
    assert caught.value.code == "invalid_setting"
    assert caught.value.message.startswith(f"{machine.file}: jobs must be")


def test_a_broken_file_stops_every_command_that_needs_settings(machine: Machine) -> None:
    """Settings that cannot be read are told, not ignored (fault 69)."""
    machine.write("jobs = \n")
    with pytest.raises(SetupError, match="is not valid TOML at line 1"):
        machine.load(jobs="3")


def test_the_files_warnings_are_handed_on(machine: Machine) -> None:
    """What is odd in the file reaches the user with the next command."""
    machine.write("jbos = 3\n")
    assert machine.load().warnings == (f"{machine.file}: 'jbos' is no setting. Did you mean jobs?",)


def test_no_token_anywhere_is_told_with_every_way_to_give_one(machine: Machine) -> None:
    """Who starts without a token reads the variables, the file, the command and --sandbox."""
    settings = machine.load()
    with pytest.raises(SetupError) as caught:
        settings.find_token()
    assert caught.value.code == "token_missing"
    ways = caught.value.hint
    named = ("KLING_TOKEN,", "KLING_TOKEN_FILE", "kling config set token", "--sandbox")
    assert [way for way in (*named, str(machine.file)) if way not in ways] == []


def test_a_user_without_a_home_is_told_the_variables(machine: Machine) -> None:
    """Without a home directory a token from the environment works, else both are named (111)."""
    nowhere = Directories(config=None, state=None)
    settings = load({}, flags={}, directories=nowhere)
    assert (settings.config_file, settings.state_directory) == (None, None)
    with pytest.raises(SetupError) as caught:
        settings.find_token()
    assert "KLING_CONFIG_DIR" in caught.value.hint
    assert "KLING_STATE_DIR" in caught.value.hint
    machine.environ["KLING_TOKEN"] = _CREDENTIAL
    settings = load(machine.environ, flags={}, directories=nowhere)
    assert settings.find_token().reveal() == _CREDENTIAL


def test_the_tokens_order_is_variable_then_named_file_then_settings(
    machine: Machine, tmp_path: Path
) -> None:
    """KLING_TOKEN beats KLING_TOKEN_FILE beats the stored token (fault 73)."""
    token_file = tmp_path / "token"
    token_file.write_bytes(b"\xef\xbb\xbfsk-of-the-named-file\r\n")
    machine.store(token=_CREDENTIAL)
    machine.environ |= {"KLING_TOKEN": "Bearer sk-variable", "KLING_TOKEN_FILE": str(token_file)}
    found = machine.load().find_token()
    assert (found.reveal(), found.source) == ("sk-variable", "KLING_TOKEN")
    machine.environ |= {"KLING_TOKEN": " "}
    found = machine.load().find_token()
    assert found.reveal() == "sk-of-the-named-file"
    assert found.source == f"KLING_TOKEN_FILE ({token_file})"
    machine.environ["KLING_TOKEN_FILE"] = ""
    found = machine.load().find_token()
    assert (found.reveal(), found.source) == (_CREDENTIAL, str(machine.file))


def test_an_empty_token_variable_counts_as_not_set_and_is_noticed(machine: Machine) -> None:
    """A CI secret that is empty is told, and then the other places are asked (fault 73)."""
    machine.environ |= {"KLING_TOKEN": "\n"}
    settings = machine.load()
    assert settings.warnings == ("KLING_TOKEN is empty, so it counts as not set.",)
    with pytest.raises(SetupError) as caught:
        settings.find_token()
    assert caught.value.code == "token_missing"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"two words", "contains character U+0020 at 4"),
        (b"sk-\xff", "contains character U+DCFF at 4"),
        (b"sk-\0", "contains character U+0000 at 4"),
        (b"s" * 1_048_577, "has 1048576 characters"),
    ],
)
def test_a_wrong_token_file_is_told_without_its_content(
    machine: Machine, tmp_path: Path, content: bytes, reason: str
) -> None:
    """The place of the wrong character is told, and which file it is in (fault 70)."""
    (tmp_path / "token").write_bytes(content)
    machine.environ["KLING_TOKEN_FILE"] = str(tmp_path / "token")
    with pytest.raises(SetupError) as caught:
        machine.load().find_token()
    assert caught.value.code == "token_invalid"
    assert f"KLING_TOKEN_FILE ({tmp_path / 'token'}) {reason}" in caught.value.message


def test_a_token_file_that_cannot_be_read_is_told(machine: Machine, tmp_path: Path) -> None:
    """A named file that is missing does not fall back to another token."""
    machine.store(token=_CREDENTIAL)
    machine.environ["KLING_TOKEN_FILE"] = str(tmp_path / "missing")
    with pytest.raises(SetupError, match="cannot be read: No such file") as caught:
        machine.load().find_token()
    assert caught.value.code == "token_file_unreadable"


@pytest.mark.parametrize("stored", [None, "https://relay.example/kling"])
@pytest.mark.parametrize("place", ["flag", "environment"])
def test_the_stored_token_goes_to_the_stored_base_url_alone(
    machine: Machine, stored: str | None, place: str
) -> None:
    """Another host, named for one run, does not get the stored token (fault 74)."""
    machine.store(token=_CREDENTIAL, **({"base_url": stored} if stored else {}))
    evil = "https://evil.example/kling"
    if place == "environment":
        machine.environ["KLING_BASE_URL"] = evil
    settings = machine.load(base_url=evil if place == "flag" else None)
    with pytest.raises(SetupError) as caught:
        settings.find_token()
    assert caught.value.code == "token_not_for_this_host"
    assert evil in caught.value.message
    assert (stored or "https://api.gpt.ge/kling") in caught.value.message
    assert "KLING_TOKEN" in caught.value.hint
    machine.environ["KLING_TOKEN"] = _OTHER_CREDENTIAL
    settings = machine.load(base_url=evil)
    assert settings.find_token().reveal() == _OTHER_CREDENTIAL


@pytest.mark.parametrize(
    "url",
    [
        "https://api.gpt.ge/other",
        "https://api.gpt.ge:8443/kling",
        "https://api.gpt.ge.evil.example/kling",
    ],
)
def test_a_near_base_url_is_another_host(machine: Machine, url: str) -> None:
    """Another path, port or domain does not get the stored token either (fault 74)."""
    machine.store(token=_CREDENTIAL)
    with pytest.raises(SetupError) as caught:
        machine.load(base_url=url).find_token()
    assert caught.value.code == "token_not_for_this_host"


def test_the_same_base_url_spelt_otherwise_gets_the_stored_token(machine: Machine) -> None:
    """Naming the stored host again for one run changes nothing."""
    machine.store(token=_CREDENTIAL)
    settings = machine.load(base_url="https://API.gpt.ge:443/kling/")
    assert settings.find_token().reveal() == _CREDENTIAL


def test_a_wrong_stored_base_url_keeps_the_stored_token_back(machine: Machine) -> None:
    """Where nobody can say which host a token is for, it is sent to none."""
    machine.write(f'token = "{_CREDENTIAL}"\nbase_url = "http://api.gpt.ge/kling"\n')
    settings = machine.load(base_url="https://api.gpt.ge/kling")
    with pytest.raises(SetupError, match="base_url must begin with https://"):
        settings.find_token()


@pytest.mark.parametrize(
    ("variable", "token", "source"),
    [
        (None, "sandbox", "sandbox"),
        (_CREDENTIAL, "sandbox", "sandbox"),
        ("sandbox-1303", "sandbox-1303", "KLING_TOKEN"),
    ],
)
def test_the_sandbox_never_sees_the_real_token(
    machine: Machine, variable: str | None, token: str, source: str
) -> None:
    """The sandbox takes a token that chooses trouble, and no real one."""
    machine.store(token=_CREDENTIAL)
    if variable:
        machine.environ["KLING_TOKEN"] = variable
    settings = machine.load(base_url="sandbox")
    assert settings.is_sandbox
    found = settings.find_token()
    assert (found.reveal(), found.source) == (token, source)


def test_every_setting_is_described_with_its_source(machine: Machine) -> None:
    """`config list` shows each value, where it comes from, and of the token four characters."""
    machine.store(token=_CREDENTIAL, model="m")
    machine.environ["KLING_OUTPUT"] = "捏\x1b/"
    file = str(machine.file)
    described = describe(machine.load(timeout="5400"))
    assert described == (
        Described(key="token", value="****ghij", source=file),
        Described(key="base_url", value="https://api.gpt.ge/kling", source="default"),
        Described(key="model", value="m", source=file),
        Described(key="timeout", value="90m", source="--timeout"),
        Described(key="jobs", value="4", source="default"),
        Described(key="output", value=r"捏\x1b/", source="KLING_OUTPUT"),
    )
    assert [one.key for one in described] == [key.name for key in KEYS]


def test_what_is_not_set_is_described_as_nothing(machine: Machine) -> None:
    """A missing token is no failure of `config list`; no limit is shown as it is set, as 0."""
    token, _, model, timeout, *_ = describe(machine.load(timeout="0"))
    assert token == Described(key="token", value=None, source=None)
    assert model == Described(key="model", value=None, source="default")
    assert timeout == Described(key="timeout", value="0", source="--timeout")


def test_a_token_that_cannot_be_used_is_described_with_its_problem(machine: Machine) -> None:
    """`config list` says why the stored token will not be sent."""
    machine.store(token=_CREDENTIAL)
    token, *_ = describe(machine.load(base_url="https://evil.example"))
    assert (token.value, token.source) == (None, None)
    assert token.problem is not None
    assert "is not sent to https://evil.example" in token.problem


@given(middle=st.text(), where=st.sampled_from(["environment", "file"]))
def test_the_token_is_in_nothing_that_is_shown(
    tmp_path_factory: pytest.TempPathFactory, middle: str, where: str
) -> None:
    """Whatever the token looks like, no description, repr or error has it (fault 76)."""
    machine = Machine(tmp_path_factory.getbasetemp())
    start, end = "sk-8f3a77", "5e0bd1c2"
    whole = f"{start}{middle}{end}"
    machine.write("" if where == "environment" else f"token = {json.dumps(whole)}\n")
    if where == "environment":
        machine.environ["KLING_TOKEN"] = whole
    shown = _load_or_explain(machine)
    assert start not in shown
    assert end not in shown


def _load_or_explain(machine: Machine) -> str:
    try:
        settings = machine.load()
        shown = repr(settings) + repr(describe(settings))
        return shown + repr(settings.find_token())
    except SetupError as error:
        return f"{error!r} {error.message} {error.hint}"


def test_loading_settings_is_light(machine: Machine) -> None:
    """Without a file, and with both directories named, nothing heavy is imported."""
    program = (
        "import os, sys\n"
        "from kling_cli.settings.loading import describe, load\n"
        "describe(load(os.environ, flags={}))\n"
        "heavy = {'platformdirs', 'tomllib', 'httpx', 'ssl', 'difflib', 'base64'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(
        command, env=machine.environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "[]\n"
