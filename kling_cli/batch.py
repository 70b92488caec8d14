"""Many requests: a fixed set of workers over an iterator.

Nothing is read before its turn. The work goes on in threads of its own, so that the main thread is
free to print what is done, and to hear a signal at any moment.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

from kling_cli.purchase import Purchase

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


class Batch(Generic[_Item, _Result]):
    """Items worked off by so many workers at once.

    Args:
        items: pulled one at a time, each when a worker is free for it.
        open_worker: entered once in each worker's thread; what it gives starts the work on an item.
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
        self._done: queue.SimpleQueue[tuple[_Item, _Result] | BaseException | None] = (
            queue.SimpleQueue()
        )
        self._under_way: dict[int, tuple[_Item, Work[_Result]]] = {}
        self._stops = False
        self._workers = workers

    def __iter__(self) -> Iterator[tuple[_Item, _Result]]:
        """Give each item with its result, in the order in which they are done."""
        for _ in range(self._workers):
            threading.Thread(target=self._labour, daemon=True).start()
        left = self._workers
        while left:
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

    def stop(self) -> list[tuple[_Item, Work[_Result]]]:
        """Start nothing any more, and tell what is under way."""
        with self._lock:
            self._stops = True
            return list(self._under_way.values())

    def _labour(self) -> None:
        try:
            with self._open_worker() as start:
                while (item := self._pull()) is not None:
                    self._work_off(item[0], start)
        except BaseException as error:  # noqa: BLE001 - the main thread tells it, or nobody would
            self._done.put(error)
        self._done.put(None)

    def _pull(self) -> tuple[_Item] | None:
        with self._lock:
            if self._stops:
                return None
            for item in self._items:
                return (item,)
            return None

    def _work_off(self, item: _Item, start: Callable[[_Item], Work[_Result]]) -> None:
        work = start(item)
        with self._lock:
            self._under_way[id(work)] = (item, work)
        result = work.run()
        with self._lock:
            del self._under_way[id(work)]
        self._done.put((item, result))
