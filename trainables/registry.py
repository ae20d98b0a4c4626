"""Finds the variants of a package: one public module each, file name = public name."""

import importlib
import pkgutil
from collections.abc import Callable
from operator import attrgetter
from typing import Any, get_args


def discover(
    package: str, declaration: str, expected: type, name_of: Callable[[Any], str] = attrgetter("name")
) -> dict[str, Any]:
    """What each public module of `package` declares under the name `declaration`, by the module's name.

    `expected` is the declaration's type, or its base where a class is declared. Runs inside the package's own
    import, so that every process finds the same. Two files cannot share a name: what a module declares must
    carry the module's own (`name_of`). Raises ImportError naming the file when the declaration is missing, of
    another type, or misnamed.
    """
    found: dict[str, Any] = {}
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.{info.name}")
        value = getattr(module, declaration, None)
        fits = issubclass(value, expected) if isinstance(value, type) else isinstance(value, expected)
        if not fits:
            raise ImportError(f"{module.__file__} must declare {declaration} of type {expected.__name__}")
        if name_of(value) != info.name:
            raise ImportError(
                f"{module.__file__} declares {name_of(value)!r}; it must be named as its file is"
            )
        found[info.name] = value
    return found


def literal_kind(config: Any) -> str:
    """The literal `kind` that a settings class declares; empty when it declares none."""
    literals = get_args(config.model_fields["kind"].annotation)
    return str(literals[0]) if literals else ""
