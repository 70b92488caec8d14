"""The manual page is right for every `man`, and names what the program has."""

import re
from typing import Any

import pytest
import typer
from support.pages import ROOT, read_page
from support.run import run_process
from support.shells import make_environ, require

from kling_cli.cli.app import make_app
from kling_cli.cli.help import _VARIABLES as VARIABLES
from kling_cli.errors import ExitCode
from kling_cli.settings import KEYS

PAGE = read_page("man/kling.1")
COMMON = {"--json", "-q", "--quiet", "-v", "--verbose", "-h", "--help"}


def walk(command: Any, *path: str) -> dict[str, set[str]]:
    """Find every command below one, by its words, and its options and arguments."""
    if hasattr(command, "commands"):
        found: dict[str, set[str]] = {}
        for name, below in command.commands.items():
            found |= walk(below, *path, name)
        return found
    names = {name for param in command.params for name in param.opts if name.startswith("-")}
    arguments = {
        param.metavar.strip("[].")
        for param in command.params
        if param.param_type_name == "argument"
    }
    return {" ".join(path): (names - COMMON) | arguments}


def find_section(title: str) -> str:
    return PAGE.split(f".Sh {title}\n")[1].split("\n.Sh ")[0]


def find_items(macro: str, text: str) -> set[str]:
    """Find what the headings of lists name by a macro, such as `Fl`."""
    headings = "\n".join(line for line in text.splitlines() if line.startswith(".It "))
    names = re.findall(rf"(?:{macro}|,) (?!{macro}\b)([\w-]+)", headings)
    return {f"-{name}" if macro == "Fl" else name for name in names}


def test_it_names_every_command_with_its_options_and_arguments() -> None:
    *parts, common = find_section("COMMANDS").split("\n.Ss ")[1:]
    described = {}
    for part in parts:
        title, _, text = part.partition("\n")
        name = re.sub(r" (?:Ar|Op) .*", "", title).removeprefix("kling ")
        described[name] = find_items("Fl", text) | set(re.findall(r"Ar ([A-Z]+)", title))
    assert described == walk(typer.main.get_command(make_app()))
    assert find_items("Fl", common) == COMMON


def test_it_names_every_variable() -> None:
    others = {name for names, _ in VARIABLES for name in names.split(", ")}
    assert find_items("Ev", find_section("ENVIRONMENT")) == others | {k.environment for k in KEYS}


def test_it_names_every_exit_code() -> None:
    headings = re.findall(r"^\.It (.+)$", find_section("EXIT STATUS"), re.MULTILINE)
    assert sorted(int(code) for line in headings for code in line.split(" , ")) == sorted(ExitCode)


@pytest.mark.parametrize("argv", [("mandoc", "-Tlint"), ("man", "--warnings", "-l")])
def test_it_is_right_for_every_man(argv: tuple[str, ...]) -> None:
    require(argv[0])
    environ = {**make_environ(), "MANPAGER": "cat"}
    run = run_process([*argv, ROOT / "man" / "kling.1"], environ)
    assert (run.code, run.err) == (0, "")
    assert argv[0] == "man" or run.out == ""
