"""One `kling effect` run: options → pictures → requests → confirm → runner."""

import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kling_cli import output, runner
from kling_cli.api.parse import is_plain_http, is_safe_id
from kling_cli.api.transport import load
from kling_cli.console import Row
from kling_cli.context import Context
from kling_cli.errors import (
    ExitCode,
    InputError,
    KlingError,
    LaterError,
    PendingError,
    SetupError,
    StoppedError,
    UsageError,
)
from kling_cli.models import EffectRequest, Picture, Purchase, Stage, TaskResult
from kling_cli.poll import Poll
from kling_cli.runner import Job
from kling_cli.scenes import Scene, find_end
from kling_cli.sources import STDIN, Group, describe_source, list_sources, name_group
from kling_cli.submit import ConcurrencyLimit, Plan, Submission, plan
from kling_cli.text import clean, format_count, format_time, without_query

if TYPE_CHECKING:
    from kling_cli.download import Downloads

# Always send the model: the service's default for two people is the oldest one, and one gateway has
# no default.
_PREFERRED_MODEL = "kling-v1-6"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectOptions:
    """The options of `kling effect` that are not settings."""

    images: tuple[str, ...]
    from_list: str | None
    fix: bool
    no_check_url: bool
    any_scene: bool
    pair: bool
    duration: str | None
    mode: str | None
    callback_url: str | None
    external_task_id: str | None
    dry_run: bool
    new: bool
    yes: bool
    no_wait: bool
    force: bool
    open: bool


@dataclass(slots=True, eq=False)
class _Item:
    """One task to create: its sources, and the result of the preflight."""

    sources: Group
    pictures: tuple[Picture, ...] = ()
    error: InputError | None = None
    path: Path | None = None


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
    known = {group: _Item(group) for group in groups}
    items = [known[group] for group in groups]
    effect = _Effect(context, options, scene, fields, items, ConcurrencyLimit(context.clock))
    effect.check()
    effect.confirm()
    format_rows: output.FormatRows = output.format_locations
    header = output.PLAN_HEADER if options.dry_run else ()
    if options.dry_run:
        context.console.info("Dry run: nothing is sent.")
        is_shown = context.output.is_terminal
        format_rows = output.describe_plan if is_shown else output.format_plan
    elif options.no_wait:
        format_rows = output.format_id
    elif effect.downloads and effect.downloads.is_stream:
        format_rows = output.format_nothing
    context.console.scene = scene.name
    resume = "Run the same command again to resume. Nothing is bought twice."
    if options.new:
        resume = "Resume with kling wait. With --new, the same command would buy them again."
    return runner.run(
        context,
        effect.jobs(),
        # Nothing is sent in a dry run, so one worker is enough and keeps the order.
        workers=1 if options.dry_run else context.settings.jobs,
        format_rows=format_rows,
        is_status=options.dry_run,
        downloads=effect.downloads,
        open=options.open,
        header=header,
        resume=resume,
    )


