"""Which program the shell starts at the word `kling`."""

import os
from pathlib import Path

from kling_cli.watching.command import find_command


def test_the_path_that_it_was_started_by_is_its_own(tmp_path: Path) -> None:
    """A copy that stands beside no interpreter, as on Windows, is known by its own path."""
    copy = tmp_path / "kling"
    copy.write_text("#!/bin/sh\n")
    copy.chmod(0o755)
    found = find_command({"PATH": str(tmp_path)}, started_as=str(copy))
    assert (found.first, found.own, found.is_own) == (str(copy), str(copy), True)


def test_a_relative_start_is_told_in_full() -> None:
    """Started as bin/kling, it is told by a path that works from everywhere."""
    relative = os.path.relpath(find_command({"PATH": "/nowhere"}).own or "")
    found = find_command({"PATH": "/nowhere"}, started_as=relative)
    assert found.first is None
    assert found.own is not None
    assert Path(found.own).is_absolute()


def test_a_module_is_no_command() -> None:
    """Called by `python -m`, the module's file is not taken for the command."""
    found = find_command({"PATH": "/nowhere"}, started_as="/x/kling_cli/__main__.py")
    assert found.own is None or "__main__" not in found.own
