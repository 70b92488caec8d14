"""The options that several commands share."""

import pytest
from ground.run import Program

from kling_cli.world import World


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("status", "--sandbox", "--base-url", "https://h"), "--sandbox and --base-url"),
        (("scenes", "-q", "-v"), "--quiet and --verbose contradict"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    kling: Program, argv: tuple[str, ...], words: str
) -> None:
    """Two options that cannot both be meant are a usage error before anything happens."""
    run = kling(*argv)
    assert run.code == 2
    assert words in run.err
    assert run.out == ""


def test_without_a_command_the_help_is_shown(kling: Program) -> None:
    """Who types only `kling config` sees on standard error what there is: nothing was asked for."""
    run = kling("config")
    assert run.code == 2
    assert run.out == ""
    assert run.err.startswith("Usage: kling config")
    assert "Commands:" in run.err


def test_the_sandbox_option_chooses_the_sandbox(kling: Program) -> None:
    """`--sandbox` counts more than the environment's base URL."""
    run = kling("config", "check", "--sandbox", "--json")
    assert run.code == 0
    assert (run.json["sandbox"], run.json["base_url"]) == (True, "sandbox")
    assert World.__name__ == "World"
