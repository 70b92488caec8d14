"""What decoders say behind Python's back is heard, and nobody else is silenced."""

import os
import threading
from contextlib import suppress

import pytest

from kling_cli.images.decoding import hear_complaints


def test_a_complaint_is_heard_and_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """What goes to standard error meanwhile is collected, what comes later is shown again."""
    with hear_complaints() as complaints:
        os.write(2, b"Fax4Decode: Bad \x1b code word.\nTIFFFetchNormalTag: unknown tag\n")
    os.write(2, b"later")
    assert complaints == ["Fax4Decode: Bad \\x1b code word"]
    assert capfd.readouterr() == ("", "later")


def test_no_complaint_is_no_complaint() -> None:
    """A silent decoder has nothing against the picture."""
    with hear_complaints() as complaints:
        pass
    assert complaints == []


def test_endless_complaints_keep_nobody_waiting() -> None:
    """A decoder that complains of every line of a large picture does not hang."""
    written = 0
    with hear_complaints() as complaints, suppress(BlockingIOError):
        while written < 1 << 24:
            written += os.write(2, b"x" * 999 + b"\n")
    assert written < 1 << 24
    assert complaints


def test_an_error_meanwhile_brings_standard_error_back(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever the decoder raises, the rest of the program can speak again."""
    with pytest.raises(OSError, match="cut"), hear_complaints():  # noqa: PT012 - both are one step
        os.write(2, b"hidden")
        raise OSError("cut")
    os.write(2, b"shown")
    assert capfd.readouterr().err == "shown"


def test_in_another_thread_nothing_is_collected(capfd: pytest.CaptureFixture[str]) -> None:
    """The words of a batch on standard error are not lost while one of its pictures is decoded."""

    def speak() -> None:
        with hear_complaints() as complaints:
            os.write(2, b"task accepted")
        assert complaints == []

    worker = threading.Thread(target=speak)
    worker.start()
    worker.join()
    assert capfd.readouterr().err == "task accepted"


def test_a_closed_standard_error_is_left_alone() -> None:
    """A program started without standard error repairs pictures too."""
    kept = os.dup(2)
    os.close(2)
    try:
        with hear_complaints() as complaints:
            pass
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    assert complaints == []
