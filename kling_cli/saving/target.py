"""Where the clips of one run go, settled and tried before anything is bought."""

import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from kling_cli.errors import InputError, UsageError
from kling_cli.saving.failure import show, show_reason
from kling_cli.saving.names import STANDARD_INPUT, tell_apart
from kling_cli.saving.part import name_part

STANDARD_OUTPUT = "-"
_SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))
# Links to what the process has open: a file renamed to one would replace the link itself.
_OPEN_STREAMS = re.compile(r"/dev/(stdin|stdout|stderr|fd)(/|$)|/proc/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the clips of one run go: to standard output, into a directory, or to one file.

    `path` is that of the directory or the file; `force` allows to replace files, but never one of
    the run's `inputs`, which are known by device and inode: a link to a photo is the photo.
    """

    kind: Literal["stream", "directory", "file"]
    path: Path
    force: bool
    inputs: frozenset[tuple[int, int] | None] = frozenset()

    def assign(self, names: Iterable[str]) -> list[Path]:
        """Give each clip its path, in order; `names` are those of `names.name_clip`.

        The same names in the same order come to the same paths, so that a rerun finds its files.
        """
        if self.kind != "directory":
            return [self.path for _ in names]
        return [self.path / name for name in tell_apart(names)]

    def prepare(self) -> None:
        """Make the directory, and try whether a file can be made where the clips will lie.

        Raises:
            InputError: `output_directory_missing` or `output_not_writable`.
        """
        if self.kind == "directory":
            self._prepare_directory()
        elif self.kind == "file":
            _judge(self.path)
            self._try_parent()

    def check(self, path: Path, *, is_own: Callable[[Path], bool] = lambda _: False) -> None:
        """Refuse a path at which no clip could be saved.

        Args:
            path: one that `assign` gave.
            is_own: tells whether the file that lies there is the very clip, saved by an earlier
                run; asked only where there is one, and it may not be replaced.

        Raises:
            InputError: `output_exists`, `output_is_an_input` or `output_not_writable`.
        """
        if self.kind == "stream" or not _judge(path) or self.can_replace(path) or is_own(path):
            return
        if self._is_input(path):
            raise InputError(
                "output_is_an_input",
                f"{show(path)} is an input of this run, which is never replaced. Nothing was sent.",
                hint="Name another file or directory with -o.",
            )
        raise InputError(
            "output_exists",
            f"{show(path)} is there already. Nothing was sent.",
            hint="--force replaces it; another -o DIR/ keeps both."
            if self.kind == "directory"
            else "--force replaces it; -o DIR/ saves under a name of its own in DIR.",
        )

    def can_replace(self, path: Path) -> bool:
        """Tell whether a file that lies at a path may be replaced."""
        return self.force and not self._is_input(path)

    def _is_input(self, path: Path) -> bool:
        return (found := _identify(path)) is not None and found in self.inputs

    def _prepare_directory(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _try_to_write(self.path)
        except (OSError, ValueError) as error:
            raise _refuse(self.path, _explain(error)) from None

    def _try_parent(self) -> None:
        parent = self.path.parent
        mode = _follow_mode(parent)
        if mode is None or not stat.S_ISDIR(mode):
            raise InputError(
                "output_directory_missing",
                f"{show(parent)} is no directory, so no file can be made in it. Nothing was sent.",
                hint=f"-o {show(parent)}{os.sep} makes it." if mode is None else "",
            )
        try:
            _try_to_write(parent)
        except OSError as error:
            raise _refuse(parent, _explain(error)) from None


def choose(
    value: str, *, tasks: int, force: bool, stdout: TextIO, inputs: Iterable[str] = ()
) -> Target:
    """Settle what the value of `-o` means for so many tasks.

    Args:
        value: `-` for standard output; a directory that exists, or whatever ends with a separator,
            is a directory; for one task anything else is a file, for several a directory.
        tasks: how many clips there will be.
        force: whether files may be replaced.
        stdout: where `-` leads.
        inputs: what the run reads: paths, web addresses, or `-` for standard input.

    Raises:
        UsageError: the value and the number of tasks contradict, or a terminal would get a clip.
    """
    if not value:
        raise UsageError("output_empty", "-o needs a file, a directory, or - for standard output.")
    if value == STANDARD_OUTPUT:
        _judge_stream(tasks, stdout)
        return Target(kind="stream", path=Path(value), force=force)
    path = Path(value)
    mode = _follow_mode(path)
    if tasks != 1 and mode is not None and not stat.S_ISDIR(mode):
        raise UsageError(
            "output_is_a_file",
            f"{show(path)} is a file, and {tasks} clips cannot go to one file.",
            hint="Name a directory: -o DIR/",
        )
    exists = mode is not None and stat.S_ISDIR(mode)
    is_directory = tasks != 1 or exists or value.endswith(_SEPARATORS)
    return Target(
        kind="directory" if is_directory else "file",
        path=path,
        force=force,
        inputs=frozenset(map(_identify, inputs)),
    )


def _judge_stream(tasks: int, stdout: TextIO) -> None:
    if tasks != 1:
        raise UsageError(
            "output_is_a_stream",
            f"{tasks} clips cannot go to standard output one behind the other.",
            hint="Name a directory: -o DIR/",
        )
    if stdout.isatty():
        raise UsageError(
            "output_is_a_terminal",
            "A clip would garble the terminal.",
            hint="Name a file: -o clip.mp4, or pass standard output on: -o - | mpv -",
        )


def _judge(path: Path) -> bool:
    """Tell whether a file lies at a path; refuse what no file can take the place of."""
    part = name_part(path)
    try:
        # Too long a name, or one that this file system cannot spell, shows here too.
        part_mode, mode = _find_mode(part), _find_mode(path)
    except (OSError, ValueError) as error:
        raise _refuse(path, _explain(error)) from None
    if mode is not None and _is_stream(path, mode):
        raise _refuse(path, "it is a device or an open stream; -o - writes to standard output")
    if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise _refuse(path, "it is a directory" if stat.S_ISDIR(mode) else "it is no file")
    if part_mode is not None and not stat.S_ISREG(part_mode):
        raise _refuse(path, f"{show(part)} is in the way")
    return mode is not None


def _is_stream(path: Path, mode: int) -> bool:
    is_link_to_one = _OPEN_STREAMS.match(str(path.absolute())) is not None
    return is_link_to_one or stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _follow_mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return None  # why will be told when it is tried


def _identify(name: Path | str) -> tuple[int, int] | None:
    """Find device and inode of a path or of standard input; None where there is no file."""
    try:
        state = os.fstat(0) if name == STANDARD_INPUT else Path(name).stat()
    except (OSError, ValueError):
        return None
    return state.st_dev, state.st_ino


def _find_mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _try_to_write(directory: Path) -> None:
    # Permissions do not tell: a disk can be read-only, a quota used up.
    probe = directory / f".kling-{os.urandom(8).hex()}"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.close(descriptor)
    probe.unlink()


def _refuse(path: Path, reason: str) -> InputError:
    return InputError(
        "output_not_writable",
        f"No clip can be saved at {show(path)}: {reason}. Nothing was sent.",
    )


def _explain(error: OSError | ValueError) -> str:
    if isinstance(error, FileExistsError):
        return "it is no directory"
    return show_reason(error) if isinstance(error, OSError) else "no file can have this name"
