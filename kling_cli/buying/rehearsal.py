"""A request that is not sent: everything but the purchase."""

from kling_cli.buying.claim import Terms
from kling_cli.buying.plan import plan
from kling_cli.outcome import Outcome
from kling_cli.purchase import Purchase
from kling_cli.task import Picture, Request
from kling_cli.text import without_query
from kling_cli.watching.following import Kit


class Rehearsal:
    """A request held against the journal, and shown as it would be sent."""

    def __init__(self, request: Request, terms: Terms, *, kit: Kit, url: str) -> None:
        self._request = request
        self._terms = terms
        self._kit = kit
        self._url = url

    def run(self) -> Outcome:
        """Tell what would be done, and what would be sent.

        Raises:
            UsageError: the user's own id belongs to another request.
        """
        kit, request = self._kit, self._request
        found = plan(request, self._terms, journal=kit.journal, now=kit.clock.time())
        images = tuple(_elide(picture) for picture in request.pictures)
        body = dict(request.shape_body(found.external_task_id, images))
        if request.callback_url is not None:
            body["callback_url"] = without_query(request.callback_url)
        return Outcome(
            purchase=found.purchase,
            images=tuple(picture.describe() for picture in request.pictures),
            effect_scene=request.scene.name,
            external_task_id=found.external_task_id,
            is_reused=found.purchase is not None,
            plan=found.verdict,
            request={"url": self._url, "body": body},
        )

    def abandon(self) -> Purchase | None:
        """Nothing was sent."""
        return None


def _elide(picture: Picture) -> object:
    if picture.url is not None:
        return without_query(picture.url)
    return {"bytes": picture.size, "sha256": picture.sha256}
