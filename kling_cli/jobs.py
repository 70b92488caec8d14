"""The jobs of one `kling effect` run: plan, confirm, submit, wait and save one task each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kling_cli import runner
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
)
from kling_cli.models import EffectOptions, EffectRequest, Picture, Purchase, Stage, TaskResult
from kling_cli.poll import Poll
from kling_cli.runner import Job
from kling_cli.scenes import Scene, find_end
from kling_cli.sources import Item, describe_source, name_group, prepare
from kling_cli.submit import ConcurrencyLimit, Plan, Submission, plan
from kling_cli.text import clean, format_count, format_time, without_query

if TYPE_CHECKING:
    from kling_cli.download import Downloads


@dataclass(eq=False)
class EffectJobs:
    """The requests of one run, and what its jobs share.

    Args:
        context: what the run works with.
        options: of the command.
        scene: of every request.
        fields: of the input, apart from the pictures.
        items: one for each request, with its pictures.

    Attributes:
        downloads: where videos are saved; None if they are not.
    """

    context: Context
    options: EffectOptions
    scene: Scene
    fields: Mapping[str, str]
    items: Sequence[Item]
    downloads: "Downloads | None" = field(default=None, init=False)
    _warnings: tuple[str, ...] = field(default=(), init=False)
    _noted: dict[str, Picture] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Start without any limit."""
        self._limit = ConcurrencyLimit(self.context.clock)

    def prepare(self) -> None:
        """Check output paths and token, in this order.

        A picture that was refused is reported when its job runs.
        """
        context, options = self.context, self.options
        context.prepare()
        if not options.no_wait:
            tasks = len(self.items)
            self.downloads = runner.open_downloads(context, tasks=tasks, force=options.force)
        if self.downloads:
            self.downloads.prepare(dry_run=options.dry_run)
        if self._sound:
            try:
                _ = context.token  # else each thread would report a missing token
            except SetupError:
                for item in dict.fromkeys(self.items):  # report what costs nothing first
                    if item.error:
                        context.console.error(item.error)
                raise
        if self.downloads:
            self._check_paths(self.downloads)

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
            self._warnings = warnings
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

    def jobs(self) -> list[Job]:
        """List the jobs, refused ones first, so that they are reported without a wait."""
        return [
            Job(name=name_group(item.sources), work=partial(self._work, item))
            for item in sorted(self.items, key=lambda item: item.error is None)
        ]

    @property
    def _sound(self) -> list[Item]:
        """The items without an error, each once."""
        return [item for item in dict.fromkeys(self.items) if item.error is None]

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

    def _work(self, item: Item, job: Job, row: Row) -> TaskResult:
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
            submission = Submission(context, request, self._limit, row, deadline)
            job.stop = submission.stop
            purchase = submission.run()
            if not submission.bought:
                note = f"Task {purchase.name} already exists, so this run costs nothing."
                if options.new and options.external_task_id:
                    note += " For another one, use --new with another --external-task-id."
                elif purchase.stage is Stage.SUCCEED:
                    note += " Use --new for another one."
                row.note(note)
            if not options.no_wait or purchase.stage in (Stage.SUCCEED, Stage.FAILED):
                poll = Poll(context, purchase, deadline, row)
                poll.wait(is_new=submission.bought)
                submission.release()
                if self.downloads and item.path:
                    files = self.downloads.save(poll.purchase, item.path, row)
        except KlingError as caught:
            error = caught
            if isinstance(error, PendingError | LaterError):
                self._limit.close(_not_started)
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
            warnings=(*self._warnings, *row.warnings),
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
            warnings=self._warnings,
            request={"url": self.context.client(request.base_url).url, "body": body},
        )

    def _load(self, item: Item, row: Row) -> EffectRequest:
        """Create a request with the content of its pictures."""
        from kling_cli.images.preflight import LOCATION, read_again

        if item.error:
            raise item.error
        if self._plan(self._request(item.pictures)).action == "buy":
            self._limit.check()  # do not read a picture for an account that was refused
        pictures = tuple(filter(None, map(read_again, item.pictures)))
        if len(pictures) < len(item.pictures):
            # A file that has changed is another picture, and is checked again.
            pictures = prepare(self.context, item.sources, self.options)
        for picture in pictures:
            for note in (*picture.fixes, *picture.notes):
                # Phones store it in every photo: one note per run is enough.
                if note == LOCATION and self._noted.setdefault(note, picture) is not picture:
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


def _not_started() -> LaterError:
    message = "Not submitted, because another task of this run timed out."
    return LaterError("not_started", message, hint="Run the same command again to resume.")
