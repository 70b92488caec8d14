"""Where clips go is settled, made and tried before anything is bought."""

import io
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kling_cli.errors import ExitCode, InputError, UsageError
from kling_cli.saving.target import Target, choose

PIPE = io.StringIO()
NAMES = ["a-squish.mp4", "b-squish.mp4", "A-squish.mp4"]


class Terminal(io.StringIO):
    """A standard output that a person looks at."""

    def isatty(self) -> bool:
        """Be a terminal."""
        return True


def settle(value: str | Path, *, tasks: int = 1, force: bool = False) -> Target:
    """Settle where the clips go, standard output being a pipe."""
    return choose(str(value), tasks=tasks, force=force, stdout=PIPE)


def refuse(target: Target, code: str, path: Path | None = None) -> InputError:
    """Prepare and check a target that has to be refused, and leave nothing behind."""
    place = path or target.path
    before = sorted(place.parent.rglob("*"))
    with pytest.raises(InputError) as caught:
        try_out(target, place)
    error = caught.value
    assert sorted(place.parent.rglob("*")) == before
    assert (error.code, error.exit_code, error.charged) == (code, ExitCode.BAD_INPUT, "no")
    assert error.message.endswith("Nothing was sent.")
    assert error.message.isprintable()
    return error


def prepare(target: Target) -> None:
    """Prepare and check a target as a run does."""
    (path,) = target.assign(NAMES[:1])
    try_out(target, path)


def try_out(target: Target, path: Path) -> None:
    """Prepare a target and check one path of it."""
    target.prepare()
    target.check(path)


def test_a_file_is_a_file(tmp_path: Path) -> None:
    """One task, one name: the clip goes there, and nothing is made before it comes."""
    target = settle(tmp_path / "clip.mp4")
    prepare(target)
    assert (target.kind, target.assign(["x"])) == ("file", [tmp_path / "clip.mp4"])
    assert list(tmp_path.iterdir()) == []


