"""What the command line of `kling effect` asks for, and whether its parts agree."""

from dataclasses import dataclass

from kling_cli.api.answers import is_safe_id
from kling_cli.errors import UsageError
from kling_cli.scenes import Scene
from kling_cli.session import Session
from kling_cli.text import clean


@dataclass(frozen=True, slots=True, kw_only=True)
class Basket:
    """What the command line asks for."""

    scene: Scene
    sources: tuple[str, ...]
    from_list: str | None = None
    duration: str | None = None
    mode: str | None = None
    callback_url: str | None = None
    external_task_id: str | None = None
    is_any_scene: bool = False
    is_anew: bool = False
    is_rehearsal: bool = False
    is_agreed: bool = False
    replaces_files: bool = False
    waits: bool = True
    checks_urls: bool = True
    fixes: bool = False


def check_callback_url(session: Session, url: str | None) -> None:
    """Refuse an address that the service could not call.

    Raises:
        UsageError: it cannot.
    """
    if url is None:
        return
    from kling_cli.images.addresses import judge_callback_url  # noqa: PLC0415 - it is rarely used

    problem, warning = judge_callback_url(url, allow_private=session.is_local)
    if problem is not None:
        raise UsageError(
            "invalid_callback_url",
            f"--callback-url {problem}",
            hint="It takes an https:// address that the service can reach from outside.",
        )
    if warning is not None:
        session.screen.say(f"warning: {warning}")


def check_external_task_id(name: str | None, *, tasks: int) -> None:
    """Refuse an id that cannot be one, or that would have to name several tasks.

    Raises:
        UsageError: it cannot.
    """
    if name is None:
        return
    if tasks > 1:
        raise UsageError(
            "usage",
            f"--external-task-id names one task, and there are {tasks} to make.",
            hint="Give one picture with it, or leave it out: each task then gets its own id.",
        )
    if not is_safe_id(name):
        raise UsageError(
            "invalid_external_task_id",
            f"--external-task-id {clean(name, limit=80)} cannot be an id: it takes 1 to 128 of "
            "A-Z a-z 0-9 and . _ ~ + = : @ -",
            hint="Choose another id, or leave it out.",
        )
