"""The commands `kling config ...`."""

import math
from typing import TYPE_CHECKING

import typer

from kling_cli.cli import options
from kling_cli.errors import (
    ExitCode,
    Interrupted,
    KlingError,
    SetupError,
    StoppedError,
    UnreachableError,
    UsageError,
)
from kling_cli.output import format_error
from kling_cli.text import clean, format_time

if TYPE_CHECKING:
    from kling_cli.context import Context
    from kling_cli.settings import Key


def complete_key() -> list[tuple[str, str]]:
    """List the settings with their descriptions."""
    from kling_cli.settings import KEYS

    return [(key.name, key.description) for key in KEYS]


_KEY = options.argument("KEY", "A setting; see kling config list.", complete_key)

# No service creates such an id, so the only good response is "not found".
_NO_TASK = "kling-check-0"
_WORDS = {True: "yes", False: "no", None: "unknown"}

config = typer.Typer(name="config", rich_markup_mode="rich", add_completion=False)


@config.callback(invoke_without_command=True)
def describe_config(context: typer.Context) -> None:
    """Show and change settings.

    kling config list
    kling config set token
    """
    options.require_command(context)


@config.command("list")
def list_settings(
    context: typer.Context,
    *,
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """List all settings, their values and where each comes from.

    kling config list
    kling config list --json | jq -r 'select(.key == "base_url") | .value'

    In a pipe, each line has key, value and source, separated by tabs. The first
    source that is set wins: option, environment, file, default. Only the last
    four characters of the token are shown. An invalid value shows its problem
    instead of its source, and the exit code is 4.
    """
    from kling_cli.settings import KEYS, load

    run = options.configure(context)
    problems = dict[str, KlingError]()
    run.settings = load(run.environ, flags={}, warn=run.console.warn, problems=problems)
    records = []
    for key in KEYS:
        value = source = None
        try:
            value, source = _describe(run, key)
        except SetupError as error:  # of the token
            problems[key.name] = error
        problem = problems[key.name].message if key.name in problems else None
        records.append({"key": key.name, "value": value, "source": source, "problem": problem})
    if json:
        for record in records:
            run.output.record(record)
    else:
        rows = [
            (it["key"] or "", it["value"] or "", it["problem"] or it["source"] or "")
            for it in records
        ]
        run.output.table(("SETTING", "VALUE", "SOURCE"), rows, rows)
    return max((error.exit_code for error in problems.values()), default=ExitCode.OK)


@config.command("get")
def get_setting(
    context: typer.Context,
    key: str = _KEY,
    *,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """Print the value of a setting; the token is masked.

    kling config get base_url
    """
    from kling_cli.settings import find_key

    run = options.configure(context)
    value, _ = _describe(run, find_key(key))
    run.output.line(value or "")
    return 0


@config.command("set")
def set_setting(
    context: typer.Context,
    key: str = _KEY,
    # A list, because the parser would repeat the words of a token in its own error.
    value: list[str] | None = options.argument(
        "[VALUE]", "New value; if missing, kling asks for it or reads standard input."
    ),
    *,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """Store a setting in the settings file.

    kling config set token                  # asks for it, without echo
    kling config set token < token.txt
    kling config set timeout 20m

    Only you can read the file. A token is not accepted as an argument, because
    the process list and your shell history would show it. The stored token is
    sent only to the stored base_url; kling checks at once whether the service
    accepts it.
    """
    from kling_cli.settings import TOKEN, find_key

    run = options.configure(context)
    found = find_key(key)
    if found is TOKEN and value:
        raise UsageError(
            "token_in_arguments",
            "A token is not accepted as an argument: the process list and your shell history "
            "would show it.",
            hint="kling config set token asks for it; kling config set token < FILE reads it. "
            "If this was a real token, replace it at the service.",
        )
    _change(run, key, " ".join(value) if value else _ask(run, found))
    if found is TOKEN:
        _check_stored_token(run)
    return 0


@config.command("unset")
def unset_setting(
    context: typer.Context,
    key: str = _KEY,
    *,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """Remove a setting from the settings file.

    kling config unset token
    """
    _change(options.configure(context), key, None)
    return 0


@config.command("path")
def show_path(
    context: typer.Context, *, quiet: bool = options.QUIET, verbose: bool = options.VERBOSE
) -> int:
    """Print the path of the settings file, whether or not it exists.

    "$EDITOR" "$(kling config path)"
    """
    from kling_cli.settings import find_config_file

    run = options.configure(context)
    run.output.row(str(find_config_file(run.environ)))
    return 0


@config.command("check")
def check(
    context: typer.Context,
    *,
    base_url: str | None = options.BASE_URL,
    sandbox: bool = options.SANDBOX,
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """Check whether the token works.

    kling config check
    kling config check --json | jq .accepted

    This costs nothing. In a pipe, each line has name, value, and source or
    reason, separated by tabs:

      token     the last four characters, and where the token is set
      expires   when the token expires, if it says so (a JWT)
      base_url  the API base URL, and where it is set
      accepted  whether the service accepts the token: yes, no or unknown

    Exit codes: 0 the token works, 4 it is missing or refused, 10 check failed.
    """
    run = options.configure(context)
    settings, base_url_source = run.settings, run.settings.sources["base_url"]
    token = error = None
    try:
        token = run.token
        _check_token(run)
    except KlingError as caught:
        error = caught
        run.console.error(error)
    exit_code = error.exit_code if error else ExitCode.OK
    expires = format_time(token.expires) if token else None
    accepted = None if error else True
    if isinstance(error, SetupError) and error.http_status:
        accepted = False  # with an HTTP status: without a token no request was made
    if json:
        run.output.record(
            {
                "ok": error is None,
                "exit_code": int(exit_code),
                "sandbox": settings.is_sandbox,
                "token": token.masked if token else None,
                "source": token.source if token else None,
                "expires": expires,
                "base_url": settings.base_url,
                "base_url_source": base_url_source,
                "accepted": accepted,
                "error": format_error(error) if error else None,
            }
        )
        return exit_code
    reason = error.code if error else ""
    rows = [
        ("token", token.masked if token else "none", token.source if token else reason),
        ("expires", expires or "", ""),
        ("base_url", settings.base_url, base_url_source),
        ("accepted", _WORDS[accepted], reason),
    ]
    rows = [row for row in rows if row[1]]
    run.output.table(("", "VALUE", "SOURCE"), rows, rows)
    return exit_code


def _describe(run: "Context", key: "Key") -> tuple[str | None, str | None]:
    """Find the value of a setting, with the token masked, and its source."""
    from kling_cli.settings import TOKEN

    if key is not TOKEN:
        value = getattr(run.settings, key.name)
        return None if value is None else clean(str(value)), run.settings.sources[key.name]
    try:
        return run.token.masked, run.token.source
    except SetupError as error:
        if error.code != "token_missing":
            raise
        return None, None


def _ask(run: "Context", key: "Key") -> str:
    """Ask on a terminal, for a token without echo; else read one line of standard input."""
    import getpass

    from kling_cli.settings import TOKEN

    if not run.stdin.isatty():
        return run.stdin.readline(1024 * 1024).rstrip("\r\n")
    try:
        if key is TOKEN:
            return getpass.getpass(f"{key.name}: ")
        print(f"{key.name}: ", end="", file=run.stderr, flush=True)
        line = run.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")
    except (EOFError, Interrupted) as end:
        run.stderr.write("\n")  # the cursor is still on the line of the question
        code = end.exit_code if isinstance(end, Interrupted) else ExitCode.INTERRUPT
        raise StoppedError("Stopped. Nothing was changed.", exit_code=code) from None


def _change(run: "Context", key: str, text: str | None) -> None:
    """Store or remove a setting, and warn if the stored token now goes to another service."""
    from kling_cli.settings import (
        BASE_URL,
        DEFAULT_BASE_URL,
        SANDBOX,
        TOKEN,
        change,
        find_config_file,
    )

    path = find_config_file(run.environ)
    name, stored = change(path, key, text)
    done = "is not set" if text is None else "stored"
    run.console.info(f"{name} {done} in {clean(str(path))}.")
    base_url = stored.get(BASE_URL.name, DEFAULT_BASE_URL)
    if name == BASE_URL.name and TOKEN.name in stored and base_url != SANDBOX:
        run.console.warn(
            f"The stored token will now be sent to {base_url}. "
            "If it belongs to another service, run: kling config set token"
        )


def _check_stored_token(run: "Context") -> None:
    """Say whether the service at the stored base URL accepts the stored token."""
    from kling_cli.settings import BASE_URL, TOKEN, TOKEN_FILE_VARIABLE

    others = (TOKEN.environment, TOKEN_FILE_VARIABLE, BASE_URL.environment)
    run.environ = {name: text for name, text in run.environ.items() if name not in others}
    try:
        if not run.settings.is_sandbox:
            _check_token(run)
            run.console.info(f"{run.settings.base_url} accepts the token.")
    except KlingError as error:
        run.console.warn(error.message)


def _check_token(run: "Context") -> None:
    """Look up a task that cannot exist; "not found" means that the token was accepted.

    Raises:
        SetupError: the token is refused; with an HTTP status if it was the service that refused it.
        UnreachableError: the check failed.
    """
    from kling_cli.api.errors import ApiError, Kind

    try:
        run.client(run.base_url).get_task(_NO_TASK, seconds=math.inf)
    except ApiError as failure:
        if failure.kind is Kind.AUTH:
            raise failure.error from None
        if failure.kind is not Kind.NOT_FOUND:
            source = run.settings.sources["base_url"]
            message = f"Could not check the token. {failure.error.message}"
            hint = f"Check the base URL: {run.settings.base_url} (from {source})."
            hint = failure.error.hint or hint
            cause = failure.error
            raise UnreachableError("unreachable", message, hint=hint, cause=cause) from None
