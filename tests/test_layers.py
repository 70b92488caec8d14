"""The house's order: arrows point down the ranks, never up, and not sideways unless drawn."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "kling_cli"
LONGEST = 500

# Highest first. A module imports only from lower ranks; `SIDEWAYS` draws the exceptions.
RANKS = (
    ("__main__",),
    ("app",),
    ("commands",),
    ("options",),
    (
        "buying.basket",
        "buying.checkout",
        "buying.desk",
        "buying.shelf",
        "watching.observing",
        "watching.checking",
    ),
    ("keeping", "performance"),
    ("session",),
    ("batch", "output", "progress", "results", "settings"),
    ("live", "voice"),
    ("buying", "watching", "saving"),
    ("journal", "api"),
    ("database", "rows"),
    ("unwritable",),
    ("images.remote",),
    ("transport.web",),
    ("transport", "images"),
    ("signals", "world", "outcome", "talk"),
    ("purchase",),
    ("task",),
    ("amounts", "ink", "scenes", "table", "secret", "text", "clock"),
    ("errors",),
)
# One package or subject, divided into modules of one room each.
SIDEWAYS = {
    ("commands", "commands"),
    ("buying", "buying"),
    ("buying", "watching"),
    ("watching", "watching"),
    ("saving", "saving"),
    ("api", "api"),
    ("transport", "transport"),
    ("images", "images"),
    ("settings", "settings"),
    ("sandbox", "sandbox"),
    ("scenes", "text"),
    ("secret", "errors"),
    ("outcome", "talk"),
}
# The sandbox is a service of its own: it shares nothing with the client but the catalogue.
SANDBOX_MAY_USE = {"sandbox", "scenes", "errors"}


def find_modules() -> list[Path]:
    """Find every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def find_imports(path: Path) -> Iterator[str]:
    """Give the dotted name, below the package, of everything of ours that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "kling_cli":
            yield from (alias.name for alias in node.names if alias.name != "__version__")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kling_cli."):
            below = (node.module or "").removeprefix("kling_cli.")
            for alias in node.names:
                is_module = (PACKAGE / below.replace(".", "/") / f"{alias.name}.py").exists()
                yield f"{below}.{alias.name}" if is_module else below


def name_of(path: Path) -> str:
    """Tell a module's dotted name below the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def rank_of(name: str) -> int:
    """Tell a module's rank; the most exact entry counts."""
    known = {entry: rank for rank, entries in enumerate(RANKS) for entry in entries}
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        entry = ".".join(parts[:length])
        if entry in known:
            return known[entry]
    pytest.fail(f"{name} has no rank in the house")


@pytest.mark.parametrize("path", find_modules(), ids=name_of)
def test_arrows_point_down(path: Path) -> None:
    """A module imports from below it, so that each can be understood without those above."""
    name = name_of(path)
    top = name.split(".")[0]
    if name in {"", "__init__"} or top == "sandbox":
        return
    for used in find_imports(path):
        if used.split(".")[0] == "sandbox":
            assert top in {"session", "commands", "saving"}, f"{name} uses the sandbox"
            continue
        is_drawn = (top, used.split(".")[0]) in SIDEWAYS
        below = rank_of(used) > rank_of(name) or (is_drawn and rank_of(used) >= rank_of(name))
        assert below, f"{name} imports {used}, which stands above or beside it"


@pytest.mark.parametrize("path", sorted((PACKAGE / "sandbox").glob("*.py")), ids=name_of)
def test_the_sandbox_knows_no_client(path: Path) -> None:
    """The sandbox judges requests by its own reading of the rules, not by the client's."""
    assert {used.split(".")[0] for used in find_imports(path)} <= SANDBOX_MAY_USE


@pytest.mark.parametrize("path", find_modules(), ids=name_of)
def test_every_room_is_small(path: Path) -> None:
    """A module has one subject and fits into a few screens."""
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{name_of(path)} has {lines} lines"
