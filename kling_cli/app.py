"""The Typer app, and the one place where an error becomes words and an exit code."""

import os
import signal
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TextIO

import typer

from kling_cli import __version__
from kling_cli.commands.config import config
from kling_cli.commands.effect import effect
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
from kling_cli.outcome import Outcome
from kling_cli.output import Printer, shape_result
from kling_cli.progress import Screen
from kling_cli.signals import listen
from kling_cli.text import clean
from kling_cli.world import World, open_world

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80}

app = typer.Typer(
    name="kling",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings=_SETTINGS,
)
for command in (effect, status, wait, tasks, scenes, sandbox):
    app.command()(command)
app.add_typer(config, context_settings=_SETTINGS)


def _show_version(value: bool) -> None:  # noqa: FBT001 - Typer passes the option so
    if value:
        print(f"kling {__version__}")  # noqa: T201 - help and version go to standard output
        raise typer.Exit


@app.callback()
def describe(
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


def main(argv: Sequence[str], world: World | None = None) -> int:
    """Run one command line.

    Args:
        argv: the arguments, without the program's name.
        world: streams, environment and clock; those of the process if not given.

    Returns:
        The exit code.
    """
    world = world or open_world()
    with listen():
        try:
            code = ExitCode(_run(argv, world))
        except KlingError as error:
            code = _tell(error, argv, world)
        except Interrupted as interruption:
            code = interruption.exit_code
            if not interruption.is_told:
                _tell(StoppedError("Stopped. Nothing was sent.", exit_code=code), argv, world)
        except BrokenPipeError:
            code = ExitCode.PIPE
        except Exception as error:  # noqa: BLE001 - the last line of defence
            code = _tell_bug(error, argv, world)
    return _finish(code, world)


def _run(argv: Sequence[str], world: World) -> int:
    command = typer.main.get_command(app)
    try:
        return (
            command.main(args=list(argv), prog_name="kling", standalone_mode=False, obj=world) or 0
        )
    except typer.Abort:
        raise Interrupted(signal.SIGINT) from None
    except Exception as error:
        # Typer keeps its usage errors private; this is their public behaviour.
        tell = getattr(error, "format_message", None)
        if tell is None:
            raise
        raise _shape_usage_error(error, tell()) from None


def _shape_usage_error(error: Exception, message: str) -> UsageError:
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "kling")
    return UsageError("usage", clean(message), hint=f"{path} --help")


def _tell(error: KlingError, argv: Sequence[str], world: World) -> ExitCode:
    """Tell of a failure before any task came about, in words and, under --json, as an object."""
    screen = Screen(world.stderr, clock=world.clock)
    screen.fail(error)
    if "--json" in argv:
        failure = shape_result(Outcome(error=error), is_sandbox="--sandbox" in argv)
        with suppress(OSError, LocalError):
            Printer(world.stdout, is_json=True).write_record(failure)
    return error.exit_code


def _tell_bug(error: Exception, argv: Sequence[str], world: World) -> ExitCode:
    """Tell of a fault of ours, without any value that may be a secret."""
    place = ""
    if {"-v", "--verbose"} & set(argv):
        frames = traceback.extract_tb(error.__traceback__)
        place = " at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    return _tell(
        KlingError(
            "bug",
            f"This is a fault of kling itself: {type(error).__name__}{place}.",
            hint="kling tasks lists what was bought. -v shows where it happened; please report it.",
            charged="maybe",
        ),
        argv,
        world,
    )


def _finish(code: ExitCode, world: World) -> ExitCode:
    """Flush standard output ourselves: Python would turn a failure there into exit code 120."""
    try:
        world.stdout.flush()
    except BrokenPipeError:
        code = ExitCode.PIPE
    except (OSError, ValueError):
        code = code or ExitCode.LOCAL_IO
    if code is ExitCode.PIPE:
        _silence(world.stdout)
    return code


def _silence(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, and not into an error at exit."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
