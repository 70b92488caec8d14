"""One `kling effect` run: options → pictures → requests → confirm → runner."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib import import_module

from kling_cli import output
from kling_cli.api.parse import is_plain_http, is_safe_id
from kling_cli.context import Context
from kling_cli.errors import ExitCode, InputError, UsageError
from kling_cli.models import EffectOptions
from kling_cli.scenes import Scene
from kling_cli.sources import STDIN, Group, Item, list_sources, prepare
from kling_cli.text import clean

# Always send the model: the service's default for two people is the oldest one, and one gateway has
# no default.
_PREFERRED_MODEL = "kling-v1-6"


def run(context: Context, scene: Scene, options: EffectOptions) -> ExitCode:
    """Create one task per picture or pair, and print its result.

    Raises:
        UsageError: the options contradict the scene, or each other.
        SetupError: settings or token are invalid.
        StoppedError: the user declined to buy.
    """
    sources = list_sources(options.images, options.from_list, context.stdin)
    if not sources:
        context.console.info("The list contains no pictures. Nothing to do.")
        return ExitCode.OK
    groups = _group(scene, sources)
    _check_options(context, options, scene, tasks=len(groups))
    fields = _choose_fields(context, options, scene)
    # A picture that is passed twice is one item.
    known = {group: Item(group) for group in groups}
    _check_pictures(context, options, list(known.values()))
    # Late, because a thread has imported these while the first picture was decoded.
    from kling_cli import runner
    from kling_cli.jobs import EffectJobs

    effect = EffectJobs(context, options, scene, fields, [known[group] for group in groups])
    effect.prepare()
    effect.confirm()
    view = output.IDS if options.no_wait else output.LOCATIONS
    if options.dry_run:
        context.console.info("Dry run: nothing is sent.")
        view = output.PLANS
    context.console.scene = scene.name
    resume = "Run the same command again to resume. Nothing is bought twice."
    if options.new:
        resume = "Resume with kling wait. With --new, the same command would buy them again."
    return runner.run(
        context,
        effect.jobs(),
        # Nothing is sent in a dry run, so one worker is enough and keeps the order.
        workers=1 if options.dry_run else context.settings.jobs,
        view=view,
        downloads=effect.downloads,
        open=options.open,
        resume=resume,
    )


def _check_pictures(context: Context, options: EffectOptions, items: Sequence[Item]) -> None:
    """Check every picture; a refused one is reported when its job runs."""
    is_sent = not (options.dry_run or context.settings.is_sandbox)
    load = _load_early if is_sent else lambda: None
    row = context.console.start("checking pictures")
    try:
        for number, item in enumerate(items, start=1):
            row.state = f"{number}/{len(items)}"
            try:
                item.pictures = prepare(context, item.sources, options, load)
            except InputError as error:
                item.error = error
            if len(items) > 1 and STDIN not in item.sources:
                # The content of many files would fill the memory; each job reads its own again.
                item.pictures = tuple(replace(each, content=None) for each in item.pictures)
    finally:
        context.console.finish(row)


@cache
def _load_early() -> None:
    """Import what follows in a thread: Pillow releases the GIL while it decodes."""
    # httpx itself imports httpcore only with its first client.
    names = ("kling_cli.jobs", "kling_cli.api.client", "httpx", "httpcore")

    def load() -> None:
        with suppress(Exception):  # the main thread meets it again, and reports it
            for name in names:
                import_module(name)

    threading.Thread(target=load, daemon=True).start()


def _check_options(context: Context, options: EffectOptions, scene: Scene, tasks: int) -> None:
    """Refuse options that contradict the scene, or each other."""
    if options.pair and not scene.is_pair:
        raise UsageError("usage", f"{scene.name} takes one picture. Remove --pair.")
    if options.open:
        from kling_cli.runner import check_open

        check_open(tasks)
    if options.no_wait and context.settings.sources["output"] == "--output":
        message = "--no-wait and --output exclude each other: there is no video to save yet."
        raise UsageError("usage", message, hint="Save the video later: kling wait TASK -o FILE")
    name = options.external_task_id
    if name is not None and tasks > 1:
        message = f"--external-task-id is for one task, but this command makes {tasks}."
        raise UsageError("usage", message)
    if name is not None and not is_safe_id(name):
        message = f"--external-task-id {clean(name, limit=80)} is not a valid id."
        hint = "An id has 1 to 128 characters: A-Z a-z 0-9 . _ ~ + = : @ -"
        raise UsageError("invalid_external_task_id", message, hint=hint)
    if options.callback_url is not None:
        from kling_cli.images.remote import validate_url

        is_local = context.reaches_local()
        problem = validate_url(options.callback_url, allow_private=is_local)
        if problem:
            message = f"Invalid --callback-url: {problem.message}."
            raise UsageError("invalid_callback_url", message, hint="Use a public https:// URL.")
        if is_plain_http(options.callback_url) and not is_local:
            context.console.warn("--callback-url uses http: calls can be changed in transit.")


def _choose_fields(context: Context, options: EffectOptions, scene: Scene) -> dict[str, str]:
    """Choose the fields of the input: older scenes take some, newer ones none."""
    model, model_source = context.settings.model, context.settings.sources["model"]
    # A model from the settings is for scenes that take one; a flag is for this scene.
    is_meant = scene.models or model_source == "--model"
    fields = {}
    for name, value, allowed, source in (
        ("model", model if is_meant else None, scene.models, model_source),
        ("mode", options.mode, scene.modes, "--mode"),
        # The documented type is a string.
        ("duration", options.duration, scene.durations, "--duration"),
    ):
        if value is None:
            value = _PREFERRED_MODEL if _PREFERRED_MODEL in allowed else next(iter(allowed), None)
        elif value not in allowed and not options.any_scene:
            takes = f"takes {name} {', '.join(allowed)}" if allowed else f"takes no {name}"
            message = f"{scene.name} {takes}, but {source} is {clean(value, limit=80)}."
            hint = "Remove it, or add --any-scene to send it anyway."
            raise UsageError(f"invalid_{name}", message, hint=hint)
        if value is not None:
            fields["model_name" if name == "model" else name] = value
    return fields


def _group(scene: Scene, sources: Sequence[str]) -> list[Group]:
    """Group the pictures by task: two for a scene for two people, else one."""
    if not scene.is_pair:
        return [(source,) for source in sources]
    if len(sources) != 2:
        message = f"{clean(scene.name)} takes two pictures (left, right), got {len(sources)}."
        raise UsageError("two_pictures_needed", message)
    return [tuple(sources)]
