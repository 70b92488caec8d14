"""Many requests: a fixed set of workers over an iterator.

Nothing is read before its turn. The work goes on in threads of its own, so that the main thread is
free to print what is done, and to hear a signal at any moment.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from kling_cli.purchase import Purchase
from kling_cli.signals import raise_heard

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)
# A thread that waits without a limit does not hear Ctrl-C on Windows.
_LISTEN_SECONDS = 0.5


class Work(Protocol[_Result_co]):
    """One request under way."""

    def run(self) -> _Result_co:
        """Do it, and tell what became of it."""
        ...

    def abandon(self) -> Purchase | None:
        """Settle it when the run ends before its end; tell what is or may be bought."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Begun(Generic[_Item, _Result]):
    """An item that was pulled, its work, and its result; None until it is done."""

    item: _Item
    work: Work[_Result]
    result: _Result | None = None


class Batch(Generic[_Item, _Result]):
    """Items worked off by so many workers at once.

    Args:
        items: pulled one at a time, each when a worker is free for it.
        open_worker: entered once in each worker's thread; what it gives makes the work on an item,
            which has to be quick.
        workers: how many.
    """

    def __init__(
        self,
        items: Iterable[_Item],
        open_worker: Callable[[], AbstractContextManager[Callable[[_Item], Work[_Result]]]],
        *,
        workers: int,
    ) -> None:
        self._items = iter(items)
        self._open_worker = open_worker
        self._lock = threading.Lock()
        self._done: queue.SimpleQueue[
            tuple[Begun[_Item, _Result], _Result] | BaseException | None
        ] = queue.SimpleQueue()
        self._begun: list[Begun[_Item, _Result]] = []
        self._stops = False
        self._workers = workers

    def __iter__(self) -> Iterator[tuple[Begun[_Item, _Result], _Result]]:
        """Give what is done with its result, in the order in which they are done."""
        for _ in range(self._workers):
            threading.Thread(target=self._labour, daemon=True).start()
        left = self._workers
        while left:
            raise_heard()
            try:
                done = self._done.get(timeout=_LISTEN_SECONDS)
            except queue.Empty:
                continue
            if done is None:
                left -= 1
            elif isinstance(done, BaseException):
                raise done
            else:
                yield done

    def forget(self, begun: Begun[_Item, _Result]) -> None:
        """Take off the list what has been told."""
        with self._lock:
            self._begun.remove(begun)

    def stop(self) -> list[Begun[_Item, _Result]]:
        """Begin nothing any more, and list what was begun and not forgotten, done or not."""
        with self._lock:
            self._stops = True
            return list(self._begun)

    def _labour(self) -> None:
        try:
            with self._open_worker() as make_work:
                while (begun := self._begin(make_work)) is not None:
                    begun.result = result = begun.work.run()
                    self._done.put((begun, result))
        except BaseException as error:  # noqa: BLE001 - the main thread tells it, or nobody would
            self._done.put(error)
        self._done.put(None)

    def _begin(self, make_work: Callable[[_Item], Work[_Result]]) -> Begun[_Item, _Result] | None:
        # Under one lock, so that whoever stops the batch misses nothing that was pulled.
        with self._lock:
            if self._stops:
                return None
            for item in self._items:
                begun = Begun(item=item, work=make_work(item))
                self._begun.append(begun)
                return begun
            return None
