"""All measures in one run: `python tests/benchmarks [NAME...]`, a table of figures and bars.

Names: startup, pipeline, waiting, schedule, batch; all if none is given. No network is needed, only
curl and jq for the pipeline.
Most figures are ratios to a reference that runs at the same time. A quiet machine measures best.
"""

import argparse
from collections.abc import Callable, Iterator

from commands import measure_batch, measure_pipeline, measure_startup, measure_waiting
from measuring import Figure
from schedule import measure_schedule


def show(figure: Figure) -> str:
    value = f"{figure.figure:.2f}{figure.unit}"
    bar = verdict = ""
    if figure.bar is not None:
        bar = f"{figure.bar:g}{figure.unit}"
        verdict = "holds" if figure.figure <= figure.bar else "MISSED"
    return f"| {figure.what:46} | {value:>12} | {bar:>8} | {verdict:6} |"


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("names", nargs="*", metavar="NAME")
measures: dict[str, Callable[[], Iterator[Figure]]] = {
    "startup": measure_startup,
    "pipeline": measure_pipeline,
    "waiting": measure_waiting,
    "schedule": measure_schedule,
    "batch": measure_batch,
}
for name in parser.parse_args().names or measures:
    for figure in measures[name]():
        print(show(figure), flush=True)
