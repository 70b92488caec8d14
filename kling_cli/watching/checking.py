"""What `kling config check` tells: the token, the service, the balance, the command's name."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from kling_cli.api.balance import Balance, find_balance
from kling_cli.errors import ExitCode, KlingError, UnreachableError
from kling_cli.results import shape_error
from kling_cli.session import Session
from kling_cli.task import Look
from kling_cli.watching.command import Command, find_command

# No service makes such an id, so a good answer can only be "not found".
_NO_TASK = "kling-check-0"
_WORDS = {True: "yes", False: "no", None: "unknown"}
_UNITS = {"gateway": "unit set by the gateway", "quota": "quota points of the gateway"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What asking has shown; None stands for what nobody knows."""

    is_reachable: bool | None = None
    is_accepted: bool | None = None
    error: KlingError | None = None


def check_setup(session: Session) -> ExitCode:
    """Tell what this machine would send where, and whether the service takes the token.

    Raises:
        SetupError: the settings cannot be read, so there is nothing to tell.
    """
    settings = session.settings
    verdict = _ask(session)
    balance = None
    if verdict.is_accepted and not settings.is_sandbox:
        balance = _ask_for_balance(session)
    command = find_command(session.world.environ, started_as=sys.argv[0])
    if verdict.error is not None:
        session.screen.fail(verdict.error)
    if session.printer.is_json:
        session.printer.write_record(_shape(session, verdict, balance=balance, command=command))
    else:
        for row in _list_rows(session, verdict, balance=balance, command=command):
            session.printer.write_row(*row)
    return verdict.error.exit_code if verdict.error else ExitCode.OK


def _ask(session: Session) -> _Verdict:
    """Look at a task that cannot exist: whoever says so has accepted the token."""
    try:
        service = session.open_service()
        try:
            look = service.look(_NO_TASK)
        finally:
            service.close()
    except KlingError as error:
        return _Verdict(error=error)  # nobody was asked
    return _judge(look, session)


def _judge(look: Look, session: Session) -> _Verdict:
    if look.error is None or look.is_missing:
        return _Verdict(is_reachable=True, is_accepted=True)
    if look.is_fatal:
        return _Verdict(is_reachable=True, is_accepted=False, error=look.error)
    error = _tell_doubt(look.error, session)
    return _Verdict(is_reachable=error.http_status is not None, error=error)


def _tell_doubt(error: KlingError, session: Session) -> UnreachableError:
    base_url = session.settings.base_url
    return UnreachableError(
        "unreachable",
        f"Whether the token works is not known. {error.message}",
        hint=f"Is the base URL right? It is {base_url.value} (from {base_url.source}).",
        http_status=error.http_status,
        service_code=error.service_code,
        request_id=error.request_id,
    )


def _ask_for_balance(session: Session) -> Balance | None:
    transport = session.open_transport()
    try:
        return find_balance(
            transport, base_url=session.settings.base_url.value, token=session.token
        )
    finally:
        transport.close()


def _tell_token(session: Session) -> tuple[str, str] | tuple[None, None]:
    try:
        return session.token.masked, session.token.source
    except KlingError:
        return None, None


def _tell_origin(session: Session) -> str:
    # The option --sandbox is kept as the base URL that it stands for.
    settings, flag = session.settings, "--base-url"
    source = settings.base_url.source
    return "--sandbox" if settings.is_sandbox and source == flag else source


def _list_rows(
    session: Session, verdict: _Verdict, *, balance: Balance | None, command: Command
) -> Iterator[tuple[str, str, str]]:
    """Give what, value, and source or remark."""
    masked, source = _tell_token(session)
    reason = verdict.error.code if verdict.error else ""
    base_url = session.settings.base_url
    yield "token", masked or "none", source or reason
    yield "base_url", base_url.value, _tell_origin(session)
    yield "reachable", _WORDS[verdict.is_reachable], "" if verdict.is_reachable else reason
    yield "accepted", _WORDS[verdict.is_accepted], "" if verdict.is_accepted else reason
    yield "balance", *_tell_balance(balance)
    yield "command", command.first or "none", _tell_command(command)


def _tell_balance(balance: Balance | None) -> tuple[str, str]:
    if balance is None:
        return "unknown", "not told by the service"
    left = "unlimited" if balance.left is None else f"{balance.left:.2f} left"
    return left, _UNITS[balance.unit]


def _tell_command(command: Command) -> str:
    if command.is_own:
        return "this program"
    other = "not on PATH" if command.first is None else "another program or installation"
    ways = " or ".join(way for way in (command.own, command.call) if way)
    return f"{other}; this one is {ways}"


def _shape(
    session: Session, verdict: _Verdict, *, balance: Balance | None, command: Command
) -> dict[str, object]:
    """Shape the object of a check; every key is always there."""
    masked, source = _tell_token(session)
    base_url, error = session.settings.base_url, verdict.error
    return {
        "ok": error is None,
        "exit_code": int(error.exit_code if error else ExitCode.OK),
        "sandbox": session.settings.is_sandbox,
        "token": masked,
        "source": source,
        "base_url": base_url.value,
        "base_url_source": _tell_origin(session),
        "reachable": verdict.is_reachable,
        "accepted": verdict.is_accepted,
        "balance": None if balance is None else {"left": balance.left, "unit": balance.unit},
        "command": {
            "first": command.first,
            "own": command.own,
            "is_own": command.is_own,
            "call": command.call,
        },
        "error": shape_error(error) if error else None,
    }
