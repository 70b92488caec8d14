"""Standard error, for people: rows and a bar on a terminal, plain lines elsewhere."""

import textwrap
import threading
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

from kling_cli.clock import Clock
from kling_cli.errors import KlingError, StoppedError
from kling_cli.text import clean, format_about, format_count, format_elapsed, format_transfer

if TYPE_CHECKING:
    import rich.console
    from rich.live import Live
    from rich.table import Table

    from kling_cli.models import Purchase, Task

_REDRAWS_A_SECOND = 4
_HEARTBEAT_SECONDS = 60.0
_BELL_SECONDS = 60.0
_LONGEST_LINE = 4000
_BAR_WIDTH = 20
# Smaller uploads finish before anyone can read their progress.
_SHOWN_TRANSFER_BYTES = 1_000_000
# The mark that begins a line of each kind on a terminal, and its style.
_MARKS = {
    "done": ("✓ ", "green"),
    "error": ("✗ ", "red"),
    "warning": ("! ", "yellow"),
    "hint": ("  hint: ", "cyan"),
}
_ASCII = str.maketrans("✓✗·", "+x-")
_ESSENTIAL = ("error", "hint", "stopped")


def can_style(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether a stream is a terminal that may get escape sequences.

    We decide this ourselves: with FORCE_COLOR, as CI systems set it, a library would fill the log.
    """
    capable = environ.get("TERM", "") not in ("", "dumb", "unknown")
    return capable and not environ.get("NO_COLOR") and stream.isatty()


class Console:
    """Standard error, shared by all threads of a run.

    Args:
        stream: where to write.
        environ: NO_COLOR, NO_PROGRESS, CI, TERM and GITHUB_ACTIONS decide how.
        clock: for elapsed times.
        quiet: write errors only.
        verbose: write each HTTP request too.
        shares_screen: standard output is the same terminal, so nothing is printed twice.

    Attributes:
        total: how many requests the run has.
        scene: shown next to the request, if the run has only one.
        usual: how many seconds a task usually takes, if known.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        environ: Mapping[str, str],
        clock: Clock,
        quiet: bool = False,
        verbose: bool = False,
        shares_screen: bool = False,
    ) -> None:
        self.clock = clock
        self.verbose = verbose
        self.total = 1
        self.scene = ""
        self.usual: float | None = None
        self.is_styled = can_style(stream, environ)
        is_still = quiet or environ.get("CI") or environ.get("NO_PROGRESS")
        self.is_animated = self.is_styled and not is_still
        self._stream = stream
        self._quiet = quiet
        self._annotates = environ.get("GITHUB_ACTIONS") == "true"
        self._shares_screen = shares_screen
        self._is_utf8 = "utf" in (stream.encoding or "").lower()
        self._lock = threading.RLock()
        self._rows: list[Row] = []
        self._finished: Counter[str] = Counter()
        self._hints: set[str] = set()
        self._started = clock.monotonic()
        self._live: Live | None = None
        self.is_closed = False

    # Lines

    def info(self, text: str) -> None:
        """Write a line that --quiet leaves out."""
        self.write("", text)

    def log(self, text: str) -> None:
        """Write a line that only --verbose shows."""
        if self.verbose:
            self.write("", dim=text)

    def warn(self, text: str) -> None:
        """Write a warning."""
        self.write("warning", text)

    def error(self, error: KlingError, *, name: str = "") -> None:
        """Write an error: what happened, and what to do next."""
        kind = "stopped" if isinstance(error, StoppedError) else "error"
        for line in error.message.splitlines():
            self.write(kind, line, name=name)
        if error.request_id and error.request_id not in error.message:
            self.log(f"request id {error.request_id}")
        if error.hint and error.hint not in self._hints:
            self._hints.add(error.hint)
            self.write("hint", error.hint)
        if self._annotates:
            lines = error.message.splitlines()
            if name and name not in error.message:
                lines[0] = f"{name}: {lines[0]}"
            message = "\n".join(map(clean, lines))
            escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
            self._emit(f"::error title=kling {error.code}::{escaped}\n")

    def confirm(self, question: str, stdin: TextIO) -> bool:
        """Ask a question that only `y` or `yes` agrees to."""
        answer = ""
        try:
            self._emit(f"{question} [y/N] ")
            answer = stdin.readline()
        finally:
            # Ctrl-C and Ctrl-D leave the cursor on the line of the question.
            if not answer.endswith("\n"):
                self._emit("\n")
        return answer.strip().lower() in {"y", "yes"}

    # Rows

    def start(self, name: str) -> "Row":
        """Start the row of one request."""
        row = Row(self, name)
        with self._lock:
            self._rows.append(row)
            self._animate()
        return row

    def finish(self, row: "Row", *, outcome: str = "", detail: str = "") -> None:
        """Remove a row; an outcome, such as `done`, is counted on the overall bar."""
        with self._lock:
            self._rows.remove(row)
            if not self._rows:
                self._stop_live()
            if outcome:
                self._finished[outcome] += 1
            # In a batch, the line of standard output on the same screen is enough.
            is_said = self._shares_screen and self.total > 1
            if outcome == "done" and self.is_animated and not is_said:
                parts = (format_elapsed(row.elapsed), detail)
                row.write("done", dim=" · ".join(filter(None, parts)))

    def close(self, summary: str = "", *, detail: str = "") -> None:
        """Remove all rows for good; threads that are still working are no longer shown."""
        with self._lock:
            self._stop_live()
            elapsed = self.clock.monotonic() - self._started
            if summary:
                parts = (summary, format_elapsed(elapsed), detail)
                self.write("", " · ".join(filter(None, parts)))
            if self.is_animated and elapsed > _BELL_SECONDS:
                self._emit("\a")
            self.is_closed = True

    @contextmanager
    def pause(self) -> Generator[None]:
        """Keep the rows out of the way while standard output is written on the same terminal."""
        if not self.is_animated:
            yield
            return
        with self._lock:
            self._stop_live()
            try:
                yield
            finally:
                self._animate()

    def _animate(self) -> None:
        if not self.is_animated or self._live or self.is_closed or not self._rows:
            return
        from rich.live import Live

        self._live = Live(
            get_renderable=self._render,
            console=self._printer,
            transient=True,
            refresh_per_second=_REDRAWS_A_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with suppress(OSError, ValueError):
            self._live.start()

    def _stop_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            with suppress(OSError, ValueError):
                live.stop()

    def _render(self) -> "Table":
        """Draw the rows; called in rich's thread under rich's lock, so never take our own."""
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1, 0, 0))
        # If a line reached the last column, typed characters would wrap and shift the rows.
        table.width = max(self._printer.width - 4, 1)
        table.add_column(width=1)
        table.add_column(no_wrap=True, overflow="ellipsis" if self._is_utf8 else "crop", ratio=1)
        rows = list(self._rows)
        # On a small terminal the bar matters more than the last rows.
        for row in rows[: max(self._printer.height - 2, 1)]:
            spinner = Spinner("dots" if self._is_utf8 else "line", style="cyan")
            spinner.start_time = 0.0
            line = Text.assemble((row.name, "bold"), f"  {row.state}  ")
            if self.total == 1 and self.scene:
                line = Text.assemble(f"{self.scene}  ", line)
            line.append(format_elapsed(row.elapsed), "dim")
            if self.total == 1 and self.usual:
                line.append(f"  usually about {format_about(self.usual)}", "dim")
            table.add_row(spinner, line)
        if self.total > 1:
            width = min(_BAR_WIDTH, max(self._printer.width - 50, 4))
            bar = Table.grid(padding=(0, 1, 0, 0))
            done = ProgressBar(
                self.total, self._finished.total(), width=width, complete_style="green"
            )
            bar.add_row(done, Text(self._ascii(self._count(len(rows)))))
            table.add_row("", bar)
        return table

    def _count(self, running: int) -> str:
        parts = [f"{self._finished.total()}/{self.total}"]
        parts += [f"{running} running"] if running else []
        parts += [f"{count} {what}" for what, count in self._finished.items() if what != "done"]
        return " · ".join([*parts, format_elapsed(self.clock.monotonic() - self._started)])

    # Writing

    def write(self, kind: str, text: str = "", *, name: str = "", dim: str = "") -> None:
        """Write one line; it never begins with foreign text, which a CI system could run.

        Args:
            kind: `done`, `error`, `stopped`, `warning`, `hint`, or empty.
            text: what to say.
            name: the picture or task that it is about.
            dim: less important text, shown last.
        """
        if self._quiet and kind not in _ESSENTIAL:
            return
        text, name, dim = clean(text, limit=_LONGEST_LINE).strip(), clean(name), clean(dim)
        if not self._is_utf8:
            text = text.translate(_ASCII)
        if name.startswith((":", "#", " ")):
            name = f"./{name}"
        text = text.removeprefix(f"{name}: ")
        if text.startswith(name):  # an error about a picture already names it
            name = ""
        if self.is_styled:
            self._write_styled(kind, text, name, dim)
        else:
            word = "" if kind == "stopped" else kind  # the user asked for it, so it is not an error
            self._emit(": ".join(filter(None, (word, name, text, dim))) + "\n")

    def _write_styled(self, kind: str, text: str, name: str, dim: str) -> None:
        from rich.text import Text

        mark, colour = _MARKS.get(kind, ("", ""))
        if kind != "hint":  # so that a command in it can be copied whole
            used = " " * len(f"{mark}{name}  " if name else mark)
            width = max(self._printer.width, 2 * len(used))
            wrapper = textwrap.TextWrapper(width, initial_indent=used, subsequent_indent="  ")
            wrapper.break_long_words = wrapper.break_on_hyphens = False
            text = wrapper.fill(text).lstrip()
        parts = [part for part in ((name, "bold"), (text, ""), (dim, "dim")) if part[0]]
        words = Text("  ").join(Text(part, style) for part, style in parts)
        line = Text.assemble((self._ascii(mark), colour), words)
        with self._lock, suppress(OSError, ValueError):
            self._printer.print(line, soft_wrap=True)

    def _emit(self, text: str) -> None:
        # A closed standard error must not end the run.
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()

    def _ascii(self, text: str) -> str:
        return text if self._is_utf8 else text.translate(_ASCII)

    @cached_property
    def _printer(self) -> "rich.console.Console":
        import rich.console

        class Printer(rich.console.Console):
            def show_cursor(self, show: bool = True) -> bool:
                """Never hide it: a run that is killed or suspended could not restore it."""
                return False

        # Ask the terminal for its width; COLUMNS may be older than the last resize.
        environ = {"TERM": "xterm-256color"}
        return Printer(file=self._stream, force_terminal=True, _environ=environ)


