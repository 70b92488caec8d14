"""The command `kling scenes`."""

import pytest
from ground.run import Program

from kling_cli.scenes import catalogue


def test_all_scenes_are_listed(kling: Program) -> None:
    """Without a name every scene is listed, one a line, with five cells."""
    run = kling("scenes")
    assert (run.code, run.err) == (0, "")
    assert [line.split("\t")[0] for line in run.lines] == [scene.name for scene in catalogue()]
    assert {line.count("\t") for line in run.lines} == {4}
    (squish,) = (line for line in run.lines if line.startswith("squish\t"))
    assert squish.split("\t")[1:4] == ["1", "older", "捏捏乐"]


@pytest.mark.parametrize("name", ["hug", "squish", "捏捏乐"])
def test_one_scene_is_told(kling: Program, name: str) -> None:
    """A scene is found by its name and by its title."""
    run = kling("scenes", name)
    assert len(run.lines) == 1
    assert name in run.out


def test_scenes_have_objects(kling: Program) -> None:
    """Under --json each scene is one object with the fields that its input takes."""
    records = kling("scenes", "--json").records
    assert len(records) == len(catalogue())
    by_name = {record["name"]: record for record in records}
    assert by_name["hug"]["images"] == 2
    assert by_name["hug"]["modes"] == ["std", "pro"]
    assert by_name["squish"]["title"] == "捏捏乐"


def test_an_unknown_scene_is_a_usage_error(kling: Program) -> None:
    """A slip is answered with the nearest names, and nothing is listed."""
    run = kling("scenes", "squish", "hugg", "--json")
    assert run.code == run.json["exit_code"] == 2
    assert run.json["error"]["code"] == "unknown_scene"
    assert "Did you mean hug?" in run.err
