"""One line of a terminal that is drawn again and again; the only user of rich."""

from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

_FRAMES_A_SECOND = 8


class LiveLine:
    """The last line of a terminal, kept up to date by a thread until it is taken away.

    Args:
        stream: the terminal.
        draw: tells what the line says now; called in that thread.
    """

    def __init__(self, stream: TextIO, draw: Callable[[], str]) -> None:
        self._draw = draw
        self._console = Console(
            file=stream,
            force_terminal=True,
            force_interactive=True,
            color_system=None,
            # The terminal itself knows its width; a variable may be older than its last resize.
            _environ={"TERM": "xterm"},
        )
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            transient=True,
            refresh_per_second=_FRAMES_A_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with suppress(OSError, ValueError):
            self._live.start()
            # A run that is killed or suspended could not bring a hidden cursor back.
            self._console.show_cursor()

    def write(self, line: str) -> None:
        """Write a line above it, as it is."""
        self._console.print(Text(line), soft_wrap=True)

    def remove(self) -> None:
        """Take the line away."""
        with suppress(OSError, ValueError):
            self._live.stop()

    def _render(self) -> Text:
        return Text(self._draw(), no_wrap=True, overflow="crop")
