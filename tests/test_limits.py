"""A machine short of memory, or of a working network: it ends in order, bought once at most."""

import os
import subprocess

import pytest
from support.run import PHOTO, command, run_installed
from support.service import LoopbackService
from support.shop import Rules


@pytest.mark.parametrize("kilobytes", [120_000, 160_000, 200_000])
def test_too_little_memory_loses_nothing(kilobytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory at any place ends in one line, and the rerun has the task, once (fault 93)."""
    with LoopbackService(Rules(deduplicate="ignore", looks_until_done=0)) as service:
        monkeypatch.setenv("KLING_BASE_URL", service.base_url)
        monkeypatch.setenv("KLING_TOKEN", "sk-little-memory")
        line = command("effect", "squish", PHOTO, "--timeout", "9s")
        limited = subprocess.run(
            ["sh", "-c", f'ulimit -v {kilobytes}; exec "$@"', "sh", *line],
            capture_output=True,
            env=os.environ,
            timeout=60,
            check=False,
            text=True,
        )
        assert limited.returncode in {0, 1}
        assert "Traceback" not in limited.stderr
        again = run_installed("effect", "squish", PHOTO)
        assert again.code == 0, again.err
        assert len(service.ledger) == 1
