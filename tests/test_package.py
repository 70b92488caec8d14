"""What is installed: everything that the program needs, nothing else, however it is started."""

import os
import subprocess
import sys
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
from support.pages import ROOT

from kling_cli import __version__

INFO = f"kling_cli-{__version__}.dist-info"
DATA = ("gallery.html", "py.typed", "result.schema.json", "scenes.tsv", "sandbox/clip.mp4")
# Where shells and `man` look below a prefix, and what of the repository they find there.
PLACES = {
    "share/bash-completion/completions/kling": "completions/kling.bash",
    "share/zsh/site-functions/_kling": "completions/_kling",
    "share/fish/vendor_completions.d/kling.fish": "completions/kling.fish",
    "share/man/man1/kling.1": "man/kling.1",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    run("-m", "hatchling", "build", "--target", "wheel", "--directory", str(place))
    (built,) = place.iterdir()
    return built


def run(*argv: str) -> str:
    # Coverage of what runs in an archive cannot be combined once that is gone.
    environ = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    done = subprocess.run(
        [sys.executable, *argv], capture_output=True, text=True, cwd=ROOT, env=environ, check=True
    )
    return done.stdout


def test_the_wheel_holds_the_program_and_nothing_else(wheel: Path) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kling_cli").rglob("*.py")}
    with ZipFile(wheel) as file:
        names = {name for name in file.namelist() if not name.startswith(f"{INFO}/")}
        assert file.read(f"{INFO}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    own = modules | {f"kling_cli/{name}" for name in DATA}
    assert names == own | {f"kling_cli-{__version__}.data/data/{place}" for place in PLACES}


def test_an_installation_puts_everything_in_its_place(wheel: Path, tmp_path: Path) -> None:
    """Command, manual and completions stand below the prefix, where pipx and uv look for them."""
    # A place of its own: pip would replace the installation that runs this test.
    run("-m", "venv", "--without-pip", str(tmp_path))
    pip = ("-m", "pip", "--python", str(tmp_path), "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel))
    for place, source in PLACES.items():
        assert (tmp_path / place).read_bytes() == (ROOT / source).read_bytes()
    assert any((tmp_path / folder / "kling").is_file() for folder in ("bin", "Scripts"))


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with ZipFile(wheel) as file:
        metadata = Parser().parsestr(file.read(f"{INFO}/METADATA").decode())
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    # A package index shows neither the pictures nor the pages that the README links.
    assert "kling effect" in str(metadata.get_payload())
    assert "](" not in str(metadata.get_payload())
    needed = {line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    # From 0.29 on Typer imports pydantic, and each command takes twice as long to start.
    assert "typer<0.29,>=0.26" in needed
    names = {line.split("<")[0].split(">")[0] for line in needed}
    assert names == {"httpx", "pillow", "platformdirs", "rich", "typer"}


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")
    assert project["version"] == changes[1].split()[0] == __version__
    assert run("-m", "kling_cli", "--version") == f"kling {__version__}\n"
