"""A video URL becomes a file: where it goes, how it comes, and that it is whole."""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from kling_cli.api.transport import ExchangeError, Transport, parse_retry_after
from kling_cli.clock import Clock
from kling_cli.console import Row
from kling_cli.errors import Charged, InputError, LocalError, SetupError, UsageError
from kling_cli.journal import Journal
from kling_cli.models import Purchase
from kling_cli.naming import distinguish
from kling_cli.purchase import get_charged
from kling_cli.text import clean

# Seconds before each try.
_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
_MAX_PAUSE = 120.0
# Far above any clip: ten seconds of the best quality are some 30 MB. It keeps a wrong or hostile
# server from filling the disk.
_MAX_BYTES = 1 << 30
_TEMPORARY = frozenset({408, 425, 429, *range(500, 600)})
_BUNDLED_CLIP = Path(__file__).with_name("sandbox") / "clip.mp4"
_AGAIN = "Run the same command again: it downloads the video again and costs nothing."


class Downloads:
    """Saves the clips of one run; shared by its threads.

    Args:
        value: of `-o`: `-` for standard output; a directory that exists, or whatever ends with a
            separator, is a directory; for one task anything else is a file.
        tasks: how many tasks there are.
        force: replace existing files.
        journal: remembers which file is which clip.
        clock: for the pauses between tries.
        stdout: where `-` leads.
        open_transport: opens a connection to other hosts, where no token goes.

    Raises:
        UsageError: the value does not fit the number of tasks.
    """

    def __init__(
        self,
        value: str,
        *,
        tasks: int,
        force: bool,
        journal: Journal,
        clock: Clock,
        stdout: BinaryIO,
        open_transport: Callable[[], Transport],
    ) -> None:
        self.is_stream = value == "-"
        self._path = Path(value)
        self._is_directory = tasks > 1 or os.path.isdir(value) or value.endswith(os.sep)
        self._force = force
        self._journal = journal
        self._clock = clock
        self._stdout = stdout
        self._open_transport = open_transport
        self._temporary: list[Path] = []
        self._is_abandoned = False
        self._lock = threading.Lock()
        if tasks > 1 and (self.is_stream or os.path.isfile(value)):
            message = f"{tasks} videos cannot go to one file: -o {clean(value)}."
            raise UsageError("output_is_one_file", message, hint="Name a directory: -o DIR/")
        if self.is_stream and stdout.isatty():
            message = "A video on the terminal would be unreadable."
            hint = "Name a file: -o clip.mp4, or pipe it on: -o - | mpv -"
            raise UsageError("output_is_a_terminal", message, hint=hint)

    def assign(self, names: Iterable[str]) -> list[Path]:
        """Return the path of each clip; the same names in the same order get the same paths."""
        if not self._is_directory:
            return [self._path for _ in names]
        return [self._path / name for name in distinguish(names)]

    def prepare(self, *, dry_run: bool = False) -> None:
        """Make the directory, and check that a file can be made where the clips go."""
        import tempfile

        if self.is_stream:
            return
        directory = self._path if self._is_directory else self._path.parent
        try:
            if self._is_directory and not dry_run:
                directory.mkdir(parents=True, exist_ok=True)
            if directory.is_dir():
                # Permissions alone do not tell: a disk can be read-only, a quota used up.
                tempfile.TemporaryFile(dir=directory).close()
            elif not self._is_directory or os.path.lexists(directory):
                reason = f"it is not a directory; -o {clean(str(directory))}{os.sep} makes it"
                raise _not_writable(directory, reason)
        except OSError as error:
            raise _not_writable(directory, error.strerror) from None

    def check(self, path: Path, purchase: Purchase | None, *, inputs: Iterable[str] = ()) -> None:
        """Refuse a path where the clip could not be saved, or would replace a picture of this run.

        Args:
            path: one that `assign` returned.
            purchase: what was bought before; None where nothing was.
            inputs: the pictures of the run.

        Raises:
            InputError: `output_exists`, `output_not_writable` or `output_is_an_input`.
        """
        if self.is_stream or (purchase and self._is_saved(path, purchase)):
            return
        shown = clean(str(path))
        try:
            path.lstat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise _not_writable(path, error.strerror) from None
        is_there = os.path.exists(path)  # a dangling link is not
        files = ("/dev/stdin" if each == "-" else each for each in inputs)
        if is_there and any(os.path.exists(file) and path.samefile(file) for file in files):
            message = f"{shown} is an input of this run. Nothing was sent."
            hint = "Choose another -o FILE, or -o DIR/."
            raise InputError("output_is_an_input", message, hint=hint)
        if is_there and not os.path.isfile(path):
            raise _not_writable(path, "it is not a regular file; -o - writes to standard output")
        if not self._force:
            message = f"{shown} exists already. Nothing was sent."
            hint = "--force replaces it; another -o DIR/ keeps both."
            raise InputError("output_exists", message, hint=hint)

    def save(self, purchase: Purchase, path: Path, row: Row) -> tuple[str, ...]:
        """Save the clips of a task; a further clip of the same task gets a number.

        Returns:
            The path of each; nothing where it went to standard output.

        Raises:
            LocalError: one could not be saved; the message has its URL.
            BrokenPipeError: the reader of standard output has closed it.
        """
        files = []
        for number, video in enumerate(purchase.videos, start=1):
            place = path if number == 1 else path.with_stem(f"{path.stem}.{number}")
            try:
                if self.is_stream:
                    self._stream(video.url, row)
                    return ()
                if not self._is_saved(place, purchase):
                    # Nobody has checked that what lies at a further place may go.
                    force = self._force and number == 1
                    self._save(video.url, place, purchase, row, force=force)
            except BrokenPipeError:
                raise
            except OSError as error:
                where = "standard output" if self.is_stream else clean(str(place))
                raise _failed(
                    "output_failed",
                    f"The video could not be written to {where}: {error.strerror}.",
                    video.url,
                    charged=get_charged(purchase),
                ) from None
            files.append(str(place))
        return tuple(files)

    def abandon(self) -> None:
        """Leave no half saved clip behind: the threads that save do not outlive the run."""
        with self._lock:
            self._is_abandoned = True
        for path in self._temporary:
            with suppress(OSError):
                path.unlink()

    def _save(self, url: str, path: Path, purchase: Purchase, row: Row, *, force: bool) -> None:
        temporary = path.with_name(f".kling-{os.urandom(6).hex()}.part")
        with self._lock:
            if self._is_abandoned:
                raise OSError(errno.ECANCELED, "the run was stopped")
            file = temporary.open("x+b")
            self._temporary.append(temporary)
        try:
            with file:
                self._download(url, file, row)
                file.flush()
                os.fsync(file.fileno())
                # Before it has its name, so that a later run knows the file as this one's.
                digest = _digest(file)
                self._journal.keep_file(path, task=purchase.name, size=file.tell(), sha256=digest)
            if force:
                temporary.replace(path)
            else:
                self._link(temporary, path, purchase)
        finally:
            temporary.unlink(missing_ok=True)

    def _link(self, temporary: Path, path: Path, purchase: Purchase) -> None:
        try:
            # Unlike a rename, a link never replaces anything.
            os.link(temporary, path)
        except OSError:
            if not os.path.lexists(path):
                temporary.rename(path)  # some file systems have no links
            elif not self._is_saved(path, purchase):  # by the same command, run at the same time
                raise _failed(
                    "output_exists",
                    f"{clean(str(path))} appeared meanwhile and was left as it is.",
                    purchase.videos[0].url,
                    hint="--force replaces it, -o DIR/ saves beside it; either costs nothing.",
                    charged=get_charged(purchase),
                ) from None

    def _stream(self, url: str, row: Row) -> None:
        import shutil
        import tempfile

        with tempfile.TemporaryFile() as file:
            self._download(url, file, row)
            file.seek(0)
            shutil.copyfileobj(file, self._stdout)
            self._stdout.flush()

    def _download(self, url: str, file: BinaryIO, row: Row) -> None:
        if url.startswith("file:"):  # the sandbox's own; no other URL of that kind gets here
            from urllib.request import url2pathname

            source = Path(url2pathname(urlsplit(url).path))
            # A journal outlives the files that it names.
            file.write((source if source.exists() else _BUNDLED_CLIP).read_bytes())
            return
        clip = _Clip(url, file, row)
        for pause in _PAUSES:
            self._clock.sleep(max(pause, clip.retry_after))
            headers = {"Accept": "video/mp4, */*;q=0.5"}
            if clip.version:  # else versions could mix
                headers |= {"Range": f"bytes={clip.size}-", "If-Range": clip.version}
            try:
                self._open_transport().fetch(url, headers=headers, read=clip.receive, seconds=None)
                return
            except SetupError as error:  # of a proxy variable: the task is paid for all the same
                reason = error.message.removesuffix(" Nothing was sent.").rstrip(".")
                raise clip.fail("download_failed", reason) from None
            except (ExchangeError, _BrokenError) as error:
                reason = str(error)
        raise clip.fail("download_failed", f"{reason}; {len(_PAUSES)} tries were made")

    def _is_saved(self, path: Path, purchase: Purchase) -> bool:
        """Tell whether a file is, byte for byte, the clip of this very task."""
        try:
            known = self._journal.find_file(path, task=purchase.name)
            if known is None or path.is_symlink() or not path.is_file():
                return False
            with path.open("rb") as file:
                return known[1] == _digest(file)
        except (LocalError, OSError):
            return False


