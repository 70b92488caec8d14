"""The commands `kling config ...`."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from kling_cli.cli import options
from kling_cli.errors import ExitCode, KlingError, SetupError, UnreachableError, UsageError
from kling_cli.output import format_error
from kling_cli.text import clean, format_duration

if TYPE_CHECKING:
    from pathlib import Path

    from kling_cli.context import Context
    from kling_cli.settings import Settings


def complete_key() -> list[tuple[str, str]]:
    """List the settings with their descriptions."""
    from kling_cli.settings import KEYS

    return [(key.name, key.description) for key in KEYS]


KeyName = Annotated[
    str,
    typer.Argument(metavar="KEY", help="A key of kling config list.", autocompletion=complete_key),
]
# A list, so that the words of a token are refused by us, and not repeated by the parser.
Value = Annotated[
    list[str] | None,
    typer.Argument(metavar="[VALUE]", help="Asked for, or read from standard input, if left out."),
]

# No service makes such an id, so a good answer can only be "not found".
_NO_TASK = "kling-check-0"
_WORDS = {True: "yes", False: "no", None: "unknown"}

config = typer.Typer(name="config", rich_markup_mode="rich", add_completion=False)


@config.callback(invoke_without_command=True)
def describe_config(context: typer.Context) -> None:
    """Show and change settings, and say where each comes from.

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

    kling config list
    kling config list --json | jq -r 'select(.key == "base_url") | .value'

    Each line: key, value, source, with tabs between. What comes first counts:
    option, environment, file, default. The token shows only its last four
    characters.
    """
    run = options.configure(context)
    for record in _list(run.settings):
        if json:
            run.output.record(record)
        else:
            remark = record["problem"] or record["source"] or ""
            run.output.row(str(record["key"]), record["value"] or "", remark)
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

    kling config get base_url
    """
    from kling_cli.settings import find_key

    run = options.configure(context)
    name = find_key(key).name
    record = next(record for record in _list(run.settings) if record["key"] == name)
    if json:
        run.output.record(record)
        return 0
    run.output.line(record["value"] or "")
    if record["problem"]:
        run.console.warn(record["problem"])
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

    kling config set token                  # asks, without echo
    kling config set token < token.txt
    kling config set timeout 20m

    Its owner alone can read the file. A token is never taken as an argument:
    other users of the machine and the shell's history could read it there.
    The stored token is sent to the stored base_url alone, and you are told
    whether the service there accepts it.
    """
    from kling_cli.settings import TOKEN, Token, find_config_file, find_key, store

    run = options.configure(context)
    found = find_key(key)
    if found is TOKEN and value:
        raise UsageError(
            "token_in_arguments",
            "A token is not accepted as an argument: the process list and the shell's history "
            "would show it.",
            hint="kling config set token asks for it; kling config set token < FILE reads it. "
            "If this one was real, replace it at the service.",
        )
    if value and len(value) > 1:
        raise UsageError("usage", "A setting has one value; put quotes around its words.")
    text = value[0] if value else _ask(run, found is TOKEN, found.name)
    path = find_config_file(run.environ)
    file = clean(str(path))
    with _warn_of_moved_token(path, run):
        store(path, found.name, text)
    run.console.info(f"{found.name} stored in {file}.")
    shown, problem = text.strip(), None
    if found is TOKEN:
        shown, problem = Token.parse(text, source=file).masked, _check_stored_token(run)
    if json:
        run.output.record(_describe(found.name, shown, file, problem))
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

    kling config unset token
    """
    from kling_cli.settings import find_config_file, remove

    run = options.configure(context)
    path = find_config_file(run.environ)
    file = clean(str(path))
    with _warn_of_moved_token(path, run):
        is_removed = remove(path, key)
    found = "removed from" if is_removed else "not in"
    run.console.info(f"{clean(key)} {found} {file}.")
    if json:
        run.output.record(_describe(key))
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

    "$EDITOR" "$(kling config path)"
    """
    from kling_cli.settings import find_config_file

    run = options.configure(context)
    path = str(find_config_file(run.environ))
    if json:
        run.output.record({"path": path})
    else:
        run.output.row(path)
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
    """Check whether the token works, and where.

    kling config check
    kling config check --json | jq .accepted

    It costs nothing. Each line: what, value, source or remark, with tabs
    between. The lines:

      token      its last four characters, and where it was set
      base_url   the service, and where that was set
      reachable  yes, no or unknown
      accepted   whether the service accepts the token: yes, no or unknown

    Exit codes: 0 it works, 4 token missing or refused, 10 nobody knows.
    """
    run = options.configure(context)
    return _check_setup(run)


def _list(settings: "Settings") -> Iterator[dict[str, str | None]]:
    """Describe every setting with its source, the token masked."""
    from kling_cli.settings import KEYS, TIMEOUT, TOKEN

    for key in KEYS:
        if key is TOKEN:
            try:
                token = settings.find_token()
            except SetupError as error:
                is_missing = error.code == "token_missing"
                yield _describe(key.name, problem=None if is_missing else error.message)
            else:
                yield _describe(key.name, token.masked, token.source)
            continue
        setting = getattr(settings, key.name)
        value = format_duration(setting.value) if key is TIMEOUT else setting.value
        yield _describe(key.name, None if value is None else clean(str(value)), setting.source)


def _describe(
    key: str, value: str | None = None, source: str | None = None, problem: str | None = None
) -> dict[str, str | None]:
    return {"key": key, "value": value, "source": source, "problem": problem}


def _ask(run: "Context", is_secret: bool, name: str) -> str:
    """Ask a person, for a token without echo, or read one line of standard input."""
    if not run.stdin.isatty():
        return run.stdin.readline(1024 * 1024).rstrip("\r\n")
    if is_secret:
        import getpass

        return getpass.getpass(f"{name}: ")
    run.stderr.write(f"{name}: ")
    run.stderr.flush()
    return run.stdin.readline().rstrip("\n")


@contextmanager
def _warn_of_moved_token(path: "Path", run: "Context") -> Iterator[None]:
    """Warn if what happens to the file meanwhile sends the stored token to another base URL."""
    from kling_cli.settings import SANDBOX, find_token_home

    before = find_token_home(path)
    yield
    after = find_token_home(path)
    if before is not None and after not in (before, SANDBOX, "", None):
        run.console.warn(
            f"The stored token will now be sent to {after}. "
            "If it is not for that service: kling config set token"
        )


def _check_stored_token(run: "Context") -> str | None:
    """Ask the service at the stored base URL whether it accepts the stored token, and say so.

    The token is stored whatever it answers. Under --json only the problem is returned.
    """
    from kling_cli.settings import BASE_URL, TOKEN, TOKEN_FILE_VARIABLE, load

    others = (TOKEN.environment, TOKEN_FILE_VARIABLE, BASE_URL.environment)
    environ = {name: text for name, text in run.environ.items() if name not in others}
    try:
        run.settings = load(environ, flags={})
        if run.settings.is_sandbox:
            return None
        error = _check_token(run)
        run.close_clients()
    except KlingError as reason:
        error = reason
    if error and not run.output.is_json:
        run.console.warn(error.message)
    if error is None:
        run.console.info(f"{run.settings.base_url.value} accepts it.")
    return error.message if error else None


def _check_token(run: "Context") -> KlingError | None:
    """Ask for a task that cannot exist: a service that says so has accepted the token."""
    from kling_cli.api.errors import ApiError, Kind

    try:
        run.client(run.base_url).get_task(_NO_TASK, seconds=math.inf)
    except KlingError as error:
        return error  # nobody was asked
    except ApiError as failure:
        if failure.kind is Kind.AUTH:
            return failure.error
        if failure.kind is not Kind.NOT_FOUND:
            base_url = run.settings.base_url
            message = f"Could not check the token. {failure.error.message}"
            hint = f"Is the base URL right? It is {base_url.value} (from {base_url.source})."
            return UnreachableError("unreachable", message, hint=hint, cause=failure.error)
    return None


def _check_setup(run: "Context") -> ExitCode:
    """Report what this machine would send where, and whether the service accepts the token."""
    settings = run.settings
    error = _check_token(run)
    is_answered = error is None or error.http_status is not None
    # What is not known is None: of a token that is missing nobody was asked.
    reachable = is_answered or (None if isinstance(error, SetupError) else False)
    accepted = error is None or (False if is_answered and isinstance(error, SetupError) else None)
    masked = source = None
    with suppress(KlingError):
        masked, source = run.token.masked, run.token.source
    origin = settings.base_url.source
    if settings.is_sandbox and origin == "--base-url":
        origin = "--sandbox"  # which is kept as the base URL that it stands for
    exit_code = ExitCode.OK
    if error:
        exit_code = error.exit_code
        run.console.error(error)
    if run.output.is_json:
        run.output.record(
            {
                "ok": error is None,
                "exit_code": int(exit_code),
                "sandbox": settings.is_sandbox,
                "token": masked,
                "source": source,
                "base_url": settings.base_url.value,
                "base_url_source": origin,
                "reachable": reachable,
                "accepted": accepted,
                "error": format_error(error) if error else None,
            }
        )
        return exit_code
    reason = error.code if error else ""
    rows = (
        ("token", masked or "none", source or reason),
        ("base_url", settings.base_url.value, origin),
        ("reachable", _WORDS[reachable], "" if reachable else reason),
        ("accepted", _WORDS[accepted], "" if accepted else reason),
    )
    run.output.table(("", "", ""), rows, rows)
    return exit_code
