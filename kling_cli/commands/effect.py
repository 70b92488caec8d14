"""The command `kling effect`."""

from typing import Annotated

import typer

from kling_cli import options
from kling_cli.errors import UsageError

SceneName = Annotated[
    str,
    typer.Argument(metavar="SCENE", help="A scene of kling scenes, by its name or Chinese title."),
]
Images = Annotated[
    list[str] | None,
    typer.Argument(metavar="[IMAGE...]", help="A path, an http(s) URL, or - for standard input."),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="FILE", help="More images, one a line; - is standard input."),
]
Jobs = Annotated[
    str | None, typer.Option("--jobs", metavar="N", help="So many tasks at once. [default: 4]")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Buy several tasks without asking.")]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Print the task id as soon as the task is accepted.")
]
New = Annotated[
    bool, typer.Option("--new", help="Buy again what was bought before with the same pictures.")
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="The model, such as kling-v1-6.")
]
Duration = Annotated[
    str | None, typer.Option("--duration", metavar="SECONDS", help="The length: 5, or 10.")
]
Mode = Annotated[
    str | None, typer.Option("--mode", metavar="MODE", help="std or pro, for two people.")
]
CallbackUrl = Annotated[
    str | None,
    typer.Option("--callback-url", metavar="URL", help="Where the service tells each change."),
]
ExternalTaskId = Annotated[
    str | None,
    typer.Option("--external-task-id", metavar="ID", help="Your own id for the task."),
]
Fix = Annotated[
    bool,
    typer.Option("--fix", help="Repair pictures that the service would refuse; say how."),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Check all, show what would be sent, and send nothing."),
]
NoCheckUrl = Annotated[
    bool, typer.Option("--no-check-url", help="Send an image's URL without looking at it first.")
]
AnyScene = Annotated[
    bool, typer.Option("--any-scene", help="Send a scene or value that the catalogue lacks.")
]
Pair = Annotated[bool, typer.Option("--pair", help="With --any-scene: it takes two pictures.")]


def effect(
    context: typer.Context,
    scene: SceneName,
    images: Images = None,
    *,
    from_list: From = None,
    jobs: Jobs = None,
    yes: Yes = False,
    no_wait: NoWait = False,
    new: New = False,
    model: Model = None,
    duration: Duration = None,
    mode: Mode = None,
    callback_url: CallbackUrl = None,
    external_task_id: ExternalTaskId = None,
    fix: Fix = False,
    dry_run: DryRun = False,
    no_check_url: NoCheckUrl = False,
    any_scene: AnyScene = False,
    pair: Pair = False,
    output: options.Output = None,
    force: options.Force = False,
    timeout: options.Timeout = None,
    base_url: options.BaseUrl = None,
    sandbox: options.Sandbox = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> int:
    """Make effect videos of photos, and print their URLs.

    \b
      kling effect squish photo.jpg
      kling effect squish photo.jpg -o clip.mp4
      kling effect squish left.jpg right.jpg -o clips/
      kling effect hug left.jpg right.jpg --mode pro --duration 10
      kling effect squish photo.jpg --json | jq -r '.videos[0].url'
      id=$(kling effect squish photo.jpg --no-wait); kling wait "$id"
      kling effect squish photo.jpg --sandbox

    The pictures are checked before anything is sent: JPEG or PNG, at most
    10 MB, sides of 300 pixels or more, no longer than 2.5 to 1. A scene for
    two people takes two pictures (left, right) and makes one task; every other
    scene makes one task for each picture.

    The same request is bought once: run again, the command goes on waiting, or
    prints what is there already, at no cost. Once one task has run into
    --timeout, nothing new is submitted; run again, the command goes on.
    """
    from kling_cli import scenes
    from kling_cli.buying.listing import gather

    chosen = scenes.find(scene, any_scene=any_scene, pair=pair)
    if pair and chosen.pictures != scenes.PAIR:
        raise UsageError(
            "usage",
            f"{chosen.name} takes one picture; --pair is for scenes that the catalogue lacks.",
            hint=f"Leave --pair out: kling scenes {chosen.name}",
        )
    sources = gather(images or (), from_list, options.find_world(context))
    # Only now, because a wrong command should be told without loading all that buying takes.
    from kling_cli.buying.basket import Basket
    from kling_cli.buying.checkout import buy

    session = options.open_session(
        context,
        json=json,
        quiet=quiet,
        verbose=verbose,
        sandbox=sandbox,
        timeout=timeout,
        output=output,
        base_url=base_url,
        model=model,
        jobs=jobs,
    )
    basket = Basket(
        scene=chosen,
        sources=sources,
        from_list=from_list,
        duration=duration,
        mode=mode,
        callback_url=callback_url,
        external_task_id=external_task_id,
        is_any_scene=any_scene,
        is_anew=new,
        is_rehearsal=dry_run,
        is_agreed=yes,
        replaces_files=force,
        waits=not no_wait,
        checks_urls=not no_check_url,
        fixes=fix,
    )
    return buy(session, basket)
