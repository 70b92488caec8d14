"""The data of the program, frozen: pictures, requests, tasks, purchases, results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, NamedTuple

from kling_cli.errors import ExitCode, KlingError, LocalError
from kling_cli.text import without_query


class Stage(StrEnum):
    """The stage of a purchase; the last four are the service's own statuses of a task."""

    CLAIMED = "claimed"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEED = "succeed"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether the service has ended the task."""
        return self in (Stage.SUCCEED, Stage.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """A finished clip at the service; its duration is in seconds."""

    url: str
    id: str | None = None
    duration: float | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What the service says it deducted; it names no currency."""

    units: float | None = None
    quota: float | None = None
    list_price: float | None = None


class Task(NamedTuple):
    """A task in one response of the service.

    Times are seconds since the epoch. `word` is the status as the service spelt it.
    """

    task_id: str | None
    status: Stage
    external_task_id: str | None = None
    word: str = ""
    message: str = ""
    videos: tuple[Video, ...] = ()
    created_at: float | None = None
    updated_at: float | None = None
    request_id: str | None = None
    cost: Cost | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that passed the preflight; `content` is the one buffer that is hashed and sent.

    Sides are in pixels, `size` in bytes. A picture from a URL has no content, and without a check
    no format, size or hash. `repaired_from` is the SHA-256 of the original file of a repaired
    picture.
    """

    source: str
    kind: Literal["file", "stdin", "url"]
    content: bytes | None = field(default=None, repr=False)
    url: str | None = field(default=None, repr=False)
    format: str | None = None
    width: int | None = None
    height: int | None = None
    size: int | None = None
    sha256: str | None = None
    fixes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    repaired_from: str | None = None

    @property
    def identity(self) -> str:
        """The identity of the picture when requests are compared: its URL or its hash.

        A repaired picture is identified by its original, because another release of Pillow may
        create other bytes, and the same command would buy again.
        """
        if self.url is not None:
            return self.url
        return f"repaired:{self.repaired_from}" if self.repaired_from else f"sha256:{self.sha256}"

    def describe(self) -> Mapping[str, object]:
        """Describe the picture for results and journal, without secrets."""
        return {
            "source": self.source if self.url is None else without_query(self.url),
            "kind": self.kind,
            "format": self.format,
            "width": self.width,
            "height": self.height,
            "bytes": self.size,
            "sha256": self.sha256,
            "fixes": list(self.fixes),
        }


class EffectOptions(NamedTuple):
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


@dataclass(frozen=True, kw_only=True)
class EffectRequest:
    """One task to create.

    `external_task_id` is derived from the request, or the user's own (`custom_id`). `new` buys even
    if it was bought before.
    """

    base_url: str
    scene: str
    pictures: tuple[Picture, ...]
    fields: Mapping[str, str]
    callback_url: str | None = field(default=None, repr=False)
    external_task_id: str = ""
    custom_id: bool = False
    new: bool = False
    tag: str | None = None

    def body(self, external_task_id: str | None, images: tuple[object, ...]) -> dict[str, object]:
        """Build the JSON body with these placeholders or values for the pictures."""
        body: dict[str, object] = {"effect_scene": self.scene, "input": self._input(images)}
        if self.callback_url is not None:
            body["callback_url"] = self.callback_url
        return {**body, "external_task_id": external_task_id}

    @cached_property
    def fingerprint(self) -> str:
        """The hash by which the journal recognises this request."""
        # Not needed to check or list tasks.
        import hashlib
        import json

        inputs = self._input(tuple(picture.identity for picture in self.pictures))
        named = {"base_url": self.base_url, "effect_scene": self.scene, "input": inputs}
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()

    def _input(self, images: tuple[object, ...]) -> dict[str, object]:
        return {**self.fields, **({"images": images} if images[1:] else {"image": images[0]})}


class Purchase(NamedTuple):
    """One row of the journal. Times are seconds since the epoch.

    A task that this machine did not buy has no fingerprint. `tag` recognises the token that
    bought it, without revealing anything of it.
    """

    external_task_id: str
    fingerprint: str
    base_url: str
    effect_scene: str
    stage: Stage = Stage.UNKNOWN
    sender: str | None = None
    task_id: str | None = None
    message: str = ""
    images: tuple[Mapping[str, object], ...] = ()
    videos: tuple[Video, ...] = ()
    created_at: float = 0.0
    updated_at: float = 0.0
    finished_at: float | None = None
    tag: str | None = None
    cost: Cost | None = None

    @property
    def name(self) -> str:
        """The id that the user sees: the task id, if it is known."""
        return self.task_id or self.external_task_id

    @property
    def units(self) -> float | None:
        """The cost in units; None if unknown."""
        return self.cost.units if self.cost else None

    @property
    def is_seen(self) -> bool:
        """Whether the service has ever shown the task; otherwise it may not have been accepted."""
        return self.stage not in (Stage.CLAIMED, Stage.SENDING, Stage.UNKNOWN)

    @property
    def status(self) -> Stage:
        """The status as users see it."""
        return self.stage if self.is_seen else Stage.UNKNOWN

    @property
    def is_sandbox(self) -> bool:
        """Whether it belongs to the sandbox."""
        return is_sandbox(self.base_url)


class TaskResult(NamedTuple):
    """The result of one request or one task.

    `images`, `effect_scene` and `external_task_id` are used if there is no purchase. `reused` means
    that this run bought nothing, `elapsed` is in seconds, `files` has the path of each saved clip.
    Only a dry run sets `plan` and `request`.
    """

    purchase: Purchase | None = None
    error: KlingError | None = None
    images: tuple[Mapping[str, object], ...] = ()
    effect_scene: str | None = None
    external_task_id: str | None = None
    reused: bool = False
    elapsed: float = 0.0
    files: tuple[str, ...] = ()
    plan: str | None = None
    request: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of this task alone."""
        return self.error.exit_code if self.error else ExitCode.OK

    @property
    def locations(self) -> tuple[str, ...]:
        """What the user gets: the file of each clip, or its URL where it was not saved."""
        delivered = self.error is None or isinstance(self.error, LocalError)
        if self.purchase is None or self.plan is not None or not delivered:
            return ()
        return self.files or tuple(video.url for video in self.purchase.videos)


def is_sandbox(base_url: str) -> bool:
    """Tell whether a base URL is the sandbox; `sandbox:TOKEN` simulates failures."""
    return base_url.partition(":")[0] == "sandbox"
