"""Which part of a picture is kept, and how large it gets, so that it changes least."""

import math
from typing import NamedTuple

from PIL import Image

from kling_cli.images.rules import LEAST_SIDE


class Frame(NamedTuple):
    """The part of a picture that is kept, and the sides that it gets; all in pixels.

    `box` is left, upper, right, lower. It has whole numbers where the part keeps its sides.
    """

    box: tuple[float, float, float, float]
    width: int
    height: int


def frame(width: int, height: int) -> Frame:
    """Crop to 2.5:1 around the centre, and enlarge until the shorter side has 300 pixels."""
    short, long = sorted((width, height))
    kept: float
    if short >= LEAST_SIDE:
        new_short = short
        new_long = kept = min(long, _limit_long(short))
        start: float = (long - new_long) // 2
    else:
        # In one step with the crop: of few pixels a crop to whole ones would take too much.
        new_short = LEAST_SIDE
        new_long = min(round(long * LEAST_SIDE / short), _limit_long(LEAST_SIDE))
        kept = min(long, short * 5 / 2)
        start = (long - kept) / 2
    if width >= height:
        return Frame((start, 0, start + kept, height), new_long, new_short)
    return Frame((0, start, width, start + kept), new_short, new_long)


def shrink(width: int, height: int, *, share: float) -> tuple[int, int]:
    """Reduce the sides so that this share of the pixels is left, and no rule is broken by it."""
    short, long = sorted((width, height))
    factor = math.sqrt(share)
    new_short = max(LEAST_SIDE, math.floor(short * factor))
    new_long = min(max(new_short, round(long * factor)), _limit_long(new_short))
    return (new_long, new_short) if width >= height else (new_short, new_long)


def fit(image: Image.Image, fixes: list[str]) -> Image.Image:
    """Crop and enlarge a picture in RGB or grey as far as the rules ask for it."""
    (left, upper, right, lower), width, height = frame(*image.size)
    is_cropped = (right - left, lower - upper) != image.size
    is_small = min(image.size) < LEAST_SIDE
    if is_cropped or is_small:
        what = " and ".join(["cropped"] * is_cropped + ["enlarged"] * is_small)
        fixes.append(f"{what} from {show_sides(*image.size)} to {show_sides(width, height)}")
    if is_small:
        return resize(image, width, height, box=(left, upper, right, lower))
    return image.crop((int(left), int(upper), int(right), int(lower))) if is_cropped else image


def resize(
    image: Image.Image,
    width: int,
    height: int,
    *,
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Give a picture, or a part of it, other sides."""
    # Pillow names types of numpy here, which is not installed.
    return image.resize(  # pyright: ignore[reportUnknownMemberType]
        (width, height), Image.Resampling.LANCZOS, box=box
    )


def show_sides(width: int, height: int) -> str:
    """Show the sides of a picture."""
    return f"{width} x {height}"


def _limit_long(short: int) -> int:
    return short * 5 // 2
