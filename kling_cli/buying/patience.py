"""How long a request pauses before the next try, within its one deadline."""

from kling_cli.clock import Clock
from kling_cli.talk import Talk

# Three tries within 30 s: enough for a blip of the network, short enough for a script.
_NOT_SENT_PAUSES = (3.0, 12.0)
# "At least one second, growing" is the provider's advice; a slot frees only when a task ends.
_SHORTEST_BUSY_PAUSE = 1.0
_BUSY_PAUSE = 2.0
_LONGEST_BUSY_PAUSE = 60.0
_LONGEST_RETRY_AFTER = 120.0


class Patience:
    """The pauses of one request.

    Args:
        deadline: in the clock's monotonic seconds.
        clock: time and chance.
        talk: told why nothing happens for a while.
    """

    def __init__(self, deadline: float, *, clock: Clock, talk: Talk) -> None:
        self._deadline = deadline
        self._clock = clock
        self._talk = talk
        self._not_sent_pauses = list(_NOT_SENT_PAUSES)
        self._busy_pause = _BUSY_PAUSE

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self.seconds_left <= 0

    @property
    def seconds_left(self) -> float:
        """How long it is until the deadline."""
        return self._deadline - self._clock.monotonic()

    def pause(self, seconds: float) -> None:
        """Pause, but not beyond the deadline."""
        self._clock.sleep(self._cut(seconds))

    def pause_unsent(self, reason: str) -> bool:
        """Pause before sending what could not be sent; False when that was tried enough."""
        if self.is_over or not self._not_sent_pauses:
            return False
        seconds = self._cut(self._not_sent_pauses.pop(0))
        self._talk.hold(reason, seconds=seconds)
        self.pause(seconds)
        return True

    def pause_busy(self, reason: str, *, retry_after: float | None) -> bool:
        """Pause before asking a busy service again; False when the deadline has passed."""
        if self.is_over:
            return False
        seconds = self._busy_pause * (0.9 + 0.2 * self._clock.random())
        self._busy_pause = min(2 * self._busy_pause, _LONGEST_BUSY_PAUSE)
        if retry_after is not None:
            # Each try sends the whole picture, so 0 seconds are not taken literally.
            seconds = max(min(retry_after, _LONGEST_RETRY_AFTER), _SHORTEST_BUSY_PAUSE)
        seconds = self._cut(seconds)
        self._talk.hold(reason, seconds=seconds)
        self.pause(seconds)
        return True

    def _cut(self, seconds: float) -> float:
        return max(min(seconds, self.seconds_left), 0.0)
