"""The shape of the package: who may import whom, and how large it may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "kling_cli"
# From the ground; a file imports only from ranks below its own, and within a folder downwards.
RANKS = """
    kling_cli errors text clock schedule | models scenes settings
    | purchase console api.parse api.transport api.errors api.client
    | sandbox.store sandbox.trouble sandbox.app sandbox.server
    | journal output images images.repair images.preflight images.remote
    | context | sources poll submit download gallery | runner | jobs | effect tasks
    | api sandbox cli | cli.options
    | cli.effect cli.tasks cli.scenes cli.config cli.sandbox cli.help
    | cli.app | __main__
"""
ORDER = {name: place for place, name in enumerate(RANKS.replace("|", " ").split())}
MOST_FILES, MOST_LINES, MOST_STATEMENTS, MOST_CLASSES, MOST_NOQA = 46, 500, 5115, 67, 5
NOQA = "noqa:"  # what is searched for, and no exception itself
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
    if path != PACKAGE / "__init__.py"
    else "kling_cli": path
    for path in PACKAGE.rglob("*.py")
}


def find_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kling_cli"):
            module = (node.module or "").removeprefix("kling_cli").lstrip(".")
            inside = [f"{module}.{alias.name}".lstrip(".") for alias in node.names]
            yield from (name if name in FILES else module or "kling_cli" for name in inside)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_imports_only_from_below(name: str) -> None:
    """A file stands on what comes before it in the list of ranks, so there is no circle."""
    for imported in find_imports(FILES[name]):
        assert ORDER[imported] < ORDER[name], f"{name} imports {imported}"


def test_the_package_stays_small() -> None:
    texts = [path.read_text(encoding="utf-8") for path in FILES.values()]
    assert len(texts) <= MOST_FILES
    assert max(text.count("\n") for text in texts) <= MOST_LINES
    exceptions = [line for text in texts for line in text.splitlines() if NOQA in line]
    assert len(exceptions) < MOST_NOQA
    assert all(" - " in line.partition(NOQA)[2] for line in exceptions), "each has its reason"
    statements = [node for text in texts for node in ast.walk(ast.parse(text))]
    assert sum(isinstance(node, ast.ClassDef) for node in statements) <= MOST_CLASSES
    assert sum(isinstance(node, ast.stmt) for node in statements) <= MOST_STATEMENTS
