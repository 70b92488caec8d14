"""All measures in one run: `python tests/benchmarks [NAME...]`, a table of figures and bars.

Names: startup, pipeline, waiting, schedule, batch; all if none is given. `--photos`, `--workers`,
`--limit` and `--seconds` change the batch. No network is needed, only curl, jq and script.
The figures are ratios to what runs beside it where that is possible: of the least processor times,
which a busy machine leaves alone; only the pipeline's wall time needs a quiet one.
"""

import argparse
import os
import platform
from collections.abc import Callable, Iterator
from functools import partial

from commands import measure_batch, measure_pipeline, measure_startup, measure_waiting
from measuring import Figure
from schedule import measure_schedule


def show(figure: Figure) -> str:
    """Show a figure as a row of a table."""
    value = f"{figure.figure:.2f}{figure.unit}"
    bar = verdict = ""
    if figure.bar is not None:
        bar = f"{figure.bar:g}{figure.unit}"
        verdict = "holds" if figure.figure <= figure.bar else "MISSED"
    return f"| {figure.what:46} | {value:>12} | {bar:>8} | {verdict:6} |"


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("names", nargs="*", metavar="NAME")
parser.add_argument("--photos", type=int, default=1000)
parser.add_argument("--workers", type=int, default=8)
parser.add_argument("--limit", type=int, default=5)
parser.add_argument("--seconds", type=float, default=2.0)
batch = vars(parser.parse_args())
names = batch.pop("names")
measures: dict[str, Callable[[], Iterator[Figure]]] = {
    "startup": measure_startup,
    "pipeline": measure_pipeline,
    "waiting": measure_waiting,
    "schedule": measure_schedule,
    "batch": partial(measure_batch, **batch),
}
print(f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} processors,")
print(f"load {os.getloadavg()[0]:.1f} at the start; ratios are to `python -c pass` (x pass)\n")
print(f"| {'what':46} | {'measured':>12} | {'bar':>8} |        |\n|---|---:|---:|---|")
for name in names or measures:
    for figure in measures[name]():
        print(show(figure), flush=True)
