"""The cost of commands: start-up, a large picture, a wait, and a batch."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from measuring import KLING, Cost, Figure, measure, name_places, run, serve
from pictures import SMALL, write_large, write_photos

_PASS = (sys.executable, "-c", "pass")
_COMMANDS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("kling --version", ("--version",), 1.25),
    ("a usage error", ("effect", "squich", "photo.jpg"), 6.0),
    ("kling config list", ("config", "list"), 6.0),
    ("kling scenes", ("scenes",), 6.0),
    ("kling tasks", ("tasks",), 6.0),
    ("kling --help", ("--help",), 18.0),
)
_PAIRS = 21
_RUNS = 7
# The first check is two seconds after the task is accepted.
_PAUSE_SECONDS = 2.0
_SECONDS = 30.0
_FEW, _MANY = 10, 1000
_SHELL = """
set -eu
auth="Authorization: Bearer $KLING_TOKEN"
url="$KLING_BASE_URL/v1/videos/effects"
id=$({
  printf '{"effect_scene":"squish","input":{"model_name":"kling-v1-6","duration":"5","image":"'
  base64 -w 0 "$PHOTO"
  printf '"},"external_task_id":"%s"}' "$NAME"
} | curl -sS -H "$auth" -H 'Content-Type: application/json' --data-binary @- "$url" |
  jq -r .data.task_id)
curl -sS -H "$auth" "$url/$id" | jq -r '.data.task_result.videos[0].url'
"""


def measure_startup() -> Iterator[Figure]:
    """Offline commands and one check, in multiples of `python -c pass`."""
    with tempfile.TemporaryDirectory() as name, serve(seconds=3600) as serving:
        environ = name_places(name)
        for what, argv, bar in _COMMANDS:
            yield Figure(what, _compare(argv, environ), bar, " x")
        environ |= serving
        task_id = run("effect", "squish", str(SMALL), "--no-wait", environ=environ).stdout.strip()
        yield Figure("kling status, one look", _compare(("status", task_id), environ), 12.0, " x")


def _compare(argv: Sequence[str], environ: Mapping[str, str]) -> float:
    """Return the median ratio of pairs of runs, because both runs of a pair have the same load."""
    ours = [KLING, *argv]
    measure(ours, environ)  # once for the caches
    return median(measure(ours, environ).wall / measure(_PASS, {}).wall for _ in range(_PAIRS))


def measure_pipeline() -> Iterator[Figure]:
    """A photo of 9.9 MB sent and checked once, compared with a shell script."""
    ours, shell, small = list[Cost](), list[Cost](), list[Cost]()
    with tempfile.TemporaryDirectory() as name, serve() as serving:
        photo = Path(name) / "large.jpg"
        # In another process, because a child inherits its parent's memory.
        subprocess.run([sys.executable, write_large.__code__.co_filename, photo], check=True)
        for number in range(_RUNS):
            environ = {
                **serving,
                **name_places(f"{name}/{number}"),
                "PHOTO": str(photo),
                "NAME": f"shell-{number}",
                "KLING_TOKEN": f"sk-benchmark-{number}",  # another token makes another request
            }
            ours.append(measure([KLING, "effect", "squish", str(photo)], environ))
            shell.append(measure(["sh", "-c", _SHELL], environ))
            small.append(measure([KLING, "effect", "squish", str(SMALL)], environ))
    assert all(cost.code == 0 for cost in (*ours, *shell, *small))
    mine = median(cost.wall for cost in ours) - _PAUSE_SECONDS
    theirs = median(cost.wall for cost in shell)
    peak = median(cost.peak for cost in ours)
    yield Figure("effect, 9.9 MB, wall time", 1000 * mine, unit=" ms")
    yield Figure("base64 | curl | jq + curl | jq, wall time", 1000 * theirs, unit=" ms")
    yield Figure("effect beside the pipeline", mine / theirs, 3.5, " x")
    yield Figure("effect, 9.9 MB, peak memory", peak, unit=" MB")
    growth = peak - median(cost.peak for cost in small)
    yield Figure("9.9 MB photo over 42 kB photo", growth, 24.0, " MB")


def measure_waiting() -> Iterator[Figure]:
    """Processor time of a task of half a minute, beyond that of an instant one."""
    costs = list[float]()
    for seconds in (0.0, _SECONDS):
        with tempfile.TemporaryDirectory() as name, serve(seconds=seconds) as serving:
            environ = {**serving, **name_places(name)}
            costs.append(measure([KLING, "effect", "squish", str(SMALL)], environ).cpu)
    yield Figure("waiting, share of a core", 100 * (costs[1] - costs[0]) / _SECONDS, 0.5, " %")


def measure_batch() -> Iterator[Figure]:
    """A batch of many photos, compared with one of ten."""
    few, many = _run_batch(_FEW), _run_batch(_MANY)
    each = 1000 * (many.cpu - few.cpu) / (_MANY - _FEW)
    yield Figure("batch, wall time", many.wall, unit=" s")
    yield Figure("batch, processor time a task", each, 8.0, " ms")
    yield Figure("batch, peak memory", many.peak, unit=" MB")
    yield Figure("batch, over ten photos", many.peak - few.peak, 8.0, " MB")


def _run_batch(photos: int) -> Cost:
    with tempfile.TemporaryDirectory() as name, serve(limit=5, seconds=2.0) as serving:
        names, output = Path(name) / "list", Path(name) / "out"
        names.write_text("\n".join(map(str, write_photos(Path(name), photos))), encoding="utf-8")
        argv = [KLING, "effect", "squish", "--from", str(names), "--jobs", "8", "--json", "--yes"]
        cost = measure(argv, {**serving, **name_places(name)}, output=output)
        records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert cost.code == 0, cost
    assert [record["ok"] for record in records] == [True] * photos
    return cost
