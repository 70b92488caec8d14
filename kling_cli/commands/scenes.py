"""The command `kling scenes`."""

from typing import TYPE_CHECKING, Annotated

import typer

from kling_cli import options

if TYPE_CHECKING:
    from kling_cli.scenes import Scene

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[SCENE...]", help="Only these; all if none is named.")
]


def scenes(
    context: typer.Context,
    names: Names = None,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """List the effect scenes that this program knows.

    \b
      kling scenes
      kling scenes squish hug
      kling scenes --json | jq -r 'select(.images == 2) | .name'

    Each line: name, pictures needed, current or older (whether the provider
    still lists it), title, note, with tabs between; on a terminal, in columns.
    The provider changes its scenes monthly; --any-scene of kling effect sends
    one that is not here.
    """
    from kling_cli.scenes import catalogue, find

    session = options.open_session(context, json=json, quiet=quiet, verbose=verbose)
    chosen = [find(name) for name in names] if names else catalogue()
    if json:
        for scene in chosen:
            session.printer.write_record(_shape(scene))
        return 0
    rows = [
        (scene.name, str(scene.pictures), scene.listed or "", scene.title or "", scene.note or "")
        for scene in chosen
    ]
    session.printer.write_table(("SCENE", "PICTURES", "LISTED", "TITLE", "NOTE"), rows)
    return 0


def _shape(scene: "Scene") -> dict[str, object]:
    return {
        "name": scene.name,
        "images": scene.pictures,
        "models": list(scene.models),
        "durations": list(scene.durations),
        "modes": list(scene.modes),
        "title": scene.title,
        "listed": scene.listed,
        "note": scene.note,
    }
