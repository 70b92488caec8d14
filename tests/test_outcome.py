"""What became of a request."""

from kling_cli.outcome import Outcome


def test_an_outcome_without_word_is_nothing() -> None:
    """Where nothing is told, nothing was bought, nothing failed and no time was spent."""
    outcome = Outcome()
    assert (outcome.purchase, outcome.error, outcome.effect_scene) == (None, None, None)
    assert (outcome.images, outcome.is_reused, outcome.elapsed) == ((), False, 0.0)
