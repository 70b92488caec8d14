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
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from kling_cli.errors import KlingError, LocalError, SetupError, UsageError
from kling_cli.text import clean, parse_duration, without_query

CONFIG_VARIABLE = "KLING_CONFIG_DIR"
STATE_VARIABLE = "KLING_STATE_DIR"
TOKEN_FILE_VARIABLE = "KLING_TOKEN_FILE"  # noqa: S105 - a variable's name, not a password
SANDBOX = "sandbox"
_INPUT = "your input"
_NO_HOME = f"Set {CONFIG_VARIABLE} and {STATE_VARIABLE} to directories"
DEFAULT_BASE_URL = "https://api.gpt.ge/kling"

_MOST_JOBS = 64
_LONGEST_TOKEN = 4096
# RFC 6750 section 2.1: what an HTTP header may carry after "Bearer ".
_NO_TOKEN = re.compile(r"[^A-Za-z0-9\-._~+/:=]|=(?!=*$)")
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_SELF_SIGNED = {"iss", "exp", "nbf", "iat"}
_HARMLESS_LINE = re.compile(r"\s*(base_url|model|timeout|jobs|output)\b")
_BEARER = re.compile(r"\Abearer(\s+|$)", re.IGNORECASE)
_URL = re.compile(
    r"https?://([a-z0-9][a-z0-9.-]*|\[[0-9a-f:.]+\])(:[0-9]+)?(/[\w\-.~/!$&'()*+,;=:%]*)?",
    re.ASCII | re.IGNORECASE,
)
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1")
_ENDPOINT = re.compile(r"/v1(/videos(/effects)?)?$")


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token with its source; its `repr` hides the value."""

    _value: str = field(repr=False)
    source: str

    @classmethod
    def parse(cls, text: str, *, source: str) -> "Token":
        """Parse a token as users paste it: with a final newline, or after `Bearer `."""
        value = _BEARER.sub("", text.strip())
        if len(value) > _LONGEST_TOKEN:
            fault = f"has {len(value)} characters; the maximum is {_LONGEST_TOKEN}"
        elif wrong := _NO_TOKEN.search(value):
            fault = f"contains character U+{ord(wrong[0]):04X} at position {wrong.start() + 1}"
        elif not value:
            fault = "is empty"
        else:
            return cls(value, source)
        hint = "Copy the token again, without quotes: kling config set token"
        raise SetupError("token_invalid", f"The token from {source} {fault}.", hint=hint)

    def reveal(self) -> str:
        """Return the value; only for the Authorization header and the settings file."""
        return self._value

    @property
    def masked(self) -> str:
        """Stars and the last four characters, or only stars for a short token."""
        return f"****{self._value[8:][-4:]}"

    def derive(self, fingerprint: str) -> str:
        """Derive the external task id of a request, the same on every machine of an account."""
        return "kling-" + self._hash(fingerprint)[:26]

    def tag(self, base_url: str) -> str:
        """Derive the tag by which the journal recognises the token that bought at a base URL."""
        return self._hash(base_url)[:10]

    @property
    def expires(self) -> float | None:
        """When a JWT expires, in seconds since the epoch; None if unknown."""
        seconds = self._read_claims().get("exp")
        return seconds if isinstance(seconds, int | float) else None

    def _hash(self, text: str) -> str:
        import base64
        import hmac

        key, claims = self._value, self._read_claims()
        account = claims.get("iss")
        # A self-signed JWT changes every half hour, but its account does not. With any other claim,
        # `iss` may be the issuer of many accounts.
        if isinstance(account, str) and account and claims.keys() <= _SELF_SIGNED:
            key = account
        digest = hmac.digest(key.encode(), text.encode(), "sha256")
        return base64.b32encode(digest).decode().lower()

    def _read_claims(self) -> dict[str, Any]:
        """Read the claims of a JWT, unverified; any other token has none."""
        import base64
        import json

        claims = None
        if _JWT.fullmatch(self._value):
            payload = self._value.split(".")[1]
            with suppress(ValueError):
                claims = json.loads(base64.urlsafe_b64decode(f"{payload}=="))
        return claims if isinstance(claims, dict) else {}


def _parse_base_url(text: str) -> str:
    """Parse an API base URL, and normalise its spelling."""
    text = text.strip()
    if text == SANDBOX:
        return text
    # Check the shape first: an error of urllib may quote a password in the URL.
    parts = urlsplit(text) if _URL.fullmatch(text) else None
    if parts is None or (parts.scheme == "http" and not _LOOPBACK.fullmatch(parts.hostname or "")):
        raise ValueError(
            f"must be an https URL such as {DEFAULT_BASE_URL}, without user name, password or "
            f"query (http works for loopback only), or the word {SANDBOX}"
        )
    host = parts.netloc.lower()
    if parts.port == {"http": 80, "https": 443}[parts.scheme]:
        host = host.rpartition(":")[0]
    # Accept the URL of the endpoint, too.
    return _ENDPOINT.sub("", f"{parts.scheme}://{host}{parts.path.rstrip('/')}")


def _parse_timeout(text: str) -> str:
    parse_duration(text)
    return text.strip()


def _parse_jobs(text: str) -> int:
    if text.strip() not in map(str, range(1, _MOST_JOBS + 1)):
        raise ValueError(f"must be a whole number from 1 to {_MOST_JOBS}")
    return int(text)


class Key(NamedTuple):
    """One setting; the ValueError of `parse` continues its name: must be ..."""

    name: str
    description: str
    parse: Callable[[str], object]
    default: str | None = None

    @property
    def environment(self) -> str:
        """The variable, such as KLING_BASE_URL."""
        return f"KLING_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """The option, such as --base-url; the token has none, because arguments are public."""
        return "" if self.name == "token" else f"--{self.name.replace('_', '-')}"


TOKEN = Key(
    "token",
    f"API token; {TOKEN_FILE_VARIABLE} can name a file that contains it",
    lambda text: Token.parse(text, source=_INPUT),
)
BASE_URL = Key(
    "base_url",
    f"API base URL, without /v1/videos/effects; or the word {SANDBOX}",
    _parse_base_url,
    DEFAULT_BASE_URL,
)
# Each is a field of Settings; the token is read only when it is needed.
_FIELDS = (
    BASE_URL,
    Key("model", "model that makes the video; by default the scene's own", str.strip),
    Key(
        "timeout",
        "maximum wait for each task: 90s, 20m, 1h; 0 means no limit",
        _parse_timeout,
        "30m",
    ),
    # The smallest account can run five tasks; leave one for something else.
    Key("jobs", f"number of parallel tasks, 1 to {_MOST_JOBS}", _parse_jobs, "4"),
    Key("output", "where to save videos: a file, a directory, or - for standard output", str),
)
KEYS = (TOKEN, *_FIELDS)


def find_key(name: str) -> Key:
    """Find a setting by its name; `base-url` is read as `base_url`."""
    for key in KEYS:
        if name.replace("-", "_") == key.name:
            return key
    # Do not repeat the name: it may be a token in the wrong place.
    hint = f"Settings: {', '.join(key.name for key in KEYS)}."
    raise UsageError("unknown_setting", "Unknown setting.", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one run; `timeout` is a duration as the user wrote it.

    `sources` has the flag, variable or file that each comes from, by the name of the setting.
    """

    base_url: str
    model: str | None
    timeout: str
    jobs: int
    output: str | None
    sources: Mapping[str, str]
    file: str
    environ: Mapping[str, str] = field(repr=False)
    stored: Mapping[str, str] = field(repr=False)

    @property
    def is_sandbox(self) -> bool:
        """Whether the sandbox is used instead of the service."""
        return self.base_url == SANDBOX

    def find_token(self, token: Token) -> Token:
        """Refuse to use the stored token for a base URL other than the stored one.

        Args:
            token: the result of `read_token`, because a pipe can be read only once.
        """
        home = ""
        with suppress(ValueError):
            home = _parse_base_url(self.stored.get(BASE_URL.name, DEFAULT_BASE_URL))
        if token.source == self.file and home != self.base_url:
            message = f"The token in {self.file} is only for {home or 'an invalid URL'}."
            hint = f"Set the token for {self.base_url} in {TOKEN.environment}."
            raise SetupError("token_not_for_this_host", message, hint=hint)
        return token

    def read_token(self) -> Token:
        """Read the current token; a pipe can be read only once."""
        given = self.environ.get(TOKEN.environment, "").strip()
        if self.is_sandbox and not given.startswith(SANDBOX):
            # A real token never reaches the sandbox, even if a script exports one.
            return Token.parse(SANDBOX, source=SANDBOX)
        if given:
            return Token.parse(given, source=TOKEN.environment)
        if token_file := self.environ.get(TOKEN_FILE_VARIABLE, "").strip():
            return _read_token_file(Path(token_file))
        if TOKEN.name in self.stored:
            return Token.parse(self.stored[TOKEN.name], source=self.file)
        ways = f"{TOKEN.environment} or {TOKEN_FILE_VARIABLE}"
        hint = f"Run kling config set token ({self.file}), or set {ways}. Or try --sandbox."
        raise SetupError("token_missing", "No API token is set.", hint=hint)


