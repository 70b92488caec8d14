"""All measures in one run: `python tests/benchmarks [NAME...]`, a table of figures and bars.

Names: startup, pipeline, waiting, schedule, batch; all if none is given. `--photos`, `--workers`,
`--limit` and `--seconds` change the batch. No network is needed, only curl and jq for the pipeline.
The figures are ratios to what runs beside it where that is possible; quiet machines measure best.
"""

import argparse
from collections.abc import Callable, Iterator
from statistics import median
from typing import NamedTuple

import batch
import pipeline
import schedule
import startup
import waiting


class Figure(NamedTuple):
    """A measured figure and its bar; None where it is only told."""

    what: str
    figure: float
    bar: float | None = None
    unit: str = ""

    def show(self) -> str:
        """Show it as a row of a table."""
        bar = "" if self.bar is None else f"{self.bar:g}{self.unit}"
        verdict = "" if self.bar is None else ("holds" if self.figure <= self.bar else "MISSED")
        figure = f"{self.figure:.2f}{self.unit}"
        return f"| {self.what:46} | {figure:>12} | {bar:>8} | {verdict:6} |"


def measure_startup() -> Iterator[Figure]:
    """Commands, in multiples of `python -c pass`."""
    for name, argv, bar in startup.COMMANDS:
        yield Figure(name, startup.compare(argv), bar, " x")
    yield Figure("kling status, one look", startup.compare_status(), startup.STATUS_BAR, " x")


def measure_pipeline() -> Iterator[Figure]:
    """A photo of 9.9 MB beside the shell's own way."""
    ours, shell, small = pipeline.compare()
    mine = median(cost.wall for cost in ours) - pipeline.PAUSE_SECONDS
    theirs = median(cost.wall for cost in shell)
    peak, shell_peak = median(cost.peak for cost in ours), median(cost.peak for cost in shell)
    yield Figure("effect, 9.9 MB, wall time", 1000 * mine, unit=" ms")
    yield Figure("base64 | curl | jq + curl | jq, wall time", 1000 * theirs, unit=" ms")
    yield Figure("effect beside the pipeline", mine / theirs, pipeline.BAR, " x")
    yield Figure("effect, 9.9 MB, peak memory", peak, unit=" MB")
    yield Figure("the pipeline's largest program, peak memory", shell_peak, unit=" MB")
    growth = peak - median(cost.peak for cost in small)
    yield Figure("9.9 MB photo over 42 kB photo", growth, pipeline.MOST_MEMORY_MB, " MB")


def measure_waiting() -> Iterator[Figure]:
    """A task that takes half a minute."""
    share = 100 * waiting.measure_share()
    yield Figure("waiting, share of a core", share, 100 * waiting.MOST_SHARE, " %")
    yield Figure("lines off a terminal, one a change of state", len(waiting.list_lines()), 3)


def measure_schedule() -> Iterator[Figure]:
    """Delay times looks on a virtual clock, beside a look every 5 seconds."""
    for kind, ours, fixed in schedule.measure():
        yield Figure(f"delay x looks, {kind}", ours / fixed, schedule.BAR, " x")
    yield Figure("delay x looks, mix, at best", schedule.find_best(), unit=" x")


def measure_batch(asked: argparse.Namespace) -> Iterator[Figure]:
    """Many photos beside ten of them."""
    how = {"workers": asked.workers, "limit": asked.limit, "seconds": asked.seconds}
    few, _ = batch.run(photos=batch.FEW, **how)
    many, counted = batch.run(photos=asked.photos, **how)
    each = 1000 * (many.cpu - few.cpu) / (asked.photos - batch.FEW)
    yield Figure("batch, purchases", counted["sold"])
    yield Figure("batch, wall time", many.wall, unit=" s")
    yield Figure("batch, submissions refused for the limit", counted["refused"])
    yield Figure("batch, looks a task", counted["looks"] / asked.photos)
    yield Figure("batch, processor time a task", each, batch.MOST_CPU_MS, " ms")
    yield Figure("batch, peak memory", many.peak, unit=" MB")
    yield Figure("batch, over ten photos", many.peak - few.peak, batch.MOST_GROWTH_MB, " MB")


def main() -> None:
    """Run what was asked for, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--limit", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    asked = parser.parse_args()
    measures: dict[str, Callable[[], Iterator[Figure]]] = {
        "startup": measure_startup,
        "pipeline": measure_pipeline,
        "waiting": measure_waiting,
        "schedule": measure_schedule,
        "batch": lambda: measure_batch(asked),
    }
    for name in asked.names or measures:
        for figure in measures[name]():
            print(figure.show(), flush=True)


if __name__ == "__main__":
    main()
