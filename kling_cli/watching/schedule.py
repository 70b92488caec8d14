"""When to look again: often while the end is likely, seldom while it is not.

Looks cost the service something, and a late look costs the user time. The spacing that balances
both is the square root of 2 * price / hazard, where the hazard is the chance per second that a task
which is not done yet ends now. How long tasks take follows a log-normal law well.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

PRIOR_MEDIAN_SECONDS = 120.0
# Users of the service tell of 100 to 250 seconds, and of much more at peak hours.
_PRIOR_SPREAD = 0.6
# How many tasks of its own a machine needs before they outweigh the prior.
_PRIOR_WEIGHT = 2.0
_SMALLEST_SPREAD = 0.15
_PRICE = 0.1
_SHORTEST = 1.0
_LONGEST = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The law of how long tasks take: its median in seconds, and the spread of its logarithm."""

    median: float = PRIOR_MEDIAN_SECONDS
    spread: float = _PRIOR_SPREAD

    def space(self, age: float) -> float:
        """Tell the seconds from a look at a task of this age, in seconds, to the next look."""
        hazard = self._measure_hazard(max(age, 0.1))
        return min(max(math.sqrt(2 * _PRICE / hazard), _SHORTEST), _LONGEST)

    def _measure_hazard(self, age: float) -> float:
        distance = math.log(age / self.median) / self.spread
        survival = math.erfc(distance / math.sqrt(2)) / 2
        density = math.exp(-(distance**2) / 2) / (age * self.spread * math.sqrt(2 * math.pi))
        # Far beyond the median both vanish; their quotient tends to this.
        tail = distance / (age * self.spread)
        return max(density / survival if survival > 1e-9 else tail, 1e-9)  # noqa: PLR2004 - near zero


def learn(durations: Sequence[float], *, prior: float = PRIOR_MEDIAN_SECONDS) -> Schedule:
    """Learn the law from finished tasks.

    Args:
        durations: seconds that tasks took, each above zero.
        prior: the median to assume before there are any.
    """
    logs = [math.log(seconds) for seconds in durations]
    weight = _PRIOR_WEIGHT + len(logs)
    centre = (_PRIOR_WEIGHT * math.log(prior) + sum(logs)) / weight
    squares = sum((log - centre) ** 2 for log in logs)
    spread = math.sqrt((_PRIOR_WEIGHT * _PRIOR_SPREAD**2 + squares) / weight)
    return Schedule(median=math.exp(centre), spread=max(spread, _SMALLEST_SPREAD))
