"""What lies below a space's own settings of a cell: the domain's, the attribute's, the editor's."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from trainables.exchange import Layer
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.domains import DomainSummary
from trainables.h_space.domains.files import DomainSource
from trainables.h_space.editors import EDITORS
from trainables.h_space.schedule import as_noisy
from trainables.h_space.timesteps import PUBLISHED_T_MAX
from trainables.paths import absolute_path
from trainables.settings import Settings
from trainables.wording import look_up
from trainables.yaml_tree import Loc, dotted

Summarise = Callable[[str], DomainSummary]
"""From a domain's name or YAML to what planning needs of it; `trainables.h_space.domains.domain_summary`."""


class SpaceKeys(Settings):
    """What a space's file may say beside the keys of every family."""

    per_attribute: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """As in a domain's file, and over it: partial `CellConfig`s by attribute. `texts: {source, target}` declares an
    attribute that the table does not have."""
    per_domain: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Partial `CellConfig`s by a domain's name, over all that the domain says: how large the question is asked there,
    say. The baseline still wins."""


def layers(space: SpaceKeys, chosen: Mapping[str, Any], summarise: Summarise) -> Sequence[Layer]:
    """Later wins: domain defaults < per attribute < per editor < the space's per attribute < per domain.

    Raises DomainError when the domain that is chosen is unknown.
    """
    return (
        *_domain_layers(chosen, summarise),
        *_attribute_layers(space, chosen),
        *_own_domain_layers(space, chosen, summarise),
    )


def with_absolute_paths(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The settings with the paths of a domain's YAML, an editor to start from and a file of subgroups made absolute."""
    found = settings
    domain = settings.get("domain")
    if isinstance(domain, str) and domain.endswith((".yaml", ".yml")):
        found = {**found, "domain": absolute_path(domain, folder)}
    for place in (("init", "from", "editor"), ("evaluation", "subgroup_file")):
        path = look_up(settings, place)
        if isinstance(path, str):
            found = _with(found, place, absolute_path(path, folder))
    return found


def _with(settings: Mapping[str, Any], place: Sequence[str], value: str | int) -> dict[str, Any]:
    first, *rest = place
    return {**settings, first: _with(settings[first], rest, value) if rest else value}


def owners(setting: str) -> list[str]:
    """The editor kinds that have this setting."""
    return [kind for kind, editor in EDITORS.items() if setting in editor.model_fields]


def settled(settings: dict[str, Any], summarise: Summarise) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings without known texts and without what only other editors have; and the names of the latter.

    A timestep of the published schedule is the domain's own from here on. A setting that no kind has is kept, for
    validation to complain about.
    """
    settings = _with_own_timestep(_without_known_texts(settings), summarise)
    editor = settings.get("editor")
    kind = editor.get("kind") if isinstance(editor, Mapping) else None
    if not isinstance(editor, Mapping) or not isinstance(kind, str) or kind not in EDITORS:
        return settings, ()
    foreign = [key for key in editor if owners(key) and kind not in owners(key)]
    kept = {key: value for key, value in editor.items() if key not in foreign}
    return {**settings, "editor": kept}, tuple(f"editor.{key}" for key in foreign)


def _with_own_timestep(settings: dict[str, Any], summarise: Summarise) -> dict[str, Any]:
    """The settings with a well-formed `t_edit: {like: T}` as the number that it is for the domain's model."""
    place, domain = ("training", "t_edit"), settings.get("domain")
    asked = look_up(settings, place)
    like = asked.get("like") if isinstance(asked, Mapping) and len(asked) == 1 else None
    if type(like) is not int or not 0 <= like <= PUBLISHED_T_MAX or not isinstance(domain, str):
        return settings
    schedule = summarise(domain).schedule
    return _with(settings, place, like if schedule is None else as_noisy(schedule.betas, like)[0])


def _without_known_texts(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without texts that say no more than the table of attributes, so that equal cells look equal."""
    row = ATTRIBUTES.get(str(settings.get("attribute")))
    texts = settings.get("texts")
    if row is None or not isinstance(texts, Mapping):
        return settings
    if (texts.get("source"), texts.get("target")) != (row.source, row.target):
        return settings
    return {key: value for key, value in settings.items() if key != "texts"}


def _domain_layers(chosen: Mapping[str, Any], summarise: Summarise) -> list[Layer]:
    """What the domain says in general, of the attribute and of the editor."""
    name, attribute, kind = chosen.get("domain"), chosen.get("attribute"), look_up(chosen, ("editor", "kind"))
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
    source: DomainSource | None = summary.source
    return [
        Layer(settings, f"domain {name}, {dotted(place)}", file=None if source is None else (source, place))
        for settings, place in said
        if settings or place == ("defaults",)
    ]


def _attribute_layers(space: SpaceKeys, chosen: Mapping[str, Any]) -> list[Layer]:
    """What the space itself says of the attribute, in the form of a domain's `per_attribute`."""
    attribute, kind = chosen.get("attribute"), look_up(chosen, ("editor", "kind"))
    own, own_of_kind = _of_attribute(space.per_attribute, attribute, kind)
    place = ("per_attribute", str(attribute))
    return [Layer(own, place), Layer(own_of_kind, (*place, "per_editor", str(kind)))]


def _own_domain_layers(space: SpaceKeys, chosen: Mapping[str, Any], summarise: Summarise) -> list[Layer]:
    """What the space itself says of the domain, which a YAML of one's own names inside."""
    said, domain = space.per_domain, chosen.get("domain")
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
