"""The command `kling scenes`."""

from dataclasses import asdict
from typing import Annotated

import typer

from kling_cli.cli import options

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SCENE...]",
        help="Only these scenes.",
        autocompletion=options.complete_scene,
    ),
]


def scenes(
    context: typer.Context,
    names: Names = None,
    *,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """List the effect scenes in the catalogue.

    kling scenes
    kling scenes squish hug
    kling scenes --json | jq -r 'select(.images == 2) | .name'

    In a pipe each line has name, number of pictures, current or older (whether
    the provider still lists it), title and note, with tabs between. The
    provider changes its scenes monthly; kling effect --any-scene sends one that
    is not listed here.
    """
    from kling_cli.scenes import catalogue, find

    run = options.configure(context)
    chosen = [find(name) for name in names] if names else catalogue()
    if json:
        for scene in chosen:
            record = asdict(scene)
            record["images"] = record.pop("pictures")
            run.output.record(record)
        return 0
    rows = [
        (scene.name, str(scene.pictures), scene.listed or "", scene.title or "", scene.note or "")
        for scene in chosen
    ]
    run.output.table(("SCENE", "PICTURES", "LISTED", "TITLE", "NOTE"), rows)
    return 0
