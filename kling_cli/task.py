"""What the program talks about: pictures, requests, tasks, videos. Frozen data, parsed once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal

from kling_cli.errors import KlingError
from kling_cli.scenes import PAIR, Scene
from kling_cli.text import without_query


class TaskStatus(StrEnum):
    """The service's four words for a task, and our own for one whose submission got no answer."""

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEED = "succeed"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether the service has ended the task."""
        return self in (TaskStatus.SUCCEED, TaskStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """A finished clip at the service: its id, where it lies, its length in seconds."""

    url: str
    id: str | None = None
    duration: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as one answer of the service tells it.

    Times are seconds since the epoch. `word` is the status as the service spelt it; `ending`
    tells a cancelled or expired task from one that failed.
    """

    task_id: str | None
    status: TaskStatus
    external_task_id: str | None = None
    word: str = ""
    message: str = ""
    ending: Literal["cancelled", "expired"] | None = None
    videos: tuple[Video, ...] = ()
    created_at: float | None = None
    updated_at: float | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that passed the preflight; `content` is the one buffer that is hashed and sent.

    Width and height are in pixels, `size` in bytes. A picture given by URL has no content, and
    where its check was left out no format, sizes or hash either. `repaired_from` is the SHA-256 of
    the file as it was given, where that was repaired.
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
        """What the picture counts as when two requests are compared: its URL, or its hash.

        A repaired one counts as what it was made from: another release of the library that
        repairs it may make other bytes, and the same command would buy again.
        """
        if self.url is not None:
            return self.url
        return f"repaired:{self.repaired_from}" if self.repaired_from else f"sha256:{self.sha256}"

    def describe(self) -> Mapping[str, object]:
        """Tell what results and journal say of the picture: its source without any secret."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look at a task brought: the task, or word that it is missing, or an error.

    `is_fatal` tells an error that no further look can mend, such as a refused token, `is_refused`
    any other answer that shows no task. `retry_after` is the pause that the service asked for, in
    seconds.
    """

    task: Task | None = None
    is_missing: bool = False
    is_refused: bool = False
    error: KlingError | None = None
    is_fatal: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that can be sent as it is."""

    base_url: str
    scene: Scene
    pictures: tuple[Picture, ...]
    model: str | None = None
    duration: str | None = None
    mode: str | None = None
    callback_url: str | None = field(default=None, repr=False)

    def shape_body(
        self, external_task_id: str | None, images: tuple[object, ...]
    ) -> Mapping[str, object]:
        """Build the body, with whatever stands for the pictures put in their place."""
        body: dict[str, object] = {
            "effect_scene": self.scene.name,
            "input": self.shape_input(images),
        }
        if self.callback_url is not None:
            body["callback_url"] = self.callback_url
        body["external_task_id"] = external_task_id
        return body

    def shape_input(self, images: tuple[object, ...]) -> Mapping[str, object]:
        """Build the `input` object of the body."""
        fields: dict[str, object] = {}
        if self.model is not None:
            fields["model_name"] = self.model
        if self.mode is not None:
            fields["mode"] = self.mode
        if self.scene.pictures == PAIR:
            fields["images"] = list(images)
        else:
            fields["image"] = images[0]
        if self.duration is not None:
            # A string even for whole seconds: the documented type.
            fields["duration"] = self.duration
        return fields

    @cached_property
    def fingerprint(self) -> str:
        """The hash by which the journal knows this request again."""
        # Looks and lists need no fingerprint, and the library is slow to load.
        import hashlib  # noqa: PLC0415 - for the reason above
        import json  # noqa: PLC0415 - likewise

        told = {
            "base_url": self.base_url,
            "effect_scene": self.scene.name,
            "input": self.shape_input(tuple(picture.identity for picture in self.pictures)),
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
