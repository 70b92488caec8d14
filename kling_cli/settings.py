"""The settings, flag > environment > file > default, and the token among them.

The file is flat TOML in the user's config directory. It may hold the token, so it is 0600 from its
creation and no message repeats its content.
"""

import os
import re
import shlex
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from kling_cli.errors import LocalError, SetupError, UsageError
from kling_cli.text import clean, parse_duration, without_query

CONFIG_VARIABLE = "KLING_CONFIG_DIR"
STATE_VARIABLE = "KLING_STATE_DIR"
TOKEN_FILE_VARIABLE = "KLING_TOKEN_FILE"  # noqa: S105 - a variable's name, not a password
SANDBOX = "sandbox"
_INPUT = "your input"
DEFAULT_BASE_URL = "https://api.gpt.ge/kling"

_MOST_JOBS = 64
_LONGEST_TOKEN = 4096
# RFC 6750 section 2.1: what an HTTP header may carry after "Bearer ".
_NO_TOKEN = re.compile(r"[^A-Za-z0-9\-._~+/:=]|=(?!=*$)")
_BEARER = re.compile(r"\Abearer(\s+|$)", re.IGNORECASE)
_URL = re.compile(
    r"https?://([a-z0-9][a-z0-9.-]*|\[[0-9a-f:.]+\])(:[0-9]+)?(/[\w\-.~/!$&'()*+,;=:%]*)?",
    re.ASCII | re.IGNORECASE,
)
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1")
_ENDPOINT = re.compile(r"/v1(/videos(/effects)?)?$")

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """A bearer token that knows where it came from and never shows itself."""

    _value: str
    source: str

    @classmethod
    def parse(cls, text: str, *, source: str) -> "Token":
        """Parse a token as people paste it: with a final newline, with `Bearer ` in front."""
        value = _BEARER.sub("", text.strip())
        if len(value) > _LONGEST_TOKEN:
            fault = f"has {len(value)} characters; a token has {_LONGEST_TOKEN} at most"
        elif wrong := _NO_TOKEN.search(value):
            fault = f"contains character U+{ord(wrong[0]):04X} at {wrong.start() + 1}"
        elif not value:
            fault = "is empty"
        else:
            return cls(value, source)
        hint = "Copy the token again, without quotes: kling config set token"
        raise SetupError("token_invalid", f"The token from {source} {fault}.", hint=hint)

    def reveal(self) -> str:
        """Return the value, for the Authorization header and the settings file alone."""
        return self._value

    @property
    def masked(self) -> str:
        """The last four characters behind stars, or stars alone for a short token."""
        return f"****{self._value[8:][-4:]}"

    def derive(self, fingerprint: str) -> str:
        """Derive the external task id of a request: the same from every machine with this token."""
        return "kling-" + self._hash(fingerprint)[:26]

    def tag(self, base_url: str) -> str:
        """Derive the tag by which the journal recognises the token that bought at a base URL."""
        return self._hash(base_url)[:10]

    def _hash(self, text: str) -> str:
        import base64
        import hmac

        digest = hmac.digest(self._value.encode(), text.encode(), "sha256")
        return base64.b32encode(digest).decode().lower()

    def __repr__(self) -> str:
        return f"Token({self.masked!r}, source={self.source!r})"


def _parse_base_url(text: str) -> str:
    """Parse what stands before `/v1/videos/effects`; two spellings of one URL come out equal."""
    text = text.strip()
    if text == SANDBOX:
        return text
    # The shape comes first: what urllib says of a wrong URL may quote a password in it.
    parts = urlsplit(text) if _URL.fullmatch(text) else None
    if parts is None or (parts.scheme == "http" and not _LOOPBACK.fullmatch(parts.hostname or "")):
        raise ValueError(
            f"must be an https URL such as {DEFAULT_BASE_URL}, without user name, password or "
            f"query (http works for loopback only), or the word {SANDBOX}"
        )
    host = parts.netloc.lower()
    if parts.port == {"http": 80, "https": 443}[parts.scheme]:
        host = host.rpartition(":")[0]
    # Who pastes the whole address of the endpoint means its base URL.
    return _ENDPOINT.sub("", f"{parts.scheme}://{host}{parts.path.rstrip('/')}")


