"""Who moves a stored token to another host is told so."""

from pathlib import Path

import pytest
from ground.run import Program

TOKEN = "sk-test-0123456789abcdef"  # noqa: S105 - of no service


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The settings file."""
    return tmp_path / "config" / "config.toml"


def keep(file: Path, *, base_url: str | None, token: str | None = TOKEN) -> None:
    """Write a settings file."""
    file.parent.mkdir()
    lines = {"base_url": base_url, "token": token}
    file.write_text("".join(f'{name} = "{text}"\n' for name, text in lines.items() if text))
    file.chmod(0o600)


@pytest.mark.parametrize(
    ("before", "argv", "host"),
    [
        (None, ("set", "base_url", "https://other.example/kling"), "other.example"),
        (
            "https://one.example",
            ("set", "base-url", "https://one.example:8443"),
            "one.example:8443",
        ),
        ("https://one.example", ("unset", "base_url"), "api.gpt.ge"),
        ("sandbox", ("set", "base_url", "https://one.example"), "one.example"),
        ("ftp://nonsense", ("set", "base_url", "https://one.example"), "one.example"),
    ],
)
def test_a_token_that_moves_is_told(
    kling: Program, file: Path, before: str | None, argv: tuple[str, ...], host: str
) -> None:
    """Fault 74: the warning names the host that the stored token goes to from now on."""
    keep(file, base_url=before)
    run = kling("config", *argv)
    assert (run.code, run.out) == (0, "")
    assert run.err.splitlines()[0] == (
        f"kling: warning: The stored token will now go to {host}. "
        "If it is not for that host: kling config set token"
    )
    assert TOKEN not in run.err


@pytest.mark.parametrize(
    ("before", "token", "argv"),
    [
        ("https://one.example/a", TOKEN, ("set", "base_url", "https://one.example/b")),
        ("https://one.example", TOKEN, ("set", "base_url", "sandbox")),
        ("https://one.example", TOKEN, ("set", "jobs", "3")),
        ("https://one.example", TOKEN, ("unset", "token")),
        ("https://one.example", None, ("set", "base_url", "https://other.example")),
        (None, TOKEN, ("set", "base_url", "https://api.gpt.ge")),
        (None, TOKEN, ("unset", "base_url")),
    ],
)
def test_a_token_that_stays_is_no_matter(
    kling: Program, file: Path, before: str | None, token: str | None, argv: tuple[str, ...]
) -> None:
    """No word is lost where no token goes to another host."""
    keep(file, base_url=before, token=token)
    run = kling("config", *argv)
    assert run.code == 0
    assert "warning" not in run.err


def test_a_change_that_failed_moves_nothing(kling: Program, file: Path) -> None:
    """Where the file was not changed there is no warning."""
    keep(file, base_url="https://one.example")
    run = kling("config", "set", "base_url", "http://other.example")
    assert run.code == 2
    assert "warning" not in run.err
