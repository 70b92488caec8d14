"""What one run works with, each part made when it is first used."""

import os
import signal
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from io import TextIOWrapper
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

from kling_cli.clock import Clock
from kling_cli.console import Console, can_style
from kling_cli.errors import Interrupted
from kling_cli.text import parse_duration

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from kling_cli.api.client import Client
    from kling_cli.api.transport import Transport
    from kling_cli.journal import Journal
    from kling_cli.output import Output
    from kling_cli.purchase import Resume
    from kling_cli.schedule import Schedule
    from kling_cli.settings import Settings, Token

_SIGNALS = [each for each in signal.Signals if each.name in ("SIGINT", "SIGTERM", "SIGHUP")]
_SANDBOX_URL = "http://sandbox.invalid"
# A sandbox task takes three seconds; do not wait longer for the first one.
_SANDBOX_MEDIAN_SECONDS = 3.0


@dataclass(kw_only=True, eq=False)
class Context:
    """What one run works with.

    Args:
        stdin, stdout, stderr: the streams, in any state.
        environ: the environment.
        clock: time and randomness.

    Attributes:
        options: of the command; those that are settings win over all other sources.
        stopped: set when a signal ends the run; nothing is submitted from then on.
    """

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    clock: Clock = field(default_factory=Clock)
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], init=False)
    stopped: threading.Event = field(default_factory=threading.Event, init=False)
    _clients: threading.local = field(default_factory=threading.local, init=False)

    def close(self) -> None:
        """Close the connections of this thread, and the journal."""
        self.close_clients()
        if "journal" in vars(self):
            self.journal.close()

    @cached_property
    def output(self) -> "Output":
        """Standard output."""
        from kling_cli.output import Output

        is_styled = can_style(self.stdout, self.environ)
        return Output(self.stdout, is_json=self.options.get("json", False), is_styled=is_styled)

    @cached_property
    def console(self) -> Console:
        """Standard error."""
        return Console(
            self.stderr,
            environ=self.environ,
            clock=self.clock,
            shares_screen=self.stdout.isatty(),
            quiet=self.options.get("quiet", False),
            verbose=self.options.get("verbose", False),
        )

    @cached_property
    def settings(self) -> "Settings":
        """The current settings; loading them shows warnings."""
        from kling_cli.settings import load

        return load(self.environ, flags=self.options, warn=self.console.warn)

    @property
    def base_url(self) -> str:
        """The current base URL; each sandbox token is an account of its own."""
        value = self.settings.base_url
        if self.settings.is_sandbox and self.token.reveal() != value:
            return f"{value}:{self.token.reveal()}"
        return value

    @cached_property
    def token(self) -> "Token":
        """The token for the base URL in use."""
        return self.settings.find_token(self.any_token)

    @cached_property
    def any_token(self) -> "Token":
        """The current token, for any service at which a task was bought with it."""
        return self.settings.read_token()

    @cached_property
    def journal(self) -> "Journal":
        """The journal of this machine."""
        from kling_cli.journal import open_journal
        from kling_cli.settings import STATE_VARIABLE, find_directory

        directory = find_directory(self.environ, STATE_VARIABLE)
        return open_journal(directory, now=self.clock.time, warn=self.console.warn)

    @cached_property
    def schedule(self) -> "Schedule":
        """The schedule of checks, learned from this machine's finished tasks."""
        from kling_cli.schedule import PRIOR_MEDIAN_SECONDS, learn

        durations = self.journal.list_durations(self.base_url)
        prior = _SANDBOX_MEDIAN_SECONDS if self.settings.is_sandbox else PRIOR_MEDIAN_SECONDS
        schedule = learn(durations, prior=prior)
        self.console.usual = schedule.median if durations else None
        return schedule

    @cached_property
    def sandbox(self) -> "WSGIApplication":
        """The built-in sandbox."""
        from kling_cli.sandbox.app import Sandbox
        from kling_cli.settings import STATE_VARIABLE, find_directory, require_home

        directory = require_home(find_directory(self.environ, STATE_VARIABLE))
        self.console.info("This is the sandbox: no real video is made, and nothing is charged.")
        return Sandbox(directory / "sandbox.sqlite3", now=self.clock.time)

    @property
    def resume(self) -> "Resume":
        """How to resume what this run has bought."""
        from kling_cli.purchase import Resume

        is_option = self.settings.sources["output"] == "--output"
        return Resume(self.journal.is_kept, self.settings.output if is_option else None)

    def prepare(self) -> None:
        """Create what all threads share before they start, so that errors are shown once."""
        self.output.check()
        _ = self.journal, self.schedule
        if self.settings.is_sandbox:
            _ = self.sandbox

    def deadline(self) -> float:
        """Return the deadline of a wait that starts now, in the clock's monotonic seconds."""
        timeout = parse_duration(self.settings.timeout)
        return float("inf") if timeout is None else self.clock.monotonic() + timeout

    def reaches_local(self) -> bool:
        """Tell whether the service runs on this machine, and can reach local addresses."""
        from kling_cli.images.remote import is_loopback

        host = urlsplit(self.settings.base_url).hostname or ""
        return self.settings.is_sandbox or is_loopback(host)

    def client(self, base_url: str) -> "Client":
        """Return this thread's client for a service, which keeps its connection."""
        from kling_cli.api.client import Client
        from kling_cli.models import is_sandbox
        from kling_cli.settings import Token

        clients: dict[str, Client] = self._clients.__dict__
        if base_url not in clients:
            application, url = None, base_url
            if is_sandbox(base_url):
                application, url = self.sandbox, _SANDBOX_URL
                token = Token(base_url.partition(":")[2] or base_url, source=base_url)
            else:
                token = self.token if base_url == self.settings.base_url else self.any_token
            clients[base_url] = Client(self.open_transport(application), base_url=url, token=token)
        return clients[base_url]

    def close_clients(self) -> None:
        """Close the connections of this thread."""
        clients: dict[str, Client] = self._clients.__dict__
        while clients:
            clients.popitem()[1].close()

    def open_transport(self, application: "WSGIApplication | None" = None) -> "Transport":
        """Open connections to any host, or to an application in this process."""
        from kling_cli.api.transport import Transport

        return Transport(log=self.console.log, application=application)


