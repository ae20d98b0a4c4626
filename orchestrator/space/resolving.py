"""From one point of a space to its full configuration, remembering where every setting was written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.space.axes import AxisValues
from orchestrator.space.config import Space, merge, nested
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.domains import DomainSummary
from trainables.h_space.domains.files import DomainSource
from trainables.h_space.editors import EDITORS
from trainables.paths import absolute_path
from trainables.yaml_tree import Loc, dotted

Summarise = Callable[[str], DomainSummary]
"""From a domain's name or YAML to what planning needs of it; `trainables.h_space.domains.domain_summary`."""


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
    domain: tuple[DomainSource, Loc] | None = None
    """The domain's file that says them, and where in it."""


@dataclass(frozen=True)
class Resolved:
    """A cell before validation: its settings, and the layers they came from, later ones winning."""

    settings: dict[str, Any]
    layers: tuple[Layer, ...]
    dropped: tuple[str, ...]
    """Settings of other editors that this cell's editor does not have."""


def resolve(space: Space, values: AxisValues, summarise: Summarise) -> Resolved:
    """Merge everything that says something about this point.

    Later wins: domain defaults < per attribute < per editor < the space's per attribute < per domain < baseline < axis
    values < command line.
    Raises DomainError when the point's domain is unknown.
    """
    written = [Layer(space.config.baseline, BASELINE_PLACE), *_axis_layers(space, values)]
    written += [Layer(nested(s.path, s.value), s.option, is_one_value=True) for s in space.settings]
    chosen = with_absolute_domain(merge(*(layer.settings for layer in written)), space.folder)

    own = (*_attribute_layers(space, chosen), *_own_domain_layers(space, chosen, summarise))
    layers = (*_domain_layers(chosen, summarise), *own, *written)
    settings = with_absolute_domain(merge(*(layer.settings for layer in layers)), space.folder)
    settings = without_known_texts(with_absolute_files(settings, space.folder))
    kept, dropped = without_foreign_settings(settings.get("editor"))
    if kept is not None:
        settings["editor"] = kept
    return Resolved(settings, layers, dropped)


def with_absolute_domain(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with the path of a domain's YAML made absolute: workers change directory."""
    domain = settings.get("domain")
    if isinstance(domain, str) and domain.endswith((".yaml", ".yml")):
        return {**settings, "domain": absolute_path(domain, folder)}
    return settings


def with_absolute_files(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with the paths of an editor to start from and of a file of subgroups made absolute."""
    for place in ("init.from.editor", "evaluation.subgroup_file"):
        path = value_at(settings, place)
        if isinstance(path, str):
            settings = merge(settings, nested(place, absolute_path(path, folder)))
    return settings


def owners(setting: str) -> list[str]:
    """The editor kinds that have this setting."""
    return [kind for kind, editor in EDITORS.items() if setting in editor.model_fields]


def without_foreign_settings(editor: object) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The editor block without what only other kinds have, and the names of what was dropped.

    A setting that no kind has is kept, for validation to complain about.
    """
    kind = editor.get("kind") if isinstance(editor, Mapping) else None
    if not isinstance(editor, Mapping) or not isinstance(kind, str) or kind not in EDITORS:
        return None, ()
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
            place: Loc = ("axes", name, "values")
            if axis.range is None:
                place = (*place, axis.names.index(value))
            layers.append(Layer(axis.override(value), place, is_one_value=True))
    return layers


def _domain_layers(chosen: Mapping[str, Any], summarise: Summarise) -> list[Layer]:
    """What the domain says in general, of the attribute and of the editor."""
    name, attribute, kind = chosen.get("domain"), chosen.get("attribute"), value_at(chosen, "editor.kind")
    if not isinstance(name, str):
        return []
    summary = summarise(name)
    own, own_of_kind = _of_attribute(summary.per_attribute, attribute, kind)
    of_kind = summary.per_editor.get(kind, {}) if isinstance(kind, str) else {}
    said: list[tuple[Mapping[str, Any], Loc]] = [
        (summary.defaults, ("defaults",)),
        (own, ("per_attribute", str(attribute))),
        (of_kind, ("per_editor", str(kind))),
        (own_of_kind, ("per_attribute", str(attribute), "per_editor", str(kind))),
    ]
    source = summary.source
    return [
        Layer(settings, f"domain {name}, {dotted(place)}", domain=None if source is None else (source, place))
        for settings, place in said
        if settings or place == ("defaults",)
    ]


def _attribute_layers(space: Space, chosen: Mapping[str, Any]) -> list[Layer]:
    """What the space itself says of the attribute, in the form of a domain's `per_attribute`."""
    attribute, kind = chosen.get("attribute"), value_at(chosen, "editor.kind")
    own, own_of_kind = _of_attribute(space.config.per_attribute, attribute, kind)
    place = ("per_attribute", str(attribute))
    return [Layer(own, place), Layer(own_of_kind, (*place, "per_editor", str(kind)))]


def _own_domain_layers(space: Space, chosen: Mapping[str, Any], summarise: Summarise) -> list[Layer]:
    """What the space itself says of the domain, which a YAML of one's own names inside."""
    said, domain = space.config.per_domain, chosen.get("domain")
    if not said or not isinstance(domain, str):
        return []
    name = summarise(domain).name
    return [Layer(said[name], ("per_domain", name))] if name in said else []


def _of_attribute(
    per_attribute: Mapping[str, Mapping[str, Any]], attribute: object, kind: object
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is said of an attribute: for all editors, and for one kind of them."""
    said = per_attribute.get(attribute, {}) if isinstance(attribute, str) else {}
    of_kinds = said.get("per_editor", {})
    of_kind = of_kinds.get(kind, {}) if isinstance(of_kinds, Mapping) and isinstance(kind, str) else {}
    return {key: value for key, value in said.items() if key != "per_editor"}, dict(of_kind)


def without_known_texts(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without texts that say no more than the table of attributes, so that equal cells look equal."""
    row = ATTRIBUTES.get(str(settings.get("attribute")))
    texts = settings.get("texts")
    if row is None or not isinstance(texts, Mapping):
        return settings
    if (texts.get("source"), texts.get("target")) != (row.source, row.target):
        return settings
    return {key: value for key, value in settings.items() if key != "texts"}
