"""Explore every path of a run: all combinations of choices, and interleaved processes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Choices:
    """One path through all choices: follow `path`, then always take the first option."""

    path: list[int] = field(default_factory=list)
    trail: list[tuple[int, int]] = field(default_factory=list)

    def choose(self, options: int) -> int:
        place = len(self.trail)
        chosen = self.path[place] if place < len(self.path) else 0
        self.trail.append((chosen, options))
        return chosen


def enumerate_ways() -> Iterator[Choices]:
    """Yield each path once; the caller completes it before the next one."""
    path: list[int] = []
    while True:
        ways = Choices(path=path)
        yield ways
        trail = ways.trail
        while trail and trail[-1][0] + 1 >= trail[-1][1]:
            trail.pop()
        if not trail:
            return
        path = [chosen for chosen, _ in trail]
        path[-1] += 1


class Interleaving:
    """Several processes, of which one runs at a time; each pause is a choice."""

    def __init__(self, choices: Choices, *, switches: int) -> None:
        self._choices = choices
        self._switches = switches
        self._turns: dict[int, threading.Semaphore] = {}
        self._waiting: list[int] = []
        self._handed_back = threading.Semaphore(0)
        self._names = threading.local()

    def run(self, bodies: Sequence[Callable[[], object]]) -> None:
        threads: list[threading.Thread] = []
        for name, body in enumerate(bodies):
            self._turns[name] = threading.Semaphore(0)
            self._waiting.append(name)
            thread = threading.Thread(target=self._live, args=(name, body), daemon=True)
            thread.start()
            threads.append(thread)
        running: int | None = None
        while self._waiting:
            running = self._choose(running)
            self._waiting.remove(running)
            self._turns[running].release()
            assert self._handed_back.acquire(timeout=10)
        for thread in threads:
            thread.join()

    def pause(self) -> None:
        """Let another process continue, if that is the choice."""
        name = getattr(self._names, "name", None)
        if name is None:
            return
        self._waiting.append(name)
        self._handed_back.release()
        assert self._turns[name].acquire(timeout=10)

    def _choose(self, running: int | None) -> int:
        options = sorted(self._waiting)
        if running in options:
            if not self._switches:
                return running
            # The first option is to continue, so that paths without a switch come first.
            options.sort(key=lambda name: name != running)
        chosen = options[self._choices.choose(len(options))]
        if running in options and chosen != running:
            self._switches -= 1
        return chosen

    def _live(self, name: int, body: Callable[[], object]) -> None:
        self._names.name = name
        assert self._turns[name].acquire(timeout=10)
        try:
            body()
        finally:
            self._handed_back.release()