class _BrokenError(Exception):
    """This try failed, but the next one may not."""


class _Clip:
    """A clip as far as it has come, over as many tries as it takes."""

    def __init__(self, url: str, file: BinaryIO, row: Row) -> None:
        self._url = url
        self._file = file
        self._row = row
        self._total: int | None = None
        self.size = 0
        self.version = ""
        self.retry_after = 0.0

    def receive(self, status: int, headers: Mapping[str, str], pieces: Iterator[bytes]) -> None:
        """Receive an answer to its end.

        Raises:
            _BrokenError: it is not the whole clip.
            LocalError: it is no clip, or can never be had.
        """
        self.retry_after = min(parse_retry_after(headers.get("Retry-After", "")) or 0, _MAX_PAUSE)
        begins = headers.get("Content-Range", "").startswith(f"bytes {self.size}-")
        if status == 416 or (status == 206 and not begins):
            self.version = ""  # from the beginning
            raise _BrokenError("the server sent another part than it was asked for")
        if status in _TEMPORARY:
            raise _BrokenError(f"the server answers HTTP {status}")
        if status not in (200, 206):
            reason = f"the server answers HTTP {status}; the link may have expired"
            raise self.fail("download_expired", reason)
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise self.fail("download_failed", "the server sends it compressed")
        if status == 200:
            self._file.seek(0)
            self._file.truncate()
            self.size = 0
            length = headers.get("Content-Length")
            self._total = int(length) if length else None
            # What distinguishes one version of a file from another; a weak ETag does not.
            tag = headers.get("ETag", "")
            self.version = tag if tag.startswith('"') else headers.get("Last-Modified", "")
        start = b""
        for piece in pieces:
            if not self.size:
                start += piece
                if len(start) < 8:
                    continue
                if start[4:8] != b"ftyp":  # every MP4 has it behind the length of its first box
                    break
                piece = start
            self.size += len(piece)
            if max(self.size, self._total or 0) > _MAX_BYTES:
                raise self.fail("download_too_large", f"it is larger than {_MAX_BYTES:,} bytes")
            self._file.write(piece)
            self._row.transfer("downloading", self.size, self._total)
        if not self.size:
            kind = clean(headers.get("Content-Type", "").partition(";")[0], limit=40)
            reason = f"what came is not an MP4 video ({kind or 'no type'})"
            raise self.fail("download_not_a_video", reason)
        if self._total not in (None, self.size):
            raise _BrokenError(f"it ended after {self.size:,} of {self._total:,} bytes")

    def fail(self, code: str, reason: str) -> LocalError:
        """Make the error of a clip that could not be had."""
        return _failed(code, f"The video could not be downloaded: {reason}.", self._url)


def _digest(file: BufferedRandom | BufferedReader) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _failed(
    code: str, reason: str, url: str, *, hint: str = _AGAIN, charged: Charged = "yes"
) -> LocalError:
    """Make the error of a clip that was not saved, and is still at its URL."""
    message = f"{reason} It is still at {clean(url, limit=4000)}"
    return LocalError(code, message, hint=hint, charged=charged)


def _not_writable(path: Path, reason: str | None) -> InputError:
    message = f"No clip can be saved at {clean(str(path))}: {reason}. Nothing was sent."
    return InputError("output_not_writable", message)
