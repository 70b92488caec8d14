"""Pictures, requests and tasks as data."""

import dataclasses

import pytest

from kling_cli.scenes import find
from kling_cli.task import Picture, Request, TaskStatus

PICTURE = Picture(source="a.jpg", kind="file", content=b"bytes", size=5, sha256="a" * 64)
OTHER = Picture(source="b.jpg", kind="file", content=b"other", size=5, sha256="b" * 64)
BY_URL = Picture(source="https://h/p?s=1", kind="url", url="https://h/p?s=1")
REQUEST = Request(base_url="https://h", scene=find("squish"), pictures=(PICTURE,))


@pytest.mark.parametrize(
    ("word", "is_final"),
    [
        ("submitted", False),
        ("processing", False),
        ("succeed", True),
        ("failed", True),
        ("unknown", False),
    ],
)
def test_only_the_service_ends_a_task(word: str, is_final: bool) -> None:  # noqa: FBT001 - a parameter
    """Two of the service's words end a task, and our own `unknown` does not."""
    assert TaskStatus(word).is_final is is_final


def test_one_picture_is_sent_as_image() -> None:
    """A scene for one person has its picture under `image`, and nothing that was not asked for."""
    assert REQUEST.shape_input(("data",)) == {"image": "data"}


def test_two_pictures_are_sent_as_images() -> None:
    """A scene for two has both in order, and the duration as the string of the documents."""
    request = Request(
        base_url="https://h",
        scene=find("hug"),
        pictures=(PICTURE, OTHER),
        model="kling-v1-6",
        duration="10",
        mode="pro",
    )
    assert request.shape_input(("left", "right")) == {
        "model_name": "kling-v1-6",
        "mode": "pro",
        "images": ["left", "right"],
        "duration": "10",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "https://other"},
        {"scene": find("expansion")},
        {"pictures": (OTHER,)},
        {"pictures": (BY_URL,)},
        {"model": "kling-v1-6"},
        {"duration": "10"},
        {"mode": "pro"},
    ],
)
def test_what_is_bought_makes_the_fingerprint(change: dict[str, object]) -> None:
    """Two requests that would buy different things never count as the same."""
    changed = dataclasses.replace(REQUEST, **change)  # type: ignore[arg-type] # any field
    assert changed.fingerprint != REQUEST.fingerprint


def test_what_is_not_bought_does_not_make_the_fingerprint() -> None:
    """The file's name and the callback are no part of what is bought."""
    renamed = dataclasses.replace(PICTURE, source="renamed.jpg")
    changed = dataclasses.replace(REQUEST, pictures=(renamed,), callback_url="https://c")
    assert changed.fingerprint == REQUEST.fingerprint


def test_a_picture_tells_no_secret() -> None:
    """Fault 66: what is told of a picture by URL has no query, and no repr has its bytes."""
    assert BY_URL.describe()["source"] == "https://h/p?..."
    assert "s=1" not in repr(BY_URL).replace(repr(BY_URL.source), "")
    assert "bytes" not in repr(PICTURE)
    assert PICTURE.describe() == {
        "source": "a.jpg",
        "kind": "file",
        "format": None,
        "width": None,
        "height": None,
        "bytes": 5,
        "sha256": "a" * 64,
        "fixes": [],
    }