def load(
    environ: Mapping[str, str],
    *,
    flags: Mapping[str, Any],
    warn: Callable[[str], None],
    problems: dict[str, KlingError] | None = None,
) -> Settings:
    """Resolve every setting except the token; a missing flag is None.

    Args:
        environ: the environment.
        flags: values of the command line, by the names of their settings.
        warn: shows a warning.
        problems: collects the error of each invalid setting by its name; if None, the first one
            is raised.
    """
    directory = find_directory(environ, CONFIG_VARIABLE)
    path = directory / "config.toml" if directory else None
    file = clean(str(path)) if path else _NO_HOME
    _, content, mode = _read(path) if path else ("", {}, 0)
    stored = {name: str(value) for name, value in content.items()}  # `timeout = 90` needs no quotes
    for name in sorted(stored.keys() - {key.name for key in KEYS}):
        warn(f"{file}: unknown setting '{clean(name, limit=40)}'.")
    if mode & stat.S_IWGRP or (mode & (stat.S_IRGRP | stat.S_IROTH) and TOKEN.name in stored):
        warn(f"Other users can access {file}. To prevent it: {_close(file)}")
    if not environ.get(TOKEN.environment, TOKEN.name).strip():
        warn(f"{TOKEN.environment} is empty and is ignored.")
    values, sources = dict[str, Any](), dict[str, str]()
    for key in _FIELDS:
        places = [
            (flags.get(key.name), key.flag),
            (environ.get(key.environment, "").strip() or None, key.environment),
            (stored.get(key.name), file),
            (key.default, "default"),
        ]
        text, source = next((each for each in places if each[0] is not None), places[-1])
        values[key.name], sources[key.name] = None, source
        try:
            if text is not None:
                values[key.name] = _parse(key, text, source)
        except KlingError as error:
            if problems is None:
                raise
            problems[key.name] = error
    return Settings(**values, sources=sources, file=file, environ=environ, stored=stored)


