"""The talk on standard error: one live line on a terminal, plain lines elsewhere."""

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from kling_cli.clock import Clock, format_about, format_seconds
from kling_cli.errors import KlingError
from kling_cli.purchase import Purchase
from kling_cli.task import Task
from kling_cli.text import clean

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_HEARTBEAT_SECONDS = 60.0
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "-\\|/"
_FRAMES_A_SECOND = 8


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
        self._is_closed = False

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
        # Where nobody listens, the result and the exit code still tell.
        with self._lock, suppress(OSError, ValueError):
            if self._live is None:
                self._stream.write(line + "\n")
                self._stream.flush()
            else:
                from rich.text import Text

                self._live.console.print(Text(line), soft_wrap=True)

    def begin(self, label: str) -> "Voice":
        """Open the talk of one request."""
        voice = Voice(self, label)
        with self._lock:
            self._voices.append(voice)
            self.animate()
        return voice

    def end(self, voice: "Voice", *, succeeded: bool) -> None:
        """Close the talk of one request."""
        with self._lock:
            if self._voices == [voice]:
                self._rest()
            self._voices.remove(voice)
            self._finished["done" if succeeded else "failed"] += 1

    def speak(self, text: str) -> None:
        """Say what a request has to say, unless the last word of the run was said already."""
        with self._lock:
            if not self._is_closed:
                self.say(text)

    def close(self) -> None:
        """Take the live line away for good; requests that still go on are not heard any more."""
        with self._lock:
            self._is_closed = True
            self._rest()

    @contextmanager
    def aside(self) -> Generator[None]:
        """Keep the live line out of the way while the block writes to the same terminal."""
        if not self.is_live:
            yield
            return
        with self._lock:
            self._rest()
            try:
                yield
            finally:
                if self._voices:
                    self.animate()

    def animate(self) -> None:
        """Show the live line, if there is a terminal for it."""
        if not self.is_live:
            return
        with self._lock:
            if self._live is None and not self._is_closed:
                self._live = self._open_live()

    def _open_live(self) -> "Live":
        from rich.console import Console
        from rich.live import Live

        console = Console(
            file=self._stream,
            force_terminal=True,
            force_interactive=True,
            color_system=None,
            # The terminal itself knows its width; a variable may be older than its last resize.
            _environ={"TERM": "xterm"},
        )
        live = Live(
            get_renderable=self._draw,
            console=console,
            transient=True,
            refresh_per_second=_FRAMES_A_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with suppress(OSError, ValueError):
            live.start()
            # A run that is killed or suspended could not bring a hidden cursor back.
            console.show_cursor()
        return live

    def _rest(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            with suppress(OSError, ValueError):
                live.stop()

    def _draw(self) -> "Text":
        """Draw the live line; in rich's thread and under its lock, so never under our own."""
        from rich.text import Text

        is_plain = "utf" not in (self._stream.encoding or "").lower()
        frames = _PLAIN_FRAMES if is_plain else _FRAMES
        elapsed = self.clock.monotonic() - self._started
        frame = frames[int(elapsed * _FRAMES_A_SECOND) % len(frames)]
        line = f"{frame} {self._tell_state(format_seconds(elapsed))}"
        return Text(line, no_wrap=True, overflow="crop")

    def _tell_state(self, elapsed: str) -> str:
        voices = tuple(self._voices)
        if self.total == 1 and voices:
            usual = f"  usually about {format_about(self.usual)}" if self.usual else ""
            return f"{clean(voices[0].label, limit=60)}  {voices[0].state}  {elapsed}{usual}"
        counts = Counter(voice.state for voice in voices)
        going = ", ".join(f"{counts[state]} {state}" for state in sorted(counts))
        failed = f", {self._finished['failed']} failed" if self._finished["failed"] else ""
        return f"{self._finished['done']} of {self.total} done{failed}  {going}  {elapsed}"


class Voice:
    """The talk of one request; its warnings are kept for the result."""

    def __init__(self, screen: Screen, label: str) -> None:
        self.label = label
        self.state = "starting"
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

    def look(self, task: Task) -> None:
        """Show the status: at once where it has changed, else as a sign of life each minute."""
        if task.status != self.state:
            self.state = task.status
            if not self._screen.is_live:
                self._say(str(task.status))
        else:
            self._beat(f"still {task.status}")

    def miss(self, count: int, reason: str) -> None:
        """Tell of failed looks: the first, and then each minute."""
        tell, looks = (self._say, "look") if count == 1 else (self._beat, "looks")
        tell(f"still waiting ({count} {looks} failed: {reason})")

    def hold(self, reason: str, *, seconds: float) -> None:
        """Say why nothing happens for a while."""
        self.state = "waiting to try again"
        self._say(f"{reason} Next try in {seconds:.0f} s.")

    def _beat(self, text: str) -> None:
        if self._screen.is_live:
            return  # the live line is a sign of life itself
        if self._screen.clock.monotonic() - self._spoke >= _HEARTBEAT_SECONDS:
            self._say(text)

    def _say(self, text: str) -> None:
        self._spoke = self._screen.clock.monotonic()
        self._screen.speak(f"{self.label}: {text}")
