"""What can be wrong with a space beyond its form: names that do not exist, things set twice; then its cells.

Every check yields findings: (place in the space's file or label of what is not in it, message).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from orchestrator.plan.checks.cells import Finding, check_cells, check_warm_starts
from orchestrator.plan.checks.conditions import check_conditions
from orchestrator.plan.warm_starts import control_values
from orchestrator.space.axes import AxisConfig, AxisValue, axis_text
from orchestrator.space.config import ClaimConfig, Setting, Space, SpaceConfig
from orchestrator.space.mappings import leaves
from orchestrator.space.resolving import resolve
from trainables.errors import UserError
from trainables.exchange import Metric, Outside
from trainables.family import Family
from trainables.names import folded, wrong_label
from trainables.wording import did_you_mean, expected, one_of
from trainables.yaml_tree import Loc, dotted

ROLES: tuple[Literal["better", "worse"], ...] = ("better", "worse")
"""The sides of a claim."""


ExtraCheck = Callable[[Space], Iterable[tuple[Loc, str]]]


def check_space(space: Space, extra_checks: Sequence[ExtraCheck]) -> Iterator[Finding]:
    """Everything wrong with a well-formed space."""
    metrics = known_metrics(space)
    yield from _check_primary(space, metrics)
    sound, wrong_paths = _with_sound_paths(space)
    yield from wrong_paths
    yield from _check_overlaps(space)
    yield from _check_labels(space.config)
    yield from space.family.space_findings(space.config, baseline_settings(space))
    yield from _check_compared(space.config)
    yield from _check_placebo(space)
    yield from _check_claims(space, metrics)
    yield from _check_figures(space.config)
    yield from check_conditions(space.config)
    cells = list(_first_at_each_place(check_cells(sound)))
    yield from cells or _first_at_each_place(check_warm_starts(sound))
    for check in extra_checks:
        yield from check(space)


def _first_at_each_place(findings: Iterable[Finding]) -> Iterator[Finding]:
    """One mistake shows in many cells; once is enough."""
    first: dict[Loc | Outside, str] = {}
    for place, message in findings:
        first.setdefault(place, message)
    yield from first.items()


# Names


def _check_primary(space: Space, metrics: Mapping[str, Metric]) -> Iterator[Finding]:
    primary = space.config.primary
    place = (*space.primary_place, "metric")
    yield from _check_metric(primary.metric, place, metrics)
    if primary.metric in metrics:
        yield from ((place, wrong) for wrong in _moved_references(space.config, metrics))
    while primary.instead is not None:
        primary, place = primary.instead, (*place[:-1], "instead", "metric")
        yield from _check_metric(primary.metric, place, metrics)


def _moved_references(config: SpaceConfig, metrics: Mapping[str, Metric]) -> Iterator[str]:
    """Why cells along an axis could not be compared by the primary metric."""
    name = config.primary.metric
    compared = config.axes if config.compare is None else {config.compare}
    for axis in (axis for axis in config.axes if axis in compared):
        moved = _paths_set_by(config.axes[axis])
        if found := moved.intersection(metrics[name].reference):
            others = [other for other, metric in metrics.items() if not moved.intersection(metric.reference)]
            yield (
                f"{name} is measured against a reference of each cell's own, which {one_of(sorted(found))} moves: "
                f"cells along axis {axis} cannot be compared by it; choose another metric: {one_of(others)}"
            )


def baseline_settings(space: Space) -> dict[str, Any]:
    """The merged settings of the baseline; what the space writes of it where the family cannot read the rest."""
    try:
        return resolve(space, {}).settings
    except UserError:  # reported where a cell names it
        return space.config.baseline


def known_metrics(space: Space) -> dict[str, Metric]:
    """What a space can be judged by."""
    return {**space.family.metrics_of(baseline_settings(space)), **space.family.curve_metrics}


def _check_metric(name: str, place: Loc, metrics: Mapping[str, Metric]) -> Iterator[Finding]:
    if name not in metrics:
        yield place, f"{expected('a metric', name, metrics)} (all: asyrp-sweep list metrics)"


def _with_sound_paths(space: Space) -> tuple[Space, list[Finding]]:
    """The space without axis paths and command-line settings that name no one setting of a cell; what is wrong there.

    Without them no cell complains again.
    """
    axes: dict[str, AxisConfig] = {}
    settings: list[Setting] = []
    findings: list[Finding] = []
    for name, axis in space.config.axes.items():
        if axis.path is not None and (wrong := _wrong_path(axis.path, space.family)):
            findings.append((("axes", name, "path"), wrong))
        else:
            axes[name] = axis
    for setting in space.settings:
        if wrong := _wrong_path(setting.path, space.family) or _clash(setting, space.config):
            findings.append((Outside("", setting.option), wrong))
        else:
            settings.append(setting)
    if findings:
        config = space.config.model_copy(update={"axes": axes})
        space = replace(space, config=config, settings=tuple(settings))
    return space, findings


def _wrong_path(path: str, family: Family) -> str:
    """What is wrong with the path of a setting, or nothing."""
    if family.has_setting(path):
        return ""
    inside = [known for known in family.setting_paths() if known.startswith(f"{path}.")]
    if inside:
        return f"expected one setting; {path} holds several, such as {inside[0]}"
    return expected("the path of a setting", path, family.setting_paths())


def _clash(setting: Setting, config: SpaceConfig) -> str:
    """What is wrong with setting what an axis varies, or nothing: cells would not be what they are called."""
    for name, axis in config.axes.items():
        if setting.path in _paths_set_by(axis):
            return f"axis {name} varies {setting.path}; it cannot be set as well"
    return ""


def _check_overlaps(space: Space) -> Iterator[Finding]:
    """Two axes that set the same thing would give cells another value than their names say."""
    setters: dict[str, str] = {}
    for name, axis in space.config.axes.items():
        mine = _paths_set_by(axis)
        for path in sorted(mine & setters.keys()):
            yield (
                ("axes", name),
                f"sets {path}, which axis {setters[path]} sets too; an axis varies its own settings",
            )
        setters.update(dict.fromkeys(mine, name))


def _paths_set_by(axis: AxisConfig) -> set[str]:
    if axis.range is not None and axis.path is not None:
        return {axis.path}
    return {dotted(place) for value in axis.names for place, _ in leaves(axis.override(value))}


def _check_labels(config: SpaceConfig) -> Iterator[Finding]:
    """Axes name columns; values that are texts name cells, in every table and figure."""
    yield from _alike({("axes", name): name for name in config.axes})
    for name, axis in config.axes.items():
        texts: dict[Loc, str] = {
            ("axes", name, "values", value if axis.path is None else index): value
            for index, value in enumerate(axis.names)
            if isinstance(value, str)
        }
        yield from _alike(texts, "" if axis.path is None else _NAMED)
        yield from ((place, wrong) for place, value in texts.items() if (wrong := wrong_label(value)))


_NAMED = "; leave out `path`, and give each value a name of its own, such as upper: {mode: A}"


def _alike(names: Mapping[Loc, str], advice: str = "") -> Iterator[Finding]:
    """Names that many readers take for the same: a column in SQL, a word in a sentence."""
    first: dict[str, str] = {}
    for place, name in names.items():
        if (other := first.setdefault(folded(name), name)) != name:
            yield place, f"expected names that differ in more than capitals; {other} is there already{advice}"


def _check_compared(config: SpaceConfig) -> Iterator[Finding]:
    if config.compare is not None and config.compare not in config.axes:
        yield ("compare",), expected("an axis of this space", config.compare, config.axes)


def _check_placebo(space: Space) -> Iterator[Finding]:
    if not space.config.placebo:
        return
    if space.config.design.kind == "optuna":
        yield ("placebo",), "a search compares no cells, so a placebo says nothing in it; leave it out"
    if baseline_settings(space).get(str(space.family.init_place[0])) is not None:
        yield (
            ("placebo",),
            "the baseline starts from other weights, which a placebo cannot repeat; leave it out",
        )


def _check_claims(space: Space, metrics: Mapping[str, Metric]) -> Iterator[Finding]:
    config = space.config
    known = [one.name for one in space.family.coordinates if not one.is_text]
    for index, claim in enumerate(config.claims):
        place = ("claims", index)
        for name, value in claim.at.items():
            if name not in known:
                yield (
                    (*place, name),
                    f"unknown setting{did_you_mean(name, [*ClaimConfig.model_fields, *known])}",
                )
            elif value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
                yield (*place, name), expected("a number", value)
        if claim.metric is not None:
            yield from _check_metric(claim.metric, (*place, "metric"), metrics)
        for role in ROLES:
            for name, value in claim.side(role).items():
                yield from _check_claimed(config, name, value, claim.axis is None, (*place, role))


def _check_claimed(
    config: SpaceConfig, name: str, value: AxisValue, is_mapping: bool, place: Loc
) -> Iterator[Finding]:
    """One side of a claim names an axis of the space and one of its values."""
    if name not in config.axes:
        where = (*place, name) if is_mapping else (*place[:-1], "axis")
        yield where, expected("an axis of this space", name, config.axes)
        return
    axis = config.axes[name]
    values = (*axis.names, *control_values(axis))
    if value not in values and not axis.holds(value):
        where = (*place, name) if is_mapping else place
        yield where, expected(f"a value of axis {name}", value, map(axis_text, values))


def _check_figures(config: SpaceConfig) -> Iterator[Finding]:
    for index, figure in enumerate(config.figures):
        if not isinstance(figure.get("kind"), str):
            yield ("figures", index), "expected a `kind` (all: asyrp-sweep list figures)"
