"""When to check a task again, as learned from earlier tasks.

Checks cost the service something, and a late check costs the user time. The spacing that balances
both is √(2λ/h), where the hazard h is the chance per second that an unfinished task ends now. The
duration of tasks follows a log-normal distribution well.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

PRIOR_MEDIAN_SECONDS = 120.0
# Users of the service report 100 to 250 seconds, and much more at peak hours.
_PRIOR_SPREAD = 0.6
# How many tasks of its own a machine needs before they outweigh the prior.
_PRIOR_WEIGHT = 2.0
_SMALLEST_SPREAD = 0.15
_LAMBDA = 0.1
_SHORTEST_SPACING = 1.0
_LONGEST_SPACING = 15.0


class Schedule(NamedTuple):
    """The distribution of task durations: median in seconds, and spread of the logarithm."""

    median: float = PRIOR_MEDIAN_SECONDS
    spread: float = _PRIOR_SPREAD

    def spacing(self, age: float) -> float:
        """Return the seconds until the next check of a task of this age (in seconds)."""
        age = max(age, 0.1)
        # Limited to five spreads, to avoid a division by zero.
        distance = max(min(math.log(age / self.median) / self.spread, 5.0), -5.0)
        survival = math.erfc(distance / math.sqrt(2)) / 2
        density = math.exp(-(distance**2) / 2) / (age * self.spread * math.sqrt(2 * math.pi))
        spacing = math.sqrt(2 * _LAMBDA * survival / density)
        return min(max(spacing, _SHORTEST_SPACING), _LONGEST_SPACING)


def learn(durations: Sequence[float], *, prior: float = PRIOR_MEDIAN_SECONDS) -> Schedule:
    """Learn the schedule from the durations of finished tasks; all values are in seconds."""
    logs = [math.log(seconds) for seconds in durations]
    weight = _PRIOR_WEIGHT + len(logs)
    centre = (_PRIOR_WEIGHT * math.log(prior) + sum(logs)) / weight
    squares = sum((log - centre) ** 2 for log in logs)
    spread = math.sqrt((_PRIOR_WEIGHT * _PRIOR_SPREAD**2 + squares) / weight)
    return Schedule(median=math.exp(centre), spread=max(spread, _SMALLEST_SPREAD))
