"""Ctrl-C, termination and hang-up: the first one ends the run in order, the second at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from types import FrameType

from kling_cli.errors import Interrupted


class _Hold:
    """Whether a signal has to wait for the end of a block, and the one that does.

    `heard` is the one that was raised: where Python runs a finalizer at that moment, it passes over
    the exception.
    """

    is_on = False
    number: int | None = None
    heard: int | None = None


_hold = _Hold()


def find_signals() -> list[signal.Signals]:
    """Find the signals of this system that ask a program to end."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


@contextmanager
def listen() -> Generator[None]:
    """Turn signals into `Interrupted` in the main thread, until the block ends."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    # What the parent has ignored stays ignored: so `nohup kling ...` survives a hang-up.
    heard = [number for number in find_signals() if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _stop) for number in heard}
    complain = sys.unraisablehook
    sys.unraisablehook = partial(_pass_over, complain)
    try:
        yield
    finally:
        _hold.heard = None
        sys.unraisablehook = complain
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_heard() -> None:
    """Raise the signal that has come already, if its exception was lost on the way."""
    if _hold.heard is not None:
        raise Interrupted(_hold.heard)


@contextmanager
def hold() -> Generator[None]:
    """Let the block be done whole: the first signal that comes meanwhile ends the run behind it."""
    _hold.is_on = True
    try:
        yield
    finally:
        _hold.is_on = False
        number, _hold.number = _hold.number, None
        if number is not None:
            raise Interrupted(number)


def _stop(number: int, _frame: FrameType | None) -> None:
    for heard in find_signals():
        if signal.getsignal(heard) is _stop:
            signal.signal(heard, _die)
    if _hold.is_on:
        _hold.number = number
    else:
        _hold.heard = number
        raise Interrupted(number)


def _pass_over(
    complain: "Callable[[sys.UnraisableHookArgs], object]", lost: "sys.UnraisableHookArgs"
) -> None:
    """Say nothing of a signal that a finalizer has swallowed: `raise_heard` raises it again."""
    if not isinstance(lost.exc_value, Interrupted):
        complain(lost)


def _die(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)  # pragma: no cover - nothing is recorded behind it
