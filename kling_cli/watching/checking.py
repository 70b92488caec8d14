"""What `kling config check` does: ask whether the service takes the token."""

from kling_cli.errors import ExitCode, KlingError, UnreachableError
from kling_cli.session import Session

# No service makes such an id, so a good answer can only be "not found".
_NO_TASK = "kling-check-0"


def check_token(session: Session) -> ExitCode:
    """Look at a task that cannot exist: whoever says so has accepted the token.

    Raises:
        SetupError: the token was refused.
        UnreachableError: nobody answered, or nothing that tells.
    """
    settings, token = session.settings, session.token
    service = session.open_service()
    try:
        look = service.look(_NO_TASK)
    finally:
        service.close()
    if look.error is not None and not look.is_missing:
        raise look.error if look.is_fatal else _tell_doubt(look.error, session)
    facts = {
        "base_url": settings.base_url.value,
        "token": token.masked,
        "source": token.source,
    }
    if session.printer.is_json:
        session.printer.write_record({"ok": True, "sandbox": settings.is_sandbox, **facts})
    else:
        session.printer.write_row(
            "ok", facts["base_url"], f"token {facts['token']} from {facts['source']}"
        )
    return ExitCode.OK


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
