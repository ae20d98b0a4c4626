"""From one point of a space to its full configuration, remembering where every setting was written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.config import AxisValue, Space, merge, nested
from orchestrator.yaml_tree import Loc
from trainables.domains import DomainSummary
from trainables.editors import EDITORS

AxisValues = Mapping[str, AxisValue]
"""A point of a space: the value of every axis."""

Summarise = Callable[[str], DomainSummary]
"""From a domain's name or YAML to what planning needs of it; `trainables.domains.domain_summary`."""


BASELINE_PLACE: Loc = ("baseline",)
"""Where a space's file says what all cells share."""


@dataclass(frozen=True)
class Layer:
    """Partial settings of a cell, and where they were written."""

    settings: Mapping[str, Any]
    origin: Loc | str
    """A place in the space's file, or the name of what is not in it: a domain or a command-line option."""
    is_one_value: bool = False
    """The place holds a single value, so a problem anywhere in the settings is a problem there."""


@dataclass(frozen=True)
class Resolved:
    """A cell before validation: its settings, and the layers they came from, later ones winning."""

    settings: dict[str, Any]
    layers: tuple[Layer, ...]
    dropped: tuple[str, ...]
    """Settings of other editors that this cell's editor does not have."""


def resolve(space: Space, values: AxisValues, summarise: Summarise) -> Resolved:
    """Merge everything that says something about this point.

    Later wins: domain defaults < per attribute < per editor < baseline < axis values < command line.
    Raises DomainError when the point's domain is unknown.
    """
    written = [Layer(space.config.baseline, BASELINE_PLACE), *_axis_layers(space, values)]
    written += [Layer(nested(s.path, s.value), s.option, is_one_value=True) for s in space.settings]
    chosen = with_absolute_domain(merge(*(layer.settings for layer in written)), space.folder)

    layers = (*_domain_layers(chosen, summarise), *written)
    settings = with_absolute_domain(merge(*(layer.settings for layer in layers)), space.folder)
    kept, dropped = without_foreign_settings(settings.get("editor"))
    if kept is not None:
        settings["editor"] = kept
    return Resolved(settings, layers, dropped)


def with_absolute_domain(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with the path of a domain's YAML made absolute: workers change directory."""
    domain = settings.get("domain")
    if isinstance(domain, str) and domain.endswith((".yaml", ".yml")):
        return {**settings, "domain": str((folder / domain).absolute())}
    return settings


def owners(setting: str) -> list[str]:
    """The editor kinds that have this setting."""
    return [kind for kind, editor in EDITORS.items() if setting in editor.model_fields]


def without_foreign_settings(editor: object) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The editor block without what only other kinds have, and the names of what was dropped.

    A setting that no kind has is kept, for validation to complain about.
    """
    if not isinstance(editor, Mapping) or editor.get("kind") not in EDITORS:
        return None, ()
    kind = editor["kind"]
    foreign = [key for key in editor if owners(key) and kind not in owners(key)]
    kept = {key: value for key, value in editor.items() if key not in foreign}
    return kept, tuple(f"editor.{key}" for key in foreign)


def value_at(settings: object, path: str) -> Any:
    """The setting at a dotted path, or None where there is none."""
    for part in path.split("."):
        if not isinstance(settings, Mapping):
            return None
        settings = settings.get(part)
    return settings


def _axis_layers(space: Space, values: AxisValues) -> list[Layer]:
    layers = []
    for name, value in values.items():
        axis = space.config.axes[name]
        if axis.path is None:
            layers.append(Layer(axis.override(value), ("axes", name, "values", str(value))))
        else:
            place = ("axes", name, "values", axis.names.index(value))
            layers.append(Layer(axis.override(value), place, is_one_value=True))
    return layers


def _domain_layers(chosen: Mapping[str, Any], summarise: Summarise) -> list[Layer]:
    """What the domain says in general, of the attribute and of the editor."""
    name, attribute, kind = chosen.get("domain"), chosen.get("attribute"), value_at(chosen, "editor.kind")
    if not isinstance(name, str):
        return []
    summary = summarise(name)
    layers = [Layer(summary.defaults, f"domain {name}, defaults")]
    if isinstance(attribute, str) and attribute in summary.per_attribute:
        layers.append(Layer(summary.per_attribute[attribute], f"domain {name}, per_attribute.{attribute}"))
    if isinstance(kind, str) and kind in summary.per_editor:
        layers.append(Layer(summary.per_editor[kind], f"domain {name}, per_editor.{kind}"))
    return layers