class Row:
    """The progress of one request; its warnings are kept for the result."""

    def __init__(self, console: Console, name: str) -> None:
        self.name = clean(name)
        self.state = "starting"
        self.warnings: list[str] = []
        self._console = console
        self._started = self._spoke = console.clock.monotonic()
        self._transfer_started: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since it started."""
        return self._console.clock.monotonic() - self._started

    def note(self, text: str) -> None:
        """Show a note."""
        self.write("", text)

    def warn(self, text: str) -> None:
        """Show a warning, and add it to the result."""
        self.warnings.append(text)
        self.write("warning", text)

    def accept(self, purchase: "Purchase") -> None:
        """Show the ids of a task that was accepted just now."""
        self.state = purchase.stage
        if self._console.is_styled:
            self.write("", purchase.stage, dim=purchase.name)
        else:
            ids = f"task {purchase.task_id} ({purchase.external_task_id})"
            self.write("", f"{purchase.stage}, {ids}")

    def look(self, task: "Task") -> None:
        """Show the status at once if it has changed, else as a heartbeat every minute."""
        if task.status == self.state:
            self._beat(f"still {task.status}, {format_elapsed(self.elapsed)}")
            return
        self.state = task.status
        if not self._console.is_animated:
            self.write("", task.status)

    def miss(self, count: int, reason: str) -> None:
        """Show failed checks: the first one, then every minute."""
        checks = format_count(count, "check")
        self._beat(f"still running ({checks} failed: {reason})", at_once=count == 1)

    def retry_in(self, seconds: float, reason: str) -> None:
        """Show why it pauses, and for how long."""
        self.state = "waiting to retry"
        self.write("", f"{reason} Retrying in {seconds:.0f} s.")

    def transfer(self, what: str, done: int, total: int | None) -> None:
        """Show how many bytes of how many are uploaded or downloaded."""
        now = self._console.clock.monotonic()
        if self._transfer_started is None or not done:
            self._transfer_started = now
        if what == "downloading" or (total or 0) > _SHOWN_TRANSFER_BYTES:
            seconds = now - self._transfer_started
            self.state = f"{what} {format_transfer(done, total, seconds=seconds)}"

    def write(self, kind: str, text: str = "", *, dim: str = "") -> None:
        """Write a line about it, unless the run is over."""
        self._spoke = self._console.clock.monotonic()
        if not self._console.is_closed:
            self._console.write(kind, text, name=self.name, dim=dim)

    def _beat(self, text: str, *, at_once: bool = False) -> None:
        # The animated row is already a heartbeat.
        silence = self._console.clock.monotonic() - self._spoke
        if at_once or (not self._console.is_animated and silence >= _HEARTBEAT_SECONDS):
            self.write("", text)
