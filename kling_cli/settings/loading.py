"""The settings in force: flag > environment > config file > default, each knowing its source.

The token is looked for only when a command asks for it. The stored one goes to the base URL that is
stored with it, and any to where it bought before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from kling_cli.errors import SetupError
from kling_cli.secret import Token
from kling_cli.settings import configuration
from kling_cli.settings.directories import (
    CONFIG_VARIABLE,
    STATE_VARIABLE,
    Directories,
    find_directories,
)
from kling_cli.settings.keys import BASE_URL, JOBS, MODEL, OUTPUT, TIMEOUT, TOKEN, Key, refuse
from kling_cli.settings.values import SANDBOX, InvalidValueError, format_duration
from kling_cli.text import clean

TOKEN_FILE_VARIABLE = "KLING_TOKEN_FILE"  # noqa: S105 - a variable's name, not a password
_LARGEST_TOKEN_FILE = 1024 * 1024

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Generic[_Value]):
    """A value in force, and the flag, variable or file that it comes from, or "default"."""

    value: _Value
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """The places that a setting may come from, strongest first; `file` is `stored`'s name."""

    flags: Mapping[str, str | None]
    environ: Mapping[str, str]
    stored: Mapping[str, str]
    file: str

    def settle(self, key: Key[_Value]) -> Setting[_Value]:
        """Take a setting from the strongest place that has it.

        Raises:
            UsageError: the flag's value is wrong.
            SetupError: the variable's or the file's is.
        """
        flag = self.flags.get(key.name)
        variable = self.environ.get(key.environment, "")
        if flag is not None:
            text, source = flag, key.flag
        elif variable.strip():
            text, source = variable, key.environment
        elif key.name in self.stored:
            text, source = self.stored[key.name], self.file
        else:
            return Setting(value=key.default, source="default")
        try:
            return Setting(value=key.parse(text), source=source)
        except InvalidValueError as reason:
            raise refuse(key, text, source=source, reason=reason) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one run; `timeout` is in seconds, None for no limit."""

    base_url: Setting[str]
    model: Setting[str | None]
    timeout: Setting[float | None]
    jobs: Setting[int]
    output: Setting[str | None]
    config_file: Path | None
    state_directory: Path | None
    warnings: tuple[str, ...]
    places: _Places = field(repr=False)

    @property
    def is_sandbox(self) -> bool:
        """Whether the embedded sandbox takes the service's place."""
        return self.base_url.value == SANDBOX

    def find_token(self) -> Token:
        """Find the token for the base URL in force.

        Raises:
            SetupError: there is none, it cannot be one, or it was stored for another host.
        """
        return self.check_home(self.read_token())

    def check_home(self, token: Token) -> Token:
        """Refuse the stored token for a base URL in force that is not the stored one.

        Raises:
            SetupError: it was stored for another host.
        """
        places = self.places
        if token.source == places.file:
            stored = _Places(flags={}, environ={}, stored=places.stored, file=places.file)
            home = stored.settle(BASE_URL).value
            if home != self.base_url.value:
                raise SetupError(
                    "token_not_for_this_host",
                    f"The token in {places.file} is for {home}, so it is not sent to "
                    f"{self.base_url.value}, which comes from {self.base_url.source}.",
                    hint=f"Give the token for that host in {TOKEN.environment}.",
                )
        return token

    def read_token(self) -> Token:
        """Read the token in force, wherever it may go; a pipe can be read only once.

        Raises:
            SetupError: there is none, or it cannot be one.
        """
        environ = self.places.environ
        given = environ.get(TOKEN.environment, "").strip()
        if self.is_sandbox:
            # A real token stays outside, also where a script exports one.
            if given.startswith(SANDBOX):
                return Token.parse(given, source=TOKEN.environment)
            return Token.parse(SANDBOX, source=SANDBOX)
        if given:
            return Token.parse(given, source=TOKEN.environment)
        if token_file := environ.get(TOKEN_FILE_VARIABLE, "").strip():
            return _read_token_file(Path(token_file))
        if TOKEN.name not in self.places.stored:
            raise SetupError(
                "token_missing",
                "The service needs a token, and there is none.",
                hint=_list_ways(self.config_file),
            )
        return Token.parse(self.places.stored[TOKEN.name], source=self.places.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One setting to show: its value as text, None where it has none or a problem with it."""

    key: str
    value: str | None
    source: str | None
    problem: str | None = None


def load(
    environ: Mapping[str, str],
    *,
    flags: Mapping[str, str | None],
    directories: Directories | None = None,
) -> Settings:
    """Settle every setting but the token, with the config file read once.

    Args:
        environ: the environment; an empty variable counts as not set.
        flags: the text of each flag by its setting's name, None for one that was not given.
        directories: those that `find_directories` finds, where none are told.

    Raises:
        UsageError: a flag has a wrong value.
        SetupError: a variable or the file has one, or the file must not be used.
    """
    directories = directories or find_directories(environ)
    path = directories.config_file
    found = configuration.read(path) if path else configuration.Configuration(values={})
    places = _Places(flags=flags, environ=environ, stored=found.values, file=clean(str(path)))
    is_token_empty = environ.get(TOKEN.environment, "-").strip() == ""
    notices = (f"{TOKEN.environment} is empty, so it counts as not set.",) * is_token_empty
    return Settings(
        base_url=places.settle(BASE_URL),
        model=places.settle(MODEL),
        timeout=places.settle(TIMEOUT),
        jobs=places.settle(JOBS),
        output=places.settle(OUTPUT),
        config_file=path,
        state_directory=directories.state,
        warnings=found.warnings + notices,
        places=places,
    )


def describe(settings: Settings) -> tuple[Described, ...]:
    """Show every setting with its source, in the order of `KEYS`, the token masked."""
    timeout = format_duration(settings.timeout.value)
    return (
        _describe_token(settings),
        _describe(BASE_URL, settings.base_url),
        _describe(MODEL, settings.model),
        _describe(TIMEOUT, Setting(value=timeout, source=settings.timeout.source)),
        _describe(JOBS, settings.jobs),
        _describe(OUTPUT, settings.output),
    )


def _describe(key: Key[object], setting: Setting[_Value]) -> Described:
    value = None if setting.value is None else clean(str(setting.value))
    return Described(key=key.name, value=value, source=setting.source)


def _describe_token(settings: Settings) -> Described:
    try:
        token = settings.find_token()
    except SetupError as error:
        problem = None if error.code == "token_missing" else error.message
        return Described(key=TOKEN.name, value=None, source=None, problem=problem)
    return Described(key=TOKEN.name, value=token.masked, source=token.source)


def _read_token_file(path: Path) -> Token:
    source = f"{TOKEN_FILE_VARIABLE} ({clean(str(path))})"
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_TOKEN_FILE)
    except OSError as error:
        raise SetupError(
            "token_file_unreadable",
            f"{source} cannot be read: {error.strerror}.",
            hint=f"It must name a file that holds the token alone; or use {TOKEN.environment}.",
        ) from None
    # What is no UTF-8 survives as characters that the token's own check names.
    return Token.parse(content.decode("utf-8-sig", "surrogateescape"), source=source)


def _list_ways(config_file: Path | None) -> str:
    ways = f"Set {TOKEN.environment}, or {TOKEN_FILE_VARIABLE} to a file that holds it, or "
    if config_file is None:
        ways += (
            f"name a directory for settings in {CONFIG_VARIABLE} (and one for the journal in "
            f"{STATE_VARIABLE}), as this user has no home directory"
        )
    else:
        ways += f"store it in {clean(str(config_file))} with: kling config set token"
    return f"{ways}. With --sandbox everything can be tried without one."
