"""What the page of the whole program says besides its commands."""

from generator import roff

from kling_cli.commands.help import VARIABLES
from kling_cli.errors import ExitCode
from kling_cli.settings.keys import KEYS, Key

EXAMPLES = (
    "",
    "kling effect hug left.jpg right.jpg",
    "url=$(kling effect squish photo.jpg)",
    "kling effect squish photo.jpg --json | jq -r '.videos[0].url'",
    'id=$(kling effect squish photo.jpg --no-wait); kling wait "$id"',
    "kling tasks --unfinished",
)
_DESCRIPTION = """
Creating a video costs money, and the service does not notice a request that it has had before.
This program does: the same command, run again, goes on with the task that it has bought, or
prints what there is already. Only --new buys again.

Pictures are checked before anything is sent. Every task that was accepted stands in a journal on
this machine, and stays there whatever happens to the run.

Standard output is the result and nothing else: one line for each video, or with --json one JSON
object for each task. Standard error is the talk; the exit status decides.
"""
_VARIABLES = tuple(
    (names.replace(", ", " , "), f"{text[:1].upper()}{text[1:]}.") for names, text in VARIABLES
)
_FILES = (
    ("~/.config/kling/config.toml", "The settings, for its owner alone: it may hold the token."),
    ("~/.local/state/kling/journal.sqlite3", "What this machine has bought."),
)


def describe() -> list[str]:
    """Tell what a user has to know of every command."""
    paragraphs = _DESCRIPTION.strip().split("\n\n")
    return [line for paragraph in paragraphs for line in (".Pp", roff.prose(paragraph))]


def write_settings() -> list[str]:
    """Tell each setting that there is, and where it comes from."""
    return [
        ".Sh SETTINGS",
        "An option comes before a variable of the environment, that before the settings file,",
        "and that before the default.",
        ".Xr kling-config 1",
        "shows and changes them.",
        *roff.items([(f"Cm {roff.literal(key.name)}", _describe_key(key)) for key in KEYS]),
    ]


def write_environment() -> list[str]:
    """Tell each variable that is read."""
    settings = " , ".join(key.environment for key in KEYS)
    variables = ((settings, "The settings of the same names, each told of above."), *_VARIABLES)
    return [".Sh ENVIRONMENT", *roff.items([(f"Ev {names}", text) for names, text in variables])]


def write_files() -> list[str]:
    """Tell where settings and journal are."""
    return [
        ".Sh FILES",
        *roff.items([(f"Pa {roff.literal(path)}", text) for path, text in _FILES]),
        ".Pp",
        "Other systems have other directories;",
        roff.bold("kling config path"),
        "prints the first of them.",
    ]


def write_exit_status() -> list[str]:
    """Tell every exit code, and what the same command would do next."""
    return [
        ".Sh EXIT STATUS",
        "With several pictures, the code most costly to ignore is the one you get.",
        "What the same command would do next is told behind each.",
        *roff.items([(f"{code.value}", _describe_code(code)) for code in ExitCode], width="143"),
    ]


def write_bugs() -> list[str]:
    """Tell how to report a fault."""
    text = (
        "Report a fault where you got this program, with its version, the command and what it "
        "says under --verbose, which never holds the token."
    )
    return [
        roff.prose(text),
        ".Pp",
        ".Xr kling-tasks 1",
        "lists every task that this machine has submitted.",
    ]


def _describe_key(key: Key[object]) -> str:
    places = " or ".join(part for part in (key.flag, key.environment) if part)
    default = f" The default is {key.default_text}." if key.default_text else ""
    return f"{key.description[:1].upper()}{key.description[1:]}. Set by {places}.{default}"


def _describe_code(code: ExitCode) -> str:
    meaning = f"{code.meaning[:1].upper()}{code.meaning[1:]}."
    return meaning if code.again == "-" else f"{meaning} Again: {code.again}."
