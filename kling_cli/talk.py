"""What the steps of a request have to say to people while they go on."""

from typing import Protocol

from kling_cli.purchase import Purchase
from kling_cli.task import Task


class Talk(Protocol):
    """The listener of one request; whoever shows things on a screen is one."""

    def note(self, text: str) -> None:
        """Say something good to know; left out under --quiet."""
        ...

    def warn(self, text: str) -> None:
        """Say something that a script may want to know too."""
        ...

    def accept(self, purchase: Purchase) -> None:
        """Name the ids of a task that was accepted just now, before anything else happens."""
        ...

    def look(self, task: Task) -> None:
        """Show what a look saw."""
        ...

    def miss(self, count: int, reason: str) -> None:
        """Tell that so many looks in a row have failed; the task is no worse for it."""
        ...

    def queue(self) -> None:
        """Show that it waits until one of the run's other tasks has ended."""
        ...

    def save(self, done: int, total: int | None) -> None:
        """Show how many bytes of the clip are saved, of how many if that is known."""
        ...

    def hold(self, reason: str, *, seconds: float) -> None:
        """Say why nothing happens for so many seconds."""
        ...
