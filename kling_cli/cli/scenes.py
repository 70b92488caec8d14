"""The command `kling scenes`."""

from typing import TYPE_CHECKING

import typer

from kling_cli.cli import options
from kling_cli.cli.options import argument, flag

if TYPE_CHECKING:
    from kling_cli.scenes import Scene

_COLUMNS = ("SCENE", "TITLE", "TAKES", "NOTE")


def scenes(
    context: typer.Context,
    text: str | None = argument(
        "[TEXT]", "Show only scenes with this in their name or title.", options.complete_scene
    ),
    *,
    pair: bool = flag("--pair", "Show only scenes for two pictures."),
    show_all: bool = flag("--all", "Show ended scenes too."),
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """List the effect scenes in the catalogue.

    kling scenes
    kling scenes pet
    kling scenes --pair
    kling scenes --json | jq -r 'select(.images == 2) | .name'

    In a pipe, each line has name, number of pictures, current or older (whether
    the provider still lists it), title, note, end date and successor, separated
    by tabs. The provider changes its scenes monthly; to use one that is not
    listed here, run kling effect with --any-scene.
    """
    from kling_cli.scenes import search

    run = options.configure(context)
    found = [scene for scene in search(text or "") if scene.is_pair or not pair]
    chosen = [scene for scene in found if not scene.ended]
    ended = [scene for scene in found if scene.ended]
    if show_all:
        chosen += ended
    if not chosen:
        others = " --all shows ended ones too." if ended else ""
        run.console.info(f"No scene matches.{others} kling scenes lists all.")
    if json:
        for scene in chosen:
            record = scene._asdict()
            record["images"] = record.pop("pictures")
            run.output.record(record)
        return 0
    shown = [(each.name, each.title or "", _describe(each), _note(each)) for each in chosen]
    rows = [
        (
            *(each.name, str(each.pictures), each.listed or "", each.title or ""),
            *(each.note or "", each.ended or "", each.successor or ""),
        )
        for each in chosen
    ]
    run.output.table(_COLUMNS, shown, rows)
    return 0


def _describe(scene: "Scene") -> str:
    """Describe what a scene takes, such as `2 photos, 5 or 10 s, std or pro`."""
    parts = ["2 photos" if scene.is_pair else "1 photo"]
    if scene.durations[1:]:
        parts.append(f"{' or '.join(scene.durations)} s")
    if scene.modes:
        parts.append(" or ".join(scene.modes))
    return ", ".join(parts)


def _note(scene: "Scene") -> str:
    parts = [f"ended {scene.ended}"] if scene.ended else []
    parts += [f"successor: {scene.successor}"] if scene.successor else []
    parts += [scene.note] if scene.note else []
    return "; ".join(parts)
