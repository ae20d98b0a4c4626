"""What takes seconds to import is imported by the functions that need it: commands that do not start at once."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SLOW = {"diffusers", "matplotlib", "open_clip", "scipy", "torchmetrics", "torchvision"}
ENTRY_ONLY = "trainables/pretrain/"
"""Training the built-in models from scratch needs them all, and nothing else imports it."""


def imported_at_once(body: list[ast.stmt]) -> Iterator[str]:
    """Top packages that importing a module with this body imports."""
    for statement in body:
        match statement:
            case ast.Import():
                yield from (alias.name.partition(".")[0] for alias in statement.names)
            case ast.ImportFrom():
                yield (statement.module or "").partition(".")[0]
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from imported_at_once(statement.orelse)
            case ast.If() | ast.Try() | ast.With():
                yield from imported_at_once(statement.body)


@pytest.mark.parametrize("package", ["orchestrator", "trainables", "analysis", "search_spaces"])
def test_no_module_imports_slow_packages_at_its_top(package: str) -> None:
    paths = [path.relative_to(REPOSITORY) for path in (REPOSITORY / package).rglob("*.py")]

    found = {
        str(path): SLOW & set(imported_at_once(ast.parse((REPOSITORY / path).read_text()).body))
        for path in paths
        if not str(path).startswith(ENTRY_ONLY)
    }

    assert found
    assert {path: names for path, names in found.items() if names} == {}
