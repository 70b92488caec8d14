"""A video URL becomes a file: its name, where it goes, how it comes, and that it is whole."""

import hashlib
import os
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from pathlib import Path, PurePath, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from kling_cli.api.transport import ExchangeError
from kling_cli.console import Row
from kling_cli.context import Context
from kling_cli.errors import Charged, ExitCode, InputError, LocalError, StoppedError, UsageError
from kling_cli.models import Purchase
from kling_cli.purchase import get_charged
from kling_cli.text import clean

# Seconds before each try.
_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
# Far above any clip (10 s of the best quality are about 30 MB), so that no server fills the disk.
_MAX_BYTES = 1 << 30
_TEMPORARY = frozenset({408, 425, 429, *range(500, 600)})
_SANDBOX_CLIP = Path(__file__).with_name("sandbox") / "clip.mp4"
# In bytes, of pictures and scene each: with number and extension a name stays below 255.
_MAX_NAME = 115
_AGAIN = "Run the same command again to download the video at no cost."


class Downloads:
    """Saves the clips of one run; shared by its threads.

    Args:
        context: what the run works with.
        value: the value of `-o`: `-` for standard output; a directory if it exists or the value
            ends with a separator; else a file.
        tasks: how many tasks there are.
        force: replace existing files.

    Raises:
        UsageError: the value does not fit the number of tasks.
    """

    def __init__(self, context: Context, value: str, *, tasks: int, force: bool) -> None:
        self.is_stream = value == "-"
        self._context = context
        self._path = Path(value)
        self._is_directory = os.path.isdir(value) or value.endswith(os.sep)
        self._force = force
        self._parts: list[Path] = []
        self._lock = threading.Lock()
        if tasks > 1 and not self._is_directory:
            message = f"{tasks} videos need a directory, but -o {clean(value)} is not one."
            raise UsageError("output_is_one_file", message, hint="Use a directory: -o DIR/")
        if self.is_stream and context.stdout.isatty():
            message = "Cannot write a video to a terminal."
            hint = "Use a file (-o clip.mp4) or a pipe (-o - | mpv -)."
            raise UsageError("output_is_a_terminal", message, hint=hint)

    def assign(self, names: Iterable[str]) -> list[Path]:
        """Return the path of each clip from the names of `name_clip`; duplicates get a number."""
        if not self._is_directory:
            return [self._path for _ in names]
        counts: Counter[str] = Counter()
        paths = []
        for name in names:
            folded = name.casefold()  # some file systems ignore case
            counts[folded] += 1
            number = f"-{counts[folded]}" if counts[folded] > 1 else ""
            paths.append(self._path / f"{name}{number}.mp4")
        return paths

    def prepare(self, *, dry_run: bool = False) -> None:
        """Create the directory, and check that a file can be created in it."""
        import tempfile

        if self.is_stream:
            return
        directory = self._path if self._is_directory else self._path.parent
        try:
            if self._is_directory and not dry_run:
                directory.mkdir(parents=True, exist_ok=True)
            if directory.exists() or not (dry_run and self._is_directory):
                # Permissions are not enough: a disk can be read-only, or a quota used up.
                tempfile.TemporaryFile(dir=directory).close()
        except OSError as error:
            raise _not_writable(directory, error.strerror) from None

    def check(self, path: Path, purchase: Purchase | None, *, inputs: Iterable[str] = ()) -> None:
        """Refuse a path where the clip cannot be saved or would replace an input of this run.

        Args:
            path: a path that `assign` returned.
            purchase: the earlier purchase, if there is one.
            inputs: the pictures of the run.

        Raises:
            InputError: `output_exists`, `output_not_writable` or `output_is_an_input`.
        """
        if self.is_stream or not os.path.lexists(path):
            return
        if purchase and self._is_saved(path, purchase):
            return
        shown = clean(str(path))
        if not path.is_file():
            raise _not_writable(path, "it is not a regular file; -o - writes to standard output")
        files = ("/dev/stdin" if each == "-" else each for each in inputs)
        if any(os.path.exists(file) and path.samefile(file) for file in files):
            message = f"{shown} is an input of this command and is not replaced. Nothing was sent."
            hint = "Use another -o FILE, or -o DIR/."
            raise InputError("output_is_an_input", message, hint=hint)
        if not self._force:
            message = f"{shown} already exists. Nothing was sent."
            hint = "Use --force to replace it, or another -o to keep both."
            raise InputError("output_exists", message, hint=hint)

    def save(self, purchase: Purchase, path: Path, row: Row) -> tuple[str, ...]:
        """Save the clips of a task; further clips of the same task get a number.

        Returns:
            The path of each; empty for standard output.

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
                    # Only the first path was checked, so --force does not apply to the others.
                    self._save(video.url, place, purchase, row, force=self._force and number == 1)
            except BrokenPipeError:
                raise
            except OSError as error:
                where = "standard output" if self.is_stream else clean(str(place))
                reason = f"The video could not be written to {where}: {error.strerror}."
                charged = get_charged(purchase)
                raise _failed("output_failed", reason, video.url, charged) from None
            files.append(str(place))
        return tuple(files)

    def abandon(self) -> None:
        """Delete incomplete files, because the threads end with the run."""
        with self._lock:
            for part in self._parts:
                with suppress(OSError):
                    part.unlink()

    def _save(self, url: str, path: Path, purchase: Purchase, row: Row, *, force: bool) -> None:
        temporary = path.with_name(f".kling-{os.urandom(6).hex()}.part")
        journal = self._context.journal
        with self._lock:
            if self._context.stopped.is_set():  # `abandon` has run already
                raise StoppedError("Stopped.", exit_code=ExitCode.INTERRUPT)
            part = temporary.open("x+b")
            self._parts.append(temporary)
        try:
            with part as file:
                self._download(url, file, row)
                file.flush()
                os.fsync(file.fileno())
                # Before it has its name, so that a later run recognises the file.
                digest = _digest(file)
                journal.keep_file(path, task=purchase.name, size=file.tell(), sha256=digest)
            if force:
                temporary.replace(path)
                return
            try:
                os.link(temporary, path)  # unlike a rename, this never replaces a file
            except OSError:
                if not os.path.lexists(path):
                    temporary.rename(path)  # some file systems do not support links
                # The same command may have saved it at the same time.
                elif not self._is_saved(path, purchase):
                    raise
        finally:
            temporary.unlink(missing_ok=True)

    def _stream(self, url: str, row: Row) -> None:
        import shutil
        import tempfile

        with tempfile.TemporaryFile() as file:
            self._download(url, file, row)
            file.seek(0)
            shutil.copyfileobj(file, self._context.stdout.buffer)
            self._context.stdout.buffer.flush()

    def _download(self, url: str, file: BinaryIO, row: Row) -> None:
        if url.startswith("file:"):  # only the sandbox sends these, always with the same clip
            file.write(_SANDBOX_CLIP.read_bytes())
            return
        clip = _Clip(url, file, row)
        with closing(self._context.open_transport()) as transport:
            for pause in _PAUSES:
                self._context.clock.sleep(pause)
                headers = {}
                if clip.version:  # else two versions could be mixed
                    headers = {"Range": f"bytes={clip.size}-", "If-Range": clip.version}
                try:
                    transport.fetch(url, headers, clip.receive, None)
                    return
                except ExchangeError as error:
                    reason = str(error)
                    if error.hint:
                        break
        raise clip.fail("download_failed", reason)

    def _is_saved(self, path: Path, purchase: Purchase) -> bool:
        """Tell whether a file is, byte for byte, the clip of this task."""
        with suppress(LocalError, OSError):
            known = self._context.journal.find_file(path, task=purchase.name)
            if known is not None:
                with path.open("rb") as file:
                    return known[1] == _digest(file)
        return False


@dataclass
class _Clip:
    """A partly downloaded clip, over several tries."""

    url: str
    file: BinaryIO
    row: Row
    total: int | None = None
    size: int = 0
    version: str = ""

    def receive(self, status: int, headers: Mapping[str, str], pieces: Iterator[bytes]) -> None:
        """Receive a response to its end.

        Raises:
            ExchangeError: the clip is incomplete.
            LocalError: it is not a clip, or is no longer available.
        """
        begins = headers.get("Content-Range", "").startswith(f"bytes {self.size}-")
        if status == 206 and not begins:
            self.version = ""  # start again
            raise ExchangeError("the server sent the wrong part of the file")
        if status in _TEMPORARY:
            raise ExchangeError(f"the server responded with HTTP {status}")
        if status not in (200, 206):
            reason = f"the server responded with HTTP {status}; the link may have expired"
            raise self.fail("download_expired", reason)
        if status == 200:
            self.file.seek(0)
            self.file.truncate()
            self.size = 0
            length = headers.get("Content-Length")
            self.total = int(length) if length else None
            self.version = headers.get("ETag") or headers.get("Last-Modified", "")
        for piece in pieces:
            self.size += len(piece)
            if max(self.size, self.total or 0) > _MAX_BYTES:
                raise self.fail("download_too_large", f"it is larger than {_MAX_BYTES:,} bytes")
            self.file.write(piece)
            self.row.transfer("downloading", self.size, self.total)
        if self.total not in (None, self.size):
            raise ExchangeError(f"the download ended after {self.size:,} of {self.total:,} bytes")
        self.file.seek(4)
        if self.file.read(4) != b"ftyp":  # in every MP4, after the length of its first box
            raise self.fail("download_not_a_video", "the server did not send an MP4 video")

    def fail(self, code: str, reason: str) -> LocalError:
        """Create the error of a clip that could not be downloaded."""
        return _failed(code, f"The video could not be downloaded: {reason}.", self.url)


def name_clip(sources: Sequence[str], name: str) -> str:
    """Name a clip after the user's input, never after a server's.

    Args:
        sources: the pictures that it is made of, as they were given.
        name: of its scene, or of a task whose pictures are not known.
    """
    stems = [_cut(_stem(source), _MAX_NAME // len(sources)) for source in sources]
    return "-".join([*stems, _cut(name, _MAX_NAME)])


def _stem(source: str) -> str:
    if source == "-":
        return "stdin"
    if "://" in source:
        return unquote(PurePosixPath(urlsplit(source).path).stem)
    return PurePath(source).stem


def _cut(text: str, most: int) -> str:
    """Turn a text into a valid part of a file name with a maximum length in bytes."""
    text = re.sub(r'[<>:"/\\|?*]', "_", " ".join(text.split()))
    text = "".join(filter(str.isprintable, text)).lstrip(".- ")
    return text.encode()[:most].decode(errors="ignore").rstrip() or "clip"


def _digest(file: BufferedRandom | BufferedReader) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _failed(code: str, reason: str, url: str, charged: Charged = "yes") -> LocalError:
    """Create the error of a clip that was not saved and is still at its URL."""
    message = f"{reason} It is still available at {clean(url, limit=4000)}"
    return LocalError(code, message, hint=_AGAIN, charged=charged)


def _not_writable(path: Path, reason: str | None) -> InputError:
    message = f"Cannot save a video to {clean(str(path))}: {reason}. Nothing was sent."
    return InputError("output_not_writable", message, hint="-o DIR/ creates the directory.")
