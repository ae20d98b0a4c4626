"""Finds the variants of a package: one public module each, file name = public name; and those that plugins add."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import ModuleType
from typing import Any, Generic, TypeVar, get_args

from trainables.errors import UserError
from trainables.sources import line_of
from trainables.wording import one_of

T = TypeVar("T")


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
        if not _fits(value, expected):
            raise ImportError(f"{module.__file__} must declare {declaration} of type {expected.__name__}")
        if name_of(value) != info.name:
            raise ImportError(
                f"{module.__file__} declares {name_of(value)!r}; it must be named as its file is"
            )
        found[info.name] = value
    return found


def literal_kind(config: Any) -> str:
    """The literal `kind` that a settings class declares; empty when it declares none."""
    field = config.model_fields.get("kind")
    literals = get_args(field.annotation) if field is not None else ()
    return str(literals[0]) if literals else ""


@dataclass(frozen=True)
class Plugin:
    """A module from outside the package that declares variants as a module of the package does."""

    name: str
    """The name of its file, or of its entry point."""
    source: str
    module: ModuleType
    digest: str
    """Hash of its syntax tree: comments and formatting do not count."""
    is_installed: bool = False


@dataclass(frozen=True)
class Declared:
    """A variant that a plugin declares."""

    what: str
    name: str
    value: Any


def _no_fault(value: Any) -> str:
    return ""


class Registry(dict[str, T], Generic[T]):
    """Variants by name: those that the modules of a package declare, and those of the plugins in use."""

    def __init__(
        self,
        what: str,
        package: str,
        declaration: str,
        expected: type,
        name_of: Callable[[Any], str] = attrgetter("name"),
        *,
        fault: Callable[[Any], str] = _no_fault,
        when_installed: Callable[[Any], Any] = lambda value: value,
        decides_numbers: bool = True,
    ) -> None:
        """`what` is one variant in words. `fault` says what is wrong with one that a plugin declares.

        `when_installed` makes what is offered of one that an installed package declares: no space asked for it.
        `decides_numbers` is whether a variant is part of the identity of the trials that use it.
        """
        super().__init__(discover(package, declaration, expected, name_of))
        self.what, self.declaration, self.decides_numbers = what, declaration, decides_numbers
        self.origins: dict[str, Plugin] = {}
        """Where those that are not the package's own come from."""
        self.when_changed: list[Callable[[], None]] = []
        self.expected, self._name_of, self._fault = expected, name_of, fault
        self._when_installed = when_installed
        self._own = dict(self)
        _REGISTRIES[what] = self
        self._use(_used)

    def declared_by(self, plugin: Plugin) -> Declared | None:
        """What a plugin's module declares for this registry. Raises UserError, with its line, where that is faulty."""
        value = vars(plugin.module).get(self.declaration)
        if not _fits(value, self.expected) or value is self.expected or value in self._own.values():
            return None
        name = self._name_of(value)
        if not name:
            raise _faulty(plugin, self.declaration, f"expected a literal `kind`, the name of the {self.what}")
        if fault := self._fault(value):
            raise _faulty(plugin, self.declaration, fault)
        if name in self._own:
            raise _faulty(plugin, self.declaration, f"the package has {self.what} {name}; give another name")
        return Declared(self.what, name, value)

    def _use(self, plugins: Iterable[Plugin]) -> None:
        """Hold what the package declares, and what these plugins do."""
        before = dict(self)
        self.clear()
        self.update(self._own)
        self.origins = {}
        for plugin in plugins:
            found = self.declared_by(plugin)
            if found is None:
                continue
            if found.name in self.origins:
                other = self.origins[found.name].name
                message = f"{other} has {self.what} {found.name}; give another name"
                raise _faulty(plugin, self.declaration, message)
            self[found.name] = self._when_installed(found.value) if plugin.is_installed else found.value
            self.origins[found.name] = plugin
        if self != before:
            for tell in self.when_changed:
                tell()


_REGISTRIES: dict[str, Registry[Any]] = {}
_used: tuple[Plugin, ...] = ()


def registries() -> Sequence[Registry[Any]]:
    """Those whose packages this process has imported."""
    return tuple(_REGISTRIES.values())


def use_plugins(plugins: Iterable[Plugin]) -> None:
    """Let every registry, those imported later too, hold what its package and these plugins declare, and no more.

    Raises UserError for two variants of one name.
    """
    global _used
    _used = tuple(plugins)
    for registry in _REGISTRIES.values():
        registry._use(_used)


def plugins_in_use() -> tuple[Plugin, ...]:
    """Those given to `use_plugins` last."""
    return _used


def origin_of(what: str, name: str) -> Plugin | None:
    """The plugin that a variant comes from; None for one of the package, and for one that is not there."""
    return _REGISTRIES[what].origins.get(name) if what in _REGISTRIES else None


def wrong_call(function: Any, parameters: Sequence[str], name: str) -> str:
    """Why a function cannot be called with so many arguments, or nothing."""
    wanted = f"{name}({', '.join(parameters)})"
    try:
        signature = inspect.signature(function)
        signature.bind(*parameters)
    except TypeError:
        found = f"{name}{signature}" if callable(function) else type(function).__name__
        return f"expected {wanted}; found {found}"
    except ValueError:  # of a builtin, whose parameters nobody knows
        return ""
    return ""


def misfits(plugin: Plugin) -> Sequence[str]:
    """What a plugin declares under the name of a variant although it is of another type."""
    names = {registry.declaration for registry in _REGISTRIES.values()} & vars(plugin.module).keys()
    return [
        str(_faulty(plugin, name, f"expected {one_of(kinds)}; found {_type_of(vars(plugin.module)[name])}"))
        for name in sorted(names)
        if (kinds := [one.expected.__name__ for one in _REGISTRIES.values() if one.declaration == name])
    ]


def _type_of(value: Any) -> str:
    return f"class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _fits(value: Any, expected: type) -> bool:
    return issubclass(value, expected) if isinstance(value, type) else isinstance(value, expected)


def _faulty(plugin: Plugin, declaration: str, message: str) -> UserError:
    return UserError(f"{plugin.name}:{line_of(plugin.source, declaration)} {declaration}: {message}")
