"""Run the program inside this process, or as a user does."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jsonschema
from support.clock import VirtualClock

from kling_cli.cli.app import main
from kling_cli.clock import Clock
from kling_cli.context import Context

PHOTOS = Path(__file__).parent.parent / "photos"
PHOTO = PHOTOS / "astronaut.jpg"
OTHER_PHOTO = PHOTOS / "hopper.jpg"
SCHEMA = json.loads(
    (Path(__file__).parents[2] / "kling_cli" / "result.schema.json").read_text(encoding="utf-8")
)
_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@dataclass(frozen=True, kw_only=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def rows(self) -> dict[str, tuple[str, ...]]:
        """The cells of each line, by the first cell."""
        cells = [line.split("\t") for line in self.out.splitlines()]
        return {key: tuple(more) for key, *more in cells}

    @property
    def records(self) -> list[dict[str, Any]]:
        """The JSON objects of standard output, each validated against the schema."""
        records = [json.loads(line) for line in self.out.splitlines()]
        for record in records:
            _VALIDATOR.validate(record)
        return records

    @property
    def json(self) -> dict[str, Any]:
        (record,) = self.records
        return record


@dataclass(kw_only=True)
class Program:
    """Runs `kling` command lines in this process, on a virtual clock."""

    clock: Clock = field(default_factory=VirtualClock)

    def __call__(self, *argv: str | Path, stdin: str | bytes = b"", **environ: str) -> Run:
        """Run one command line, with these additional variables."""
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        content = stdin.encode() if isinstance(stdin, str) else stdin
        context = Context(
            stdin=io.TextIOWrapper(io.BytesIO(content), "utf-8"),
            stdout=out,
            stderr=err,
            clock=self.clock,
        )
        # Do not touch the environment without need: several threads may run at once.
        with patch.dict(os.environ, environ) if environ else nullcontext():
            code = main([str(argument) for argument in argv], context)
        return Run(code=code, out=_read(out), err=_read(err))


def run_installed(
    *argv: str | Path, stdin: bytes = b"", environ: Mapping[str, str] | None = None
) -> Run:
    return run_process(command(*argv), {**os.environ, **(environ or {})}, stdin=stdin)


def run_process(
    argv: Sequence[str | Path],
    environ: Mapping[str, str],
    *,
    stdin: bytes = b"",
    directory: Path | None = None,
) -> Run:
    done = subprocess.run(
        argv, input=stdin, capture_output=True, env=environ, cwd=directory, timeout=100, check=False
    )
    return Run(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


def command(*argv: str | Path) -> Sequence[str]:
    return [str(Path(sys.executable).with_name("kling")), *map(str, argv)]


def _read(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
