"""The exit codes and the errors that carry them."""

import itertools

import pytest

from kling_cli import errors
from kling_cli.errors import ExitCode, Interrupted, KlingError, StoppedError, combine

TREE = [
    (errors.UsageError, 2),
    (errors.InputError, 3),
    (errors.SetupError, 4),
    (errors.TaskFailedError, 5),
    (errors.RefusedError, 6),
    (errors.LaterError, 7),
    (errors.PendingError, 8),
    (errors.UnknownError, 9),
    (errors.UnreachableError, 10),
    (errors.LocalError, 11),
]
COSTLIEST_FIRST = [1, 9, 8, 5, 11, 10, 7, 6, 4, 3, 0]


@pytest.mark.parametrize(("kind", "code"), TREE)
def test_each_error_has_its_own_exit_code(kind: type[KlingError], code: int) -> None:
    """A script can tell from the exit code alone what kind of error it was."""
    error = kind("some_code", "What happened.")
    assert error.exit_code == code
    assert (error.code, error.message, str(error)) == ("some_code",) + ("What happened.",) * 2


@pytest.mark.parametrize(("kind", "code"), TREE)
def test_the_drawing_shows_each_error(kind: type[KlingError], code: int) -> None:
    """Whoever reads the drawing of the error tree sees every error with its exit code."""
    assert f"── {kind.__name__} " in (errors.__doc__ or "")
    (line,) = (line for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line)
    assert str(code) in line.split()


def test_an_error_charges_nothing_unless_it_says_so() -> None:
    """Without other word an error has cost nothing and knows nothing of an HTTP answer."""
    error = KlingError("x", "y")
    assert (error.charged, error.hint) == ("no", "")
    assert error.http_status is error.service_code is error.request_id is None


@pytest.mark.parametrize("code", ExitCode)
def test_each_exit_code_is_explained(code: ExitCode) -> None:
    """Every exit code says what it means and what the same command does again."""
    assert code.meaning
    assert code.again


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(COSTLIEST_FIRST, 2)))
def test_the_most_costly_code_wins(first: int, second: int) -> None:
    """Of several inputs the code that is most costly to ignore is the exit code of the run."""
    assert combine({ExitCode(first), ExitCode(second)}) == first


def test_nothing_to_do_is_no_failure() -> None:
    """A run over nothing ends well."""
    assert combine(set()) is ExitCode.OK


@pytest.mark.parametrize(("number", "code"), [(1, 129), (2, 130), (15, 143)])
def test_a_signal_has_the_code_that_shells_give_it(number: int, code: int) -> None:
    """The exit code after a signal is 128 and its number, as scripts expect."""
    interruption = Interrupted(number)
    assert interruption.exit_code == code
    assert not interruption.is_told
    assert not isinstance(interruption, Exception)


def test_what_a_signal_stopped_tells_what_it_cost() -> None:
    """A request that a signal stopped carries the signal's code and whether it may be paid for."""
    error = StoppedError("Stopped.", exit_code=ExitCode.TERMINATED, charged="maybe", hint="look")
    assert (error.code, error.exit_code, error.charged) == ("interrupted", 143, "maybe")
