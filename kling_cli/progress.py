"""The talk on standard error: one live line on a terminal, plain lines elsewhere."""

import threading
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from kling_cli.clock import Clock, format_about, format_seconds
from kling_cli.errors import KlingError
from kling_cli.ink import Colour, link, paint
from kling_cli.text import clean
from kling_cli.voice import SERVICE_BUSY, SLOT_MISSING, Voice
from kling_cli.world import World, can_animate, can_colour, is_capable

if TYPE_CHECKING:
    from kling_cli.live import LiveLine

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "-\\|/"
_FRAMES_A_SECOND = 8
_PAUSES = (SLOT_MISSING, SERVICE_BUSY)
# The words of ours that may begin a line, each with its colour.
_WORDS = {"error": Colour.RED, "warning": Colour.YELLOW, "hint": Colour.CYAN}
_LONGEST_LINE = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How things are said on standard error.

    Attributes:
        is_live: whether one line is animated.
        is_coloured: whether our own words have their colours.
        is_linked: whether a result is a link.
        annotates: whether errors become annotations of a GitHub workflow.
        is_quiet: whether all but errors is left out.
        is_verbose: whether each exchange is told of.
    """

    is_live: bool = False
    is_coloured: bool = False
    is_linked: bool = False
    annotates: bool = False
    is_quiet: bool = False
    is_verbose: bool = False


def choose_manner(world: World, *, is_quiet: bool = False, is_verbose: bool = False) -> Manner:
    """Choose how things are said, by the terminal and by what the environment asks for."""
    stream, environ = world.stderr, world.environ
    is_coloured = can_colour(stream, environ)
    return Manner(
        is_live=not is_quiet and can_animate(stream, environ),
        is_coloured=is_coloured,
        is_linked=is_coloured and is_capable(stream, environ),
        annotates=environ.get("GITHUB_ACTIONS") == "true",
        is_quiet=is_quiet,
        is_verbose=is_verbose,
    )


class Screen:
    """Standard error, shared by all requests of a run.

    Args:
        stream: where to write.
        clock: for the elapsed time.
        manner: how to say things.
    """

    def __init__(self, stream: TextIO, *, clock: Clock, manner: Manner = Manner()) -> None:
        self.clock = clock
        self.manner = manner
        self.usual: float | None = None
        self.total = 1
        self._stream = stream
        self._lock = threading.RLock()
        self._voices: list[Voice] = []
        self._finished: Counter[str] = Counter()
        self._started = clock.monotonic()
        self._live: LiveLine | None = None
        self._is_closed = False

    def say(self, text: str) -> None:
        """Write a line that --quiet leaves out."""
        if not self.manner.is_quiet:
            self.write(text)

    def log(self, text: str) -> None:
        """Write a line that only --verbose shows."""
        if self.manner.is_verbose:
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
        if self.manner.annotates:
            # Of our own words alone: foreign text could hold a command of the workflow.
            self._emit(f"::error title=kling {error.code}::{error.exit_code.meaning}")

    def write(self, text: str) -> None:
        """Write one line, in front of our name so that no foreign text ever begins it."""
        shown = clean(text, limit=_LONGEST_LINE)
        word, mark, rest = shown.partition(":")
        if self.manner.is_coloured and word in _WORDS:
            shown = paint(word + mark, _WORDS[word]) + rest
        self._emit(f"kling: {shown}")

    @contextmanager
    def group(self, title: str) -> Generator[None]:
        """Fold what the block says, in the log of a GitHub workflow; `title` is our own text."""
        is_grouped = self.manner.annotates and not self.manner.is_quiet
        if is_grouped:
            self._emit(f"::group::{title}")
        try:
            yield
        finally:
            if is_grouped:
                self._emit("::endgroup::")

    def begin(self, label: str) -> Voice:
        """Open the talk of one request."""
        voice = Voice(label, speak=self.speak, clock=self.clock, is_live=self.manner.is_live)
        with self._lock:
            self._voices.append(voice)
            self.animate()
        return voice

    def end(self, voice: Voice, *, succeeded: bool, results: Sequence[str] = ()) -> None:
        """Close the talk of one request.

        Args:
            voice: whose.
            succeeded: whether it got what it was to get.
            results: the URL or path of each of its clips.
        """
        with self._lock:
            self.dismiss(voice)
            if self.total == 1 and self.manner.is_linked and not self.manner.is_quiet:
                for result in results:
                    self._offer(voice.label, result)
            self._finished["done" if succeeded else "failed"] += 1

    def dismiss(self, voice: Voice) -> None:
        """Close the talk of what was no request."""
        with self._lock:
            if self._voices == [voice]:
                self._rest()
            self._voices.remove(voice)

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
        if not self.manner.is_live:
            yield
            return
        with self._lock:
            self._rest()
            try:
                yield
            finally:
                if self._voices:
                    self.animate()

    def _offer(self, label: str, result: str) -> None:
        """Offer a clip as a link; the result itself goes to standard output, without any escape."""
        address = result if "://" in result else Path(result).absolute().as_uri()
        self._emit(f"kling: {clean(label)}: {link('open the video', address)}")

    def _emit(self, line: str) -> None:
        # Where nobody listens, the result and the exit code still tell.
        with self._lock, suppress(OSError, ValueError):
            if self._live is None:
                self._stream.write(line + "\n")
                self._stream.flush()
            else:
                self._live.write(line)

    def animate(self) -> None:
        """Show the live line, if there is a terminal for it."""
        if not self.manner.is_live:
            return
        with self._lock:
            if self._live is None and not self._is_closed:
                from kling_cli.live import LiveLine

                self._live = LiveLine(self._stream, self._draw)

    def _rest(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.remove()

    def _draw(self) -> str:
        """Tell the live line; in another thread and under its lock, so never under our own."""
        is_plain = "utf" not in (self._stream.encoding or "").lower()
        frames = _PLAIN_FRAMES if is_plain else _FRAMES
        elapsed = self.clock.monotonic() - self._started
        frame = frames[int(elapsed * _FRAMES_A_SECOND) % len(frames)]
        return f"{frame} {self._tell_state(format_seconds(elapsed))}"

    def _tell_state(self, elapsed: str) -> str:
        voices = tuple(self._voices)
        if self.total == 1 and voices:
            usual = f"  usually about {format_about(self.usual)}" if self.usual else ""
            return f"{clean(voices[0].label, limit=60)}  {voices[0].state}  {elapsed}{usual}"
        counts = Counter(voice.state for voice in voices if voice.state in _PAUSES)
        parts = (
            f"{self._finished['done']} of {self.total} done",
            *_count(len(voices) - counts.total(), "running"),
            *(part for state in _PAUSES for part in _count(counts[state], state)),
            *_count(self._finished["failed"], "failed"),
        )
        return f"{', '.join(parts)}  {elapsed}"


def _count(number: int, what: str) -> tuple[str, ...]:
    return (f"{number} {what}",) if number else ()
