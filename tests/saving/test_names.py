"""Names of our own: told by the input, fit for every file system, the same in every run."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.saving.names import name_clip, name_task, tell_apart

FORBIDDEN = set('<>:"/\\|?*')


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("photo.jpg", "photo-squish.mp4"),
        ("/a/b/photo.tar.gz", "photo.tar-squish.mp4"),
        ("a/photo/", "photo-squish.mp4"),
        ("photo", "photo-squish.mp4"),
        ("照片 1.jpg", "照片 1-squish.mp4"),
        ("-", "stdin-squish.mp4"),
        ("--force.jpg", "force-squish.mp4"),
        (".bashrc", "bashrc-squish.mp4"),
        ("..", "clip-squish.mp4"),
        ("", "clip-squish.mp4"),
        ("a/. -.jpg", "clip-squish.mp4"),
        ("a\x1b[2J\u202eb\n\tc.jpg", "a[2Jb c-squish.mp4"),
        ('a:b?c*d|e\\f<g>"h.jpg', "a_b_c_d_e_f_g__h-squish.mp4"),
        ("b\udcffr.jpg", "b\udcffr-squish.mp4"),
        ("b\ud800r.jpg", "br-squish.mp4"),
        ("NUL.jpg", "NUL-squish.mp4"),
        ("nul.x.jpg", "_nul.x-squish.mp4"),
        ("com1 .x.jpg", "_com1 .x-squish.mp4"),
        ("https://a.example/b/photo.jpg?x=/y.png#z", "photo-squish.mp4"),
        ("https://a.example/my%20photo.jpg", "my photo-squish.mp4"),
        ("https://a.example/%2e%2e%2fetc%2fpasswd", "_etc_passwd-squish.mp4"),
        ("HTTPS://photos.example/", "photos-squish.mp4"),
        ("http://", "clip-squish.mp4"),
    ],
)
def test_a_clip_is_named_by_its_picture(source: str, name: str) -> None:
    """The name begins as the picture's does, without what a shell or a system trips over."""
    assert name_clip([source], "squish") == name


def test_a_pair_is_named_by_both(tmp_path: Path) -> None:
    """Two people, two names."""
    assert name_clip(["a/left.jpg", str(tmp_path / "right.png")], "hug") == "left-right-hug.mp4"


@pytest.mark.parametrize(
    ("task_id", "scene", "name"),
    [
        ("Ab_1~2==", None, "Ab_1~2==.mp4"),
        ("task:1", "squish", "task_1-squish.mp4"),
        ("nul.1", None, "_nul.1.mp4"),
    ],
)
def test_a_task_is_named_by_its_id(task_id: str, scene: str | None, name: str) -> None:
    """Where nothing is known of the picture there is still the id."""
    assert name_task(task_id, scene) == name


ANYTHING = st.text(st.characters(exclude_categories=()), max_size=400)


@given(ANYTHING, ANYTHING, ANYTHING)
def test_no_input_makes_a_dangerous_name(left: str, right: str, scene: str) -> None:
    """Any text at all becomes one visible component of a path, short enough with `.part` (83)."""
    for name in (name_clip([left], scene), name_clip([left, right], scene), name_task(left, scene)):
        assert not FORBIDDEN & set(name)
        assert name[0] not in ".- "
        assert name.endswith(".mp4")
        assert all(letter.isprintable() or "\udc80" <= letter <= "\udcff" for letter in name)
        assert len(os.fsencode(f"{name}-1000000.part")) <= 255


def test_long_names_are_cut_between_characters() -> None:
    """What is too long for a file system loses its end, and no half character is left."""
    name = name_clip(["字" * 300 + ".jpg", "b" * 300], "x" * 300)
    stem = name.removesuffix(f"-{'x' * 60}.mp4")
    assert set(stem) == {"字", "-", "b"}
    assert abs(len(stem.partition("-")[0].encode()) - len(stem.partition("-")[2])) <= 3


def test_names_that_meet_are_numbered_in_order() -> None:
    """Also where the file system takes A for a, or one spelling of é for another."""
    accent = "é-x.mp4"
    decomposed = unicodedata.normalize("NFD", accent)
    names = ["a-x.mp4", "A-x.mp4", "b-x.mp4", "a-x.mp4", "a-x-2.mp4", accent, decomposed]
    assert tell_apart(names) == [
        "a-x.mp4",
        "A-x-2.mp4",
        "b-x.mp4",
        "a-x-3.mp4",
        "a-x-2-2.mp4",
        accent,
        decomposed.replace(".mp4", "-2.mp4"),
    ]


def test_ten_thousand_equal_names_are_told_apart_soon() -> None:
    """A large batch out of many directories is no trouble."""
    apart = tell_apart(["a-x.mp4"] * 10_000)
    assert len(set(apart)) == 10_000
    assert apart[-1] == "a-x-10000.mp4"
