"""What may import what: the rooms of the house, and what takes seconds to import."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("space", "plan", "ledger", "execution", "views", "study", "search", "submission", "cli")
"""Rooms of the orchestrator, the lowest first: each imports only itself and what stands before it."""
PACKAGES = {"search_spaces": 0, "trainables": 1, "orchestrator": 2, "analysis": 3}


def modules(package: str) -> dict[str, Path]:
    """Dotted name -> file, of a package."""
    paths = (REPOSITORY / package).rglob("*.py")
    found = {path.relative_to(REPOSITORY).with_suffix(""): path for path in paths}
    return {".".join(name.parts).removesuffix(".__init__"): path for name, path in found.items()}


MODULES = {name: path for package in PACKAGES for name, path in modules(package).items()}


def imported(path: Path, *, lazily: bool = True) -> Iterator[str]:
    """Our modules that a file imports, those imported inside its functions included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if lazily else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from names & MODULES.keys() or {node.module}


def room(module: str) -> str:
    """The room of a module of the orchestrator; nothing for the package itself."""
    return module.split(".")[1] if "." in module else ""


def test_the_orchestrator_has_these_rooms_and_no_others() -> None:
    assert {room(name) for name in MODULES if name.startswith("orchestrator.")} == set(ROOMS)


@pytest.mark.parametrize("place", ROOMS)
def test_a_room_imports_only_itself_and_what_stands_below_it(place: str) -> None:
    allowed = ROOMS[: ROOMS.index(place) + 1]
    upwards = {
        f"{name} -> {other}"
        for name, path in MODULES.items()
        if name.startswith("orchestrator.") and room(name) == place
        for other in imported(path)
        if other.startswith("orchestrator.") and room(other) not in allowed
    }

    assert upwards == set()


def is_command_line(module: str) -> bool:
    """Whether a module is a part of the command, or what a family adds to it or to the kinds of figures."""
    parts = module.split(".")
    return parts[:2] == ["orchestrator", "cli"] or (
        parts[0] == "trainables" and parts[2:3] in (["cli"], ["figures"])
    )


def test_only_the_command_line_imports_the_analysis_and_the_analysis_only_the_ledger() -> None:
    wrong = set()
    for name, path in MODULES.items():
        for other in imported(path):
            if other.startswith("analysis") and not (name.startswith("analysis") or is_command_line(name)):
                wrong.add(f"{name} -> {other}")
            if other.startswith("orchestrator") and name.startswith("analysis"):
                wrong |= set() if room(other) == "ledger" else {f"{name} -> {other}"}
            if (
                other.startswith("orchestrator")
                and name.startswith("trainables")
                and not is_command_line(name)
            ):
                wrong.add(f"{name} -> {other}")

    assert wrong == set()


def test_nothing_imports_what_a_family_adds_to_the_command_line() -> None:
    """It is named as text and imported once its command is given; its options alone are read at every start."""
    found = {
        f"{name} -> {other}"
        for name, path in MODULES.items()
        for other in imported(path)
        if is_command_line(other) and other.startswith("trainables") and not is_command_line(name)
    }

    assert found == {"trainables.h_space.command_line -> trainables.h_space.cli.option_values"}


@pytest.mark.parametrize(
    ("package", "rooms"), [("ray", "orchestrator.execution.ray"), ("optuna", "orchestrator.search")]
)
def test_only_one_room_imports(package: str, rooms: str) -> None:
    found = set()
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else names
            if any(imported_name.partition(".")[0] == package for imported_name in names):
                found.add(name)

    assert found
    assert {name for name in found if not name.startswith(rooms)} == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    arrows = {name: set(imported(path)) - {name} for name, path in MODULES.items()}
    while leaves := {name for name, others in arrows.items() if not others & arrows.keys()}:
        arrows = {name: others for name, others in arrows.items() if name not in leaves}

    assert sorted(arrows) == []


def test_benchmarks_import_only_what_is_there() -> None:
    """No other test runs them: a name that moved would be noticed by the first who wants a number."""
    absent = set()
    for path in sorted((REPOSITORY / "benchmarks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] not in PACKAGES:
                continue
            said = MODULES[node.module].read_text(encoding="utf-8") if node.module in MODULES else ""
            absent |= {
                f"{path.name}: {node.module}.{alias.name}"
                for alias in node.names
                if f"{node.module}.{alias.name}" not in MODULES
                and not re.search(
                    rf"\b(def|class|import|as) .*\b{alias.name}\b|^ *{alias.name}\b", said, re.MULTILINE
                )
            }

    assert absent == set()


SLOW = {"diffusers", "matplotlib", "open_clip", "scipy", "torchmetrics", "torchvision"}
ENTRY_ONLY = "trainables/h_space/pretrain/"
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
