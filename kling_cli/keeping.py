"""The clips of a run on their way to where the user wants them."""

import os
import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from kling_cli.errors import LocalError, UsageError
from kling_cli.purchase import Purchase
from kling_cli.saving import download
from kling_cli.saving.part import name_part
from kling_cli.saving.target import STANDARD_OUTPUT, Target, choose
from kling_cli.session import Session
from kling_cli.talk import Talk
from kling_cli.text import clean
from kling_cli.watching.verdict import name_task

_LONGEST_URL = 4000


class Keeper:
    """Saves the clips of one run; shared by its threads.

    Args:
        session: what to work with.
        target: where the clips go.
    """

    def __init__(self, session: Session, target: Target) -> None:
        self._session = session
        self._target = target
        self._lock = threading.Lock()
        # The same picture given twice is one clip: who comes second finds the file of the first.
        self._turns: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
        self._under_way = set[Path]()
        self._is_abandoned = False

    @property
    def is_stream(self) -> bool:
        """Whether standard output gets the clip itself, and so nothing else."""
        return self._target.kind == "stream"

    def assign(self, names: Sequence[str]) -> list[Path]:
        """Give each clip its path, in order."""
        return self._target.assign(names)

    def prepare(self, *, is_rehearsal: bool = False) -> None:
        """Try whether anything can be saved; a rehearsal makes no directory.

        Raises:
            InputError: nothing can.
        """
        if not is_rehearsal or self._target.kind != "directory" or self._target.path.is_dir():
            self._target.prepare()

    def check(self, path: Path, purchase: Purchase | None) -> None:
        """Refuse a path where the clip could not be saved.

        Args:
            path: where it would lie.
            purchase: what was bought before; None where nothing was.

        Raises:
            InputError: it could not.
        """
        task = name_task(purchase) if purchase is not None else None
        self._target.check(path, is_own=partial(self._is_own, task=task))

    def keep(self, purchase: Purchase, talk: Talk, *, path: Path) -> tuple[str, ...]:
        """Save the clips of a task; a further clip of the same task gets a number.

        Returns:
            The path of each; nothing where they went to standard output.

        Raises:
            LocalError: one could not be saved; the message tells where it still is.
            BrokenPipeError: the reader of standard output has closed it.
        """
        if self.is_stream:
            self._stream(purchase, talk)
            return ()
        paths = [
            path if number == 1 else path.with_stem(f"{path.stem}.{number}")
            for number in range(1, len(purchase.videos) + 1)
        ]
        for video, place in zip(purchase.videos, paths, strict=True):
            with self._lock:
                turn = self._turns[place]
            with turn:
                self._save(video.url, place, purchase=purchase, talk=talk)
        return tuple(str(place) for place in paths)

    def abandon(self) -> None:
        """Leave nothing half done behind: the threads that save do not outlive the run."""
        with self._lock:
            self._is_abandoned = True
            for path in self._under_way:
                with suppress(OSError):
                    name_part(path).unlink()

    def _save(self, url: str, path: Path, *, purchase: Purchase, talk: Talk) -> None:
        task = name_task(purchase)
        if self._is_own(path, task=task):
            _drop_second_name(path)
            return
        session = self._session.turn_to(purchase)
        journal = session.journal
        transport = session.open_web_transport()
        try:
            self._begin(path)
            download.save(
                url,
                path,
                transport=transport,
                clock=session.world.clock,
                allow_private=session.is_local,
                allow_file=session.settings.is_sandbox,
                force=self._target.can_replace(path),
                before_naming=lambda saved: journal.keep_file(
                    path, task=task, size=saved.size, sha256=saved.sha256
                ),
                tell=talk.save,
            )
        except LocalError as error:
            raise _name_place(error, url) from None
        finally:
            transport.close()
            with self._lock:
                self._under_way.discard(path)

    def _stream(self, purchase: Purchase, talk: Talk) -> None:
        url, session = purchase.videos[0].url, self._session.turn_to(purchase)
        transport = session.open_web_transport()
        try:
            download.stream(
                url,
                session.world.stdout.buffer,
                transport=transport,
                clock=session.world.clock,
                allow_private=session.is_local,
                allow_file=session.settings.is_sandbox,
                tell=talk.save,
            )
        except LocalError as error:
            raise _name_place(error, url) from None
        finally:
            transport.close()

    def _begin(self, path: Path) -> None:
        with self._lock:
            if self._is_abandoned:
                raise LocalError("interrupted", "Stopped. The clip was not saved.", charged="yes")
            self._under_way.add(path)

    def _is_own(self, path: Path, *, task: str | None) -> bool:
        """Tell whether a file is the clip of this very task, saved by an earlier run."""
        if task is None:
            return False
        try:
            known = self._session.journal.find_file(path, task=task)
        except LocalError:  # unread, a file may be anybody's
            return False
        return known is not None and download.is_same(path, size=known[0], sha256=known[1])


def open_keeper(
    session: Session, value: str, *, tasks: int, force: bool, inputs: Sequence[str] = ()
) -> Keeper:
    """Settle where the clips of so many tasks go.

    Args:
        session: what to work with.
        value: a file, a directory, or `-` for standard output.
        tasks: how many there are.
        force: whether files may be replaced.
        inputs: what the run reads, and so never replaces.

    Raises:
        UsageError: the place does not fit the number of tasks.
    """
    if value == STANDARD_OUTPUT and session.printer.is_json:
        raise UsageError(
            "usage",
            "-o - and --json both want standard output.",
            hint="Save the clip with -o FILE: its path is in the JSON.",
        )
    target = choose(value, tasks=tasks, force=force, stdout=session.world.stdout, inputs=inputs)
    return Keeper(session, target)


def _drop_second_name(path: Path) -> None:
    """Remove the `.part` of a run that was killed when its clip had the final name already."""
    part = name_part(path)
    with suppress(OSError):
        if os.path.samestat(part.lstat(), path.lstat()):
            part.unlink()


def _name_place(error: LocalError, url: str) -> LocalError:
    """Tell where the clip still is: it is paid for, and can be fetched by hand."""
    message = f"{error.message} It is still at {clean(url, limit=_LONGEST_URL)}"
    return LocalError(error.code, message, hint=error.hint, charged="yes")
