"""The commands `kling config ...`."""

from typing import Annotated

import typer

from kling_cli import options
from kling_cli.errors import UsageError
from kling_cli.output import Printer
from kling_cli.settings import configuration
from kling_cli.settings.directories import find_directories
from kling_cli.settings.keys import TOKEN, find_key
from kling_cli.settings.loading import Described, describe
from kling_cli.text import clean
from kling_cli.world import World

KeyName = Annotated[str, typer.Argument(metavar="KEY", help="A key of kling config list.")]
Value = Annotated[
    str | None,
    typer.Argument(metavar="[VALUE]", help="Asked for, or read from standard input, if left out."),
]

config = typer.Typer(
    name="config",
    help="Show and change settings, and say where each comes from.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@config.command("list")
def list_settings(
    context: typer.Context,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """List every setting: key, value, and where it comes from, with tabs between.

    \b
      kling config list
      kling config list --json | jq -r 'select(.key == "base_url") | .value'

    The order is: option, environment, file, default. The token shows only its
    last four characters.
    """
    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    for described in describe(session.settings):
        _print(session.printer, described)
    return 0


@config.command("get")
def get_setting(
    context: typer.Context,
    key: KeyName,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Print the value of one setting, the token masked.

    \b
      kling config get base_url
    """
    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    name = find_key(key).name
    for described in describe(session.settings):
        if described.key == name and json:
            _print(session.printer, described)
        elif described.key == name:
            session.printer.write_line(described.value or "")
    return 0


@config.command("set")
def set_setting(
    context: typer.Context,
    key: KeyName,
    value: Value = None,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Store a setting in the settings file, which its owner alone can read.

    \b
      kling config set token                  # asks, without echo
      kling config set token < token.txt
      kling config set timeout 20m

    A token is never taken as an argument: other users of the machine and the
    shell's history could read it there.
    """
    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    found = find_key(key)
    if found is TOKEN and value is not None:
        raise UsageError(
            "token_in_arguments",
            "A token is not taken as an argument: the process list and the shell's history "
            "would show it.",
            hint="kling config set token asks for it; kling config set token < FILE reads it. "
            "If this one was real, replace it at the service.",
        )
    text = _read_value(session.world, found.name) if value is None else value
    path = find_directories(session.world.environ).require_config_file()
    configuration.store(path, found.name, text)
    session.screen.say(f"{found.name} stored in {clean(str(path))}.")
    return 0


@config.command("unset")
def unset_setting(
    context: typer.Context,
    key: KeyName,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Remove a setting from the settings file.

    \b
      kling config unset token
    """
    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    path = find_directories(session.world.environ).require_config_file()
    if configuration.remove(path, key):
        session.screen.say(f"{clean(key)} removed from {clean(str(path))}.")
    else:
        name = find_key(key).name
        session.screen.say(f"{name} is not in {clean(str(path))}; nothing to remove.")
    return 0


@config.command("path")
def show_path(
    context: typer.Context,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Print the path of the settings file, whether or not it exists.

    \b
      "$EDITOR" "$(kling config path)"
    """
    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    path = str(find_directories(session.world.environ).require_config_file())
    if json:
        session.printer.write_record({"path": path})
    else:
        session.printer.write_line(path)
    return 0


@config.command("check")
def check(
    context: typer.Context,
    *,
    base_url: options.BaseUrl = None,
    sandbox: options.Sandbox = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Ask the service whether the token works; costs nothing.

    \b
      kling config check
      kling config check && kling effect squish photo.jpg

    It looks at a task that cannot exist: a service that answers so has
    accepted the token.
    """
    from kling_cli.watching.checking import check_token

    session = options.open_session(
        context, json=json, quiet=quiet, verbose=verbose, sandbox=sandbox, base_url=base_url
    )
    return check_token(session)


def _print(printer: Printer, described: Described) -> None:
    if printer.is_json:
        printer.write_record(
            {
                "key": described.key,
                "value": described.value,
                "source": described.source,
                "problem": described.problem,
            }
        )
    else:
        printer.write_row(
            described.key, described.value or "", described.problem or described.source or ""
        )


def _read_value(world: World, name: str) -> str:
    """Ask a person without echo, or read what a script pipes in."""
    if world.stdin.isatty():
        import getpass

        return getpass.getpass(f"{name}: ")
    return world.stdin.readline().rstrip("\r\n")
