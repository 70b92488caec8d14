"""What one run of a command works with, each part made when it is first used."""

from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kling_cli.errors import SetupError
from kling_cli.output import Printer
from kling_cli.progress import Screen, choose_manner
from kling_cli.text import clean
from kling_cli.world import World, settle

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from kling_cli.api.service import Service
    from kling_cli.journal import Journal
    from kling_cli.purchase import Purchase
    from kling_cli.secret import Token
    from kling_cli.settings.loading import Settings
    from kling_cli.transport.exchange import Transport
    from kling_cli.watching.schedule import Schedule

_SANDBOX_URL = "http://sandbox.invalid"
_SANDBOX_NOTICE = "This is the sandbox: no effect is made, nothing is charged."
# It takes three seconds; nobody should wait longer before it has shown that.
_SANDBOX_MEDIAN_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """The options that commands share; `settings` are those that stand above all other places."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    settings: tuple[tuple[str, str | None], ...] = ()


class Session:
    """What one run of a command works with."""

    def __init__(self, world: World, flags: Flags) -> None:
        self.world = world
        self.printer = Printer(world.stdout, is_json=flags.json)
        manner = choose_manner(world, is_quiet=flags.quiet, is_verbose=flags.verbose)
        self.screen = Screen(world.stderr, clock=world.clock, manner=manner)
        self._flags = flags
        self._moved: dict[str, Session] = {}

    def close(self) -> None:
        """Close the journal."""
        if "journal" in vars(self):
            self.journal.close()

    def abandon(self) -> None:
        """End the run while threads still work for it: they may finish, but not talk any more."""
        self.screen.close()

    @cached_property
    def settings(self) -> "Settings":
        """The settings in force; what is doubtful about them is said once."""
        from kling_cli.settings.loading import load

        settings = load(self.world.environ, flags=dict(self._flags.settings))
        for warning in settings.warnings:
            self.screen.say(f"warning: {warning}")
        if settings.is_sandbox:
            self.screen.say(_SANDBOX_NOTICE)
        return settings

    def turn_to(self, purchase: "Purchase") -> "Session":
        """Find the session for the base URL at which something was bought: this one, or its like.

        Raises:
            SetupError: the token in force is not known to have bought it there.
        """
        from kling_cli.settings.loading import Setting
        from kling_cli.settings.values import SANDBOX

        base_url = purchase.base_url
        if base_url == self.settings.base_url.value:
            return self
        is_sandbox = base_url == SANDBOX
        if not is_sandbox:
            _check_tag(purchase, self._token_in_force)
        if base_url not in self._moved:
            moved = copy(self)
            place = Setting(value=base_url, source="the journal")
            moved.settings = replace(self.settings, base_url=place)
            moved.token = moved.settings.find_token() if is_sandbox else self._token_in_force
            vars(moved).pop("schedule", None)
            self._moved[base_url] = moved
            if is_sandbox:
                self.screen.say(_SANDBOX_NOTICE)
        return self._moved[base_url]

    @cached_property
    def token(self) -> "Token":
        """The token for the base URL in force."""
        return self.settings.check_home(self._token_in_force)

    @cached_property
    def _token_in_force(self) -> "Token":
        return self.settings.read_token()

    @cached_property
    def journal(self) -> "Journal":
        """What this machine bought; in memory where there is no journal and none can be made."""
        from kling_cli.journal import Journal
        from kling_cli.unwritable import UnwritableError

        directory = self.settings.state_directory
        reason = "there is no directory for it; KLING_STATE_DIR can name one"
        if directory is not None:
            path = directory / "journal.sqlite3"
            try:
                journal = Journal(path, now=self.world.clock.time)
            except UnwritableError as error:
                reason = f"{clean(str(directory))}: {error.reason}"
            else:
                if journal.fault is not None:
                    self.screen.say(
                        f"warning: The journal {clean(str(path))} cannot be written "
                        f"({journal.fault}). It is read, and nothing new is bought."
                    )
                return journal
        self.screen.say(f"warning: No journal can be kept: {reason}.")
        return Journal(None, now=self.world.clock.time)

    @cached_property
    def schedule(self) -> "Schedule":
        """When to look, learned from this machine's finished tasks."""
        from kling_cli.watching.schedule import PRIOR_MEDIAN_SECONDS, learn

        durations = self.journal.list_durations(self.settings.base_url.value)
        is_sandbox = self.settings.is_sandbox
        prior = _SANDBOX_MEDIAN_SECONDS if is_sandbox else PRIOR_MEDIAN_SECONDS
        schedule = learn(durations, prior=prior)
        self.screen.usual = schedule.median if durations else None
        return schedule

    @cached_property
    def sandbox(self) -> "WSGIApplication":
        """The embedded service."""
        from kling_cli.sandbox import create_app

        return create_app(self._find_sandbox_store(), now=self.world.clock.time)

    def prepare(self) -> None:
        """Make what all threads share before any of them starts, so that faults are said once."""
        settle()
        self.printer.check()
        _ = self.token, self.journal, self.schedule
        if self.settings.is_sandbox:
            _ = self.sandbox

    def open_transport(self) -> "Transport":
        """Open a connection for one thread."""
        from kling_cli.transport.exchange import Transport

        return Transport(
            application=self.sandbox if self.settings.is_sandbox else None,
            environ=self.world.environ,
            log=self.screen.log if self.screen.manner.is_verbose else None,
        )

    def open_web_transport(self) -> "Transport":
        """Open a connection to other hosts than the service, where no token goes."""
        from kling_cli.transport.exchange import Transport

        return Transport(environ=self.world.environ, log=self.screen.log)

    @property
    def is_local(self) -> bool:
        """Whether the service runs on this machine, and so reaches what only this one does."""
        from kling_cli.images.addresses import is_loopback

        settings = self.settings
        host = urlsplit(settings.base_url.value).hostname or ""
        return settings.is_sandbox or is_loopback(host)

    def open_service(self) -> "Service":
        """Open the service for one thread."""
        from kling_cli.api.service import Service

        settings = self.settings
        return Service(
            self.open_transport(),
            base_url=_SANDBOX_URL if settings.is_sandbox else settings.base_url.value,
            token=self.token,
        )

    def _find_sandbox_store(self) -> Path:
        directory = self.settings.state_directory
        if directory is None:
            raise SetupError(
                "state_directory_unknown",
                "The sandbox has no place to keep its tasks: this user has no home directory.",
                hint="Name a directory in KLING_STATE_DIR.",
            )
        return directory / "sandbox.sqlite3"


def _check_tag(purchase: "Purchase", token: "Token") -> None:
    """Refuse a token that is not known to have bought this where it was bought."""
    if purchase.tag == token.tag(purchase.base_url):
        return
    name, url = purchase.task_id or purchase.external_task_id, clean(purchase.base_url)
    buyer = "another token than" if purchase.tag else "a token that may not be"
    raise SetupError(
        "token_mismatch",
        f"Task {name} was bought at {url}, with {buyer} the one from {token.source}. "
        "Nothing was sent there.",
        hint=f"If this token is for {url}, too: kling wait {name} --base-url {url}",
    )
