"""Plugins: an editor, a metric, a figure and the like from outside the package.

A plugin is a Python file that declares what a file of the package would: `Config` of an editor, `METRIC`, `FIGURE`,
`SEGMENTER`, `OPTIMIZER`. A space names it (`plugins: [./my_metric.py]`), or an installed package has it as an entry
point in the group `asyrp_sweep.plugins`: `name = module`.
"""

import importlib
import inspect
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from trainables.errors import UserError
from trainables.registry import Declared, Plugin, misfits, registries, use_plugins
from trainables.source_code import text_digest
from trainables.sources import module_of_source, read_source
from trainables.wording import expected

ENTRY_POINTS = "asyrp_sweep.plugins"
MODULE_PREFIX = "asyrp_sweep_plugin_"


def find_plugin(named: str, folder: Path) -> Plugin | None:
    """The plugin of a file at a path, which may start from `folder`; None for an installed one, which is always used.

    Raises UserError where there is none, or it is faulty.
    """
    if named.endswith(".py"):
        return plugin_of_source(*read_source(named, folder))
    known = [plugin.name for plugin in installed_plugins()]
    if named not in known:
        what = "the path of a Python file, such as ./my_metric.py"
        raise UserError(expected(f"{what}, or an installed plugin" if known else what, named, known))
    return None


@lru_cache(maxsize=32)
def plugin_of_source(file_name: str, source: str) -> Plugin:
    """The plugin in a Python file's text. Raises UserError, with the line, where it is faulty."""
    module = module_of_source(MODULE_PREFIX, file_name, source)
    return _checked(Plugin(file_name, source, module, text_digest(source)[:16]))


@lru_cache(maxsize=1)
def installed_plugins() -> tuple[Plugin, ...]:
    """Those of installed packages. Raises UserError naming the package of one that is faulty."""
    return tuple(_installed(point) for point in entry_points(group=ENTRY_POINTS))


def use(plugins: Iterable[Plugin] = ()) -> None:
    """Let this process find what these plugins and the installed ones declare, and that of no other."""
    use_plugins((*installed_plugins(), *dict.fromkeys(plugins)))


def use_named(named: Iterable[str], folder: Path) -> None:
    """`use` of the plugins with these names. Raises UserError, after the name, for one that is faulty."""
    found = []
    for one in named:
        try:
            found.append(find_plugin(one, folder))
        except UserError as error:
            raise UserError(f"plugin {one}: {error}") from error
    use([plugin for plugin in found if plugin is not None])


def declared(plugin: Plugin) -> Sequence[Declared]:
    """What a plugin adds. Raises UserError where a declaration is faulty."""
    return [found for registry in registries() if (found := registry.declared_by(plugin)) is not None]


def decides_numbers(plugin: Plugin) -> bool:
    """Whether trials can need it, as they need no figure."""
    return any(registry.decides_numbers and registry.declared_by(plugin) for registry in registries())


def _installed(point: EntryPoint) -> Plugin:
    package = point.dist.name if point.dist is not None else "an installed package"
    try:
        module = importlib.import_module(point.module)
        source = inspect.getsource(module)
        return _checked(Plugin(point.name, source, module, text_digest(source)[:16], is_installed=True))
    except Exception as error:
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise UserError(f"plugin {point.name} of {package}: {said}; repair or uninstall {package}") from error


def _checked(plugin: Plugin) -> Plugin:
    """The plugin, which adds something. What a family or a figure is made of is known once its file has imported it."""
    if not declared(plugin):
        if wrong := misfits(plugin):
            raise UserError("; ".join(wrong))
        known = ", ".join(sorted({registry.declaration for registry in registries()}))
        raise UserError(
            f"{plugin.name} adds nothing; expected it to declare one of {known}, as a file of the package does "
            "(docs/plugins.md has examples; a family is named as `family`)"
        )
    return plugin
