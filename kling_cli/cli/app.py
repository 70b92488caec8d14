"""The Typer app, and the one place where an error becomes words and an exit code."""

import os
import re
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path

import typer

from kling_cli import __version__
from kling_cli.cli.options import MISTAKES, flag, require_command
from kling_cli.console import can_style
from kling_cli.context import Context, listen, open_context
from kling_cli.errors import ExitCode, Interrupted, KlingError, LocalError, StoppedError, UsageError
from kling_cli.text import clean

# Without this variable Typer writes colour to a pipe if a CI system asks for it.
_NO_STYLE = "_TYPER_FORCE_DISABLE_TERMINAL"
_SETTINGS = {"help_option_names": ["-h", "--help"]}

# In the order in which help lists them.
_NAMES = ("effect", "status", "wait", "tasks", "scenes", "sandbox", "completion", "config", "help")
# Of those that share one.
_FILES = {"status": "tasks", "wait": "tasks", "completion": "help"}


def make_app(only: str = "") -> typer.Typer:
    """Make the Typer app with one command, as each takes time, or with all: `help` shows any."""
    app = typer.Typer(
        name="kling",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings=_SETTINGS,
    )
    app.callback(invoke_without_command=True)(_describe)
    for name in [only] if only in _NAMES[:-1] else _NAMES:
        command = getattr(import_module(f"kling_cli.cli.{_FILES.get(name, name)}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, context_settings=_SETTINGS)
        else:
            app.command(name)(command)
    return app


def _describe(
    context: typer.Context, *, version: bool = flag("--version", "Print the version and exit.")
) -> None:
    """Turn photos into short effect videos through the Kling video-effects API.

    kling effect squish photo.jpg --sandbox   try it: no token, no cost
    kling config set token                    store your token
    kling effect squish photo.jpg             make a video, print its URL

    More help: kling help exit-codes, kling help environment, kling help schema.
    """
    if version:
        print(f"kling {__version__}", flush=True)
        raise typer.Exit
    require_command(context)


def main(argv: Sequence[str], context: Context | None = None) -> int:
    """Run one command line.

    Args:
        argv: the arguments, without the program's name.
        context: streams, environment and clock; those of the process if not given.

    Returns:
        The exit code.
    """
    if context is None:
        with open_context() as opened:
            return main(argv, opened)
    with listen():
        try:
            code = _run(argv, context)
        except Interrupted as interruption:
            code = interruption.exit_code
            if not interruption.is_reported:
                _report(StoppedError("Stopped. Nothing was sent.", exit_code=code), argv, context)
        for stream in (context.stdout, context.stderr):
            with suppress(OSError, ValueError):  # there is nowhere to report it
                stream.flush()
    return code


def _run(argv: Sequence[str], context: Context) -> ExitCode:
    """Run one command line, and turn every outcome into an exit code."""
    try:
        # The parser prints help to Python's own standard output.
        with redirect_stdout(context.stdout):
            return ExitCode(_call(argv, context))
    except KlingError as error:
        return _report(error, argv, context)
    except BrokenPipeError:
        return ExitCode.PIPE
    except Exception as error:
        return _report(_internal_error(error, argv), argv, context)


def _call(argv: Sequence[str], context: Context) -> int:
    if "_KLING_COMPLETE" in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined] # no __all__

        completion_init()
        os.environ["COLUMNS"] = "1000"  # keeps descriptions on one line
    os.environ[_NO_STYLE] = "1"
    if all(can_style(stream, context.environ) for stream in (context.stdout, context.stderr)):
        del os.environ[_NO_STYLE]
    command = typer.main.get_command(make_app("".join(argv[:1])))
    try:
        code: int | None = command.main(list(argv), "kling", standalone_mode=False, obj=context)
        return code or 0
    except SystemExit as end:
        # Typer turns a broken pipe into exit code 1; without a cause this is a completion.
        if end.__context__ is None:
            return int(end.code or 0)
        raise end.__context__ from None
    except Exception as error:
        # Typer keeps its usage errors private; this is their public behaviour.
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        raise _usage_error(error, format_message()) from None


def _usage_error(error: Exception, message: str) -> UsageError:
    """Convert the parser's error to ours, and suggest the command that the user meant."""
    hint = f"{getattr(getattr(error, 'ctx', None), 'command_path', 'kling')} --help"
    named = re.match(r"No such (?:command|option):? '?([^' .]+)", message)
    if named:
        from kling_cli.scenes import catalogue

        hint = MISTAKES.get(named[1], hint)
        if any(named[1] in (scene.name, scene.title) for scene in catalogue()):
            hint = f"kling effect {named[1]} IMAGE"
        if named[1] == "--token":
            message = "There is no --token: other users could read it in the process list."
    return UsageError("usage", clean(message), hint=hint)


def _report(error: KlingError, argv: Sequence[str], context: Context) -> ExitCode:
    """Report an error that left no task, also as a JSON object under --json."""
    context.console.error(error)
    if "--json" in argv:
        from kling_cli.models import TaskResult
        from kling_cli.output import Output, format_result

        result = format_result(TaskResult(error=error), sandbox="--sandbox" in argv)
        with suppress(OSError, LocalError):
            Output(context.stdout, is_json=True).record(result)
    return error.exit_code


def _internal_error(error: Exception, argv: Sequence[str]) -> KlingError:
    """Describe an unexpected error, without any value that may be a secret."""
    import traceback

    place = ""
    if {"-v", "--verbose"} & set(argv):
        frames = traceback.extract_tb(error.__traceback__)
        place = " at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    hint = "If a journal is kept, kling tasks lists what was bought."
    name = type(error).__name__
    if isinstance(error, OSError):
        message = f"Unexpected system error: {error.strerror or name}{place}."
        return LocalError("local_failure", message, hint=hint, charged="maybe")
    message = f"Internal error: {name}{place}. Please report it."
    return KlingError("bug", message, hint=f"{hint} -v shows where it happened.", charged="maybe")
