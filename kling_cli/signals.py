"""Ctrl-C, termination and hang-up: the first one ends the run in order, the second at once."""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from kling_cli.errors import Interrupted


class _Hold:
    """Whether a signal has to wait for the end of a block, and the one that does."""

    is_on = False
    number: int | None = None


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
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        raise Interrupted(number)


def _die(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)  # pragma: no cover - nothing is recorded behind it
