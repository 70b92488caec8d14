"""A repaired picture is as good as its limit allows."""

from fixing import fix, make_noise, write

from kling_cli.images.rules import DOUBTFUL_BYTES


def test_the_best_quality_that_fits_is_taken() -> None:
    """A picture that is too large keeps its sides as long as a good quality fits."""
    image = make_noise(2200, 1800)
    picture = fix(write(image, "BMP"))
    assert picture.fixes[0] == "converted from BMP to JPEG"
    assert picture.fixes[1].startswith("compressed from 11.9 MB to 9.")
    quality = int(picture.fixes[1].partition("quality ")[2].rstrip(")"))
    assert (picture.width, picture.height) == image.size
    assert len(write(image, "JPEG", quality=quality, subsampling=0)) <= DOUBTFUL_BYTES
    assert len(write(image, "JPEG", quality=quality + 1, subsampling=0)) > DOUBTFUL_BYTES


def test_a_small_file_that_grows_is_told_too() -> None:
    """A good compression that JPEG does not reach is named with the quality that was left."""
    picture = fix(write(make_noise(2600, 2000), "TIFF", compression="jpeg", quality=60))
    assert picture.size is not None
    assert picture.size <= DOUBTFUL_BYTES
    assert picture.fixes[1].startswith("compressed to 9.")


def test_with_too_many_details_the_sides_are_reduced() -> None:
    """Where the quality would suffer, the picture gets smaller, in the same proportions."""
    picture = fix(write(make_noise(4900, 3920), "BMP"))
    assert picture.width is not None
    assert picture.height is not None
    assert 4000 < picture.width < 4900
    assert abs(picture.width / picture.height - 1.25) < 0.002
    assert picture.fixes[1] == f"reduced to {picture.width} x {picture.height}"
    assert picture.size is not None
    assert 8_000_000 < picture.size <= DOUBTFUL_BYTES
