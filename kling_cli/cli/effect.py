"""The command `kling effect`."""

import shlex

import typer

from kling_cli.cli import options
from kling_cli.cli.options import argument, complete_field, flag, option
from kling_cli.errors import UsageError

INPUT, EFFECT, BUYING = "Input", "Effect", "Buying"


def effect(
    context: typer.Context,
    scene: str = argument(
        "SCENE", "Name or Chinese title of a scene; see kling scenes.", options.complete_scene
    ),
    images: list[str] | None = argument(
        "[IMAGE...]", "A file, a directory, an http(s) URL, or - for standard input."
    ),
    *,
    from_list: str | None = option(
        "--from", "Read more images from a file, one per line; - is stdin.", INPUT, "FILE"
    ),
    fix: bool = flag("--fix", "Repair pictures before sending, and remove their location.", INPUT),
    no_check_url: bool = flag("--no-check-url", "Do not check image URLs.", INPUT),
    any_scene: bool = flag(
        "--any-scene", "Send a scene or value that is not in the catalogue.", INPUT
    ),
    pair: bool = flag("--pair", "With --any-scene: the scene takes two pictures.", INPUT),
    model: str | None = option(
        "--model", "Model, such as kling-v1-6.", EFFECT, "NAME", complete_field("models")
    ),
    duration: str | None = option(
        "--duration", "Length in seconds: 5 or 10.", EFFECT, "SECONDS", complete_field("durations")
    ),
    mode: str | None = option(
        "--mode", "std or pro, for scenes with two people.", EFFECT, "MODE", complete_field("modes")
    ),
    callback_url: str | None = option(
        "--callback-url", "URL that the service calls on each status change.", EFFECT, "URL"
    ),
    external_task_id: str | None = option(
        "--external-task-id", "Your own id for the task.", EFFECT, "ID"
    ),
    dry_run: bool = flag("--dry-run", "Check everything, but send nothing.", BUYING),
    new: bool = flag("--new", "Buy again, even if it was bought before.", BUYING),
    yes: bool = flag("--yes -y", "Buy without asking.", BUYING),
    jobs: str | None = option("--jobs -j", "Number of parallel tasks. [default: 4]", BUYING, "N"),
    no_wait: bool = flag("--no-wait", "Print the task id as soon as the task is accepted.", BUYING),
    output: str | None = options.OUTPUT,
    force: bool = options.FORCE,
    open: bool = options.OPEN,
    json: bool = options.JSON,
    base_url: str | None = options.BASE_URL,
    sandbox: bool = options.SANDBOX,
    timeout: str | None = options.TIMEOUT,
    quiet: bool = options.QUIET,
    verbose: bool = options.VERBOSE,
) -> int:
    """Make effect videos from photos, and print their URLs.

    kling effect squish photo.jpg
    kling effect squish photo.jpg -o clip.mp4
    kling effect squish left.jpg right.jpg -o clips/
    kling effect hug_pro left.jpg right.jpg
    kling effect squish photo.jpg --json | jq -r '.videos[0].url'
    id=$(kling effect squish photo.jpg --no-wait); kling wait "$id"
    kling effect squish photo.jpg --sandbox

    Pictures are checked before anything is sent: JPEG or PNG, at most 10 MB,
    sides of at least 300 pixels, aspect ratio from 1:2.5 to 2.5:1. A scene
    for two people takes two pictures (left, right) and makes one task; every
    other scene makes one task per picture.

    Each request is bought once: the same command, run again, resumes the wait or
    prints the result at no cost.
    """
    from kling_cli.scenes import catalogue, find

    configured = options.configure(context)
    try:
        found = find(scene, any_scene=any_scene, pair=pair)
    except UsageError:
        words = [scene, *(images or [])]
        if not any(words[-1] == each.name for each in catalogue()):
            raise
        hint = f"kling effect {words[-1]} {shlex.join(words[:-1])}"
        raise UsageError("usage", "The scene comes before the pictures.", hint=hint) from None
    # Imported late, so that a wrong scene name is reported quickly.
    from kling_cli.effect import run
    from kling_cli.models import EffectOptions

    given = [context.params[name] for name in EffectOptions._fields]
    return run(configured, found, EffectOptions(*given))
