"""Time and randomness in one object, which tests replace."""

import time


class Clock:
    """The real time and randomness."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards; deadlines are counted in these."""
        return time.monotonic()

    def time(self) -> float:
        """Return seconds since the epoch; only for what people and the journal read."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def random(self) -> float:
        """Return a number from 0 up to 1, used for jitter; not for secrets."""
        import random

        return random.random()  # noqa: S311 - see above
