"""The settings file `config.toml`: read with suspicion, written in one step.

It holds the token, so it is 0600 from its creation, and no message tells what stands in it.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kling_cli.errors import SetupError, UsageError
from kling_cli.secret import Token
from kling_cli.settings.keys import KEYS, TIMEOUT, Key, explain, find_key, suggest
from kling_cli.settings.private_file import replace
from kling_cli.settings.values import InvalidValueError
from kling_cli.text import clean

_LARGEST = 1024 * 1024
_LARGEST_NUMBER = 10**12
_NUMERIC = frozenset({"timeout", "jobs"})
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

_FindUser = Callable[[], int] | None
# None where files have no numeric owner (Windows): there the profile's own access list guards it.
_FIND_USER: _FindUser = getattr(os, "geteuid", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the file holds: each known setting as text, and what to tell the user about the file."""

    values: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    values: dict[str, object] = field(repr=False)
    mode: int = 0


def read(path: Path, *, find_user: _FindUser = _FIND_USER) -> Configuration:
    """Read the settings in a file; one that does not exist holds none.

    Args:
        path: the file; a symbolic link is followed.
        find_user: tells the user id that the file has to belong to, or None to leave that out.

    Raises:
        SetupError: the file cannot be read, is not TOML, has a value of the wrong type, or is open
            to others' changes.
    """
    shown = clean(str(path))
    try:
        contents = _read_contents(path, find_user=find_user)
    except NotADirectoryError:
        warning = f"{shown} holds no settings: a part of that path is not a directory."
        return Configuration(values={}, warnings=(warning,))
    known = {key.name for key in KEYS}
    values = {
        name: _read_value(name, value, path=shown)
        for name, value in contents.values.items()
        if name in known
    }
    warnings = [
        f"{shown}: '{clean(name, limit=40)}' is no setting.{suggest(name)}"
        for name in contents.values
        if name not in known
    ]
    exposed = contents.mode & stat.S_IWGRP or (contents.mode & 0o044 and "token" in values)
    if exposed:
        warnings.append(f"Others have access to {shown}. Close it: {_close(shown)}")
    return Configuration(values=values, warnings=tuple(warnings))


def read_for_change(path: Path) -> dict[str, object]:
    """Read what stands in the file, also what is no setting or has a wrong type.

    Raises:
        SetupError: the file must not be touched.
    """
    try:
        return _read_contents(path, find_user=_FIND_USER).values
    except NotADirectoryError:
        return {}  # the write will say it


def store(path: Path, key: str, value: str) -> None:
    """Set one setting in the file, as text that a user gave; the other settings stay.

    Of two writers at once the last wins; the file is whole at every moment.

    Raises:
        UsageError: there is no such setting, or it cannot have this value.
        SetupError: no token looks like this, or the file must not be touched.
        LocalError: the file could not be written; the old one is as it was.
    """
    found = find_key(key)
    try:
        written = _shape(found, value)
    except InvalidValueError as reason:
        message = explain(found, value, source="your input", reason=reason)
        raise UsageError("invalid_setting", message) from None
    _write(path, read_for_change(path) | {found.name: written})


def remove(path: Path, key: str) -> bool:
    """Remove one setting from the file, also an unknown one that stands there; tell if it did.

    Raises:
        UsageError: there is no such setting, neither in the file nor at all.
        SetupError: the file must not be touched.
        LocalError: the file could not be written; the old one is as it was.
    """
    values = read_for_change(path)
    name = key if key in values else find_key(key).name
    if name not in values:
        return False
    del values[name]
    _write(path, values)
    return True


def _shape(key: Key[object], value: str) -> object:
    parsed = key.parse(value)
    if isinstance(parsed, Token):
        return parsed.reveal()
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValueError("must be spelt in UTF-8 to be kept in the file") from None
    # A duration keeps the unit in which the user thinks of it.
    return value.strip() if key is TIMEOUT else parsed


def _read_contents(path: Path, *, find_user: _FindUser) -> _Contents:
    shown = clean(str(path))
    try:
        status = path.stat()
        _check_status(status, find_user=find_user, path=shown)
        content = path.read_bytes()
    except FileNotFoundError:
        return _Contents(values={})
    except NotADirectoryError:
        raise
    except OSError as error:
        raise _refuse(shown, f"cannot be read: {error.strerror}") from None
    mode = status.st_mode if find_user else 0
    return _Contents(values=_parse(content, path=shown), mode=mode)


def _check_status(status: os.stat_result, *, find_user: _FindUser, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _refuse(path, "is not a file")
    if status.st_size > _LARGEST:
        raise _refuse(path, f"has {status.st_size} bytes; settings have {_LARGEST} at most")
    if find_user is None:
        return
    # Whoever can write it can send the token to a host of their own.
    if status.st_uid not in (0, find_user()):
        raise SetupError(
            "config_unsafe",
            f"{path} belongs to another user, so its settings are not used.",
            hint="Make the file your own, or name another directory in KLING_CONFIG_DIR.",
        )
    if status.st_mode & stat.S_IWOTH:
        raise SetupError(
            "config_unsafe",
            f"{path} can be changed by every user, so its settings are not used.",
            hint=f"Look whether its settings are still yours, then: {_close(path)}",
        )


def _close(path: str) -> str:
    import shlex

    return f"chmod 600 {shlex.quote(path)}"


def _parse(content: bytes, *, path: str) -> dict[str, object]:
    import tomllib

    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _refuse(path, "is UTF-16 text; save it as UTF-8")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _refuse(path, f"is not UTF-8 text at line {line}") from None
    except (ValueError, RecursionError) as error:
        # tomllib's own words may quote the line, which may hold the token: only the place is told.
        place = re.search(r"at line \d+, column \d+", str(error))
        raise _refuse(path, f"is not valid TOML {place[0] if place else 'at its end'}") from None


def _read_value(name: str, value: object, *, path: str) -> str:
    if isinstance(value, str):
        return value
    if name not in _NUMERIC:
        raise _refuse(path, f"has no text in quotes for {name}")
    # An integer of thousands of digits is TOML, but Python refuses to write it out.
    if type(value) is not bool and isinstance(value, int | float) and 0 <= value <= _LARGEST_NUMBER:
        return str(value)
    raise _refuse(path, f"has neither text in quotes nor a plain number for {name}")


def _refuse(path: str, reason: str) -> SetupError:
    hint = "Correct the file, or move it away."
    return SetupError("config_invalid", f"{path} {reason}.", hint=hint)


def _render(values: Mapping[str, object]) -> bytes | None:
    """Write flat TOML: JSON spells text, numbers and lists alike, but for DEL.

    None if it would not be read back the same: a table or a date is none of these.
    """
    import tomllib

    try:
        text = "".join(f"{_spell_key(name)} = {_spell(value)}\n" for name, value in values.items())
        return text.encode() if tomllib.loads(text) == values else None
    except (TypeError, ValueError):
        return None


def _spell_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _spell(name)


def _spell(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")


def _write(path: Path, values: Mapping[str, object]) -> None:
    content = _render(values)
    if content is None:
        raise _refuse(clean(str(path)), "holds what kling cannot write again as it is")
    replace(path, content)
