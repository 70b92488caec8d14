"""What one request has to say while it goes on."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kling_cli.amounts import tell_progress
from kling_cli.clock import Clock

if TYPE_CHECKING:
    from kling_cli.purchase import Purchase
    from kling_cli.task import Task

SLOT_MISSING = "waiting for a slot"
SERVICE_BUSY = "waiting to try again"
_HEARTBEAT_SECONDS = 60.0


class Voice:
    """The talk of one request; its warnings are kept for the result."""

    def __init__(
        self, label: str, *, speak: Callable[[str], None], clock: Clock, is_live: bool
    ) -> None:
        self.label = label
        self.state = "starting"
        self.warnings: list[str] = []
        self._speak = speak
        self._clock = clock
        self._is_live = is_live
        self._saving_since: float | None = None
        self._spoke = clock.monotonic()

    def note(self, text: str) -> None:
        """Say something good to know."""
        self._say(text)

    def warn(self, text: str) -> None:
        """Say something that the result's `warnings` tell too."""
        self.warnings.append(text)
        self._say(f"warning: {text}")

    def accept(self, purchase: "Purchase") -> None:
        """Name the ids of a task that was accepted just now."""
        self.state = purchase.stage
        self._say(f"task {purchase.task_id} ({purchase.external_task_id}) {purchase.stage}")

    def look(self, task: "Task") -> None:
        """Show the status: at once where it has changed, else as a sign of life each minute."""
        if task.status != self.state:
            self.state = task.status
            if not self._is_live:
                self._say(str(task.status))
        else:
            self._beat(f"still {task.status}")

    def miss(self, count: int, reason: str) -> None:
        """Tell of failed looks: the first, and then each minute."""
        tell, looks = (self._say, "look") if count == 1 else (self._beat, "looks")
        tell(f"still waiting ({count} {looks} failed: {reason})")

    def queue(self) -> None:
        """Show that it waits until one of the run's other tasks has ended."""
        self.state = SLOT_MISSING

    def save(self, done: int, total: int | None) -> None:
        """Show how many bytes of the clip are saved, of how many if that is known."""
        now = self._clock.monotonic()
        if self._saving_since is None:
            self._saving_since = now
        self.state = tell_progress(done, total, seconds=now - self._saving_since)

    def hold(self, reason: str, *, seconds: float) -> None:
        """Say why nothing happens for a while."""
        self.state = SERVICE_BUSY
        self._say(f"{reason} Next try in {seconds:.0f} s.")

    def _beat(self, text: str) -> None:
        if self._is_live:
            return  # the live line is a sign of life itself
        if self._clock.monotonic() - self._spoke >= _HEARTBEAT_SECONDS:
            self._say(text)

    def _say(self, text: str) -> None:
        self._spoke = self._clock.monotonic()
        self._speak(f"{self.label}: {text}")
