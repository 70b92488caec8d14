"""`kling` as a process whose clock runs faster: python -m ground.quick SPEED ARGUMENT..."""

import sys
import time
from dataclasses import dataclass, replace

from kling_cli.app import main
from kling_cli.world import open_world


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickClock:
    """A clock on which each real second counts as many."""

    speed: float

    def monotonic(self) -> float:
        """Tell the time."""
        return time.monotonic() * self.speed

    def time(self) -> float:
        """Tell the date, which goes on as everywhere."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass, quickly."""
        time.sleep(seconds / self.speed)

    def random(self) -> float:
        """Draw no surprise."""
        return 0.5


if __name__ == "__main__":
    with open_world() as world:
        quick = replace(world, clock=QuickClock(speed=float(sys.argv[1])))
        code = main(sys.argv[2:], quick)
    sys.exit(code)
