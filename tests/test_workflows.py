"""The workflows of the guide: their YAML is valid, and their scripts do what the guide says."""

import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.pages import (
    CLIP,
    buy_before,
    find_blocks,
    lint_script,
    make_desk,
    name_clip,
    read_page,
    run_script,
)
from support.photos import make_photos
from support.service import LoopbackService
from support.shells import make_environ
from support.shop import Rules

from kling_cli.errors import ExitCode

BLOCKS = find_blocks(read_page("man/guide.md"))
MATRIX: dict[str, Any] = yaml.safe_load(BLOCKS["workflow matrix"])["videos"]
GITLAB: dict[str, Any] = yaml.safe_load(BLOCKS["workflow gitlab"])["videos"]
SCRIPTS = {
    "matrix": next(step["run"] for step in MATRIX["steps"] if "run" in step),
    "step": yaml.safe_load(BLOCKS["workflow step"])[0]["run"],
    "gitlab": "\n".join(GITLAB["script"]),
    "sh": BLOCKS["workflow sh"],
}
# The variables by which the machines of a workflow know their part.
MACHINES = {
    "matrix": [{"MACHINE": str(part)} for part in MATRIX["strategy"]["matrix"]["machine"]],
    "gitlab": [
        {"CI_NODE_INDEX": str(number + 1), "CI_NODE_TOTAL": str(GITLAB["parallel"])}
        for number in range(GITLAB["parallel"])
    ],
}


def test_the_workflows_are_sound() -> None:
    """Good shell, nothing pasted into it; videos are kept after a failure; a retry is free."""
    for name, script in SCRIPTS.items():
        assert lint_script(script if name == "sh" else f"#!/bin/sh\n{script}") == ""
        assert "${{" not in script
    (kept,) = (step for step in MATRIX["steps"] if "upload-artifact" in step.get("uses", ""))
    assert (kept["if"], kept["with"]["path"]) == ("always()", "clips/")
    assert MATRIX["strategy"]["fail-fast"] is False
    assert GITLAB["artifacts"] == {"when": "always", "paths": ["clips/"]}
    assert set(GITLAB["retry"]["exit_codes"]) == {ExitCode.PENDING, ExitCode.UNREACHABLE}


@pytest.mark.parametrize("kind", MACHINES)
def test_machines_share_a_list(tmp_path: Path, kind: str) -> None:
    """Faults 97 and 98: each photo is bought by one machine, and one run twice buys nothing new."""
    names = [photo.name for photo in make_photos(tmp_path / "photos", 6)]
    # The first job dies, and is run again on a machine that knows nothing.
    jobs = [*MACHINES[kind], MACHINES[kind][0]]
    running: list[tuple[Path, subprocess.Popen[str]]] = []
    with LoopbackService(Rules(looks_until_done=0)) as service:
        for number, variables in enumerate(jobs):
            desk = tmp_path / f"machine-{number}"
            make_photos(desk, len(names))
            (desk / "photos.txt").write_text("".join(f"{name}\n" for name in names))
            environ = {
                **make_environ(),
                **variables,
                "KLING_STATE_DIR": str(desk / "state"),
                "KLING_BASE_URL": service.base_url,
                "KLING_TOKEN": "sk-of-all-machines",
            }
            process = subprocess.Popen(
                ["sh", "-eu", "-c", SCRIPTS[kind]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=desk,
                env=environ,
            )
            running.append((desk, process))
        told = [process.communicate(timeout=90) for _, process in running]
    assert [process.returncode for _, process in running] == [0] * len(jobs), told
    assert len(service.ledger) == len({sale.external_task_id for sale in service.ledger}) == 6
    saved = [{clip.stem for clip in (desk / "clips").iterdir()} for desk, _ in running]
    assert sorted(name for part in saved[:4] for name in part) == [
        f"{name.removesuffix('.jpg')}-squish" for name in names
    ]
    assert saved[4] == saved[0]


@pytest.mark.parametrize(
    ("token", "code"), [("sandbox", 0), ("sandbox-1301", 6), ("sandbox-no-lookup", 9)]
)
def test_the_step_of_a_workflow(tmp_path: Path, token: str, code: int) -> None:
    desk, output = make_desk(tmp_path), tmp_path / "output"
    output.touch()
    buy_before(desk, "squish", "photo.jpg")
    step = SCRIPTS["step"].replace("--timeout 20m", "--timeout 1s")
    environ = {"KLING_TOKEN": token, "GITHUB_OUTPUT": str(output), "GITHUB_ACTIONS": "true"}
    run = run_script(step, desk, environ=environ)
    assert run.code == code, run.err
    assert ("\n::error" in run.err) == (code != 0)
    assert run.out.startswith("::error::Run this job again") == (code == 9)
    assert name_clip(output.read_text()) == (f"url={CLIP}\n" if code == 0 else "")


@pytest.mark.parametrize(
    ("token", "code", "tries"), [("sandbox", 0, 1), ("sandbox-1301", 6, 1), ("sandbox-slow", 8, 3)]
)
def test_the_script_for_any_system(tmp_path: Path, token: str, code: int, tries: int) -> None:
    desk = make_desk(tmp_path)
    for name in ("photo.jpg", "right.jpg"):
        buy_before(desk, "squish", name)
    script = SCRIPTS["sh"].replace("sleep 60", "sleep 0").replace("--timeout 20m", "--timeout 1s")
    (desk / "nightly").write_text(textwrap.dedent(script))
    run = run_script("sh nightly", desk, environ={"KLING_TOKEN": token})
    assert run.code == code, run.err
    assert run.err.count("This is the sandbox") == tries
    saved = [f"clips/{name}-squish.mp4\t{name}.jpg" for name in ("left", "photo", "right")]
    assert sorted(run.lines) == (saved if code == 0 else [])
