"""Whatever the bytes, a check or a repair ends as a picture or as our own error, soon and small."""

import io
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ground.pictures import build_corpus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kling_cli.errors import InputError
from kling_cli.images.preflight import prepare
from kling_cli.task import Picture

# The small ones: a mutation of padding finds nothing.
SEEDS = [
    sample.content
    for sample in build_corpus()
    if b"." in sample.name and 8 < len(sample.content) < 400_000
]
MOST_SECONDS = 2.0
MOST_KILOBYTES = 300 * 1024
LONG_RUNS, EXAMPLES_EACH = 8, 2500


def mutate(content: bytes, choose: random.Random) -> bytes:
    """Change, cut out, double or add a few pieces, more of them in the header than behind it."""
    mutated = bytearray(content)
    for _ in range(choose.randrange(1, 6)):
        reach = choose.choice((64, 1024, len(mutated)))
        place = choose.randrange(min(reach, len(mutated)) + 1)
        piece = choose.choice(
            (
                bytes([choose.randrange(256)]),
                choose.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80")),
                choose.randbytes(choose.randrange(1, 9)),
                bytes(mutated[place : place + choose.randrange(64)]),
            )
        )
        taken = choose.choice((0, len(piece), len(piece), len(piece), choose.randrange(64)))
        mutated[place : place + taken] = piece
    return bytes(mutated)


def survive(content: bytes) -> None:
    """Check and repair the bytes; anything but a picture or our own error fails."""
    offers = False
    for fix in (False, True):
        started = time.thread_time()
        found = attempt(content, fix=fix)
        assert time.thread_time() - started < MOST_SECONDS
        if isinstance(found, InputError):
            assert found.code.startswith("image_"), found.code
            assert found.message.isprintable(), found.message
            assert not (fix and offers), f"--fix was promised: {found.message}"
            offers = bool(found.hint)
        else:
            assert found.fixes if offers else found.content == content


def attempt(content: bytes, *, fix: bool) -> Picture | InputError:
    """Check the bytes, and repair them if asked to."""
    try:
        return prepare("-", standard_input=io.BytesIO(content), fix=fix)
    except InputError as error:
        return error


def measure_peak() -> int:
    """Tell the most memory that this process has had, in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@settings(
    max_examples=200,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.sampled_from(range(len(SEEDS))), randomness=st.integers(0, 1 << 32))
def test_mutated_pictures_are_survived(
    seed: int, randomness: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """No bytes lead to a traceback, a hang, or a word of a decoder on a stream (fault 60)."""
    before = measure_peak()
    survive(mutate(SEEDS[seed], random.Random(randomness)))  # noqa: S311 - no secret
    assert measure_peak() - before < MOST_KILOBYTES
    assert capfd.readouterr() == ("", "")


LONG = """
import json, random, sys
sys.path.insert(0, sys.argv[1])
from images import test_fuzz as fuzz
before = fuzz.measure_peak()
choose = random.Random(int(sys.argv[2]))
for count in range(int(sys.argv[3])):
    content = fuzz.mutate(choose.choice(fuzz.SEEDS), choose)
    try:
        fuzz.survive(content)
    except Exception as error:
        open(sys.argv[4], "wb").write(content)
        sys.exit(f"example {count}: {error!r}")
print(json.dumps({"grown": fuzz.measure_peak() - before}))
"""


def test_many_mutated_pictures_are_survived(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Thousands of them leave a process of their own small and silent (fault 60).

    With --every-call it is a long run; without, a short one.
    """
    is_long = request.config.getoption("--every-call")
    runs, examples = (LONG_RUNS, EXAMPLES_EACH) if is_long else (1, 60)
    for run in range(runs):
        found = tmp_path / f"{run}.bin"
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                LONG,
                Path(__file__).parents[1],
                str(run),
                str(examples),
                found,
            ],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}{found}"
        assert done.stderr == ""
        assert json.loads(done.stdout)["grown"] < MOST_KILOBYTES
