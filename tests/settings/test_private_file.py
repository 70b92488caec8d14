"""The private file: whole at every moment, readable by its owner alone."""

import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kling_cli.errors import LocalError, SetupError
from kling_cli.settings.private_file import replace

_WRITE_FOREVER = """
import sys
from pathlib import Path
from kling_cli.settings.private_file import replace
while True:
    replace(Path(sys.argv[1]), sys.argv[2].encode() * 200_000)
"""


@contextmanager
def _no_room_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_file_and_directory_are_the_owners_alone(tmp_path: Path) -> None:
    """A new file is 0600 in a directory 0700, whatever the umask would allow."""
    path = tmp_path / "missing" / "kling" / "config.toml"
    before = os.umask(0)
    try:
        replace(path, b"x = 1\n")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"x = 1\n"
    assert (_mode(path), _mode(path.parent)) == (0o600, 0o700)


def test_no_other_name_of_the_file_is_ever_open_to_others(tmp_path: Path) -> None:
    """The file is created 0600: the system call says so, not a chmod afterwards (fault 75)."""
    trace = tmp_path / "trace"
    program = "import sys; from pathlib import Path; "
    program += "from kling_cli.settings.private_file import replace; "
    program += "replace(Path(sys.argv[1]), b'x')"
    command = [sys.executable, "-c", program, str(tmp_path / "config.toml")]
    traced = ["strace", "-f", "-e", "trace=openat,open,rename,chmod,fchmod", "-o", str(trace)]
    try:
        subprocess.run([*traced, *command], check=True, timeout=60)
    except FileNotFoundError:
        pytest.skip(reason="strace is not installed")
    calls = [line for line in trace.read_text().splitlines() if ".config.toml." in line]
    assert "O_CREAT|O_EXCL" in calls[0]
    assert ", 0600)" in calls[0]
    assert "rename(" in calls[1]
    assert "chmod" not in "".join(calls)


def test_a_wider_old_file_becomes_private(tmp_path: Path) -> None:
    """A file that others could read is closed by the next write."""
    path = tmp_path / "config.toml"
    path.write_bytes(b"old")
    path.chmod(0o644)
    replace(path, b"new")
    assert (path.read_bytes(), _mode(path)) == (b"new", 0o600)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """No room for the new settings is exit 11; the old ones stay whole (fault 75)."""
    path = tmp_path / "config.toml"
    path.write_bytes(b"old settings")
    with _no_room_left(), pytest.raises(LocalError, match="could not be written: ") as caught:
        replace(path, b"new settings")
    assert caught.value.code == "config_write_failed"
    assert path.read_bytes() == b"old settings"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_in_the_files_place_is_told(tmp_path: Path) -> None:
    """What cannot be replaced is an error of this machine, and no temporary file is left over."""
    path = tmp_path / "config.toml"
    path.mkdir()
    with pytest.raises(LocalError, match="could not be written: Is a directory"):
        replace(path, b"x")
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    """Who keeps the settings elsewhere behind links still has the links afterwards (fault 72)."""
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles").chmod(0o775)  # as a umask of 002 makes it
    target = tmp_path / "dotfiles" / "kling.toml"
    target.write_bytes(b"old")
    inner = tmp_path / "dotfiles" / "link.toml"
    inner.symlink_to("kling.toml")
    path = tmp_path / "config.toml"
    path.symlink_to(inner)
    replace(path, b"new")
    assert (path.is_symlink(), inner.is_symlink(), target.is_symlink()) == (True, True, False)
    assert (target.read_bytes(), _mode(target)) == (b"new", 0o600)


def test_nothing_is_written_through_a_link_that_anybody_may_have_put_there(tmp_path: Path) -> None:
    """A link in a shared directory is refused, its target untouched (fault 72)."""
    target = tmp_path / "target"
    target.write_bytes(b"old")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1707)
    path = shared / "config.toml"
    path.symlink_to(target)
    with pytest.raises(SetupError, match="link in a directory that every user") as caught:
        replace(path, b"new")
    assert caught.value.code == "config_unsafe"
    assert target.read_bytes() == b"old"


def test_links_in_a_circle_are_told(tmp_path: Path) -> None:
    """A circle of links is an error, not an endless loop."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(LocalError, match="could not be written: "):
        replace(tmp_path / "a", b"x")


def test_two_writers_and_a_kill_leave_a_whole_file(tmp_path: Path) -> None:
    """While two processes write and then die by SIGKILL, every read is one's work (fault 75)."""
    path = tmp_path / "config.toml"
    replace(path, b"a" * 200_000)
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITE_FOREVER, str(path), letter])
        for letter in "ab"
    ]
    seen: set[bytes] = set()
    end = time.monotonic() + 20
    try:
        while len(seen) < 2 and time.monotonic() < end:
            content = path.read_bytes()
            assert content in (b"a" * 200_000, b"b" * 200_000)
            seen.add(content[:1])
    finally:
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
    assert seen == {b"a", b"b"}
    assert path.read_bytes() in (b"a" * 200_000, b"b" * 200_000)
    assert _mode(path) == 0o600
