"""The command `kling help`."""

import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import typer

from kling_cli import options
from kling_cli.errors import ExitCode, UsageError
from kling_cli.text import clean

_WIDTH = 80
_MEANING_WIDTH = 46
_INDENT = " " * 4

Topic = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TOPIC...]", help="A command's words, or exit-codes, or environment."),
]


def explain(
    context: typer.Context,
    topic: Topic = None,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Explain a command, the exit codes, or the environment.

    \b
      kling help
      kling help config set
      kling help exit-codes
      kling help environment
    """
    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    words = tuple(topic or ())
    write = TOPICS.get(" ".join(words))
    text = write() if write else _find_help(context, words)
    if json:
        session.printer.write_record({"topic": " ".join(words), "text": text})
        return 0
    for line in text.splitlines():
        session.printer.write_line(line)
    return 0


def _tell_exit_codes() -> str:
    lines = [f"CODE  {'MEANING':{_MEANING_WIDTH}}  THE SAME COMMAND AGAIN", ""]
    for code in ExitCode:
        first, *others = textwrap.wrap(code.meaning, _MEANING_WIDTH)
        lines.append(f"{code.value:4}  {first:{_MEANING_WIDTH}}  {code.again}")
        lines += [f"      {line}" for line in others]
    lines += ["", "With several pictures, the code most costly to ignore is the one you get."]
    return "\n".join(lines)


def _tell_environment() -> str:
    from kling_cli.settings.keys import KEYS

    lines = ["The settings: an option comes before its variable, that before the settings"]
    lines += ["file (kling config set KEY), and that before the default.", ""]
    for key in KEYS:
        default = f"; default {key.default_text}" if key.default_text else ""
        places = " or ".join(filter(None, (key.environment, key.flag)))
        lines += _item(f"{places} (key {key.name})", key.description + default)
    lines += ["", "Further variables:", ""]
    for names, description in VARIABLES:
        lines += _item(names, description)
    return "\n".join(lines)


def _item(title: str, description: str) -> Iterable[str]:
    wrapped = textwrap.wrap(description, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    return [f"  {title}", *wrapped]


TOPICS: Mapping[str, Callable[[], str]] = {
    "exit-codes": _tell_exit_codes,
    "environment": _tell_environment,
}
VARIABLES = (
    ("KLING_TOKEN_FILE", "a file that holds the token; KLING_TOKEN goes before it"),
    ("KLING_CONFIG_DIR", "the directory of the settings file, as an absolute path"),
    ("KLING_STATE_DIR", "the directory of the journal, as an absolute path"),
    ("NO_COLOR", "no colour, link or animation: not one escape byte"),
    ("FORCE_COLOR, CLICOLOR_FORCE", "colours also where there is no terminal"),
    ("CLICOLOR", "0 is no colours on a terminal either"),
    ("NO_PROGRESS, CI", "each of them keeps standard error free of animation"),
    ("GITHUB_ACTIONS", "where it is true, errors become annotations of the workflow"),
    (
        "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY",
        "the proxy between this machine and the service, and the hosts that need none",
    ),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "the certificate authorities to trust"),
)


def _find_help(context: typer.Context, words: tuple[str, ...]) -> str:
    place = context.find_root()
    for word in words:
        below = getattr(place.command, "commands", {})
        if word not in below:
            raise _refuse(word, below, is_first=place.parent is None)
        place = typer.Context(below[word], info_name=word, parent=place)
    return place.get_help()


def _refuse(word: str, below: Iterable[str], *, is_first: bool) -> UsageError:
    import difflib

    known = [*below, *(TOPICS if is_first else ())]
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    guess = f" Did you mean {near[0]}?" if near else ""
    choices = ", ".join(known)
    return UsageError(
        "unknown_topic",
        f"There is no help about '{clean(word, limit=40)}'.{guess}",
        hint=f"There is help about {choices}." if choices else "kling help COMMAND",
    )
