"""Bought once, explored exhaustively: the product's own steps under every fault at every place.

The submission and the journal are the product's; the service, the processes and their faults are
played here, and every choice that they have is taken in turn.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest
from ground.explorer import Choices, Interleaving, enumerate_ways

from kling_cli.buying.claim import Terms
from kling_cli.buying.submission import Submission
from kling_cli.errors import (
    KlingError,
    LaterError,
    RefusedError,
    UnknownError,
    UnreachableError,
)
from kling_cli.journal import Journal
from kling_cli.purchase import Declined, Event, Purchase, Stage
from kling_cli.scenes import find
from kling_cli.task import Look, Picture, Request, Task, TaskStatus

if TYPE_CHECKING:
    from kling_cli.api.service import Service

REQUEST = Request(
    base_url="https://service.example",
    scene=find("squish"),
    pictures=(Picture(source="photo.jpg", kind="file", content=b"x", sha256="0" * 64),),
)
NAME = "kling-derived"


class CrashError(BaseException):
    """The process is killed here."""


class Silence:
    """A listener that says nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""

    def accept(self, purchase: Purchase) -> None:
        """Say nothing."""

    def look(self, task: Task) -> None:
        """Say nothing."""

    def miss(self, count: int, reason: str) -> None:
        """Say nothing."""

    def queue(self) -> None:
        """Say nothing."""

    def save(self, done: int, total: int | None) -> None:
        """Say nothing."""

    def hold(self, reason: str, *, seconds: float) -> None:
        """Say nothing."""


@dataclass(kw_only=True)
class Rules:
    """What the service promises: how it takes a repeated id, and whether it looks up by one."""

    repeated: str = "buys"
    looks_up: bool = True


@dataclass(kw_only=True)
class World:
    """The service and what may still go wrong, shared by all processes of one way.

    Attributes:
        choices: decides what happens.
        rules: what the service promises.
        faults: how many things may still go wrong.
        bought: the external id of each purchase.
        late: ids of requests that are on their way and arrive when the service is next asked.
        crash_points: how many places a crash was possible at.
    """

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
        """Let another process go on, or the clock."""
        if self.interleaving is not None:
            self.interleaving.pause()

    def go_wrong(self, kinds: int) -> int:
        """Choose what goes wrong: 0 is nothing."""
        if self.faults <= 0:
            return 0
        kind = self.choices.choose(kinds + 1)
        if kind:
            self.faults -= 1
        return kind

    def step(self) -> None:
        """Come to a place where a process may be put aside or killed."""
        self.pause()
        self.crash_points += self.faults > 0
        if self.go_wrong(1):
            raise CrashError

    def arrive(self, name: str) -> bool:
        """Let a request arrive; tell whether it was refused as a repeated one."""
        if name in self.bought and self.rules.repeated == "is refused":
            return True
        if name not in self.bought or self.rules.repeated == "buys":
            self.bought.append(name)
        return False

    # What the product asks of a clock.

    def monotonic(self) -> float:
        """Tell the time."""
        return self.now

    def time(self) -> float:
        """Tell the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.now += seconds
        self.pause()

    def random(self) -> float:
        """Draw no surprise."""
        return 0.5


class PlayedService:
    """The service as the network lets a client see it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def submit(  # noqa: PLR0911 - one end for each thing that can happen
        self, _request: Request, name: str, *, before_first_byte: Callable[[], None]
    ) -> Task | Declined:
        """Take a request, with everything that can happen to one."""
        world = self._world
        kind = world.go_wrong(5)
        if kind == 1:
            return Declined(event=Event.NOT_SENT, error=UnreachableError("not_sent", "refused"))
        before_first_byte()
        world.posts += 1
        world.step()
        if kind == 2:
            return Declined(event=Event.BUSY, error=LaterError("busy", "busy"))
        if kind == 3:
            return Declined(event=Event.REFUSED, error=RefusedError("refused", "refused"))
        lost = Declined(event=Event.AMBIGUOUS, error=UnknownError("reply_lost", "lost"))
        if kind == 4:
            world.late.append(name)
            return lost
        is_repeated = world.arrive(name)
        world.step()
        if kind == 5:
            return lost
        if is_repeated:
            duplicate = UnknownError("duplicate_external_id", "exists")
            return Declined(event=Event.DUPLICATE, error=duplicate)
        return self._tell(name)

    def look(self, name: str, *, seconds_left: float) -> Look:  # noqa: ARG002 - it takes no time
        """Look a request up."""
        world = self._world
        world.step()
        while world.late:
            world.arrive(world.late.pop())
        kind = world.go_wrong(2)
        if kind == 1:
            return Look(error=UnreachableError("unreachable", "no answer"))
        if kind == 2 or name not in world.bought or not world.rules.looks_up:
            return Look(is_missing=True)
        return Look(task=self._tell(name))

    @staticmethod
    def _tell(name: str) -> Task:
        return Task(task_id=f"task-{name}", external_task_id=name, status=TaskStatus.SUBMITTED)


class SteppedJournal(Journal):
    """The product's journal, with a place for a kill before and after each of its steps."""

    world: World

    def claim(self, wanted: Purchase, *, replacing: str | None = None) -> Purchase:
        """Claim, and perhaps be killed."""
        self.world.step()
        claimed = super().claim(wanted, replacing=replacing)
        self.world.step()
        return claimed

    def apply(
        self, external_task_id: str, event: Event, *, sender: str, tag: str | None = None
    ) -> Purchase | None:
        """Take a step, and perhaps be killed."""
        self.world.step()
        after = super().apply(external_task_id, event, sender=sender, tag=tag)
        self.world.step()
        return after

    def record(self, purchase: Purchase, task: Task, *, warn: Callable[[str], None]) -> Purchase:
        """Record, and perhaps be killed."""
        self.world.step()
        seen = super().record(purchase, task, warn=warn)
        self.world.step()
        return seen


