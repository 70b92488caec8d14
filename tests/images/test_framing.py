"""What is kept of a picture, and how large it gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_cli.images.formats import Header
from kling_cli.images.framing import frame, shrink
from kling_cli.images.rules import judge

SIDES = st.integers(1, 20_000)


def passes(width: int, height: int) -> bool:
    """Ask the judge about the sides."""
    header = Header(format="JPEG", width=width, height=height)
    return all(problem.code == "image_too_many_pixels" for problem in judge(header, size=1))


@pytest.mark.parametrize(
    ("sides", "box", "size"),
    [
        ((300, 300), (0, 0, 300, 300), (300, 300)),
        ((2500, 1000), (0, 0, 2500, 1000), (2500, 1000)),
        ((3000, 1000), (250, 0, 2750, 1000), (2500, 1000)),
        ((1000, 3001), (0, 250, 1000, 2750), (1000, 2500)),
        ((1500, 501), (124, 0, 1376, 501), (1252, 501)),
        ((240, 320), (0, 0, 240, 320), (300, 400)),
        ((1, 1), (0, 0, 1, 1), (300, 300)),
        ((1000, 100), (375, 0, 625, 100), (750, 300)),
        ((1, 4000), (0, 1998.75, 1, 2001.25), (300, 750)),
    ],
)
def test_as_little_as_possible_is_changed(
    sides: tuple[int, int], box: tuple[float, ...], size: tuple[int, int]
) -> None:
    """The crop is centred and goes to the limit, no further; so does the enlargement."""
    assert frame(*sides) == (box, *size)


@given(width=SIDES, height=SIDES)
def test_every_frame_passes(width: int, height: int) -> None:
    """Whatever the sides, the result keeps the rules, and what keeps them is left as it is."""
    (left, upper, right, lower), *size = frame(width, height)
    assert passes(*size)
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height
    # All of the shorter side is kept, and its pixels stay square up to rounding.
    assert right - left == width or lower - upper == height
    scale = size[0] / (right - left)
    assert abs(size[1] - (lower - upper) * scale) <= max(1.0, scale)
    if passes(width, height):
        assert ((left, upper, right, lower), *size) == ((0, 0, width, height), width, height)


@given(width=SIDES, height=SIDES, share=st.floats(0.001, 0.95))
def test_a_shrunk_picture_still_passes(width: int, height: int, share: float) -> None:
    """A picture made smaller for its bytes breaks no other rule by it."""
    _, *framed = frame(width, height)
    size = shrink(*framed, share=share)
    assert passes(*size)
    assert (size[0] >= size[1]) is (framed[0] >= framed[1]) or size[0] == size[1]
    assert size[0] * size[1] <= max(framed[0] * framed[1] * share * 1.01, 300 * 750)
