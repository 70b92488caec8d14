"""Time and randomness as one parameter, so that a test owns both."""

import time


class Clock:
    """The machine's own time and randomness."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards; deadlines are counted in these."""
        return time.monotonic()

    def time(self) -> float:
        """Return seconds since the epoch; only for what people and the journal read."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        time.sleep(seconds)

    def random(self) -> float:
        """Return a number from 0 up to 1 that spreads looks in time; no secret depends on it."""
        import random

        return random.random()  # noqa: S311 - see above
