"""Which program the shell starts at the word `kling`: other packages install that name, too."""

import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_NAME = "kling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What the shell finds first, and how this program is called whatever the shell finds.

    `first` is None where no such command is on PATH, `own` where this program has none anywhere.
    """

    first: str | None
    own: str | None
    is_own: bool
    call: str


def find_command(environ: Mapping[str, str], *, started_as: str = "") -> Command:
    """Find the command that is first on PATH, and tell whether it is this program.

    Args:
        environ: where PATH is looked up.
        started_as: the program's own path, as the system gave it to the process.
    """
    first = shutil.which(_NAME, path=environ.get("PATH", os.defpath))
    places = list(_find_own(started_as))
    own = places[0] if places else None
    return Command(
        first=first,
        own=own,
        is_own=first is not None and any(Path(first).samefile(place) for place in places),
        call=f"{shlex.quote(sys.executable or 'python')} -m kling_cli",
    )


def _find_own(started_as: str) -> Iterator[str]:
    started = Path(started_as)
    if started.stem == _NAME and started.is_file():
        yield str(started.absolute())
    for scheme in (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")):
        found = shutil.which(_NAME, path=sysconfig.get_path("scripts", scheme))
        if found is not None:
            yield found