@contextmanager
def open_context() -> Generator[Context]:
    """Use the streams and the environment of this process, even if a stream is closed."""
    for descriptor in range(3):
        # Replace a closed one, or the journal could be opened as standard output.
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)
    # A closed stream is None; its replacement is read-only and therefore refused.
    with open(os.devnull, encoding="utf-8") as nothing:
        stdin, stdout, stderr = (
            stream or nothing for stream in (sys.stdin, sys.stdout, sys.stderr)
        )
        # A character that the encoding lacks must not end a run.
        for stream in (stdin, stdout, stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(
                    errors="surrogateescape" if stream is stdin else "backslashreplace"
                )
        yield Context(stdin=stdin, stdout=stdout, stderr=stderr)


class Signals:
    """The first signal of this process. It ends the run cleanly; a second one ends it at once.

    While held, it waits for the end of a line.
    """

    number: int | None = None
    is_held = False


@contextmanager
def listen() -> Generator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Interrupted` in the main thread, until the block ends.

    The first signal ends the run cleanly, a second one at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    # A signal that the parent ignores stays ignored, so `nohup kling ...` survives SIGHUP.
    heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _interrupt) for number in heard}
    try:
        yield
    finally:
        Signals.number = None
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def hold() -> Generator[None]:
    """Complete the block before a signal that arrives meanwhile ends the run."""
    Signals.is_held = True
    try:
        yield
    finally:
        Signals.is_held = False
        if Signals.number is not None:
            raise Interrupted(Signals.number)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    if Signals.number is not None:
        os._exit(128 + number)
    Signals.number = number
    if not Signals.is_held:
        raise Interrupted(number)
