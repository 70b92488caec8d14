"""The program's commands as plain data, read from the app itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import typer

from kling_cli.app import app


class Kind(StrEnum):
    """What can be offered for a value; its values are the names that the scripts use."""

    NOTHING = "nothing"
    FILES = "files"
    SCENES = "scenes"
    TASKS = "tasks"
    KEYS = "keys"
    SHELLS = "shells"
    MODELS = "models"
    DURATIONS = "durations"
    MODES = "modes"


_KINDS_OF_OPTIONS = {
    "--model": Kind.MODELS,
    "--duration": Kind.DURATIONS,
    "--mode": Kind.MODES,
}
_KINDS_OF_WORDS = {
    "FILE": Kind.FILES,
    "DIR": Kind.FILES,
    "PATH": Kind.FILES,
    "IMAGE": Kind.FILES,
    "SCENE": Kind.SCENES,
    "TASK": Kind.TASKS,
    "KEY": Kind.KEYS,
    "SHELL": Kind.SHELLS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option; `metavar` is empty where it takes no value."""

    names: tuple[str, ...]
    metavar: str
    kind: Kind
    help: str
    repeats: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """An argument; `metavar` is as in the usage line, such as `[TASK...]`."""

    metavar: str
    kind: Kind
    help: str
    repeats: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command; `path` begins with the program's name, `text` is its help behind the summary."""

    path: tuple[str, ...]
    summary: str
    text: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    commands: tuple["Command", ...]

    @property
    def name(self) -> str:
        """The words that call it."""
        return " ".join(self.path)

    def walk(self) -> Iterator["Command"]:
        """Give it and everything below it."""
        yield self
        for command in self.commands:
            yield from command.walk()


def read_program() -> Command:
    """Read the whole program."""
    return _read_command(typer.main.get_command(app), path=("kling",), parent=None)


# Typer's own classes are private, so what they have in public is all that is known of them here.
def _read_command(found: Any, *, path: tuple[str, ...], parent: Any) -> Command:  # noqa: ANN401
    context = typer.Context(found, info_name=path[-1], parent=parent, **found.context_settings)
    parameters = [each for each in found.get_params(context) if not getattr(each, "hidden", False)]
    summary, _, text = (found.help or "").partition("\n")
    below: dict[str, Any] = getattr(found, "commands", {})
    return Command(
        path=path,
        summary=summary.strip(),
        text=text.strip("\n"),
        options=tuple(_read_option(p) for p in parameters if p.param_type_name == "option"),
        arguments=tuple(_read_argument(p) for p in parameters if p.param_type_name == "argument"),
        commands=tuple(
            _read_command(command, path=(*path, name), parent=context)
            for name, command in below.items()
            if not command.hidden
        ),
    )


def _read_option(found: Any) -> Option:  # noqa: ANN401 - see above
    names = tuple(sorted((*found.opts, *found.secondary_opts), key=len))
    takes_value = not (found.is_flag or found.count)
    metavar = str(found.metavar or found.type.name.upper()) if takes_value else ""
    return Option(
        names=names,
        metavar=metavar,
        kind=_KINDS_OF_OPTIONS.get(names[-1], _find_kind(metavar)),
        help=found.help or "",
        repeats=bool(found.multiple or found.count),
    )


def _read_argument(found: Any) -> Argument:  # noqa: ANN401 - see above
    metavar = str(found.metavar or found.name.upper())
    return Argument(
        metavar=metavar,
        kind=_find_kind(metavar),
        help=found.help or "",
        repeats=found.nargs != 1,
    )


def _find_kind(metavar: str) -> Kind:
    words = re.findall(r"[A-Z]+", metavar)
    return next((_KINDS_OF_WORDS[word] for word in words if word in _KINDS_OF_WORDS), Kind.NOTHING)
