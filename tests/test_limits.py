"""A machine short of memory, or of a working network: it ends in order, bought once at most."""

import os
import shutil
import subprocess
from pathlib import Path

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


def can_rename_hosts() -> bool:
    """Tell whether this user may give one process host names of its own."""
    trial = ["unshare", "--mount", "true"]
    return bool(shutil.which("unshare")) and subprocess.run(trial, check=False).returncode == 0


@pytest.mark.skipif(not can_rename_hosts(), reason="unshare --mount needs more rights")
def test_an_address_that_leads_nowhere_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a name's IPv6 address is a black hole, its IPv4 address is tried next (fault 14)."""
    hosts = tmp_path / "hosts"
    hosts.write_text("100::1 localhost\n127.0.0.1 localhost\n", encoding="utf-8")
    with LoopbackService(Rules(looks_until_done=0)) as service:
        monkeypatch.setenv("KLING_BASE_URL", service.base_url.replace("127.0.0.1", "localhost"))
        monkeypatch.setenv("KLING_TOKEN", "sk-two-addresses")
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        line = command("effect", "squish", PHOTO, "--timeout", "60s")
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, str(hosts), *line],
            capture_output=True,
            env=os.environ,
            timeout=90,
            check=False,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert len(service.ledger) == 1
