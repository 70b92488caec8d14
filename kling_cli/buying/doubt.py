"""The words for a request of which nobody knows whether it was accepted."""

from kling_cli.errors import KlingError, UnknownError
from kling_cli.task import Look


def tell_unknown(name: str, look: Look, *, doubt: KlingError | None) -> UnknownError:
    """Make the error for a request that no look-up has found.

    Args:
        name: its external task id.
        look: the last look-up.
        doubt: why it is not known; None where an earlier run has left it so.
    """
    doubt = doubt or UnknownError(
        "submission_unknown",
        "An earlier run began to send this request, and no readable answer to it is known.",
    )
    answer, first = f"The service shows no task {name} so far.", ""
    if look.error is not None and not look.is_missing:
        answer = f"Looking up {name} failed: {end_sentence(look.error.message)}"
        first = f"{look.error.hint} Then: " if look.is_fatal else ""
    return UnknownError(
        "submission_unknown",
        f"{end_sentence(doubt.message)} It may or may not have been accepted. {answer}",
        hint=f"{first}kling wait {name} looks again; so does the same command, which never "
        "sends it again. kling tasks --unfinished lists it. --new buys it anew, which pays "
        "twice if this one was accepted.",
        charged="maybe",
        http_status=doubt.http_status,
        service_code=doubt.service_code,
        request_id=doubt.request_id,
    )


def end_sentence(text: str) -> str:
    """End a text as a sentence, so that another can follow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."