def _parse_model(text: str) -> str:
    if not text.strip().isprintable() or len(text.split()) != 1:
        raise ValueError("must be one printable word such as kling-v1-6")
    return text.strip()


def _parse_jobs(text: str) -> int:
    match = re.fullmatch(r"[0-9]{1,4}", text.strip())
    if not match or not 1 <= int(match[0]) <= _MOST_JOBS:
        raise ValueError(f"must be a whole number from 1 to {_MOST_JOBS}")
    return int(match[0])


def _parse_output(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("must be a file, a directory, or - for standard output")
    return text


@dataclass(frozen=True, slots=True)
class Key:
    """One setting; `parse` raises a ValueError whose text continues the name: must be ..."""

    name: str
    description: str
    parse: Callable[[str], object]
    default_text: str = ""

    @property
    def environment(self) -> str:
        """The variable, such as KLING_BASE_URL."""
        return f"KLING_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """The option, such as --base-url; none for the token, as everybody sees arguments."""
        return "" if self.name == "token" else f"--{self.name.replace('_', '-')}"


TOKEN = Key(
    "token",
    f"the service's API token; {TOKEN_FILE_VARIABLE} names a file that holds it",
    lambda text: Token.parse(text, source=_INPUT),
)
BASE_URL = Key(
    "base_url",
    f"the API base URL, without /v1/videos/effects; or the word {SANDBOX}",
    _parse_base_url,
    DEFAULT_BASE_URL,
)
TIMEOUT = Key(
    "timeout", "how long to wait for each task: 90s, 20m, 1h; 0 is no limit", parse_duration, "30m"
)
_MODEL = Key(
    "model", "the model that makes the video; the scene's own where none is set", _parse_model
)
_OUTPUT = Key(
    "output", "where videos are saved: a file, a directory, or - for standard output", _parse_output
)
# The smallest account may have five tasks under way; one place is left for something else.
_JOBS = Key("jobs", f"how many tasks may be under way at once, 1 to {_MOST_JOBS}", _parse_jobs, "4")
KEYS = (TOKEN, BASE_URL, _MODEL, TIMEOUT, _JOBS, _OUTPUT)


def find_key(name: str) -> Key:
    """Find a setting by its name; `base-url` is read as `base_url`."""
    for key in KEYS:
        if name.replace("-", "_") == key.name:
            return key
    # What is longer than any name may be the token itself, given in the wrong place.
    shown = f"'{clean(name)}'" if len(name) <= len("longest_of_names") else "that"
    raise UsageError(
        "unknown_setting",
        f"Unknown setting {shown}.",
        hint=f"Settings: {', '.join(key.name for key in KEYS)}.",
    )


@dataclass(frozen=True, slots=True)
class Setting(Generic[_Value]):
    """A value in force, and the flag, variable or file that it comes from, or "default"."""

    value: _Value
    source: str


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
    environ: Mapping[str, str] = field(repr=False)
    stored: Mapping[str, str] = field(repr=False)

    @property
    def is_sandbox(self) -> bool:
        """Whether the embedded sandbox takes the service's place."""
        return self.base_url.value == SANDBOX

    def find_token(self, token: Token | None = None) -> Token:
        """Find the token for the base URL in use; the stored one is for the stored one alone.

        Args:
            token: what `read_token` has returned before: a pipe can be read only once.
        """
        token = token or self.read_token()
        home = _find_home(self.stored)
        if token.source == self._file and home != self.base_url.value:
            message = f"The token in {self._file} is for {home or 'no valid URL'} alone."
            hint = f"Set the token for {self.base_url.value} in {TOKEN.environment}."
            raise SetupError("token_not_for_this_host", message, hint=hint)
        return token

    def read_token(self) -> Token:
        """Read the token in force, wherever it may be sent; a pipe can be read only once."""
        given = self.environ.get(TOKEN.environment, "").strip()
        if self.is_sandbox and not given.startswith(SANDBOX):
            # A real token never reaches the sandbox, also where a script exports one.
            return Token.parse(SANDBOX, source=SANDBOX)
        if given:
            return Token.parse(given, source=TOKEN.environment)
        if token_file := self.environ.get(TOKEN_FILE_VARIABLE, "").strip():
            return _read_token_file(Path(token_file))
        if TOKEN.name in self.stored:
            return Token.parse(self.stored[TOKEN.name], source=self._file)
        way = f"run kling config set token, which stores it in {self._file}"
        if self.config_file is None:
            way = f"name directories in {CONFIG_VARIABLE} and {STATE_VARIABLE} to store it"
        hint = f"Set {TOKEN.environment} or {TOKEN_FILE_VARIABLE}, or {way}. --sandbox needs none."
        raise SetupError("token_missing", "No API token is set.", hint=hint)

    @property
    def _file(self) -> str:
        return clean(str(self.config_file))


def load(environ: Mapping[str, str], *, flags: Mapping[str, str | None]) -> Settings:
    """Resolve every setting but the token; a flag that was not given is None."""
    directory = find_directory(environ, CONFIG_VARIABLE)
    path = directory / "config.toml" if directory else None
    file = clean(str(path))
    values, mode = _read(path) if path else ({}, 0)
    warnings: list[str] = []
    stored: dict[str, str] = {}
    for name, value in values.items():
        if name not in [key.name for key in KEYS]:
            warnings.append(f"{file}: '{clean(name, limit=40)}' is not a setting.")
        elif isinstance(value, str | int | float):
            stored[name] = str(value)  # `timeout = 90` needs no quotes
        else:
            raise _refuse(file, f"has neither text nor a number for {name}")
    if mode & stat.S_IWGRP or (mode & (stat.S_IRGRP | stat.S_IROTH) and TOKEN.name in stored):
        warnings.append(f"Other users have access to {file}. Close it: {_close(file)}")
    if not environ.get(TOKEN.environment, TOKEN.name).strip():
        warnings.append(f"{TOKEN.environment} is empty, so it counts as not set.")

    def resolve(key: Key) -> Setting[Any]:
        for text, source in (
            (flags.get(key.name), key.flag),
            (environ.get(key.environment, "").strip() or None, key.environment),
            (stored.get(key.name), file),
            (key.default_text or None, "default"),
        ):
            if text is not None:
                return Setting(_parse(key, text, source), source)
        return Setting(None, "default")

    resolved = {key.name: resolve(key) for key in KEYS if key is not TOKEN}
    return Settings(
        **resolved,
        config_file=path,
        state_directory=find_directory(environ, STATE_VARIABLE),
        warnings=tuple(warnings),
        environ=environ,
        stored=stored,
    )


def _parse(key: Key, text: str, source: str) -> object:
    try:
        return key.parse(text)
    except ValueError as reason:
        # A base URL may hold a password.
        shown = without_query(text.rpartition("@")[2]) if key is BASE_URL else clean(text, limit=80)
        kind = UsageError if source in (key.flag, _INPUT) else SetupError
        message = f"{source}: {key.name} {reason}. It is '{shown}'."
        raise kind("invalid_setting", message) from None


def _read_token_file(path: Path) -> Token:
    source = f"{TOKEN_FILE_VARIABLE} ({clean(str(path))})"
    try:
        with path.open("rb") as file:
            content = file.read(1024 * 1024)
    except OSError as error:
        message = f"{source} cannot be read: {error.strerror}."
        hint = f"Name a file that holds the token alone, or set {TOKEN.environment}."
        raise SetupError("token_file_unreadable", message, hint=hint) from None
    # Bytes that are no UTF-8 become characters that the token's own check names.
    return Token.parse(content.decode("utf-8-sig", "surrogateescape"), source=source)


def find_directory(environ: Mapping[str, str], variable: str) -> Path | None:
    """Find the directory that a variable names, else the system's; None for a user without home."""
    named = environ.get(variable, "")
    if named.strip():
        if not Path(named).is_absolute():
            # Another working directory would mean another journal, and so a second purchase.
            message = f"{variable}: must be an absolute path. It is '{clean(named)}'."
            raise SetupError("invalid_setting", message)
        return Path(named)
    import platformdirs

    system = platformdirs.PlatformDirs("kling", appauthor=False)
    try:
        return system.user_state_path if variable == STATE_VARIABLE else system.user_config_path
    except RuntimeError:  # no HOME and a user id that nobody knows, as in containers
        return None


def find_config_file(environ: Mapping[str, str]) -> Path:
    """Find the settings file, whether or not it exists."""
    if directory := find_directory(environ, CONFIG_VARIABLE):
        return directory / "config.toml"
    raise SetupError(
        "config_directory_unknown",
        "No settings directory: this user has no home directory.",
        hint=f"Name directories in {CONFIG_VARIABLE} and {STATE_VARIABLE}.",
    )


def store(path: Path, name: str, text: str) -> None:
    """Store one setting in the file; of two writers at once the last one wins."""
    key = find_key(name)
    value = _parse(key, text, _INPUT)
    if isinstance(value, Token):
        value = value.reveal()
    if key is TIMEOUT:
        value = text.strip()  # with the unit that the user thinks in
    _write(path, _read(path)[0] | {key.name: value})


def remove(path: Path, name: str) -> bool:
    """Remove one setting from the file, also an unknown one; return whether it was there."""
    values, _ = _read(path)
    name = name if name in values else find_key(name).name
    if is_there := name in values:
        del values[name]
        _write(path, values)
    return is_there


def find_token_home(path: Path) -> str | None:
    """Find the base URL that the stored token goes to; None where no token is stored."""
    values, _ = _read(path)
    return _find_home(values) if TOKEN.name in values else None


def _find_home(stored: Mapping[str, object]) -> str:
    try:
        return _parse_base_url(str(stored.get(BASE_URL.name, DEFAULT_BASE_URL)))
    except ValueError:
        return ""


def _read(path: Path) -> tuple[dict[str, object], int]:
    """Read what the file holds, and its mode; a missing file is an empty one."""
    import tomllib

    file = clean(str(path))
    try:
        content = path.read_bytes()
        mode = path.stat().st_mode if os.name == "posix" else 0
    except (FileNotFoundError, NotADirectoryError):
        return {}, 0
    except OSError as error:
        raise _refuse(file, f"cannot be read: {error.strerror}") from None
    if mode & stat.S_IWOTH:
        # Whoever can write it can send the token to a host of their own.
        message = f"Every user can change {file}, so its settings are not used."
        hint = f"Check that its settings are still yours, then: {_close(file)}"
        raise SetupError("config_unsafe", message, hint=hint)
    try:
        return tomllib.loads(content.decode("utf-8-sig")), mode
    except (ValueError, RecursionError) as error:
        # The error's own words may quote the line, which may hold the token.
        place = re.search(r"at line \d+, column \d+", str(error))
        reason = f"is not valid TOML in UTF-8 {place[0] if place else ''}"
        raise _refuse(file, reason.rstrip()) from None


def _write(path: Path, values: Mapping[str, object]) -> None:
    """Replace the file, or a link's target, in one step: old or new, it is whole at any moment."""
    file = clean(str(path))
    if (content := _render(values)) is None:
        raise _refuse(file, "cannot keep all that it holds, or this value, so it was not changed")
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        message = f"{file} could not be written: {error.strerror}. Nothing was changed."
        hint = f"{CONFIG_VARIABLE} names another directory for it."
        raise LocalError("config_write_failed", message, hint=hint) from None
    finally:
        with suppress(OSError):  # after the replacement there is nothing left to remove
            temporary.unlink()


def _render(values: Mapping[str, object]) -> bytes | None:
    """Render flat TOML, None for tables and dates: JSON spells the rest alike, but for DEL."""
    import json
    import tomllib

    spell = partial(json.dumps, ensure_ascii=False, allow_nan=False)
    try:
        lines = [f"{name} = {spell(value)}\n" for name, value in values.items()]
        text = "".join(lines).replace("\x7f", "\\u007f")
        return text.encode() if tomllib.loads(text) == values else None
    except (TypeError, ValueError):
        return None


def _refuse(file: str, reason: str) -> SetupError:
    hint = "Correct the file, or move it away."
    return SetupError("config_invalid", f"{file} {reason}.", hint=hint)


def _close(file: str) -> str:
    return f"chmod 600 {shlex.quote(file)}"