def run(
    world: World, journal: Journal, *, kind: type[Submission] = Submission, name: str = NAME
) -> str:
    """Run the command once; tell how it ended."""
    submission = kind(
        REQUEST,
        Terms(external_task_id=name),
        journal=journal,
        service=cast("Service", PlayedService(world)),
        clock=world,
        talk=Silence(),
    )
    try:
        submission.run()
    except UnknownError:
        return "unknown"
    except KlingError:
        return "not bought"
    except CrashError:
        return "killed"
    return "bought"


def open_journal(world: World, kind: type[SteppedJournal] = SteppedJournal) -> SteppedJournal:
    """Open a journal that outlives the processes of this way."""
    journal = kind(None, now=world.time)
    journal.world = world
    return journal


def judge(world: World, journal: Journal, *, kind: type[Submission] = Submission) -> None:
    """Run the command once more without any fault: bought once and there, or listed as unknown."""
    world.faults, world.interleaving = 0, None
    end = run(world, journal, kind=kind)
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
# On one machine the journal decides, whatever the service does with a repeated id.
LEAST_HELPFUL = [rules for rules in RULES if rules.repeated == "buys"]


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_one_process_buys_once(rules: Rules, request: pytest.FixtureRequest) -> None:
    """Whatever goes wrong in two runs, the next has the task, or says that it is open."""
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


@pytest.mark.parametrize("rules", LEAST_HELPFUL, ids=str)
def test_two_processes_buy_once(rules: Rules, request: pytest.FixtureRequest) -> None:
    """Two runs at the same time, put aside and killed anywhere, buy once between them."""
    switches = 2 if request.config.getoption("--every-call") else 1
    ways = crash_points = 0
    for choices in enumerate_ways():
        interleaving = Interleaving(choices, switches=switches)
        world = World(choices=choices, rules=rules, faults=1, interleaving=interleaving)
        journal = open_journal(world)
        interleaving.run([partial(run, world, journal)] * 2)
        judge(world, journal)
        journal.close()
        ways += 1
        crash_points += world.crash_points
    print(f"{rules}: {ways} ways, {crash_points} crash points, 0 lost, 0 bought twice")
    assert ways > 200


def test_two_machines_with_one_token_buy_once(request: pytest.FixtureRequest) -> None:
    """Two machines without a common journal buy once where the service keeps ids unique."""
    switches = 2 if request.config.getoption("--every-call") else 1
    ways = 0
    for choices in enumerate_ways():
        interleaving = Interleaving(choices, switches=switches)
        rules = Rules(repeated="is refused")
        world = World(choices=choices, rules=rules, faults=1, interleaving=interleaving)
        here, there = open_journal(world), open_journal(world)
        interleaving.run([partial(run, world, here), partial(run, world, there)])
        judge(world, here)
        judge(world, there)
        assert len(world.bought) == 1 or here.list_purchases(unfinished=True)
        here.close()
        there.close()
        ways += 1
    print(f"two machines: {ways} ways, 0 lost, 0 bought twice")
    assert ways > 200


class BrokenJournal(SteppedJournal):
    """The journal with the back doors that the broken variants use."""

    def reopen(self, name: str) -> Purchase | None:
        """Call a doubtful purchase unsent."""
        self._database.execute(
            "UPDATE purchases SET stage = 'claimed' WHERE external_task_id = ?", name
        )
        return self.find(name)

    def forget(self, name: str) -> None:
        """Forget a doubtful purchase."""
        self._database.execute("DELETE FROM purchases WHERE external_task_id = ?", name)


class ResendingSubmission(Submission):
    """Broken on purpose: what a look-up does not find is sent again."""

    def _find(self, purchase: Purchase) -> Purchase | None:
        try:
            return super()._find(purchase)
        except UnknownError:
            return cast("BrokenJournal", self._journal).reopen(purchase.external_task_id)


class ForgettingSubmission(Submission):
    """Broken on purpose: "not found" counts as refused, and that overwrites the doubt."""

    def _find(self, purchase: Purchase) -> Purchase | None:
        try:
            return super()._find(purchase)
        except UnknownError:
            cast("BrokenJournal", self._journal).forget(purchase.external_task_id)
            raise RefusedError("refused", "not found") from None


class LateSubmission(Submission):
    """Broken on purpose: the journal is told of the sending only when the answer is there."""

    def _step_out(self, name: str) -> None:
        """Say nothing before the first byte."""

    def _settle(self, purchase: Purchase, declined: Declined) -> Purchase | None:
        super()._step_out(purchase.external_task_id)
        return super()._settle(purchase, declined)


@pytest.mark.parametrize("kind", [ResendingSubmission, ForgettingSubmission, LateSubmission])
def test_a_broken_protocol_is_caught(kind: type[Submission]) -> None:
    """The exploration can fail: three protocols that lose or buy twice do not get through it."""
    caught = ""
    for choices in enumerate_ways():
        world = World(choices=choices, rules=Rules(looks_up=False), faults=1)
        journal = open_journal(world, BrokenJournal)
        run(world, journal, kind=kind)
        try:
            judge(world, journal, kind=kind)
        except AssertionError as error:
            caught = str(error)
        journal.close()
        if caught:
            break
    assert "bought twice" in caught or "was bought" in caught
