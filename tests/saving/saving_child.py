"""A process that saves one clip: `saving_child.py URL PATH`; prints how that ended."""

import sys
from pathlib import Path

from kling_cli.clock import SystemClock
from kling_cli.errors import LocalError
from kling_cli.saving.download import Saved, save
from kling_cli.saving.fetching import Limits
from kling_cli.transport.exchange import Transport


def note(_saved: Saved) -> None:
    """Keep no journal."""


def main(url: str, path: str) -> None:
    """Save a clip from a service on this machine."""
    try:
        save(
            url,
            Path(path),
            transport=Transport(),
            clock=SystemClock(),
            allow_private=True,
            allow_file=True,
            force=False,
            before_naming=note,
            limits=Limits(tries=1),
        )
    except LocalError as error:
        print(error.code, error.message)
    else:
        print("saved")


main(*sys.argv[1:])
