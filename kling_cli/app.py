"""The Typer app, and the one place where an error becomes words and an exit code."""

import os
import signal
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Annotated, TextIO

import typer

from kling_cli import __version__
from kling_cli.commands.completion import completion
from kling_cli.commands.config import config
from kling_cli.commands.effect import effect
from kling_cli.commands.help import explain
from kling_cli.commands.sandbox import sandbox
from kling_cli.commands.scenes import scenes
from kling_cli.commands.status import status
from kling_cli.commands.tasks import tasks
from kling_cli.commands.wait import wait
from kling_cli.errors import (
    ExitCode,
    Interrupted,
    KlingError,
    LocalError,
    StoppedError,
    UsageError,
)
from kling_cli.options import require_command
from kling_cli.signals import listen
from kling_cli.text import clean
from kling_cli.world import World, open_world

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80}

app = typer.Typer(
    name="kling",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings=_SETTINGS,
)
for command in (effect, status, wait, tasks, scenes, sandbox, completion):
    app.command()(command)
app.add_typer(config, context_settings=_SETTINGS)
app.command("help")(explain)


def _show_version(value: bool) -> None:  # noqa: FBT001 - Typer passes the option so
    if value:
        print(f"kling {__version__}", flush=True)  # noqa: T201 - what was asked for
        raise typer.Exit


@app.callback(invoke_without_command=True)
def describe(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Turn photos into short effect videos through the Kling video-effects API.

    \b
      kling effect squish photo.jpg --sandbox   try it: no token, no cost
      kling config set token                    then store your token
      kling effect squish photo.jpg             and print the video's URL
    """
    require_command(context)


def main(argv: Sequence[str], world: World | None = None) -> int:
    """Run one command line.

    Args:
        argv: the arguments, without the program's name.
        world: streams, environment and clock; those of the process if not given.

    Returns:
        The exit code.
    """
    if world is None:
        with open_world() as opened:
            return main(argv, opened)
    with listen():
        try:
            code = _conclude(argv, world)
        except Interrupted as interruption:
            code = interruption.exit_code
            if not interruption.is_told:
                _tell(StoppedError("Stopped. Nothing was sent.", exit_code=code), argv, world)
        for stream in (world.stdout, world.stderr):
            _drop_unwritten(stream)
    return code


def _conclude(argv: Sequence[str], world: World) -> ExitCode:
    """Run one command line, and turn every way in which it ends into an exit code."""
    try:
        # The parser writes help where Python's own standard output is.
        with redirect_stdout(world.stdout):
            return ExitCode(_run(argv, world))
    except KlingError as error:
        return _tell(error, argv, world)
    except BrokenPipeError:
        return ExitCode.PIPE
    except Exception as error:  # noqa: BLE001 - the last line of defence
        return _tell(_name_fault(error, argv), argv, world)


def _run(argv: Sequence[str], world: World) -> int:
    command = typer.main.get_command(app)
    try:
        return (
            command.main(args=list(argv), prog_name="kling", standalone_mode=False, obj=world) or 0
        )
    except typer.Abort:
        raise Interrupted(signal.SIGINT) from None
    except SystemExit as end:
        # Typer turns a broken pipe into exit code 1.
        raise end.__context__ or end from None
    except Exception as error:
        # Typer keeps its usage errors private; this is their public behaviour.
        tell = getattr(error, "format_message", None)
        if tell is None:
            raise
        raise _shape_usage_error(error, tell()) from None


def _shape_usage_error(error: Exception, message: str) -> UsageError:
    context = getattr(error, "ctx", None)
    hint = f"{getattr(context, 'command_path', 'kling')} --help"
    if message.startswith("No such option: --token"):
        message = "There is no --token: other users could read it in the process list."
        hint = "Set KLING_TOKEN, or store it: kling config set token"
    return UsageError("usage", clean(message), hint=hint)


def _tell(error: KlingError, argv: Sequence[str], world: World) -> ExitCode:
    """Tell of a failure before any task came about, in words and, under --json, as an object."""
    from kling_cli.progress import Screen, choose_manner

    screen = Screen(world.stderr, clock=world.clock, manner=choose_manner(world))
    screen.fail(error)
    if "--json" in argv:
        from kling_cli.outcome import Outcome
        from kling_cli.output import Printer
        from kling_cli.results import shape_result

        failure = shape_result(Outcome(error=error), is_sandbox="--sandbox" in argv)
        with suppress(OSError, LocalError):
            Printer(world.stdout, is_json=True).write_record(failure)
    return error.exit_code


def _name_fault(error: Exception, argv: Sequence[str]) -> KlingError:
    """Name what nobody foresaw, without any value that may be a secret."""
    import traceback

    place = ""
    if {"-v", "--verbose"} & set(argv):
        frames = traceback.extract_tb(error.__traceback__)
        place = " at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    if isinstance(error, OSError):
        return LocalError(
            "local_failure",
            f"The system of this machine failed: {error.strerror or type(error).__name__}{place}.",
            hint="kling tasks lists what was bought, where a journal can be kept.",
            charged="maybe",
        )
    return KlingError(
        "bug",
        f"This is a fault of kling itself: {type(error).__name__}{place}.",
        hint="kling tasks lists what was bought, where a journal can be kept. "
        "-v shows where it happened; please report it.",
        charged="maybe",
    )


def _drop_unwritten(stream: TextIO) -> None:
    """Let what cannot be written go nowhere: Python would end with exit code 120 over it."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            descriptor = stream.fileno()
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, descriptor)
            os.close(nothing)
