"""The commands `kling config ...`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from kling_cli import options
from kling_cli.errors import UsageError
from kling_cli.text import clean

if TYPE_CHECKING:
    from kling_cli.output import Printer
    from kling_cli.settings.loading import Described

KeyName = Annotated[str, typer.Argument(metavar="KEY", help="A key of kling config list.")]
# A list, so that the words of a token are refused by us, and not repeated by the parser.
Value = Annotated[
    list[str] | None,
    typer.Argument(metavar="[VALUE]", help="Asked for, or read from standard input, if left out."),
]

config = typer.Typer(name="config", rich_markup_mode=None, add_completion=False)


@config.callback(invoke_without_command=True)
def describe_config(context: typer.Context) -> None:
    """Show and change settings, and say where each comes from.

    \b
      kling config list
      kling config set token
    """
    options.require_command(context)


@config.command("list")
def list_settings(
    context: typer.Context,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """List every setting, its value, and where that comes from.

    \b
      kling config list
      kling config list --json | jq -r 'select(.key == "base_url") | .value'

    Each line: key, value, source, with tabs between. What comes first counts:
    option, environment, file, default. The token shows only its last four
    characters.
    """
    from kling_cli.settings.loading import describe

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
    from kling_cli.settings.keys import find_key
    from kling_cli.settings.loading import describe

    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    name = find_key(key).name
    for described in describe(session.settings):
        if described.key == name and json:
            _print(session.printer, described)
        elif described.key == name:
            session.printer.write_line(described.value or "")
            if described.problem is not None:
                session.screen.say(f"warning: {described.problem}")
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
    """Store a setting in the settings file.

    \b
      kling config set token                  # asks, without echo
      kling config set token < token.txt
      kling config set timeout 20m

    Its owner alone can read the file. A token is never taken as an argument:
    other users of the machine and the shell's history could read it there.
    A stored token goes to the stored base_url: to change that moves it.
    """
    from kling_cli.secret import Token
    from kling_cli.settings import configuration
    from kling_cli.settings.asking import read_value
    from kling_cli.settings.directories import find_directories
    from kling_cli.settings.keys import TOKEN, find_key
    from kling_cli.settings.loading import Described
    from kling_cli.settings.token_home import watch_token

    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    found = find_key(key)
    if found is TOKEN and value:
        raise UsageError(
            "token_in_arguments",
            "A token is not taken as an argument: the process list and the shell's history "
            "would show it.",
            hint="kling config set token asks for it; kling config set token < FILE reads it. "
            "If this one was real, replace it at the service.",
        )
    text = _take_one(value) if value else read_value(session.world, found)
    path = find_directories(session.world.environ).require_config_file()
    with watch_token(path, session.screen.say):
        configuration.store(path, found.name, text)
    shown = clean(str(path))
    session.screen.say(f"{found.name} stored in {shown}.")
    if json:
        told = Token.parse(text, source=shown).masked if found is TOKEN else text.strip()
        _print(session.printer, Described(key=found.name, value=told, source=shown))
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
    from kling_cli.settings import configuration
    from kling_cli.settings.directories import find_directories
    from kling_cli.settings.keys import find_key
    from kling_cli.settings.loading import Described
    from kling_cli.settings.token_home import watch_token

    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    path = find_directories(session.world.environ).require_config_file()
    with watch_token(path, session.screen.say):
        is_removed = configuration.remove(path, key)
    if is_removed:
        session.screen.say(f"{clean(key)} removed from {clean(str(path))}.")
    else:
        name = find_key(key).name
        session.screen.say(f"{name} is not in {clean(str(path))}; nothing to remove.")
    if json:
        _print(session.printer, Described(key=key, value=None, source=None))
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
    from kling_cli.settings.directories import find_directories

    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    path = str(find_directories(session.world.environ).require_config_file())
    if json:
        session.printer.write_record({"path": path})
    else:
        session.printer.write_row(path)
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
    """Tell whether the token works, with which service, and what is left.

    \b
      kling config check
      kling config check --json | jq .balance.left

    It costs nothing. Each line: what, value, source or remark, with tabs
    between. The lines:

    \b
      token      its last four characters, and where it was set
      base_url   the service, and where that was set
      reachable  yes, no or unknown
      accepted   whether the service takes the token: yes, no or unknown
      balance    what is left, in the gateway's own unit, where it tells that
      command    the kling that is first on PATH, and whether it is this one

    Exit codes: 0 it works, 4 token missing or refused, 10 nobody knows.
    """
    from kling_cli.watching.checking import check_setup

    session = options.open_session(
        context, json=json, quiet=quiet, verbose=verbose, sandbox=sandbox, base_url=base_url
    )
    return check_setup(session)


def _print(printer: "Printer", described: "Described") -> None:
    if printer.is_json:
        printer.write_record(asdict(described))
    else:
        printer.write_row(
            described.key, described.value or "", described.problem or described.source or ""
        )


def _take_one(values: list[str]) -> str:
    if len(values) > 1:
        raise UsageError("usage", "A setting has one value; put quotes around its words.")
    return values[0]
