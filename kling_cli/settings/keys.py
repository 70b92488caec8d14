"""The settings that there are: their names, and where each may come from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kling_cli.errors import KlingError, SetupError, UsageError
from kling_cli.secret import Token
from kling_cli.settings.values import (
    DEFAULT_BASE_URL,
    MOST_JOBS,
    SANDBOX,
    InvalidValueError,
    parse_base_url,
    parse_duration,
    parse_jobs,
    parse_model,
    parse_output,
)
from kling_cli.text import clean, without_query

_Value_co = TypeVar("_Value_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Generic[_Value_co]):
    """One setting; `flag` is empty where the command line is no place for it."""

    name: str
    flag: str
    environment: str
    description: str
    parse: Callable[[str], _Value_co]
    default: _Value_co
    default_text: str = ""


def _parse_token(text: str) -> Token:
    return Token.parse(text, source="your input")


TOKEN: Key[Token | None] = Key(
    name="token",
    flag="",
    environment="KLING_TOKEN",
    description="the service's API token; KLING_TOKEN_FILE names a file that holds it",
    parse=_parse_token,
    default=None,
)
BASE_URL: Key[str] = Key(
    name="base_url",
    flag="--base-url",
    environment="KLING_BASE_URL",
    description=f"all that stands before /v1/videos/effects, or the word {SANDBOX}",
    parse=parse_base_url,
    default=DEFAULT_BASE_URL,
    default_text=DEFAULT_BASE_URL,
)
MODEL: Key[str | None] = Key(
    name="model",
    flag="--model",
    environment="KLING_MODEL",
    description="the model that makes the video; the scene's own where none is set",
    parse=parse_model,
    default=None,
)
TIMEOUT: Key[float | None] = Key(
    name="timeout",
    flag="--timeout",
    environment="KLING_TIMEOUT",
    description="how long to wait for each task: 90s, 20m, 1h; 0 is no limit",
    parse=parse_duration,
    default=1800.0,
    default_text="30m",
)
JOBS: Key[int] = Key(
    name="jobs",
    flag="--jobs",
    environment="KLING_JOBS",
    description=f"how many tasks may be under way at once, 1 to {MOST_JOBS}",
    parse=parse_jobs,
    # The smallest account may have five tasks under way; one place is left for something else.
    default=4,
    default_text="4",
)
OUTPUT: Key[str | None] = Key(
    name="output",
    flag="--output",
    environment="KLING_OUTPUT",
    description="where videos are saved: a file, a directory, or - for standard output",
    parse=parse_output,
    default=None,
)
_LONGEST_NAME = 16
KEYS: tuple[Key[object], ...] = (TOKEN, BASE_URL, MODEL, TIMEOUT, JOBS, OUTPUT)


def find_key(name: str) -> Key[object]:
    """Find a setting by its name; `base-url` is read as `base_url`.

    Raises:
        UsageError: there is none; the message names the nearest.
    """
    for key in KEYS:
        if name.replace("-", "_") == key.name:
            return key
    # A longer one may be the token itself, given in the wrong place.
    shown = f"'{clean(name)}'" if len(name) <= _LONGEST_NAME else "that"
    raise UsageError(
        "unknown_setting",
        f"No setting is called {shown}.{suggest(name)}",
        hint=f"The settings are {', '.join(key.name for key in KEYS)}.",
    )


def suggest(name: str) -> str:
    """Name the setting that a wrong name comes nearest to, as a sentence behind another."""
    import difflib

    near = difflib.get_close_matches(name.lower(), [key.name for key in KEYS], n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def explain(key: Key[object], text: str, *, source: str, reason: InvalidValueError) -> str:
    """Say which value from where is wrong and what is allowed, without any secret in a URL."""
    if key is BASE_URL:
        text = "not shown, as it may hold a password" if "@" in text else without_query(text)
    return f"{source}: {key.name} {reason}. It is '{clean(text, limit=80)}'."


def refuse(key: Key[object], text: str, *, source: str, reason: InvalidValueError) -> KlingError:
    """Make the error for a wrong value: of the command if a flag brought it, else of the setup."""
    message = explain(key, text, source=source, reason=reason)
    if source == key.flag:
        return UsageError("invalid_option", message)
    return SetupError("invalid_setting", message)
