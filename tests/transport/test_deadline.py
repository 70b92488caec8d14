"""The deadline of an exchange ends a read that no time-out of the socket would end."""

import socket
import threading
import time

from kling_cli.transport.deadline import Deadline


def test_a_blocked_read_ends() -> None:
    """A read that waits for ever comes back empty when the time is over."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(0.05) as deadline:
        deadline.start()
        deadline.watch(ours)
        assert ours.recv(1) == b""
        assert deadline.expired


def test_a_connection_made_too_late_ends_at_once() -> None:
    """What comes to be watched after the time is over is shut as well."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(0) as deadline:
        deadline.start()
        while not deadline.expired:
            time.sleep(0.001)
        deadline.watch(ours)
        assert ours.recv(1) == b""


def test_what_ended_in_time_is_left_alone() -> None:
    """Behind its block a deadline shuts nothing, and leaves no thread behind."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with Deadline(0.02) as deadline:
            deadline.start()
            deadline.watch(ours)
        time.sleep(0.04)
        theirs.send(b"x")
        assert ours.recv(1) == b"x"
        assert not deadline.expired
    assert not any(isinstance(thread, threading.Timer) for thread in threading.enumerate())


def test_there_may_be_nothing_to_shut() -> None:
    """A deadline that passes before there is a connection, or behind its end, does no harm."""
    ours, theirs = socket.socketpair()
    with theirs, Deadline(0) as deadline:
        deadline.start()
        deadline.watch(None)
        ours.close()
        deadline.watch(ours)
        while not deadline.expired:
            time.sleep(0.001)
    assert ours.fileno() == -1


def test_without_a_deadline_nothing_is_shut() -> None:
    """A transfer may take as long as it needs, and costs no thread that counts."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(None) as deadline:
        deadline.start()
        deadline.watch(ours)
        theirs.send(b"x")
        assert ours.recv(1) == b"x"
        assert not any(isinstance(thread, threading.Timer) for thread in threading.enumerate())
