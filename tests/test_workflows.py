"""The workflows of README.md: their YAML is whole, and their scripts do what is said of them."""

import subprocess
import textwrap
from collections.abc import Mapping
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

WORKFLOWS = {
    block.mark.removeprefix("workflow "): block.text
    for block in find_blocks(read_page("README.md"))
    if block.mark.startswith("workflow ")
}
MATRIX: Mapping[str, Any] = yaml.safe_load(WORKFLOWS["matrix"])["videos"]
(STEP,) = yaml.safe_load(WORKFLOWS["step"])
GITLAB: Mapping[str, Any] = yaml.safe_load(WORKFLOWS["gitlab"])["videos"]
(MATRIX_SCRIPT,) = (step["run"] for step in MATRIX["steps"] if "run" in step)
GITLAB_SCRIPT = "\n".join(GITLAB["script"])
SCRIPTS = {
    "matrix": MATRIX_SCRIPT,
    "step": STEP["run"],
    "gitlab": GITLAB_SCRIPT,
    "sh": WORKFLOWS["sh"],
}


# The variables by which the machines of a workflow know their part.
MACHINES = {
    "matrix": [{"MACHINE": str(part)} for part in MATRIX["strategy"]["matrix"]["machine"]],
    "gitlab": [
        {"CI_NODE_INDEX": str(number + 1), "CI_NODE_TOTAL": str(GITLAB["parallel"])}
        for number in range(GITLAB["parallel"])
    ],
}


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    return make_desk(tmp_path)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_are_good_shell(name: str) -> None:
    assert lint_script(SCRIPTS[name] if name == "sh" else f"#!/bin/sh\n{SCRIPTS[name]}") == ""
    assert "${{" not in SCRIPTS[name]


@pytest.mark.parametrize("kind", MACHINES)
def test_machines_share_a_list(tmp_path: Path, kind: str) -> None:
    """Faults 97 and 98: each photo is bought by one machine, and one run twice buys nothing new."""
    names = [photo.name for photo in make_photos(tmp_path / "photos", 6)]
    machines = MACHINES[kind]
    assert len(machines) == 4
    # The first job dies, and is run again on a machine that knows nothing.
    jobs = [*machines, machines[0]]
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


def test_a_job_is_repeated_where_that_costs_nothing() -> None:
    """GitLab runs a job again after the codes that go on, and never where it would buy anew."""
    again = {ExitCode(code) for code in GITLAB["retry"]["exit_codes"]}
    assert again == {ExitCode.PENDING, ExitCode.UNREACHABLE}


@pytest.mark.parametrize(
    ("token", "code", "said"),
    [
        ("sandbox", ExitCode.OK, ""),
        ("sandbox-1301", ExitCode.REFUSED, ""),
        ("sandbox-no-lookup", ExitCode.UNKNOWN, "::error::Run this job again"),
    ],
)
def test_the_step_of_a_workflow(desk: Path, token: str, code: ExitCode, said: str) -> None:
    output = desk / "output"
    output.touch()
    if code is ExitCode.OK:
        buy_before(desk, "squish", "photo.jpg")
    step = STEP["run"].replace("--timeout 20m", "--timeout 1s")
    assert step != STEP["run"]
    environ = {"KLING_TOKEN": token, "GITHUB_OUTPUT": str(output), "GITHUB_ACTIONS": "true"}
    run = run_script(step, desk, environ=environ)
    assert run.code == code, run.err
    assert ("\n::error" in run.err) == (code is not ExitCode.OK)
    assert run.out.startswith(said)
    assert bool(run.out) == bool(said)
    assert name_clip(output.read_text()) == (f"url={CLIP}\n" if code is ExitCode.OK else "")


@pytest.mark.parametrize(
    ("token", "code", "tries"),
    [
        ("sandbox", ExitCode.OK, 1),
        ("sandbox-1301", ExitCode.REFUSED, 1),
        ("sandbox-slow", ExitCode.PENDING, 3),
    ],
)
def test_the_script_for_anywhere(desk: Path, token: str, code: ExitCode, tries: int) -> None:
    if code is ExitCode.OK:
        for name in ("photo.jpg", "right.jpg"):
            buy_before(desk, "squish", name)
    script = SCRIPTS["sh"].replace("sleep 60", "sleep 0").replace("--timeout 20m", "--timeout 1s")
    (desk / "nightly").write_text(textwrap.dedent(script))
    run = run_script("sh nightly", desk, environ={"KLING_TOKEN": token})
    assert run.code == code, run.err
    assert run.err.count("This is the sandbox") == tries
    saved = [f"clips/{name}-squish.mp4\t{name}.jpg" for name in ("left", "photo", "right")]
    assert sorted(run.lines) == (saved if code is ExitCode.OK else [])