def _parse(key: Key, text: str, source: str) -> object:
    try:
        return key.parse(text)
    except ValueError as reason:
        # A base URL may contain a password.
        shown = without_query(text.rpartition("@")[2]) if key is BASE_URL else clean(text, limit=80)
        kind = UsageError if source in (key.flag, _INPUT) else SetupError
        message = f"{source}: {key.name} {reason}, not '{shown}'."
        raise kind("invalid_setting", message) from None


def _read_token_file(path: Path) -> Token:
    source = f"{TOKEN_FILE_VARIABLE} ({clean(str(path))})"
    try:
        with path.open("rb") as file:
            content = file.read(1024 * 1024)
    except OSError as error:
        message = f"{source} cannot be read: {error.strerror}."
        hint = f"Use a file that contains only the token, or set {TOKEN.environment}."
        raise SetupError("token_file_unreadable", message, hint=hint) from None
    # Invalid UTF-8 becomes characters that the check of the token reports.
    return Token.parse(content.decode("utf-8-sig", "surrogateescape"), source=source)


def find_directory(environ: Mapping[str, str], variable: str) -> Path | None:
    """Find the directory of a variable, else the system's; None for a user without a home."""
    named = environ.get(variable, "")
    if named.strip():
        if not Path(named).is_absolute():
            # With a relative path, another working directory would mean a second purchase.
            message = f"{variable} must be an absolute path, not '{clean(named)}'."
            raise SetupError("invalid_setting", message)
        return Path(named)
    import platformdirs

    system = platformdirs.PlatformDirs("kling", appauthor=False)
    try:
        return system.user_state_path if variable == STATE_VARIABLE else system.user_config_path
    except RuntimeError:  # no HOME and an unknown user id, as in containers
        return None


