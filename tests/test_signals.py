"""Ctrl-C, termination and hang-up."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from kling_cli.errors import Interrupted
from kling_cli.signals import find_signals, hold, listen, raise_heard

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def test_the_signals_that_end_a_program_are_known() -> None:
    """What a user, a CI system and a closed terminal send is listened to."""
    assert find_signals() == SIGNALS


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_block(number: signal.Signals) -> None:
    """A signal interrupts the main thread, and afterwards all is as it was before."""
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(Interrupted) as caught, listen():
        os.kill(os.getpid(), number)
    assert caught.value.exit_code == 128 + number
    assert [signal.getsignal(each) for each in SIGNALS] == before


class Finalized:
    """Something at whose end a signal comes."""

    def __del__(self) -> None:
        """Send it, from where no exception gets out."""
        os.kill(os.getpid(), signal.SIGTERM)


def test_no_signal_is_lost_in_a_finalizer(capsys: pytest.CaptureFixture[str]) -> None:
    """Where Python swallows the exception, the run ends at its next turn, without a traceback."""
    with listen():
        thing = Finalized()
        del thing
        with pytest.raises(Interrupted) as caught:
            raise_heard()
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert capsys.readouterr() == ("", "")
    with listen():
        raise_heard()  # of an earlier run nothing is left


def test_what_others_lose_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only our own exception is passed over; a finalizer's fault goes on being told."""
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: told.append(lost.exc_value))

    class Faulty:
        """Something whose end fails."""

        def __del__(self) -> None:
            """Fail."""
            raise ValueError("faulty")

    with listen():
        thing = Faulty()
        del thing
    assert [str(error) for error in told] == ["faulty"]


def test_what_is_ignored_stays_ignored() -> None:
    """Under nohup a hang-up does not end the run."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listen():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        with pytest.raises(Interrupted), listen():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_leaves_the_signals_alone() -> None:
    """Whoever runs the program in a thread of their own keeps their own handlers."""
    seen: list[object] = []

    def run() -> None:
        with listen():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_a_held_block_is_done_whole() -> None:
    """A signal that comes while a result is being told ends the run behind it, not in it."""
    done: list[str] = []

    def tell() -> None:
        with hold():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("whole")
        done.append("never")

    with pytest.raises(Interrupted) as caught, listen():
        tell()
    assert done == ["whole"]
    assert caught.value.exit_code == 143


def test_a_held_signal_counts_more_than_an_error() -> None:
    """Where the held block fails, too, it is still the signal that ends the run, once."""

    def fail() -> None:
        with hold():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ZeroDivisionError

    with pytest.raises(Interrupted), listen():
        fail()
    with hold():
        pass


@pytest.mark.parametrize("number", SIGNALS)
def test_the_second_signal_ends_at_once(number: signal.Signals) -> None:
    """Fault 89: who presses Ctrl-C twice does not wait for anything any more."""
    script = f"""
import os
from kling_cli.errors import Interrupted
from kling_cli.signals import listen
with listen():
    try:
        os.kill(os.getpid(), {int(signal.SIGTERM)})
    except Interrupted:
        os.kill(os.getpid(), {int(number)})
        while True:
            pass
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=20, check=False)
    assert done.returncode == 128 + number
