"""What commands cost: to start, to send a large picture, to wait, and to work through a batch."""

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from measuring import KLING, Cost, Figure, count, measure, name_places, run, serve
from pictures import SMALL, write_photos, write_pictures

_PASS = (sys.executable, "-c", "pass")
_COMMANDS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    # 1.6 with the script that an older pip writes: that imports `re` before anything of ours.
    ("kling --version", ("--version",), 1.25),
    ("a usage error", ("effect", "squich", "photo.jpg"), 6.0),
    ("kling config list", ("config", "list"), 6.0),
    ("kling scenes", ("scenes",), 6.0),
    ("kling tasks", ("tasks",), 6.0),
    ("kling --help", ("--help",), 18.0),
)
_TABS = {"bash": 10.0, "zsh": 20.0, "fish": 20.0}
_PAIRS = 21
_RUNS = 7
# The program looks for the first time two seconds after the task is accepted.
_PAUSE_SECONDS = 2.0
_SECONDS = 30.0
_FEW = 10
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
    """Commands that ask nobody, and one look, in multiples of `python -c pass`."""
    with tempfile.TemporaryDirectory() as name, serve(seconds=3600) as serving:
        environ = name_places(name)
        for what, argv, bar in _COMMANDS:
            yield Figure(what, _compare(argv, environ), bar, " x")
        for shell, bar in _TABS.items():
            asked = {"_KLING_COMPLETE": f"complete_{shell}", "COMP_WORDS": "kling effect squ"}
            asked |= {"COMP_CWORD": "2", "_TYPER_COMPLETE_ARGS": "kling effect squ"}
            asked |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
            yield Figure(f"one Tab in {shell}", _compare((), environ | asked), bar, " x")
        environ |= serving
        task_id = run("effect", "squish", str(SMALL), "--no-wait", environ=environ).stdout.strip()
        yield Figure("kling status, one look", _compare(("status", task_id), environ), 12.0, " x")


def _compare(argv: Sequence[str], environ: Mapping[str, str]) -> float:
    """Compare the least processor times of runs that take turns."""
    ours = [KLING, *argv]
    measure(ours, environ)  # once for the caches
    pairs = [(measure(ours, environ).cpu, measure(_PASS, {}).cpu) for _ in range(_PAIRS)]
    return min(mine for mine, _ in pairs) / min(theirs for _, theirs in pairs)


def measure_pipeline() -> Iterator[Figure]:
    """A photo of 9.9 MB sent and looked at once, beside the shell's own way."""
    ours, shell, small, scans = list[Cost](), list[Cost](), list[Cost](), list[Cost]()
    with tempfile.TemporaryDirectory() as name, serve() as serving:
        photo, progressive = Path(name) / "large.jpg", Path(name) / "progressive.jpg"
        # Elsewhere: a child is counted with what its parent had in memory.
        script = write_pictures.__code__.co_filename
        subprocess.run([sys.executable, script, photo, progressive], check=True)
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
            scans.append(measure([KLING, "effect", "squish", str(progressive)], environ))
    assert all(cost.code == 0 for cost in (*ours, *shell, *small, *scans))
    mine = min(cost.wall for cost in ours) - _PAUSE_SECONDS
    theirs = min(cost.wall for cost in shell)
    peak = median(cost.peak for cost in ours)
    yield Figure("effect, 9.9 MB, wall time", 1000 * mine, unit=" ms")
    yield Figure("base64 | curl | jq + curl | jq, wall time", 1000 * theirs, unit=" ms")
    yield Figure("effect beside the pipeline", mine / theirs, 3.5, " x")
    yield Figure("effect, 9.9 MB, peak memory", peak, unit=" MB")
    growth = peak - median(cost.peak for cost in small)
    yield Figure("9.9 MB photo over 42 kB photo", growth, 24.0, " MB")
    peak = median(cost.peak for cost in scans)
    yield Figure("progressive, 16 megapixels, peak memory", peak, 120.0, " MB")


def measure_waiting() -> Iterator[Figure]:
    """Processor time of a task of half a minute beyond one at once, and what is said of it."""
    costs = list[float]()
    for seconds in (0.0, _SECONDS):
        with tempfile.TemporaryDirectory() as name, serve(seconds=seconds) as serving:
            environ = {**serving, **name_places(name)}
            costs.append(measure([KLING, "effect", "squish", str(SMALL)], environ).cpu)
    with tempfile.TemporaryDirectory() as name, serve(seconds=_SECONDS) as serving:
        said = run("effect", "squish", str(SMALL), environ={**serving, **name_places(name)}).stderr
    yield Figure("waiting, share of a core", 100 * (costs[1] - costs[0]) / _SECONDS, 0.5, " %")
    yield Figure("waiting with five rows on a terminal", 100 * _watch() / _SECONDS, 3.0, " %")
    yield Figure("lines off a terminal, one a change of state", len(said.splitlines()), 3)


def _watch() -> float:
    """Tell what five tasks cost on a terminal, in seconds, beyond five that are done at once."""
    costs = list[float]()
    for seconds in (0.0, _SECONDS):
        with tempfile.TemporaryDirectory() as name, serve(seconds=seconds) as serving:
            environ = {**serving, **name_places(name), "TERM": "xterm-256color"}
            photos = map(str, write_photos(Path(name), 5))
            line = shlex.join([KLING, "effect", "squish", *photos, "--yes", "--jobs", "5"])
            costs.append(measure(["script", "-qec", line, "/dev/null"], environ).cpu)
    return costs[1] - costs[0]


def measure_batch(*, photos: int, workers: int, limit: int, seconds: float) -> Iterator[Figure]:
    """A batch of many photos beside one of ten."""
    few, _ = _run_batch(_FEW, workers, limit, seconds)
    many, counted = _run_batch(photos, workers, limit, seconds)
    each = 1000 * (many.cpu - few.cpu) / (photos - _FEW)
    yield Figure("batch, wall time", many.wall, unit=" s")
    yield Figure("batch, submissions refused for the limit", counted["refused"])
    yield Figure("batch, looks a task", counted["looks"] / photos)
    yield Figure("batch, processor time a task", each, 8.0, " ms")
    yield Figure("batch, peak memory", many.peak, unit=" MB")
    yield Figure("batch, over ten photos", many.peak - few.peak, 8.0, " MB")


def _run_batch(
    photos: int, workers: int, limit: int, seconds: float
) -> tuple[Cost, dict[str, int]]:
    with tempfile.TemporaryDirectory() as name, serve(limit=limit, seconds=seconds) as serving:
        names, output = Path(name) / "list", Path(name) / "out"
        names.write_text("\n".join(map(str, write_photos(Path(name), photos))), encoding="utf-8")
        options = ("--from", str(names), "--jobs", str(workers), "--json", "--yes")
        argv = [KLING, "effect", "squish", *options]
        cost = measure(argv, {**serving, **name_places(name)}, output=output)
        records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        counted = count(serving)
    assert cost.code == 0, cost
    assert counted["sold"] == photos == len(records), (counted, len(records))
    assert all(record["ok"] for record in records)
    return cost, counted
