"""`kling` with a faster clock: python -m support.quick SPEED ARGUMENT..."""

import sys
import time
from dataclasses import dataclass

from kling_cli.cli.app import main
from kling_cli.clock import Clock
from kling_cli.context import open_context


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickClock(Clock):
    """A clock that is faster than real time."""

    speed: float

    def monotonic(self) -> float:
        return time.monotonic() * self.speed

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)

    def random(self) -> float:
        return 0.5


if __name__ == "__main__":
    with open_context() as context:
        context.clock = QuickClock(speed=float(sys.argv[1]))
        sys.exit(main(sys.argv[2:], context))
