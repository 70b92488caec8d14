"""Many processes that do the same at the same moment."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

_PRELUDE = """
import os, sys, time
from pathlib import Path
from kling_cli.journal import Journal
from kling_cli.purchase import Event, Purchase, Stage

path, count = Path(sys.argv[1]), int(sys.argv[2])
start, children = time.monotonic() + 0.1, []

def claim(number):
    return Purchase(
        external_task_id=f"kling-{number}", fingerprint="same", base_url="https://h",
        effect_scene="squish", stage=Stage.CLAIMED, created_at=1.0, updated_at=1.0,
    )

def act(number):
    {body}

for number in range(count):
    child = os.fork()
    if not child:
        time.sleep(max(start - time.monotonic(), 0))
        os._exit(act(number) or 0)
    children.append(child)
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children))
"""


def crowd(path: Path, *, count: int, body: str) -> str:
    """Run a body in so many processes at once, and give what they wrote.

    Args:
        path: the journal, known to the body as `path`.
        count: how many processes; each knows its own `number`.
        body: Python; `return` ends it, with anything but 0 for a failure.
    """
    script = _PRELUDE.replace("{body}", textwrap.indent(textwrap.dedent(body), "    ").strip())
    done = subprocess.run(
        [sys.executable, "-c", script, path, str(count)],
        capture_output=True,
        env=dict(os.environ),
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode} failed: {done.stderr.decode()}"
    return done.stdout.decode()
