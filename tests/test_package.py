"""What is installed: everything that the program needs, nothing else, however it is started."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipapp
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
from ground.run import PHOTO

from kling_cli import __version__
from kling_cli.commands.completion import SCRIPTS

ROOT = Path(__file__).parents[1]
INFO = f"kling_cli-{__version__}.dist-info"
DATA = (
    "py.typed",
    "result.schema.json",
    "scenes.tsv",
    "sandbox/clip.mp4",
    "completions/kling.bash",
    "completions/_kling",
    "completions/kling.fish",
    "completions/kling.ps1",
)
# Where shells and `man` look below a prefix, and what of the repository they find there.
PLACES = {
    "share/bash-completion/completions/kling": "completions/kling.bash",
    "share/zsh/site-functions/_kling": "completions/_kling",
    "share/fish/vendor_completions.d/kling.fish": "completions/kling.fish",
    **{f"share/man/man1/{page.name}": f"man/{page.name}" for page in (ROOT / "man").glob("*.1")},
}
_MEASURING = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as an installer builds it, but with the tools that are here already."""
    place = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place))
    (built,) = place.iterdir()
    return built


@pytest.fixture(scope="module")
def archive(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program as one file that Python can run, as `python -m zipapp` makes it."""
    place = tmp_path_factory.mktemp("archive")
    with ZipFile(wheel) as file:
        file.extractall(place / "content")
    zipapp.create_archive(place / "content", place / "kling.pyz", main="kling_cli.__main__:main")
    return place / "kling.pyz"


def run(*argv: str, stdin: bytes = b"", code: int = 0) -> tuple[str, str]:
    """Run a program in the repository, and tell what it writes to its two streams."""
    # Coverage of what runs in an archive could not be told once that is gone.
    environ = {name: value for name, value in os.environ.items() if name not in _MEASURING}
    done = subprocess.run(
        argv, input=stdin, capture_output=True, cwd=ROOT, env=environ, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def read_metadata(wheel: Path) -> Message:
    """Read what the wheel says about itself."""
    with ZipFile(wheel) as file:
        return Parser().parsestr(file.read(f"{INFO}/METADATA").decode())


def test_the_wheel_holds_the_program_and_nothing_else(wheel: Path) -> None:
    """Every module and data file is there; no test, no cache, no other top-level package."""
    data = f"kling_cli-{__version__}.data/data"
    package = ROOT / "kling_cli"
    modules = {path.relative_to(ROOT).as_posix() for path in package.rglob("*.py")}
    with ZipFile(wheel) as file:
        names = {name for name in file.namelist() if not name.startswith(f"{INFO}/")}
    own = modules | {f"kling_cli/{name}" for name in DATA}
    assert names == own | {f"{data}/{place}" for place in PLACES}


def test_an_installation_puts_pages_and_scripts_where_they_are_found(
    wheel: Path, tmp_path: Path
) -> None:
    """Manual and completions come to stand below the prefix, where pipx and uv look for them."""
    # A place of its own: pip would replace the installation that runs this test.
    run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path))
    pip = (sys.executable, "-m", "pip", "--python", str(tmp_path), "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel))
    share = {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in (tmp_path / "share").rglob("*")
        if path.is_file()
    }
    assert share == {place: (ROOT / source).read_bytes() for place, source in PLACES.items()}
    if shutil.which("man"):
        found, _ = run("man", "-M", str(tmp_path / "share" / "man"), "-w", "kling-effect")
        assert found.strip() == str(tmp_path / "share" / "man" / "man1" / "kling-effect.1")


def test_the_source_holds_all_that_the_wheel_is_made_of(tmp_path: Path) -> None:
    """Who packages it from the source archive finds pages, scripts and their generator there."""
    build = (sys.executable, "-m", "hatchling", "build", "--target", "sdist")
    run(*build, "--directory", str(tmp_path))
    (archive,) = tmp_path.iterdir()
    content, _ = run("tar", "--list", "--file", str(archive))
    names = {name.partition("/")[2] for name in content.splitlines()}
    assert {*PLACES.values(), "completions/kling.ps1", "completions/generate.py"} <= names
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_carries_its_licence_and_its_command(wheel: Path) -> None:
    """Whoever installs it gets `kling`, and the licence under which that is given."""
    with ZipFile(wheel) as file:
        entry_points = file.read(f"{INFO}/entry_points.txt").decode()
        licence = file.read(f"{INFO}/licenses/LICENSE")
    assert entry_points.split() == ["[console_scripts]", "kling", "=", "kling_cli.__main__:main"]
    assert licence == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_tells_what_it_is(wheel: Path) -> None:
    """Name, version and Python are right, and the README is the description."""
    metadata = read_metadata(wheel)
    assert metadata["Name"] == "kling-cli"
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_wheel_needs_five_packages(wheel: Path) -> None:
    """Users install five packages, and no Typer that imports pydantic."""
    required = read_metadata(wheel).get_all("Requires-Dist") or []
    needed = {line for line in required if "extra ==" not in line}
    assert {line for line in needed if line.startswith("typer")} == {"typer<0.29,>=0.26"}
    assert {line.split("<")[0].split(">")[0] for line in needed} == {
        "httpx",
        "pillow",
        "platformdirs",
        "rich",
        "typer",
    }


def test_the_version_stands_in_one_more_place_only() -> None:
    """The version that the program prints is the package's, and that of the newest change."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")
    assert project["version"] == __version__
    assert changes[1].split()[0] == __version__


def test_the_module_runs() -> None:
    """`python -m kling_cli` is `kling`."""
    assert run(sys.executable, "-m", "kling_cli", "--version") == (f"kling {__version__}\n", "")


def test_an_archive_runs(archive: Path, tmp_path: Path) -> None:
    """From a zip file, too, scenes are found, and the sandbox's clip is a file (fault 120)."""
    out, _ = run(sys.executable, str(archive), "effect", "捏捏乐", str(PHOTO), "--sandbox")
    clip = tmp_path / "state" / "clip.mp4"
    assert out == f"{clip.as_uri()}\n"
    assert clip.read_bytes() == (ROOT / "kling_cli" / "sandbox" / "clip.mp4").read_bytes()


@pytest.mark.parametrize(("shell", "name"), SCRIPTS.items())
def test_an_archive_completes(archive: Path, shell: str, name: str) -> None:
    """`kling completion` prints the script that is inside what was installed."""
    out, said = run(sys.executable, str(archive), "completion", shell)
    assert out == (ROOT / "completions" / name).read_text(encoding="utf-8")
    assert said == ""


def test_the_archive_is_what_runs(archive: Path) -> None:
    """The test above looks at the archive, and not at what is installed beside it."""
    probe = f"import sys; sys.path.insert(0, {str(archive)!r}); import kling_cli.app as app; "
    out, _ = run(sys.executable, "-c", f"{probe} print(app.__file__)")
    assert out.startswith(str(archive))


def test_an_optimised_python_changes_nothing() -> None:
    """No check and no help is one that `python -O` leaves out (fault 120)."""
    program = (sys.executable, "-O", "-m", "kling_cli")
    task_id, _ = run(*program, "effect", "squish", str(PHOTO), "--sandbox", "--no-wait")
    assert task_id.strip().isdecimal()
    _, said = run(*program, "effect", "squish", "-", "--sandbox", stdin=b"no picture", code=3)
    assert "kling: error: " in said
    assert run(*program, "--help") == run(sys.executable, "-m", "kling_cli", "--help")
