"""Rows in columns, on a terminal of any width."""

import unicodedata

from ground.run import PHOTO, run_installed
from ground.terminal import Terminal
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.table import lay_out

ROWS = (("NAME", "PICTURES"), ("squish", "left.jpg"), ("捏捏乐", "a/very/long/path/to/a/photo.jpg"))
CELLS = st.text(st.sampled_from("ab é捏\u0301 "), max_size=30)


def measure(line: str) -> int:
    """Measure a line in cells of a terminal."""
    wide = sum(unicodedata.east_asian_width(character) in {"F", "W"} for character in line)
    return len(line) + wide - sum(unicodedata.combining(character) > 0 for character in line)


def test_columns_stand_below_each_other() -> None:
    """Each column begins in the same place, also behind characters that take two cells."""
    assert list(lay_out(ROWS, width=60)) == [
        "NAME    PICTURES",
        "squish  left.jpg",
        "捏捏乐  a/very/long/path/to/a/photo.jpg",
    ]


def test_the_last_column_is_cut_where_the_terminal_ends() -> None:
    """No row takes two lines where a shorter one says what it is."""
    assert list(lay_out(ROWS, width=24))[-1] == "捏捏乐  a/very/long/p..."


def test_a_tiny_terminal_shows_a_little_all_the_same() -> None:
    """Fault 116: on one column the rows are wrapped by the terminal, but nothing fails."""
    assert list(lay_out(ROWS, width=1))[-1] == "捏捏乐  a/ver..."


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1), st.integers(80, 120))
def test_no_row_is_wider_than_the_terminal(rows: list[tuple[str, ...]], width: int) -> None:
    """Where there is room for the other columns, each row is one line."""
    room = sum(max(measure(row[column]) for row in rows) for column in range(2)) + 12
    lines = list(lay_out(rows, width=max(width, room)))
    assert len(lines) == len(rows)
    assert all(measure(line) <= max(width, room) for line in lines)


def test_tasks_stand_in_columns_on_a_terminal() -> None:
    """A person sees columns below a header; a program gets the same rows with tabs."""
    run_installed("effect", "squish", PHOTO, "--sandbox", "--no-wait")
    row = run_installed("tasks").out.split("\t")
    with Terminal("tasks", columns=76) as terminal:
        assert terminal.finish() == 0
        header, line = terminal.lines
    assert header.split() == ["TASK", "STATUS", "SCENE", "TIME", "PICTURES"]
    assert line.split()[:3] == row[:3]
    assert [header.index(name) for name in ("STATUS", "SCENE")] == [
        line.index(row[1]),
        line.index("squish"),
    ]
    assert line.endswith("...")
    assert b"\x1b" not in terminal.raw


def test_without_a_task_there_is_no_header() -> None:
    """An empty table is told in a sentence alone."""
    with Terminal("tasks") as terminal:
        assert terminal.finish() == 0
        assert terminal.lines == ["kling: This machine has no task."]


def test_scenes_stand_in_columns_on_a_terminal() -> None:
    """The Chinese titles do not push the notes out of their column."""
    with Terminal("scenes", "squish", "hug") as terminal:
        assert terminal.finish() == 0
        lines = terminal.lines
    assert lines[0].split() == ["SCENE", "PICTURES", "LISTED", "TITLE", "NOTE"]
    assert [line.split()[:2] for line in lines[1:]] == [["squish", "1"], ["hug", "2"]]