@dataclass(eq=False)
class _Effect:
    """The pictures of one run, the requests made from them, and what the jobs share."""

    context: Context
    options: EffectOptions
    scene: Scene
    fields: Mapping[str, str]
    items: Sequence[_Item]
    limit: ConcurrencyLimit
    downloads: "Downloads | None" = None
    warnings: tuple[str, ...] = ()
    noted: dict[str, Picture] = field(default_factory=dict)

    def check(self) -> None:
        """Check every picture and every output path.

        A refused picture is reported when its job runs.
        """
        context, items = self.context, dict.fromkeys(self.items)
        if not (self.options.dry_run or context.settings.is_sandbox):
            # Pillow releases the GIL while it decodes, so the HTTP libraries load at the same time.
            import_module("PIL.JpegImagePlugin")
            threading.Thread(target=load, daemon=True).start()
        row = context.console.start("checking pictures")
        try:
            for number, item in enumerate(items, start=1):
                row.state = f"{number}/{len(items)}"
                try:
                    item.pictures = self._prepare(item.sources)
                except InputError as error:
                    item.error = error
                if len(items) > 1 and STDIN not in item.sources:
                    # The content of many files would fill the memory; each job reads its own again.
                    item.pictures = tuple(replace(each, content=None) for each in item.pictures)
        finally:
            context.console.finish(row)
        context.prepare()
        if not self.options.no_wait:
            tasks, force = len(self.items), self.options.force
            self.downloads = runner.open_downloads(context, tasks=tasks, force=force)
        if self.downloads:
            self.downloads.prepare(dry_run=self.options.dry_run)
        if self._sound:
            try:
                _ = context.token  # else each thread would report a missing token
            except SetupError:
                for item in items:  # report what costs nothing first
                    if item.error:
                        context.console.error(item.error)
                raise
        if self.downloads:
            self._check_paths(self.downloads)

    @property
    def _sound(self) -> list[_Item]:
        """The items without an error, each once."""
        return [item for item in dict.fromkeys(self.items) if item.error is None]

    def confirm(self) -> None:
        """Warn of doubtful purchases, and ask the user on a terminal before buying.

        Raises:
            StoppedError: the user declined.
        """
        context, options = self.context, self.options
        warnings = self._find_doubts() if self._sound else ()
        has_user = context.stdin.isatty() and context.stderr.isatty()
        asks = has_user and not (options.dry_run or options.yes or context.settings.is_sandbox)
        if not (warnings or asks):
            return
        requests = [self._request(item.pictures) for item in self._sound]
        # The same picture under two names is one task.
        plans = {request.fingerprint: self._plan(request) for request in requests}
        new = sum(each.action == "buy" for each in plans.values())
        if new:
            self.warnings = warnings
            for warning in warnings:
                context.console.warn(warning)
        if not asks or new < (1 if warnings else 2):
            return
        photos = sum(len(item.sources) for item in self.items)
        question = f"{format_count(photos, 'photo')}, {format_count(new, 'new task')}"
        if made := len(plans) - new:
            question += f", {made} already made"
        if refused := sum(item.error is not None for item in self.items):
            question += f", {refused} refused"
        if not context.console.confirm(f"{question}. Buy?", context.stdin):
            raise StoppedError("Nothing was bought.", exit_code=ExitCode.INTERRUPT)

    def _find_doubts(self) -> tuple[str, ...]:
        """Find reasons not to buy: an ended scene, or a token that expires during the wait."""
        context = self.context
        host = urlsplit(context.settings.base_url).hostname or ""
        end = find_end(self.scene, model=self.fields.get("model_name"), host=host)
        doubts = [end] if end else []
        expires = context.token.expires or math.inf
        left = expires - context.clock.time()
        if left < context.deadline() - context.clock.monotonic():
            when = f"{'expires' if left > 0 else 'expired'} at {format_time(expires)}"
            late = ", before the wait may end" if left > 0 else ""
            doubts.append(f"The token {when}{late}. An API key does not expire.")
        return tuple(doubts)

    def jobs(self) -> list[Job]:
        """List the jobs, refused ones first, so that they are reported without a wait."""
        return [
            Job(name=name_group(item.sources), work=partial(self._work, item))
            for item in sorted(self.items, key=lambda item: item.error is None)
        ]

    def _work(self, item: _Item, job: Job, row: Row) -> TaskResult:
        """Do one job: buy the task unless it is known, wait, and save its videos."""
        context, options = self.context, self.options
        started, deadline = context.clock.monotonic(), context.deadline()
        images = tuple(map(describe_source, item.sources))
        error: KlingError | None = None
        files: tuple[str, ...] = ()
        purchase: Purchase | None = None
        submission: Submission | None = None
        poll: Poll | None = None
        try:
            request = self._load(item, row)
            images = tuple(picture.describe() for picture in request.pictures)
            if options.dry_run:
                return self._describe(request)
            submission = Submission(context, request, self.limit, row, deadline)
            job.stop, job.was_refused = submission.stop, submission.was_refused
            purchase = submission.run()
            if not submission.bought:
                note = f"Task {purchase.name} already exists, so this run costs nothing."
                if options.new and options.external_task_id:
                    note += " For another one, use --new with another --external-task-id."
                elif purchase.stage is Stage.SUCCEED:
                    note += " Use --new for another one."
                row.note(note)
            if not options.no_wait or purchase.stage in (Stage.SUCCEED, Stage.FAILED):
                poll = context.open_poll(purchase, deadline=deadline, row=row)
                poll.wait(is_new=submission.bought)
                submission.release()
                if self.downloads and item.path:
                    files = self.downloads.save(poll.purchase, item.path, row)
        except KlingError as caught:
            error = caught
            if isinstance(error, PendingError | LaterError):
                self.limit.close(_not_started)
        finally:
            if submission:
                submission.release()
        if poll:
            purchase = poll.purchase
        elif submission and error:
            purchase = submission.stop()
        return TaskResult(
            purchase=purchase,
            error=error,
            images=images,
            effect_scene=self.scene.name,
            reused=purchase is not None and not (submission and submission.bought),
            elapsed=context.clock.monotonic() - started,
            files=files,
            warnings=(*self.warnings, *row.warnings),
        )

    def _describe(self, request: EffectRequest) -> TaskResult:
        """Describe what would be done and sent, for a dry run."""
        found = self._plan(request)
        shown = tuple(
            without_query(each.url) if each.url else {"bytes": each.size, "sha256": each.sha256}
            for each in request.pictures
        )
        body = request.body(found.external_task_id, shown)
        if request.callback_url is not None:
            body["callback_url"] = without_query(request.callback_url)
        return TaskResult(
            purchase=found.purchase,
            images=tuple(picture.describe() for picture in request.pictures),
            effect_scene=self.scene.name,
            external_task_id=found.external_task_id,
            reused=found.purchase is not None,
            plan=found.action,
            warnings=self.warnings,
            request={"url": self.context.client(request.base_url).url, "body": body},
        )

    # Pictures and requests

    def _prepare(self, sources: Group) -> tuple[Picture, ...]:
        from kling_cli.images.preflight import is_url, merge_errors, prepare

        stdin = getattr(self.context.stdin, "buffer", None)
        pictures: dict[str, Picture] = {}
        errors: list[InputError] = []
        for source in dict.fromkeys(sources):
            try:
                if is_url(source):
                    pictures[source] = self._prepare_url(source)
                else:
                    pictures[source] = prepare(source, stdin=stdin, fix=self.options.fix)
            except InputError as error:
                errors.append(error)
        if errors:
            raise merge_errors(errors, "\n".join(map(str, errors)))
        return tuple(pictures[source] for source in sources)

    def _prepare_url(self, url: str) -> Picture:
        from kling_cli.images.remote import prepare_url

        context = self.context
        with closing(context.open_transport()) as transport:
            return prepare_url(
                url,
                transport=transport,
                allow_private=context.reaches_local(),
                # The sandbox must not use the network.
                check=not (self.options.no_check_url or context.settings.is_sandbox),
            )

    def _load(self, item: _Item, row: Row) -> EffectRequest:
        """Create a request with the content of its pictures."""
        from kling_cli.images.preflight import LOCATION, read_again

        if item.error:
            raise item.error
        if self._plan(self._request(item.pictures)).action == "buy":
            self.limit.check()  # do not read a picture for an account that was refused
        pictures = tuple(filter(None, map(read_again, item.pictures)))
        if len(pictures) < len(item.pictures):
            # A file that has changed is another picture, and is checked again.
            pictures = self._prepare(item.sources)
        for picture in pictures:
            for note in (*picture.fixes, *picture.notes):
                # Phones store it in every photo: one note per run is enough.
                if note == LOCATION and self.noted.setdefault(note, picture) is not picture:
                    continue
                row.note(f"{clean(picture.source)}: {note}" if len(pictures) > 1 else note)
        return self._request(pictures)

    def _request(self, pictures: tuple[Picture, ...]) -> EffectRequest:
        context, options = self.context, self.options
        request = EffectRequest(
            base_url=context.base_url,
            scene=self.scene.name,
            pictures=pictures,
            fields=self.fields,
            callback_url=options.callback_url,
            external_task_id=options.external_task_id or "",
            custom_id=options.external_task_id is not None,
            new=options.new,
            tag=context.token.tag(context.base_url),
        )
        if options.external_task_id:
            return request
        return replace(request, external_task_id=context.token.derive(request.fingerprint))

    def _plan(self, request: EffectRequest) -> Plan:
        return plan(request, self.context.journal, now=self.context.clock.time())

    def _check_paths(self, downloads: "Downloads") -> None:
        from kling_cli.download import name_clip

        items = list(dict.fromkeys(self.items))
        inputs = [source for item in items for source in item.sources]
        inputs += filter(None, [self.options.from_list])
        paths = downloads.assign(name_clip(item.sources, self.scene.name) for item in items)
        for item, path in zip(items, paths, strict=True):
            item.path = path
            try:
                if not item.error:
                    known = self._plan(self._request(item.pictures)).purchase
                    downloads.check(path, known, inputs=inputs)
            except InputError as error:
                item.error = error


def _check_options(context: Context, options: EffectOptions, scene: Scene, tasks: int) -> None:
    """Refuse options that contradict the scene, or each other."""
    if options.pair and not scene.is_pair:
        raise UsageError("usage", f"{scene.name} takes one picture. Remove --pair.")
    if options.open:
        runner.check_open(tasks)
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


def _not_started() -> LaterError:
    message = "Not submitted, because another task of this run timed out."
    return LaterError("not_started", message, hint="Run the same command again to resume.")
