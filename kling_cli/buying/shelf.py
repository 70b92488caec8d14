"""The pictures of a run: all are checked before anything is sent, few are kept until their turn."""

from collections.abc import Sequence
from dataclasses import replace

from kling_cli.errors import InputError
from kling_cli.images.preflight import prepare_all, read_again
from kling_cli.images.sources import STANDARD_INPUT, is_url
from kling_cli.session import Session
from kling_cli.task import Picture

Group = tuple[str, ...]


class Shelf:
    """The pictures of a run, by the group of sources that makes one task.

    Args:
        session: standard input, and the way to the hosts of pictures.
        checks_urls: whether to look at a picture that is given by its address.
        fixes: whether to repair files that would be refused.
    """

    def __init__(self, session: Session, *, checks_urls: bool, fixes: bool = False) -> None:
        self._session = session
        self._checks_urls = checks_urls
        self._fixes = fixes
        self._checked: dict[Group, tuple[Picture, ...]] = {}
        self._refused: dict[Group, InputError] = {}

    def check(self, group: Group, *, is_only: bool) -> None:
        """Check the pictures of one task; what is wrong with them is told when their turn comes.

        Args:
            group: their sources.
            is_only: whether there is no other task, so that their bytes may stay in memory.
        """
        if group in self._checked or group in self._refused:
            return
        try:
            pictures = self._prepare(group)
        except InputError as error:
            self._refused[group] = error
            return
        # The bytes of one task are kept; those of many files are read again, each in its turn.
        if not is_only and STANDARD_INPUT not in group:
            pictures = tuple(replace(picture, content=None) for picture in pictures)
        self._checked[group] = pictures

    def has_refused(self, group: Group) -> bool:
        """Tell whether the check has refused this group."""
        return group in self._refused

    def describe(self, group: Group) -> tuple[Picture, ...]:
        """Tell the pictures of one task as they were checked, mostly without their bytes.

        Raises:
            InputError: with all problems of all of them.
        """
        if group in self._refused:
            raise self._refused[group]
        return self._checked[group]

    def take(self, group: Group) -> tuple[Picture, ...]:
        """Take the pictures of one task, with their bytes.

        Raises:
            InputError: with all problems of all of them.
        """
        checked = self.describe(group)
        if all(_is_complete(picture) for picture in checked):
            return checked
        again = [read_again(picture) for picture in checked]
        same = tuple(picture for picture in again if picture is not None)
        # One that was changed meanwhile is another picture, with a verdict of its own.
        return same if len(same) == len(checked) else self._prepare(group)

    def _prepare(self, group: Group) -> tuple[Picture, ...]:
        urls = [source for source in dict.fromkeys(group) if is_url(source)]
        files = [source for source in group if source not in urls]
        stdin = getattr(self._session.world.stdin, "buffer", None)
        ready: dict[str, Picture] = {}
        errors: list[InputError] = []
        try:
            pictures = prepare_all(files, standard_input=stdin, fix=self._fixes)
            ready.update(zip(files, pictures, strict=True))
        except InputError as error:
            errors.append(error)
        for url in urls:
            try:
                ready[url] = self._prepare_url(url)
            except InputError as error:
                errors.append(error)
        if errors:
            raise _join(errors)
        return tuple(ready[source] for source in group)

    def _prepare_url(self, url: str) -> Picture:
        from kling_cli.images import remote  # noqa: PLC0415 - files are not on the web

        transport = self._session.open_web_transport()
        try:
            return remote.prepare(
                url,
                transport=transport,
                allow_private=self._session.is_local,
                # The sandbox promises to need no network.
                check=self._checks_urls and not self._session.settings.is_sandbox,
            )
        finally:
            transport.close()


def _is_complete(picture: Picture) -> bool:
    return picture.url is not None or picture.content is not None


def _join(errors: Sequence[InputError]) -> InputError:
    codes = {error.code for error in errors}
    hints = dict.fromkeys(error.hint for error in errors if error.hint)
    return InputError(
        codes.pop() if len(codes) == 1 else "image_rejected",
        "\n".join(error.message for error in errors),
        hint=" ".join(hints),
    )
