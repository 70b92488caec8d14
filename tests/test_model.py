"""Bought once, explored exhaustively: the product's own steps under every fault at every place.

The submission and the journal are the product's; the service, the processes and their faults are
played here, and every choice that they have is taken in turn.
"""

import copy
import io
import math
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from support.explorer import Choices, Interleaving, enumerate_ways

from kling_cli.api.errors import ApiError, Kind
from kling_cli.console import Console
from kling_cli.errors import KlingError, LaterError, RefusedError, UnknownError, UnreachableError
from kling_cli.journal import Journal
from kling_cli.models import EffectRequest, Picture, Purchase, Stage, Task
from kling_cli.purchase import Event, Resume
from kling_cli.submit import ConcurrencyLimit, Submission

if TYPE_CHECKING:
    from kling_cli.clock import Clock
    from kling_cli.context import Context

pytestmark = pytest.mark.timeout(1200)

REQUEST = EffectRequest(
    base_url="https://service.example",
    scene="squish",
    pictures=(Picture(source="photo.jpg", kind="file", content=b"x", sha256="0" * 64),),
    fields={},
    external_task_id="kling-derived",
)


class CrashError(BaseException):
    """The process is killed here."""


@dataclass(kw_only=True)
class Rules:
    repeated: str = "buys"
    looks_up: bool = True


@dataclass(kw_only=True)
class World:
    """The service and what may still go wrong, shared by all processes of one way."""

    choices: Choices
    rules: Rules
    faults: int
    interleaving: Interleaving | None = None
    bought: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    posts: int = 0
    crash_points: int = 0
    now: float = 1_000_000.0

    def pause(self) -> None:
        if self.interleaving is not None:
            self.interleaving.pause()

    def go_wrong(self, kinds: int) -> int:
        if self.faults <= 0:
            return 0
        kind = self.choices.choose(kinds + 1)
        if kind:
            self.faults -= 1
        return kind

    def step(self) -> None:
        self.pause()
        self.crash_points += self.faults > 0
        if self.go_wrong(1):
            raise CrashError

    def arrive(self, name: str) -> bool:
        if name in self.bought and self.rules.repeated == "is refused":
            return True
        if name not in self.bought or self.rules.repeated == "buys":
            self.bought.append(name)
        return False

    # What the product asks of a clock.

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pause()

    def random(self) -> float:
        return 0.5


class PlayedService:
    def __init__(self, world: World) -> None:
        self._world = world

    def create_effect(
        self,
        _request: EffectRequest,
        name: str,
        *,
        before_first_byte: Callable[[], None],
        progress: object,
    ) -> Task:
        world = self._world
        kind = world.go_wrong(5)
        if kind == 1:
            raise ApiError(Kind.NOT_SENT, UnreachableError("not_sent", "refused"))
        before_first_byte()
        world.posts += 1
        world.step()
        if kind == 2:
            raise ApiError(Kind.BUSY, LaterError("busy", "busy"))
        if kind == 3:
            raise ApiError(Kind.REFUSED, RefusedError("refused", "refused"))
        lost = ApiError(Kind.AMBIGUOUS, UnknownError("reply_lost", "lost"))
        if kind == 4:
            world.late.append(name)
            raise lost
        is_repeated = world.arrive(name)
        world.step()
        if kind == 5:
            raise lost
        if is_repeated:
            raise ApiError(Kind.DUPLICATE, UnknownError("duplicate_external_id", "exists"))
        return self._show(name)

    def get_task(self, name: str, *, seconds: float) -> Task:
        world = self._world
        world.step()
        while world.late:
            world.arrive(world.late.pop())
        kind = world.go_wrong(2)
        if kind == 1:
            raise ApiError(Kind.AMBIGUOUS, UnreachableError("unreachable", "no answer"))
        if kind == 2 or name not in world.bought or not world.rules.looks_up:
            raise ApiError(Kind.NOT_FOUND, RefusedError("not_found", "no such task"))
        return self._show(name)

    @staticmethod
    def _show(name: str) -> Task:
        return Task(task_id=f"task-{name}", external_task_id=name, status=Stage.SUBMITTED)


