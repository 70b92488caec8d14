"""`kling help`: every command and the two tables, on standard output."""

import os

import pytest
from support.run import SCHEMA, Program, run_installed

from kling_cli.errors import ExitCode
from kling_cli.settings import CONFIG_VARIABLE, KEYS, STATE_VARIABLE, TOKEN_FILE_VARIABLE


@pytest.mark.parametrize(
    "words", [(), ("effect",), ("config",), ("config", "set"), ("help",)], ids=" ".join
)
def test_help_of_a_command_is_what_its_option_shows(kling: Program, words: tuple[str, ...]) -> None:
    run = kling("help", *words)
    assert (run.code, run.err) == (0, "")
    assert run.out.rstrip() == kling(*words, "--help").out.rstrip()


def test_every_exit_code_is_explained(kling: Program) -> None:
    run = kling("help", "exit-codes")
    assert (run.code, run.err) == (0, "")
    assert max(map(len, run.lines)) <= 80
    rows = {int(line[:4]): line for line in run.lines if line[:4].strip().isdecimal()}
    assert list(rows) == [code.value for code in ExitCode]
    squeezed = " ".join(run.out.split())
    for code in ExitCode:
        assert rows[code].endswith(f"  {code.again}")
        assert " ".join(code.meaning.split()[:5]) in squeezed


def test_every_variable_is_explained(kling: Program) -> None:
    run = kling("help", "environment")
    assert (run.code, run.err) == (0, "")
    assert max(map(len, run.lines)) <= 80
    squeezed = " ".join(run.out.split())
    for key in KEYS:
        assert (
            f"{key.environment}{f' or {key.flag}' if key.flag else ''} (key {key.name})" in run.out
        )
        assert key.description in squeezed
        assert (key.default or "") in squeezed
    for name in (CONFIG_VARIABLE, STATE_VARIABLE, TOKEN_FILE_VARIABLE, "NO_COLOR", "NO_PROXY"):
        assert f"{name}\n" in run.out or f"{name}," in run.out


def test_an_unknown_topic_is_put_right(kling: Program) -> None:
    for words, guess in ((("efect",), "'effect'"), (("config", "lst"), "'list'")):
        run = kling("help", *words)
        assert (run.code, run.out) == (2, "")
        assert f"Did you mean {guess}" in run.err
    assert r"'\x1b[31m'" in kling("help", "\x1b[31m").err


def test_help_needs_nothing_that_may_be_broken(tmp_path: os.PathLike[str]) -> None:
    environ = {"KLING_JOBS": "many", "KLING_CONFIG_DIR": "here", "HOME": str(tmp_path)}
    for topic in ((), ("environment",), ("config", "set")):
        assert run_installed("help", *topic, environ=environ).code == 0


# What is documented stays; more may be added.
DOCUMENTED = {
    "result": "schema ok exit_code sandbox task_id external_task_id effect_scene task_status "
    "task_status_msg created_at updated_at elapsed reused plan request cost images videos error "
    "warnings",
    "error": "code message hint charged http_status service_code request_id",
    "image": "source kind format width height bytes sha256 fixes",
    "video": "id url duration file",
}


@pytest.mark.parametrize("definition", DOCUMENTED)
def test_the_schema_has_the_documented_keys(definition: str) -> None:
    shape = SCHEMA["$defs"][definition]
    assert set(DOCUMENTED[definition].split()) <= set(shape["required"])
    assert shape["required"] == list(shape["properties"])
    assert shape["additionalProperties"] is False