def test_a_name_without_a_directory_lies_in_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare name is a file in the working directory."""
    monkeypatch.chdir(tmp_path)
    prepare(settle("clip.mp4"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tasks", [0, 1, 3])
@pytest.mark.parametrize("name", ["", "new/", "new/deep/"])
def test_a_directory_is_made(tmp_path: Path, name: str, tasks: int) -> None:
    """One that is there, or a value that ends as one, takes any number of clips (fault 81)."""
    target = settle(f"{tmp_path}/{name}", tasks=tasks)
    prepare(target)
    assert target.kind == "directory"
    assert target.path.is_dir()
    assert list(target.path.iterdir()) == []
    assert target.assign(NAMES) == [
        target.path / name for name in ("a-squish.mp4", "b-squish.mp4", "A-squish-2.mp4")
    ]


def test_several_clips_make_a_directory_of_any_name(tmp_path: Path) -> None:
    """With several tasks a value without a separator is a directory as well."""
    target = settle(tmp_path / "clips", tasks=2)
    prepare(target)
    assert (tmp_path / "clips").is_dir()


def test_standard_output_takes_one_clip() -> None:
    """A dash is no file, and nothing is tried."""
    target = settle("-")
    prepare(target)
    assert target.kind == "stream"


@pytest.mark.parametrize(
    ("value", "tasks", "code"),
    [("-", 2, "output_is_a_stream"), ("-", 0, "output_is_a_stream"), ("", 1, "output_empty")],
)
def test_a_value_that_fits_no_run_is_a_usage_error(value: str, tasks: int, code: str) -> None:
    """What could never be right is found before anything else."""
    with pytest.raises(UsageError) as caught:
        settle(value, tasks=tasks)
    assert (caught.value.code, caught.value.exit_code) == (code, ExitCode.USAGE)


def test_a_file_cannot_take_several_clips(tmp_path: Path) -> None:
    """The clips of several tasks do not overwrite each other."""
    path = tmp_path / "clip.mp4"
    path.touch()
    with pytest.raises(UsageError) as caught:
        settle(path, tasks=3)
    assert caught.value.message == f"{path} is a file, and 3 clips cannot go to one file."
    assert caught.value.hint == "Name a directory: -o DIR/"


def test_a_terminal_is_spared() -> None:
    """A clip on a terminal would garble it, as with curl."""
    with pytest.raises(UsageError) as caught:
        choose("-", tasks=1, force=False, stdout=Terminal())
    assert caught.value.code == "output_is_a_terminal"


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_that_exists_is_refused(tmp_path: Path, *, is_link: bool) -> None:
    """Nothing is overwritten, not even through a link to nothing (fault 80)."""
    path = tmp_path / "clip.mp4"
    if is_link:
        path.symlink_to(tmp_path / "nothing")
    else:
        path.write_bytes(b"old")
    error = refuse(settle(path), "output_exists")
    assert error.message == f"{path} is there already. Nothing was sent."
    assert "--force" in error.hint
    assert "-o DIR/" in error.hint
    prepare(settle(path, force=True))


def test_a_file_in_a_directory_is_refused_too(tmp_path: Path) -> None:
    """A name that we choose overwrites nothing either (fault 80)."""
    target = settle(tmp_path, tasks=3)
    (tmp_path / "b-squish.mp4").touch()
    first, second, _ = target.assign(NAMES)
    target.check(first)
    refuse(target, "output_exists", second)


def test_a_file_of_an_earlier_run_is_no_hindrance(tmp_path: Path) -> None:
    """The rerun of a command meets its own clips, and asks only about what is there."""
    asked = list[Path]()

    def is_own(path: Path) -> bool:
        asked.append(path)
        return path.name.startswith("a")

    target = settle(tmp_path, tasks=3)
    paths = target.assign(NAMES)
    paths[0].touch()
    paths[1].touch()
    target.check(paths[0], is_own=is_own)
    with pytest.raises(InputError):
        target.check(paths[1], is_own=is_own)
    target.check(paths[2], is_own=is_own)
    assert asked == paths[:2]


@pytest.mark.parametrize(("name", "is_absent"), [("new", True), ("file", False)])
def test_a_missing_directory_of_a_file_is_not_made(
    tmp_path: Path, name: str, *, is_absent: bool
) -> None:
    """A slip of the finger makes no directory; the way to have one made is told (fault 81)."""
    (tmp_path / "file").touch()
    error = refuse(settle(tmp_path / name / "clip.mp4"), "output_directory_missing")
    assert error.hint == (f"-o {tmp_path / name}/ makes it." if is_absent else "")


@pytest.mark.parametrize("name", ["file/", "file/deeper/"])
def test_a_file_in_the_way_of_a_directory_is_told(tmp_path: Path, name: str) -> None:
    """What is no directory does not become one (fault 81)."""
    (tmp_path / "file").touch()
    target = settle(f"{tmp_path}/{name}")
    assert refuse(target, "output_not_writable").message.startswith("No clip can be saved at ")


@pytest.mark.parametrize("value", ["/proc/", "/proc/new/", "/sys/", "/sys/clip.mp4"])
def test_a_directory_that_takes_no_files_is_told(value: str) -> None:
    """Whether a file can be made is tried, also where the permissions would allow it (fault 81)."""
    with pytest.raises(InputError) as caught:
        prepare(settle(value))
    assert caught.value.code == "output_not_writable"


@pytest.mark.parametrize(
    "value", ["/dev/null", "/dev/full", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
)
@pytest.mark.parametrize("force", [False, True])
def test_a_device_is_no_file(value: str, *, force: bool) -> None:
    """Nobody loses /dev/null to a clip; how to write to standard output is told."""
    target = settle(value, force=force)
    with pytest.raises(InputError) as caught:
        target.prepare()
    assert caught.value.code == "output_not_writable"
    assert "-o - writes to standard output" in caught.value.message
    assert Path("/dev/null").is_char_device()


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Path]:
    """A directory with what is neither file nor link in it."""
    (tmp_path / "directory.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "socket.mp4"))
        yield tmp_path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("directory", "it is a directory"),
        ("pipe", "it is no file"),
        ("socket", "it is no file"),
        ("x" * 250, "File name too long"),
        ("a\0b", "no file can have this name"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_what_no_file_can_replace_is_told(odd: Path, name: str, words: str, *, force: bool) -> None:
    """Also --force does not put a clip in the place of a directory or a pipe."""
    target = settle(odd, force=force)
    error = refuse(target, "output_not_writable", odd / f"{name}.mp4")
    assert words in error.message


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_what_stands_in_the_way_of_the_part_is_told(tmp_path: Path, kind: str) -> None:
    """What the clip is called meanwhile must be free too, but for the rest of a killed run."""
    part = tmp_path / "clip.mp4.part"
    if kind == "link":
        part.symlink_to("/etc/passwd")
    else:
        part.mkdir()
    assert (
        f"{part} is in the way"
        in refuse(settle(part.with_suffix("")), "output_not_writable").message
    )


def test_the_rest_of_a_killed_run_is_no_hindrance(tmp_path: Path) -> None:
    """A stale `.part` is begun anew later, and not touched before."""
    part = tmp_path / "clip.mp4.part"
    part.write_bytes(b"old")
    prepare(settle(tmp_path / "clip.mp4"))
    assert part.read_bytes() == b"old"


def test_a_strange_name_is_shown_safely(tmp_path: Path) -> None:
    """A name with escape bytes in it does not reach the terminal as it is."""
    (tmp_path / "\x1b[2J").touch()
    assert "\\x1b[2J" in refuse(settle(tmp_path / "\x1b[2J"), "output_exists").message


@pytest.mark.parametrize("value", ["a\0b", "x" * 5000])
def test_a_value_that_no_system_takes_is_told(value: str) -> None:
    """A value too odd to be looked at is refused when it is tried."""
    with pytest.raises(InputError) as caught:
        settle(value).prepare()
    assert caught.value.code == "output_not_writable"
    with pytest.raises(InputError):
        settle(f"{value}/").prepare()
