"""Bytes in words: sizes, speed, and a bar of what is done."""

_MEGABYTE = 1_000_000
_BAR_WIDTH = 20
# A speed that was measured over less says nothing.
_SHORTEST_SECONDS = 0.5


def tell_progress(done: int, total: int | None, *, seconds: float) -> str:
    """Tell how far a clip is saved, with a bar where its size is known.

    Args:
        done: bytes that are there.
        total: bytes there will be.
        seconds: how long it has taken so far.
    """
    parts = ["saving"]
    if total:
        filled = min(done, total) * _BAR_WIDTH // total
        parts.append(f"[{'#' * filled:-<{_BAR_WIDTH}}]")
        parts.append(f"{done / _MEGABYTE:.1f} of {total / _MEGABYTE:.1f} MB")
    else:
        parts.append(f"{done / _MEGABYTE:.1f} MB")
    if seconds >= _SHORTEST_SECONDS:
        parts.append(f"{done / _MEGABYTE / seconds:.1f} MB/s")
    return " ".join(parts)
