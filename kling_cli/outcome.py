"""What became of one request or one task: the data that every result is printed from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kling_cli.errors import KlingError, LocalError
from kling_cli.purchase import Purchase


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one request or one task.

    Attributes:
        purchase: the task as last seen; None where none came about.
        error: why it was not delivered.
        images: what there is to tell of the pictures where there is no purchase.
        effect_scene: likewise.
        is_reused: whether this run bought nothing.
        elapsed: seconds that this run spent on it.
        files: where its clips were saved; empty where they were not.
        external_task_id: the id that a purchase would have; None where there is one.
        plan: `buy`, `resume`, `reuse` or `look`; None where it was done and not only planned.
        request: what would be sent, with pictures by size and hash; likewise.
    """

    purchase: Purchase | None = None
    error: KlingError | None = None
    images: tuple[Mapping[str, object], ...] = ()
    effect_scene: str | None = None
    is_reused: bool = False
    elapsed: float = 0.0
    files: tuple[str, ...] = ()
    external_task_id: str | None = None
    plan: str | None = None
    request: Mapping[str, object] | None = None

    def list_results(self) -> Iterator[str]:
        """Give what a user gets: the file of each clip, or its URL where it was not saved."""
        delivered = self.error is None or isinstance(self.error, LocalError)
        if self.purchase is not None and delivered and self.plan is None:
            yield from self.files or (video.url for video in self.purchase.videos)
