"""Bytes in words."""

import pytest

from kling_cli.amounts import tell_progress


@pytest.mark.parametrize(
    ("done", "total", "seconds", "words"),
    [
        (0, 2_000_000, 0.0, "saving [--------------------] 0.0 of 2.0 MB"),
        (1_000_000, 2_000_000, 0.4, "saving [##########----------] 1.0 of 2.0 MB"),
        (1_000_000, 2_000_000, 0.5, "saving [##########----------] 1.0 of 2.0 MB 2.0 MB/s"),
        (2_000_000, 2_000_000, 4.0, "saving [####################] 2.0 of 2.0 MB 0.5 MB/s"),
        # A server that sends more than it said does not burst the bar.
        (3_000_000, 2_000_000, 0.0, "saving [####################] 3.0 of 2.0 MB"),
        (1_500_000, None, 0.0, "saving 1.5 MB"),
        (1_500_000, 0, 3.0, "saving 1.5 MB 0.5 MB/s"),
    ],
)
def test_progress_is_told_as_far_as_it_is_known(
    done: int, total: int | None, seconds: float, words: str
) -> None:
    """A bar where the size is known, a speed where it was measured over more than a moment."""
    assert tell_progress(done, total, seconds=seconds) == words