class SteppedJournal(Journal):
    world: World

    @property
    def is_kept(self) -> bool:
        return True

    def claim(self, wanted: Purchase, *, replacing: str | None = None) -> Purchase:
        self.world.step()
        claimed = super().claim(wanted, replacing=replacing)
        self.world.step()
        return claimed

    def apply(self, external_task_id: str, event: Event, *, tag: str | None = None) -> bool:
        self.world.step()
        after = super().apply(external_task_id, event, tag=tag)
        self.world.step()
        return after

    def record(self, purchase: Purchase, task: Task, *, warn: Callable[[str], None]) -> Purchase:
        self.world.step()
        seen = super().record(purchase, task, warn=warn)
        self.world.step()
        return seen


def run(world: World, journal: SteppedJournal) -> str:
    own = copy.copy(journal)
    own.sender, own.claimed = secrets.token_hex(8), set()
    console = Console(io.StringIO(), environ={}, clock=cast("Clock", world))
    context = SimpleNamespace(
        journal=own,
        client=lambda _base_url: PlayedService(world),
        clock=world,
        stopped=threading.Event(),
        resume=Resume(),
    )
    limit, row = ConcurrencyLimit(cast("Clock", world)), console.start("photo.jpg")
    submission = Submission(cast("Context", context), REQUEST, limit, row, deadline=math.inf)
    try:
        submission.run()
    except UnknownError:
        return "unknown"
    except KlingError:
        return "not bought"
    except CrashError:
        return "killed"
    return "bought"


def open_journal(world: World) -> SteppedJournal:
    journal = SteppedJournal(None, now=world.time)
    journal.world = world
    return journal


def judge(world: World, journal: SteppedJournal) -> None:
    world.faults, world.interleaving = 0, None
    end = run(world, journal)
    rows = journal.list_purchases(unfinished=True)
    assert len(world.bought) <= 1, f"bought twice: {world.bought}"
    if end == "bought":
        assert len(world.bought) == 1
        assert [row.task_id for row in rows] == [f"task-{world.bought[0]}"]
    else:
        assert end == "unknown", f"ended as {end}, and {world.bought} was bought"
        assert [row.stage in (Stage.SENDING, Stage.UNKNOWN) for row in rows] == [True]


RULES = [
    Rules(repeated=repeated, looks_up=looks_up)
    for repeated in ("buys", "is refused", "is the same")
    for looks_up in (True, False)
]


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_one_process_buys_once(rules: Rules, request: pytest.FixtureRequest) -> None:
    faults = 3 if request.config.getoption("--every-call") else 2
    ways = crash_points = 0
    for choices in enumerate_ways():
        world = World(choices=choices, rules=rules, faults=faults)
        journal = open_journal(world)
        run(world, journal)
        run(world, journal)
        judge(world, journal)
        journal.close()
        ways += 1
        crash_points += world.crash_points
    print(f"{rules}: {ways} ways, {crash_points} crash points, 0 lost, 0 bought twice")
    assert ways > 100


@pytest.mark.parametrize(
    ("rules", "machines"),
    [
        # On one machine the journal decides, whatever the service does with a repeated id.
        (Rules(repeated="buys", looks_up=True), 1),
        (Rules(repeated="buys", looks_up=False), 1),
        # Without a common journal it takes a service that keeps ids unique.
        (Rules(repeated="is refused"), 2),
    ],
    ids=str,
)
def test_two_runs_buy_once(rules: Rules, machines: int, request: pytest.FixtureRequest) -> None:
    switches = 2 if request.config.getoption("--every-call") else 1
    ways = 0
    for choices in enumerate_ways():
        interleaving = Interleaving(choices, switches=switches)
        world = World(choices=choices, rules=rules, faults=1, interleaving=interleaving)
        journals = [open_journal(world) for _ in range(machines)]
        interleaving.run([partial(run, world, journals[0]), partial(run, world, journals[-1])])
        for journal in journals:
            judge(world, journal)
        assert len(world.bought) == 1 or journals[0].list_purchases(unfinished=True)
        for journal in journals:
            journal.close()
        ways += 1
    print(f"{rules}, machines: {machines}: {ways} ways, 0 lost, 0 bought twice")
    assert ways > 200
