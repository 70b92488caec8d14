"""Options shared by several commands, and common mistakes with their corrections."""

import os
import re
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from typing import Any

import typer

from kling_cli.context import Context
from kling_cli.errors import ExitCode, KlingError

RESULT, SERVICE, GENERAL = "Result", "Service", "General"


def option(
    names: str,
    help_text: str,
    panel: str | None = None,
    metavar: str | None = None,
    complete: Callable[..., object] | None = None,
    default: object = None,
) -> Any:
    """Declare an option: its names (such as `--output -o`), help and completion."""
    return typer.Option(
        default,
        *names.split(),
        help=help_text.replace("[", "\\["),  # otherwise rich reads it as markup
        rich_help_panel=panel,
        metavar=metavar,
        autocompletion=complete,
    )


def flag(names: str, help_text: str, panel: str | None = None) -> Any:
    """Declare an option without a value."""
    return option(names, help_text, panel, default=False)


def argument(metavar: str, help_text: str, complete: Callable[..., object] | None = None) -> Any:
    """Declare an argument; in brackets it can be left out."""
    default = None if metavar.startswith("[") else ...
    return typer.Argument(default, metavar=metavar, help=help_text, autocompletion=complete)


JSON = flag("--json", "Print JSON, one object per line.", RESULT)
QUIET = flag("--quiet -q", "Print errors only.", GENERAL)
VERBOSE = flag("--verbose -v", "Print every HTTP request.", GENERAL)
BASE_URL = option("--base-url", "API base URL, or sandbox.", SERVICE, "URL")
FORCE = flag("--force", "Replace existing files.", RESULT)
OPEN = flag("--open", "Open each video in the default program.", RESULT)
SANDBOX = flag("--sandbox", "Use the built-in sandbox: no token, no network, no cost.", SERVICE)
OUTPUT = option(
    "--output -o", "Save the video: a file, a directory, or - for stdout.", RESULT, "PATH"
)
TIMEOUT = option(
    "--timeout",
    "Maximum wait for each task, such as 90s, 20m or 1h; 0 means no limit. It never cuts off "
    "an upload, which then has 120 s to get a response. [default: 30m]",
    SERVICE,
    "DURATION",
)

# Common guesses, and the command that does it.
MISTAKES = {
    "login": "kling config set token",
    "auth": "kling config set token",
    "list": "kling tasks",
    "ls": "kling tasks",
    "download": "kling wait TASK -o FILE",
    "open": "kling wait TASK --open",
    "models": "kling scenes",
    "run": "kling effect SCENE IMAGE",
    "version": "kling --version",
    "--wait": "kling effect waits by default; use --no-wait to return at once",
    "--token": "Set KLING_TOKEN, or store it: kling config set token",
    "-V": "kling --version",
}

# Only such words are offered to a shell, because the shell evaluates them.
_HARMLESS = re.compile(r"[\w'-]+", re.ASCII)


def require_command(context: typer.Context) -> None:
    """Print the help on standard error if the command is missing."""
    if context.invoked_subcommand is None:
        with suppress(OSError, ValueError), redirect_stdout(context.obj.stderr):
            print(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


def configure(context: typer.Context) -> Context:
    """Configure the run's context with the options of this command."""
    run: Context = context.obj
    run.options = context.params
    if run.options.get("sandbox"):
        run.options = {**run.options, "base_url": "sandbox"}
    context.call_on_close(run.close)
    return run


def complete_scene(incomplete: str) -> list[tuple[str, str]]:
    """List the scenes with their titles, and the titles once the user has typed something."""
    from kling_cli.scenes import catalogue

    scenes = [(scene.name, scene.title or "") for scene in catalogue()]
    return scenes + [(title, name) for name, title in scenes if incomplete and title]


def complete_field(name: str) -> Callable[[typer.Context], list[str]]:
    """Create a callback that lists the values of a field for the typed scene."""

    def complete(context: typer.Context) -> list[str]:
        from kling_cli.scenes import find

        # After an option without a value, the parser leaves the arguments unparsed.
        typed = context.params["scene"] or " ".join(context.args[:1])
        try:
            return list(getattr(find(typed), name))
        except KlingError:
            return []

    return complete


def complete_task(context: typer.Context) -> list[tuple[str, str]]:
    """List the tasks of this machine's journal that are not on the command line yet."""
    import time
    from contextlib import closing

    from kling_cli.journal import open_journal
    from kling_cli.settings import STATE_VARIABLE, find_directory

    try:
        directory = find_directory(os.environ, STATE_VARIABLE)
        if directory is None or not (directory / "journal.sqlite3").exists():
            return []
        with closing(open_journal(directory, now=time.time, warn=lambda _: None)) as journal:
            purchases = journal.list_purchases()
    except (KlingError, OSError):
        return []  # pressing Tab must not print an error
    given = context.params["tasks"] or ()
    return [
        (purchase.name, f"{purchase.effect_scene}, {purchase.status}")
        for purchase in purchases
        if purchase.name not in given and _HARMLESS.fullmatch(purchase.name + purchase.effect_scene)
    ]
