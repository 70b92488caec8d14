"""A pseudo-terminal for the installed program: shows its screen and types keys."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import pexpect
import pyte
from support.run import command

_PATIENCE = 20.0
_GLANCE = 0.05


class Terminal:
    """A terminal that runs the program, as a context manager."""

    def __init__(
        self,
        *argv: str | Path,
        environ: Mapping[str, str] | None = None,
        columns: int = 100,
        rows: int = 24,
        directory: Path | None = None,
    ) -> None:
        self.raw = b""
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        program, *arguments = command(*argv)
        self._child: pexpect.spawn[bytes] = pexpect.spawn(
            program,
            arguments,
            cwd=directory,
            env={**os.environ, "TERM": "xterm", **(environ or {})},
            dimensions=(rows, columns),
            timeout=_PATIENCE,
            echo=True,
        )
        self._child.delaybeforesend = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    @property
    def lines(self) -> list[str]:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip("\n").split("\n")

    @property
    def is_cursor_hidden(self) -> bool:
        return self.screen.cursor.hidden

    def wait_for(self, text: str) -> str:
        give_up = time.monotonic() + _PATIENCE
        while time.monotonic() < give_up:
            for line in self.lines:
                if text in line:
                    return line
            self._read()
        raise AssertionError(f"{text!r} never came; the screen: {self.lines}")

    def type(self, text: str) -> None:
        self._child.send(text)

    def kill(self, number: int) -> None:
        self._child.kill(number)

    def resize(self, columns: int) -> None:
        self.screen.resize(columns=columns)
        self._child.setwinsize(24, columns)  # pyright: ignore[reportUnknownMemberType] - no stub

    def finish(self) -> int:
        give_up = time.monotonic() + _PATIENCE
        while self._child.isalive():
            if time.monotonic() > give_up:
                raise AssertionError(f"it does not end; the screen: {self.lines}")
            self._read()
        while self._read():
            pass
        return self._child.exitstatus if self._child.exitstatus is not None else -1

    def _read(self) -> bytes:
        try:
            data = self._child.read_nonblocking(65536, timeout=_GLANCE)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return b""
        self.raw += data
        self._stream.feed(data)
        return data
