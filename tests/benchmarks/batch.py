"""A batch of many photos: processor time and peak memory for each, beside a batch of ten."""

import json
import tempfile
from pathlib import Path

from measuring import KLING, Cost, measure
from serving import serve

MOST_CPU_MS = 8.0
MOST_GROWTH_MB = 8.0
FEW = 10
_PHOTO = Path(__file__).parents[1] / "photos" / "astronaut.jpg"


def run(*, photos: int, workers: int, limit: int, seconds: float) -> tuple[Cost, dict[str, int]]:
    """Make so many tasks; give what it cost, and what the service counted."""
    with tempfile.TemporaryDirectory() as name, serve(limit=limit, seconds=seconds) as serving:
        directory = Path(name)
        paths = write_photos(directory, photos)
        (directory / "list").write_text("\n".join(map(str, paths)), encoding="utf-8")
        environ = {**serving.environ, "KLING_STATE_DIR": name, "KLING_CONFIG_DIR": name}
        options = ["--from", str(directory / "list"), "--jobs", str(workers), "--json", "--yes"]
        output = directory / "out"
        cost = measure([KLING, "effect", "squish", *options], environ=environ, output=output)
        records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        counted = serving.count()
        assert cost.code == 0, cost
        assert counted["sold"] == photos == len(records), (counted, len(records))
        assert all(record["ok"] for record in records)
    return cost, counted


def write_photos(directory: Path, number: int) -> list[Path]:
    """Write photos that differ in a comment alone, as small as a service takes them."""
    content = _PHOTO.read_bytes()
    paths = [directory / f"{each:05}.jpg" for each in range(number)]
    for path in paths:
        comment = b"\xff\xfe\0\x09" + path.stem.encode().rjust(7)
        path.write_bytes(content[:2] + comment + content[2:])
    return paths
