"""Many requests and a fixed set of workers."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterator

import pytest

from kling_cli.batch import Batch, Work
from kling_cli.purchase import Purchase

PATIENCE = 5.0


class Task:
    """Work that calls a function."""

    def __init__(self, act: Callable[[], str]) -> None:
        self.act = act

    def run(self) -> str:
        """Call it."""
        return self.act()

    def abandon(self) -> Purchase | None:
        """Nothing is bought here."""


def open_worker(
    act: Callable[[int], str],
) -> contextlib.AbstractContextManager[Callable[[int], Work[str]]]:
    """Open a worker whose work on a number is to call a function with it."""
    return contextlib.nullcontext(lambda number: Task(lambda: act(number)))


def work_off(batch: Batch[int, str]) -> list[tuple[int, str]]:
    """Work a batch off, and forget what is done."""
    done: list[tuple[int, str]] = []
    for begun, result in batch:
        assert begun.result == result
        done.append((begun.item, result))
        batch.forget(begun)
    return done


@pytest.mark.parametrize("workers", [1, 3, 20])
def test_every_item_is_done_once(workers: int) -> None:
    """However many workers there are, each item is done, once, with its own result."""
    batch = Batch(range(10), lambda: open_worker(str), workers=workers)
    assert sorted(work_off(batch)) == [(number, str(number)) for number in range(10)]
    assert batch.stop() == []


def test_one_worker_keeps_the_order() -> None:
    """With one worker the results come in the order of the items."""
    batch = Batch(range(10), lambda: open_worker(str), workers=1)
    assert work_off(batch) == [(number, str(number)) for number in range(10)]


def test_what_is_done_first_is_given_first() -> None:
    """A result does not wait for those of the items before it."""
    release = threading.Event()

    def act(number: int) -> str:
        if number == 0:
            release.wait(PATIENCE)
        return ""

    results = iter(Batch(range(2), lambda: open_worker(act), workers=2))
    first, _ = next(results)
    release.set()
    assert first.item == 1
    assert next(results)[0].item == 0


def test_without_items_or_workers_nothing_happens() -> None:
    """A batch of nothing ends at once."""
    assert work_off(Batch([], lambda: open_worker(str), workers=0)) == []
    assert work_off(Batch([], lambda: open_worker(str), workers=2)) == []


def test_each_worker_is_opened_in_its_thread_and_closed() -> None:
    """A worker keeps what it works with to itself, and gives it back at its end."""
    opened: list[int] = []
    closed: list[int] = []
    together = threading.Barrier(3)

    @contextlib.contextmanager
    def open_it() -> Generator[Callable[[int], Work[str]]]:
        opened.append(threading.get_ident())
        yield lambda _number: Task(lambda: str(together.wait(PATIENCE) and threading.get_ident()))
        closed.append(threading.get_ident())

    assert len(work_off(Batch(range(3), open_it, workers=3))) == 3
    assert len(set(opened)) == 3
    assert sorted(opened) == sorted(closed)
    assert threading.get_ident() not in opened


def test_nothing_is_pulled_before_its_turn() -> None:
    """An endless list of items is read no further than there are hands free for it."""
    pulled: list[int] = []
    both, release = threading.Barrier(3), threading.Event()

    def items() -> Iterator[int]:
        for number in itertools.count():
            pulled.append(number)
            yield number

    def act(number: int) -> str:
        if number < 2:
            both.wait(PATIENCE)
            release.wait(PATIENCE)
        return ""

    batch = Batch(items(), lambda: open_worker(act), workers=2)
    results = iter(batch)
    assert pulled == []
    reader = threading.Thread(target=lambda: list(results))
    reader.start()
    both.wait(PATIENCE)
    assert pulled == [0, 1]
    batch.stop()
    release.set()
    reader.join(PATIENCE)
    assert pulled == [0, 1]


def test_a_quiet_batch_is_waited_for() -> None:
    """Work that takes longer than the main thread's glances is still waited for."""

    def act(_number: int) -> str:
        time.sleep(0.6)
        return "late"

    assert work_off(Batch([1], lambda: open_worker(act), workers=1)) == [(1, "late")]


def test_after_a_stop_nothing_begins() -> None:
    """Once stopped, a batch tells what was begun, done or not, and begins nothing more."""
    release, both = threading.Event(), threading.Barrier(2)
    begun: list[int] = []

    def act(number: int) -> str:
        begun.append(number)
        if number == 1:
            both.wait(PATIENCE)
            release.wait(PATIENCE)
        return f"done {number}"

    batch = Batch(range(9), lambda: open_worker(act), workers=1)
    results = iter(batch)
    first, _ = next(results)
    both.wait(PATIENCE)
    left = batch.stop()
    release.set()
    assert [(each.item, each.result) for each in left] == [(0, "done 0"), (1, None)]
    batch.forget(first)
    assert [each[0].item for each in results] == [1]
    assert begun == [0, 1]


def fail(_number: object = None) -> str:
    """Fail as no request should."""
    raise ZeroDivisionError


def give_then_fail() -> Iterator[int]:
    """Give one item, and no second one."""
    yield 1
    fail()


@contextlib.contextmanager
def fail_to_open() -> Generator[Callable[[int], Work[str]]]:
    """Fail before there is a worker."""
    fail()
    yield lambda _number: Task(str)


@pytest.mark.parametrize(
    "batch",
    [
        Batch([1, 2], lambda: open_worker(fail), workers=2),
        Batch(give_then_fail(), lambda: open_worker(str), workers=1),
        Batch([1], fail_to_open, workers=1),
        Batch([1], lambda: contextlib.nullcontext(fail), workers=1),  # type: ignore[arg-type,return-value] # fails first
    ],
    ids=["in the work", "in the items", "in the opening", "in the making"],
)
def test_no_error_is_lost_in_a_thread(batch: Batch[int, str]) -> None:
    """Whatever fails in a worker's thread is raised where the results are read."""
    with pytest.raises(ZeroDivisionError):
        work_off(batch)
