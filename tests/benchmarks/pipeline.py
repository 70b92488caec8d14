"""One photo of 9.9 MB sent and looked at once, beside `base64 | curl | jq` and `curl | jq`."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from measuring import KLING, Cost, measure
from pictures import SMALL, write_large_elsewhere
from serving import serve

BAR = 3.5
MOST_MEMORY_MB = 24.0
# The program looks for the first time two seconds after the task is accepted.
PAUSE_SECONDS = 2.0
_RUNS = 7
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


def compare() -> tuple[list[Cost], list[Cost], list[Cost]]:
    """Run in turn, and give the costs, of ours, of the shell's, and of ours with a small photo."""
    ours, shell, small = list[Cost](), list[Cost](), list[Cost]()
    with tempfile.TemporaryDirectory() as name, serve() as serving:
        photo = Path(name) / "large.jpg"
        write_large_elsewhere(photo)
        script = Path(name) / "shell.sh"
        script.write_text(_SHELL, encoding="utf-8")
        for number in range(_RUNS):
            environ = {
                **serving.environ,
                "KLING_STATE_DIR": f"{name}/{number}",
                "KLING_CONFIG_DIR": name,
                "PHOTO": str(photo),
                "NAME": f"shell-{number}",
                "KLING_TOKEN": f"sk-benchmark-{number}",  # another token makes another request
            }
            ours.append(_run_effect(photo, environ))
            shell.append(measure(["sh", str(script)], environ=environ))
            small.append(_run_effect(SMALL, environ))
    assert all(cost.code == 0 for cost in (*ours, *shell, *small))
    return ours, shell, small


def _run_effect(photo: Path, environ: Mapping[str, str]) -> Cost:
    return measure([KLING, "effect", "squish", str(photo)], environ=environ)
