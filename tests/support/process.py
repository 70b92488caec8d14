"""Run the installed program as a process, watch it, and send signals."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

from support.run import Run, command

_PATIENCE = 20.0


class Process:
    """A running `kling`, as a context manager."""

    def __init__(
        self,
        *argv: str | Path,
        environ: Mapping[str, str] | None = None,
        stdout: int = subprocess.PIPE,
    ) -> None:
        self._child = subprocess.Popen(
            command(*argv),
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environ or {})},
        )
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.communicate()

    @property
    def number(self) -> int:
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child.poll() is None

    def wait_for(self, text: str) -> str:
        return self._wait_for(text, self._child.stderr)

    def read_line(self) -> str:
        return self._wait_for("", self._child.stdout)

    def kill(self, number: int) -> None:
        self._child.send_signal(number)

    def finish(self) -> Run:
        out, err = self._child.communicate(timeout=_PATIENCE)
        return Run(
            code=self._child.returncode, out=(out or b"").decode(), err=self._said + err.decode()
        )

    def _wait_for(self, text: str, stream: IO[bytes] | None) -> str:
        assert stream is not None
        for raw in iter(stream.readline, b""):
            line = raw.decode()
            if stream is self._child.stderr:
                self._said += line
            if text in line:
                return line.rstrip("\n")
        raise AssertionError(f"{text!r} never came: {self._said}")
