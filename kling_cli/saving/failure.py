"""Why a clip was not saved: the task is paid for, and nothing is lost."""

import os

from kling_cli.errors import LocalError
from kling_cli.text import clean

AGAIN = "The same command downloads it again and costs nothing."


def fail(code: str, message: str, *, hint: str = AGAIN) -> LocalError:
    """Make the error of a clip that was not saved."""
    return LocalError(code, message, hint=hint, charged="yes")


def fail_download(code: str, reason: str) -> LocalError:
    """Make the error of a clip that did not come, for a reason that goes on from a colon."""
    return fail(code, f"The video could not be downloaded: {reason}.")


def show(path: str | os.PathLike[str]) -> str:
    """Show a path so that it cannot change what a terminal shows."""
    return clean(os.fspath(path))


def show_reason(error: OSError) -> str:
    """Tell what the system said, in its words."""
    return clean(error.strerror or str(error))
