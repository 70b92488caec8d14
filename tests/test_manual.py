"""The manual pages are those of the program as it is, and read well."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from generator import ROOT, build, manual
from generator.commands import Command, read_program
from ground.shells import make_environ, require

from kling_cli.errors import ExitCode
from kling_cli.settings.directories import find_directories
from kling_cli.settings.keys import KEYS

PAGES = {path.name: path for path in sorted((ROOT / "man").glob("*.1"))}
PROGRAM = read_program()
HOSTILE = r"""it's [a] "b" \fBc\fR `d` $(e) ^ ~ %s .Nm --no-f 捏"""
WIDEST = 80


def render(path: Path) -> str:
    """Show a page as a terminal of 80 columns shows it, without bold and italics."""
    done = subprocess.run(
        [require("mandoc"), "-Tutf8", "-Owidth=80", str(path)],
        capture_output=True,
        env=make_environ(),
        timeout=60,
        check=True,
    )
    lines: list[str] = []
    for line in done.stdout.decode().splitlines():
        shown = ""
        for character in line:
            # A terminal of old prints bold by striking a character twice.
            shown = shown[:-1] if character == "\b" else shown + character
        lines.append(shown)
    return "\n".join(lines)


def find_page(command: Command) -> str:
    """Tell the name of the page that a command stands in."""
    return "-".join(command.path[:2]) + ".1"


def squeeze(text: str) -> str:
    """Put a text on one line, with the hyphens that it had before it was broken."""
    return " ".join(text.split())


def test_there_is_a_page_of_each_command() -> None:
    """No command is without its page, and no page is of a command that is gone."""
    assert set(PAGES) == {"kling.1"} | {find_page(command) for command in PROGRAM.commands}


@pytest.mark.parametrize("path", [path for path in build() if path.suffix == ".1"], ids=str)
def test_the_page_is_of_the_program_as_it_is(path: Path) -> None:
    """What is committed is what the generator writes now."""
    written = path.read_text(encoding="utf-8") if path.exists() else ""
    assert written == build()[path], "run: python completions/generate.py"


@pytest.mark.parametrize("path", PAGES.values(), ids=lambda path: path.name)
def test_the_linter_is_silent(path: Path) -> None:
    """The page is right for every system's `man`."""
    done = subprocess.run(
        [require("mandoc"), "-Tlint", "-Wwarning", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("command", [*PROGRAM.walk()], ids=lambda command: command.name)
def test_the_page_tells_everything(command: Command) -> None:
    """Each option, argument, paragraph and example of a command's help is in its page."""
    page = "kling.1" if command is PROGRAM else find_page(command)
    shown = squeeze(render(PAGES[page]))
    assert squeeze(command.summary) in shown
    for option in command.options:
        heading = ", ".join(option.names) + f" {option.metavar}".rstrip()
        assert squeeze(f"{heading} {option.help}") in shown
    for argument in command.arguments:
        assert squeeze(f"{argument.metavar} {argument.help}") in shown
    for paragraph in command.text.split("\n\n"):
        assert squeeze(paragraph.removeprefix("\b")) in shown


@pytest.mark.parametrize("path", PAGES.values(), ids=lambda path: path.name)
def test_the_page_fits_a_terminal(path: Path) -> None:
    """No line is wider than 80 columns, so that examples can be copied."""
    assert max(map(len, render(path).splitlines())) <= WIDEST


def test_the_page_tells_each_exit_code() -> None:
    """Every exit code stands there with what it means and what to do."""
    codes = render(PAGES["kling.1"]).split("EXIT STATUS")[1].split("EXAMPLES")[0]
    told = squeeze(codes)
    for code in ExitCode:
        meaning = code.meaning[:1].upper() + code.meaning[1:]
        again = "" if code.again == "-" else f" Again: {code.again}."
        assert f"{code.value} {meaning}.{again}" in told


def test_the_page_tells_each_setting() -> None:
    """Every setting stands there with its option, its variable and its default."""
    shown = squeeze(render(PAGES["kling.1"]))
    for key in KEYS:
        assert key.description[1:] in shown
        assert f"Set by {key.flag} or {key.environment}." in shown or not key.flag
        assert key.environment in shown
        assert f"The default is {key.default_text}." in shown or not key.default_text


def test_the_page_tells_where_the_files_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The files that it names are those that the program uses on this kind of system."""
    monkeypatch.setenv("HOME", str(tmp_path))
    directories = find_directories({})
    assert directories.config_file is not None
    assert directories.state is not None
    shown = render(PAGES["kling.1"])
    assert f"~/{directories.config_file.relative_to(tmp_path)}\n" in shown
    assert f"~/{directories.state.relative_to(tmp_path)}/journal.sqlite3\n" in shown


def test_any_help_can_be_shown(tmp_path: Path) -> None:
    """Quotes, brackets, backslashes and what looks like a macro come out as they went in."""
    command, *_ = PROGRAM.commands
    option = replace(command.options[0], help=HOSTILE)
    text = f"\b\n  {HOSTILE}\n  .Nm\n  '\n\n.Nm {HOSTILE}"
    hostile = replace(command, summary=HOSTILE, options=(option,), text=text)
    page = tmp_path / "kling.1"
    pages = manual.write(replace(PROGRAM, commands=(hostile,)))
    page.write_text(pages[find_page(command)], encoding="utf-8")
    shown = render(page)
    assert shown.count(HOSTILE) == 5
    assert f"{' ' * 7}.Nm\n{' ' * 7}'\n" in shown


def test_man_shows_it() -> None:
    """`man` itself shows the page, with the command's name at the top."""
    done = subprocess.run(
        [require("man"), str(PAGES["kling-effect.1"])],
        capture_output=True,
        text=True,
        env=make_environ({"MANWIDTH": "80", "PAGER": "cat", "MANPAGER": "cat"}),
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("KLING-EFFECT(1)")
    assert done.stderr == ""
