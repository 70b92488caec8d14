"""The talk on standard error: one live line on a terminal, plain lines elsewhere.

The only user of rich. Whether there is a terminal to animate is our own judgement: a library that
is told FORCE_COLOR by a CI system would fill its log with cursor movements.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from kling_cli.clock import Clock
from kling_cli.errors import KlingError
from kling_cli.purchase import Purchase
from kling_cli.task import Task
from kling_cli.text import clean

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.spinner import Spinner

_HEARTBEAT_SECONDS = 60.0
_SECONDS_A_MINUTE = 60


def can_animate(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether a stream is a terminal that a person watches, and wants animated."""
    refused = ("CI", "NO_PROGRESS", "NO_COLOR")
    return (
        environ.get("TERM", "") not in ("", "dumb")
        and not any(environ.get(name) for name in refused)
        and stream.isatty()
    )


class Screen:
    """Standard error, shared by all requests of a run.

    Args:
        stream: where to write.
        clock: for the elapsed time.
        is_live: whether to animate one line.
        is_quiet: whether to leave out all but errors.
        is_verbose: whether to tell of each exchange.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        clock: Clock,
        is_live: bool = False,
        is_quiet: bool = False,
        is_verbose: bool = False,
    ) -> None:
        self.clock = clock
        self.is_live = is_live and not is_quiet
        self.is_verbose = is_verbose
        self.usual: float | None = None
        self.total = 1
        self._stream = stream
        self._is_quiet = is_quiet
        self._lock = threading.RLock()
        self._voices: list[Voice] = []
        self._finished: Counter[str] = Counter()
        self._started = clock.monotonic()
        self._live: Live | None = None
        self._spinner: Spinner | None = None

    def say(self, text: str) -> None:
        """Write a line that --quiet leaves out."""
        if not self._is_quiet:
            self.write(text)

    def log(self, text: str) -> None:
        """Write a line that only --verbose shows."""
        if self.is_verbose:
            self.write(text)

    def fail(self, error: KlingError, *, label: str = "") -> None:
        """Write an error: what happened, the request id if there is one, what to do next."""
        about = f"{clean(label)}: " if label else ""
        for line in error.message.splitlines():
            self.write(f"error: {about}{line}")
        if error.request_id and error.request_id not in error.message:
            self.write(f"request id: {clean(error.request_id)}")
        if error.hint:
            self.write(f"hint: {error.hint}")

    def write(self, text: str) -> None:
        """Write one line, in front of our name so that no foreign text ever begins it."""
        line = f"kling: {clean(text, limit=4000)}"
        with self._lock:
            if self._live is not None:
                from rich.text import Text

                self._live.console.print(Text(line), soft_wrap=True)
                return
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                return  # nobody listens; the result and the exit code still tell

    def begin(self, label: str) -> "Voice":
        """Open the talk of one request."""
        voice = Voice(self, label)
        with self._lock:
            self._voices.append(voice)
        return voice

    def end(self, voice: "Voice", *, succeeded: bool) -> None:
        """Close the talk of one request."""
        with self._lock:
            self._voices.remove(voice)
            self._finished["done" if succeeded else "failed"] += 1
            if not self._voices:
                self.rest()

    def rest(self) -> None:
        """Take the live line away; the next look brings it back."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def animate(self) -> None:
        """Show the live line, if there is a terminal for it."""
        with self._lock:
            if not self.is_live or self._live is not None:
                return
            from rich.console import Console
            from rich.live import Live
            from rich.spinner import Spinner

            is_plain = "utf" not in (self._stream.encoding or "").lower()
            self._spinner = Spinner("line" if is_plain else "dots")
            console = Console(file=self._stream, highlight=False, markup=False, emoji=False)
            self._live = Live(
                get_renderable=self._draw, console=console, transient=True, refresh_per_second=8
            )
            self._live.start()

    def _draw(self) -> "RenderableType":
        from rich.text import Text

        if self._spinner is None:
            return ""
        elapsed = format_seconds(self.clock.monotonic() - self._started)
        text = Text(f"{self._tell_state()}  {elapsed}", no_wrap=True, overflow="ellipsis")
        self._spinner.update(text=text)
        return self._spinner

    def _tell_state(self) -> str:
        with self._lock:
            if self.total == 1 and self._voices:
                voice = self._voices[0]
                usual = f"  usually about {format_about(self.usual)}" if self.usual else ""
                return f"{clean(voice.label, limit=60)}  {voice.state}{usual}"
            counts = Counter(voice.state for voice in self._voices) + self._finished
            told = ", ".join(f"{number} {state}" for state, number in counts.items())
            return f"{self._finished.total()} of {self.total}  {told}"


class Voice:
    """The talk of one request; its warnings are kept for the result."""

    def __init__(self, screen: Screen, label: str) -> None:
        self.label = label
        self.state = "sending"
        self.warnings: list[str] = []
        self._screen = screen
        self._spoke = screen.clock.monotonic()

    def note(self, text: str) -> None:
        """Say something good to know."""
        self._say(text)

    def warn(self, text: str) -> None:
        """Say something that the result's `warnings` tell too."""
        self.warnings.append(text)
        self._say(f"warning: {text}")

    def accept(self, purchase: Purchase) -> None:
        """Name the ids of a task that was accepted just now."""
        self.state = purchase.stage
        self._say(f"task {purchase.task_id} ({purchase.external_task_id}) {purchase.stage}")
        self._screen.animate()

    def look(self, task: Task) -> None:
        """Show the status: at once where it has changed, else as a sign of life each minute."""
        if task.status != self.state:
            self.state = task.status
            if not self._screen.is_live:
                self._say(str(task.status))
        else:
            self._beat(f"still {task.status}")
        self._screen.animate()

    def miss(self, count: int, reason: str) -> None:
        """Tell of failed looks: the first, and then each minute."""
        text = f"still waiting ({count} {'look' if count == 1 else 'looks'} failed: {reason})"
        if count == 1:
            self._say(text)
        else:
            self._beat(text)

    def hold(self, reason: str, *, seconds: float) -> None:
        """Say why nothing happens for a while."""
        self.state = "waiting for a slot"
        self._say(f"{reason} Next try in {seconds:.0f} s.")
        self._screen.animate()

    def _beat(self, text: str) -> None:
        if self._screen.is_live:
            return  # the live line is a sign of life itself
        if self._screen.clock.monotonic() - self._spoke >= _HEARTBEAT_SECONDS:
            self._say(text)

    def _say(self, text: str) -> None:
        self._spoke = self._screen.clock.monotonic()
        self._screen.say(f"{self.label}: {text}")


def format_seconds(seconds: float) -> str:
    """Format elapsed seconds as 0:42 or 1:02:03."""
    minutes, rest = divmod(int(seconds), _SECONDS_A_MINUTE)
    hours, minutes = divmod(minutes, _SECONDS_A_MINUTE)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_about(seconds: float) -> str:
    """Format a usual duration as nobody could mistake for an exact one."""
    if seconds < 1.5 * _SECONDS_A_MINUTE:
        return f"{max(round(seconds / 5) * 5, 5)} s"
    return f"{round(seconds / _SECONDS_A_MINUTE)} min"