def find_config_file(environ: Mapping[str, str]) -> Path:
    """Find the settings file, whether or not it exists."""
    return require_home(find_directory(environ, CONFIG_VARIABLE)) / "config.toml"


def require_home(directory: Path | None) -> Path:
    """Refuse to continue without a directory."""
    if directory is None:
        raise SetupError("no_home", "This user has no home directory.", hint=_NO_HOME)
    return directory


def change(path: Path, name: str, text: str | None) -> tuple[str, Mapping[str, object]]:
    """Store or remove one setting, and keep the other lines of the file unchanged.

    Args:
        path: the file; of two writers the last one wins.
        name: of the setting; one that is unknown can only be removed.
        text: its value; None removes it.

    Returns:
        The name of the setting, and all that the file holds now.
    """
    import json
    import tomllib

    before, values, _ = _read(path)
    lines = before.removesuffix("\n").split("\n") if before else []
    if text is not None or name not in values:
        name = find_key(name).name
    values.pop(name, None)
    lines = [line for line in lines if line.partition("=")[0].strip() != name]
    if text is not None:
        value = _parse(find_key(name), text, _INPUT)
        values[name] = value.reveal() if isinstance(value, Token) else text.strip()
        # A JSON string is a valid TOML string, except for DEL.
        spelled = json.dumps(values[name], ensure_ascii=False).replace("\x7f", "\\u007f")
        lines.append(f"{name} = {spelled}")
    content = "".join(f"{line}\n" for line in lines)
    with suppress(ValueError):
        if tomllib.loads(content) == values:
            if content != before:
                _write(path, content.encode())
            return name, values
    # The file ends with a table, has a multi-line value, or the text is not valid UTF-8.
    raise _refuse(clean(str(path)), f"cannot store this {name}, so it was not changed")


def _read(path: Path) -> tuple[str, dict[str, object], int]:
    """Read the file: its text, its values and its mode; a missing file is empty."""
    file = clean(str(path))
    try:
        content = path.read_bytes()
        mode = path.stat().st_mode if os.name == "posix" else 0
    except (FileNotFoundError, NotADirectoryError):
        return "", {}, 0
    except OSError as error:
        raise _refuse(file, f"cannot be read: {error.strerror}") from None
    import tomllib

    if mode & stat.S_IWOTH:
        # Anyone who can write it can send the token to their own host.
        message = f"Every user can change {file}, so its settings are not used."
        hint = f"Check its settings, then run: {_close(file)}"
        raise SetupError("config_unsafe", message, hint=hint)
    try:
        text = content.decode("utf-8-sig")
        return text, tomllib.loads(text), mode
    except ValueError as error:
        place = re.search(r"at line (\d+), column \d+", str(error))
        reason = f"is not valid TOML in UTF-8 {place[0] if place else ''}".rstrip()
        line = text.split("\n")[int(place[1]) - 1] if place else ""
        # Any other line may contain the token, and so may the error message.
        if _HARMLESS_LINE.match(line):
            reason += ": " + clean(re.sub(r"(?<=//).*@|\?.*", "", line))
        raise _refuse(file, reason) from None


def _write(path: Path, content: bytes) -> None:
    """Replace the file, or the target of a link, atomically."""
    file = clean(str(path))
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
        hint = f"Set {CONFIG_VARIABLE} to use another directory."
        raise LocalError("config_write_failed", message, hint=hint) from None
    finally:
        with suppress(OSError):  # after the replacement there is nothing left to remove
            temporary.unlink()


def _refuse(file: str, reason: str) -> SetupError:
    hint = "Fix the file, or move it away."
    return SetupError("config_invalid", f"{file} {reason}.", hint=hint)


def _close(file: str) -> str:
    return f"chmod 600 {shlex.quote(file)}"
