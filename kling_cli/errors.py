"""The exit codes, and every error that a user can meet.

    KlingError
    ├── UsageError          2  the command itself is wrong
    ├── InputError          3  a picture, URL or output path was refused before sending
    ├── SetupError          4  token, settings or environment
    ├── TaskFailedError     5  the task failed at the service
    ├── RefusedError        6  the service refused the request, or its response is unusable
    ├── LaterError          7  no balance, or a limit was reached
    ├── PendingError        8  timed out; the task is still running
    ├── UnknownError        9  the request may or may not have been accepted
    ├── UnreachableError   10  network or service down
    ├── LocalError         11  cannot save a file, print the result or use the journal
    └── StoppedError   128 + signal  a signal ended the run during a request

    Interrupted (not an Exception)   128 + signal   the user or the system ended the run

Each error says what happened (`message`), what to do next (`hint`) and whether money may have been
spent (`charged`); its `code` is stable and meant for scripts.
"""

from enum import IntEnum
from typing import Literal

Charged = Literal["no", "yes", "maybe"]


class ExitCode(IntEnum):
    """The exit code of the process, its meaning, and what the same command does next."""

    meaning: str
    again: str

    def __new__(cls, value: int, meaning: str = "", again: str = "") -> "ExitCode":
        """Create a code with its texts, as `http.HTTPStatus` does."""
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning, code.again = meaning, again
        return code

    OK = 0, "success; with --no-wait: the task was accepted", "costs nothing"
    BUG = 1, "internal error, please report it; -v shows where", "-"
    USAGE = 2, "invalid option, argument or scene", "fix the command"
    BAD_INPUT = 3, "a picture, URL or output path was refused; nothing was sent", "fix the input"
    AUTH = 4, "missing or refused token, invalid settings or environment", "fix the setup"
    TASK_FAILED = 5, "the task failed at the service", "buys a new task"
    REFUSED = 6, "the service refused, or its response is unusable", "change the request"
    LATER = 7, "no balance, a limit was reached, or not started", "try later"
    PENDING = 8, "timed out; the task is still running", "resumes, costs nothing"
    UNKNOWN = 9, "the request may or may not have been accepted", "looks it up, never resends"
    UNREACHABLE = 10, "network or service down; nothing sent, or still running", "safe"
    LOCAL_IO = 11, "cannot save a file, print the result or use the journal", "costs nothing"
    HANGUP = 129, "stopped by SIGHUP; a message says whether anything was sent", "safe"
    INTERRUPT = 130, "stopped by Ctrl-C; a message says whether anything was sent", "safe"
    PIPE = 141, "the reader closed the pipe", "costs nothing"
    TERMINATED = 143, "stopped by SIGTERM; a message says whether anything was sent", "safe"


_COSTLIEST_FIRST = (1, 2, 9, 8, 5, 11, 10, 7, 6, 4, 3)


def combine(codes: "set[ExitCode]") -> ExitCode:
    """Choose the exit code for several inputs: the one most costly to ignore."""
    return next((ExitCode(code) for code in _COSTLIEST_FIRST if code in codes), ExitCode.OK)


class KlingError(Exception):
    """An error that ends a request, with a message that a user can act on."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        charged: Charged = "no",
        http_status: int | None = None,
        service_code: int | str | None = None,
        request_id: str | None = None,
        cause: "KlingError | None" = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.charged: Charged = charged
        self.http_status: int | None = cause.http_status if cause else http_status
        self.service_code: int | str | None = cause.service_code if cause else service_code
        self.request_id: str | None = cause.request_id if cause else request_id


class UsageError(KlingError):
    """The command itself is wrong."""

    exit_code = ExitCode.USAGE


class InputError(KlingError):
    """A picture, URL or output path was refused before anything was sent."""

    exit_code = ExitCode.BAD_INPUT


class SetupError(KlingError):
    """The token, a setting or the environment cannot be used."""

    exit_code = ExitCode.AUTH


class TaskFailedError(KlingError):
    """The task failed at the service."""

    exit_code = ExitCode.TASK_FAILED


class RefusedError(KlingError):
    """The service refused the request, or its response is unusable."""

    exit_code = ExitCode.REFUSED


class LaterError(KlingError):
    """There is no balance, or a limit of the service was reached."""

    exit_code = ExitCode.LATER


class PendingError(KlingError):
    """The timeout passed and the task is still running."""

    exit_code = ExitCode.PENDING


class UnknownError(KlingError):
    """The submission may or may not have been accepted."""

    exit_code = ExitCode.UNKNOWN


class UnreachableError(KlingError):
    """The network or the service is down."""

    exit_code = ExitCode.UNREACHABLE


class LocalError(KlingError):
    """Saving a file, writing standard output or keeping the journal failed."""

    exit_code = ExitCode.LOCAL_IO


class StoppedError(KlingError):
    """A signal ended the run during this request."""

    def __init__(
        self, message: str, *, exit_code: ExitCode, hint: str = "", charged: Charged = "no"
    ) -> None:
        super().__init__("interrupted", message, hint=hint, charged=charged)
        self.exit_code = exit_code


class Interrupted(BaseException):
    """A signal asked the run to end; a BaseException, so that no handler on the way catches it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.exit_code = ExitCode(128 + signal_number)
        self.is_reported = False
