"""The table of settings, from which help, man page, completion and `config list` are made."""

import pytest

from kling_cli.errors import SetupError, UsageError
from kling_cli.settings.keys import BASE_URL, KEYS, TIMEOUT, TOKEN, find_key, refuse
from kling_cli.settings.values import InvalidValueError


def test_the_table_names_every_setting_once() -> None:
    """Six settings, each with its variable, and a flag for all but the token: argv is public."""
    assert [(key.name, key.flag, key.environment, key.default_text) for key in KEYS] == [
        ("token", "", "KLING_TOKEN", ""),
        ("base_url", "--base-url", "KLING_BASE_URL", "https://api.gpt.ge/kling"),
        ("model", "--model", "KLING_MODEL", ""),
        ("timeout", "--timeout", "KLING_TIMEOUT", "30m"),
        ("jobs", "--jobs", "KLING_JOBS", "4"),
        ("output", "--output", "KLING_OUTPUT", ""),
    ]


@pytest.mark.parametrize("key", [key for key in KEYS if key.default_text], ids=lambda key: key.name)
def test_a_default_is_what_its_text_says(key: object) -> None:
    """The default that help shows, given as a value, changes nothing."""
    (found,) = [candidate for candidate in KEYS if candidate is key]
    assert found.parse(found.default_text) == found.default


@pytest.mark.parametrize(("name", "key"), [("token", TOKEN), ("base-url", BASE_URL)])
def test_a_setting_is_found_by_name(name: str, key: object) -> None:
    """The flag's spelling with a hyphen is understood as well."""
    assert find_key(name) is key


def test_a_mistyped_setting_is_told_the_nearest() -> None:
    """`config set time_out 5m` is a usage error that names timeout."""
    with pytest.raises(UsageError, match=r"'time_out'\. Did you mean timeout\?") as caught:
        find_key("time_out")
    assert caught.value.code == "unknown_setting"
    assert "token, base_url, model, timeout, jobs, output" in caught.value.hint


def test_a_setting_like_no_other_is_shown_clean() -> None:
    """Nothing is guessed for a name that resembles none, and no escape byte is printed."""
    with pytest.raises(UsageError) as caught:
        find_key("\x1bzzzz")
    assert caught.value.message == r"No setting is called '\x1bzzzz'."


def test_a_wrong_flag_is_a_usage_error_and_a_wrong_variable_one_of_the_setup() -> None:
    """Exit code 2 tells a script that its command is wrong, 4 that its surroundings are."""
    reason = InvalidValueError("must be short")
    flag = refuse(TIMEOUT, "x\x1b", source="--timeout", reason=reason)
    variable = refuse(TIMEOUT, "x", source="KLING_TIMEOUT", reason=reason)
    assert (type(flag), flag.code) == (UsageError, "invalid_option")
    assert flag.message == r"--timeout: timeout must be short. It is 'x\x1b'."
    assert (type(variable), variable.code) == (SetupError, "invalid_setting")
    assert variable.message == "KLING_TIMEOUT: timeout must be short. It is 'x'."


@pytest.mark.parametrize(
    "text", ["https://u:hunter2@h/", "u:hunter2@h", "https://h/?k=hunter2", "https://u:hun?ter2@h"]
)
def test_a_secret_in_a_wrong_base_url_is_not_shown(text: str) -> None:
    """A password or key in the URL stays out of the message about it (fault 74)."""
    reason = InvalidValueError("must not")
    assert "ter2" not in refuse(BASE_URL, text, source="KLING_BASE_URL", reason=reason).message
