"""The dotted paths of a cell's settings: what an axis, a `--set` and a block of a space may name."""

from collections.abc import Iterator
from functools import lru_cache

from pydantic import BaseModel

from trainables.h_space.config import CellConfig
from trainables.h_space.editors import EDITORS
from trainables.wording import fields_at


@lru_cache(maxsize=1)
def setting_paths() -> tuple[str, ...]:
    """Dotted paths of all settings of a cell, those of every editor included."""
    of_editors = {f"editor.{path}" for editor in EDITORS.values() for path in _paths_of(editor)}
    of_cell = {path for path in _paths_of(CellConfig) if path not in ("editor", "schema_version")}
    return tuple(sorted(of_cell | of_editors))


@lru_cache(maxsize=1)
def setting_blocks() -> tuple[str, ...]:
    """Dotted paths of the mappings of settings in a cell."""
    return tuple(sorted({path.rpartition(".")[0] for path in setting_paths()} - {""}))


def _paths_of(model: type[BaseModel]) -> Iterator[str]:
    for name in model.model_fields:
        inside = fields_at(model, (name,), {}) if name != "editor" else []
        block = model.model_fields[name].annotation
        if inside and isinstance(block, type) and issubclass(block, BaseModel):
            yield from (f"{name}.{path}" for path in _paths_of(block))
        else:
            yield name
