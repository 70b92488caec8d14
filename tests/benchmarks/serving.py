"""A service that a benchmark starts, asks and ends."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Serving:
    """A running service."""

    port: int

    @property
    def environ(self) -> dict[str, str]:
        """The variables that point the program to it."""
        return {"KLING_BASE_URL": f"http://127.0.0.1:{self.port}", "KLING_TOKEN": "sk-benchmark"}

    def count(self) -> dict[str, int]:
        """Ask what was sold, refused and looked at."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/count") as answer:
            counted: dict[str, int] = json.load(answer)
        return counted


@contextmanager
def serve(*, limit: int = 1000, seconds: float = 0.0) -> Generator[Serving]:
    """Run a service that has so many tasks at once, each of so many seconds."""
    script = Path(__file__).with_name("server.py")
    argv = [sys.executable, str(script), str(limit), str(seconds)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Serving(int(process.stdout.readline()))
        finally:
            process.terminate()
