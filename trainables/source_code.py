"""Fingerprints of source code: what modules say, and all that they import, apart from comments, docstrings and layout.

The imports are read from the text and nothing is imported, so planning stays quick and every process finds the same,
whether the package lies in a checkout or was installed from a wheel.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from trainables.digests import remembered

OWN_PACKAGE = "trainables"
DECIDES_NOTHING = frozenset(
    f"{OWN_PACKAGE}.{name}"
    for name in (
        "digests",
        "errors",
        "exchange",
        "family",
        "names",
        "paths",
        "plugins",
        "source_code",
        "sources",
        "wording",
        "yaml_tree",
    )
)
"""Modules that word, find and describe. What they read counts by its content, in a trial's signature."""


class _Module(NamedTuple):
    """What is known of one module."""

    digest: str
    imports: tuple[str, ...]
    """Dotted names, be they modules or what is in one."""


def code_digest(names: Iterable[str], apart: Collection[str] = ()) -> str:
    """16 hex digits of the modules of these names and of all that they import from their packages and from this one.

    Left out are modules `apart` and those in `DECIDES_NOTHING`, with what only they import, and modules that are no
    file, such as one made from a user's text. A process keeps what it found first: that is what it has imported.
    Raises ValueError for a name that is neither a module of its package nor in one.
    """
    return _code_digest(tuple(sorted(set(names))), frozenset(apart) | DECIDES_NOTHING)


def text_digest(text: str | bytes) -> str:
    """64 hex digits of what Python source says. Raises SyntaxError and ValueError for what is none."""
    return hashlib.sha256(_said(ast.parse(text)).encode()).hexdigest()


def imported_by(text: str | bytes, package: str = "") -> tuple[str, ...]:
    """Dotted names of what a module of a package imports, inside its functions too: modules, and what is in one.

    Raises SyntaxError and ValueError for what is no Python source.
    """
    return tuple(dict.fromkeys(_imports(ast.parse(text), package)))


@lru_cache(maxsize=512)
def _code_digest(names: tuple[str, ...], apart: frozenset[str]) -> str:
    packages = {name.partition(".")[0] for name in names} | {OWN_PACKAGE}
    roots = {package: root for package in sorted(packages) if (root := _root(package)) is not None}
    files = [
        path for root in roots.values() for path in (sorted(root.rglob("*.py")) if root.is_dir() else [root])
    ]

    def compute() -> str:
        listed = sorted(_reached(names, apart, roots).items())
        return hashlib.sha256(
            "\n".join(f"{name} {found.digest}" for name, found in listed).encode()
        ).hexdigest()

    asked = f"code {[*names]} {sorted(apart)}"
    return remembered(asked, files, compute, is_slow=True)[:16]


def _reached(names: Iterable[str], apart: Collection[str], roots: Mapping[str, Path]) -> dict[str, _Module]:
    found: dict[str, _Module] = {}
    asked = [name for name in names if name.partition(".")[0] in roots]
    for name in asked:
        if _file(name, roots) is None and _file(name.rpartition(".")[0], roots) is None:
            raise ValueError(f"{name} is neither a module nor in one")
    ahead = [whole for name in asked for whole in _with_parents(name)]
    while ahead:
        name = ahead.pop()
        path = _file(name, roots)
        if name in found or name in apart or path is None:
            continue
        stat = path.stat()
        found[name] = _module(name, path, stat.st_mtime_ns, stat.st_size)
        ahead += [whole for imported in found[name].imports for whole in _with_parents(imported)]
    return found


def _with_parents(name: str) -> Iterator[str]:
    """`a.b.c`, `a.b` and `a`: importing a module runs those that it is in."""
    while name:
        yield name
        name = name.rpartition(".")[0]


@lru_cache(maxsize=64)
def _root(package: str) -> Path | None:
    """The folder of a top package, or the file of a single module; None where it is neither."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # A module that was made from a text.
        return None
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    origin = "" if spec is None else spec.origin or ""
    return Path(origin) if origin.endswith(".py") else None


def _file(name: str, roots: Mapping[str, Path]) -> Path | None:
    package, _, rest = name.partition(".")
    root = roots.get(package)
    if root is None or not root.is_dir():
        return None if rest else root
    path = root.joinpath(*rest.split(".")) if rest else root
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@lru_cache(maxsize=2048)
def _module(name: str, path: Path, _mtime_ns: int, _size: int) -> _Module:
    text = path.read_bytes()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return _Module(text_digest(text), imported_by(text, package))


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _said(node: ast.AST, *, is_error: bool = False) -> str:
    """A tree as text: without positions, docstrings, and the words of errors. Equal for every version of Python."""
    if isinstance(node, ast.Constant):
        return "" if is_error and isinstance(node.value, str) else repr(node.value)
    if isinstance(node, ast.JoinedStr) and is_error:
        return ""
    is_error = is_error or isinstance(node, ast.Raise)
    parts = []
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            said = [
                _said(one, is_error=is_error) if isinstance(one, ast.AST) else repr(one)
                for one in value
                if not _is_docstring(one)
            ]
            parts += [f"{name}[{','.join(said)}]"] if said else []
        elif isinstance(value, ast.AST):
            parts.append(f"{name}={_said(value, is_error=is_error)}")
        elif value is not None:
            parts.append(f"{name}={value!r}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_docstring(node: object) -> bool:
    """Whether a statement is a text alone: the docstring of a module, a class, a function or an attribute."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
