"""What can be wrong with the cells of a space: settings that do not fit, and whatever else its family finds.

Every check yields findings: (place in the space's file or label of what is not in it, message).
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from orchestrator.plan.build import warm_start_problems
from orchestrator.plan.checks.conditions import check_conditions, check_selection
from orchestrator.space.axes import AxisValues, axis_text
from orchestrator.space.config import Space, SpaceConfig
from orchestrator.space.mappings import nested, place_of
from orchestrator.space.points import baseline_setting, baseline_values, select
from orchestrator.space.resolving import BASELINE_PLACE, Resolved, resolve
from trainables.exchange import Asked, InSpace, Layer, Outside
from trainables.family import Family
from trainables.settings import Settings
from trainables.wording import expected, flow, look_up, one_of, validation_problems
from trainables.yaml_tree import Loc, dotted

MAX_TRIALS = 100_000
"""Most trials of a plan; each costs memory and a line in the ledger."""

Finding = tuple[Loc | Outside, str]


def check_cells(space: Space) -> Iterator[Finding]:
    """Every cell resolves to a configuration that can be built, and every setting is used by one."""
    space = replace(space, family=space.family.tolerant())
    baseline, missing = baseline_values(space)
    for name in missing:
        yield ("axes", name, "values"), _without_baseline(space, name)
    stand_ins = {name: space.config.axes[name].at(0.0) for name in missing}
    baseline = {name: {**baseline, **stand_ins}[name] for name in space.config.axes}
    unsound = list(space.config.design.findings(space.config.axes, baseline)) or list(_too_many(space.config))
    yield from unsound
    if unsound:  # its points are unknown; the baseline's cell still can
        chosen: list[AxisValues] = [baseline]
    else:
        selection = select(space, baseline, to_check=True)
        if not any(check_conditions(space.config)):
            yield from check_selection(space.config, selection, baseline)
        chosen = list({tuple(acting.values()): acting for _, acting in selection.points}.values())
    cells = [resolve(space, values) for values in chosen]
    for cell in cells:
        yield from _check_blocks(cell, space.family)
        yield from _check_cell(cell, space)
    if not unsound:
        yield from _check_unused(cells, space.family)


def _too_many(config: SpaceConfig) -> Iterator[tuple[Loc, str]]:
    """A plan that no memory holds is refused before it is made."""
    cells = config.design.num_points(config.axes)
    if (trials := cells * config.max_seeds) > MAX_TRIALS:
        yield (
            ("design",),
            f"expected at most {MAX_TRIALS:,} trials; found {cells:,} cells with {config.max_seeds:,} seeds each, "
            f"{trials:,} trials: use fewer values or seeds, or a design that tries some of the points (random, optuna)",
        )


def _without_baseline(space: Space, name: str) -> str:
    """What to say of an axis that does not have the baseline's value."""
    axis = space.config.axes[name]
    if axis.path is None:
        return "expected one value that changes nothing, the baseline's; every one changes it; add one: baseline: {}"
    own = baseline_setting(space, axis.path)
    if axis.range is not None:
        return (
            f"expected the baseline's own {axis.path} in the range, {axis_text(own)}; found {axis.range.low} to "
            f"{axis.range.high}; widen the range, or write {flow({'baseline': nested(axis.path, axis.range.low)})}"
        )
    return (
        f"expected the baseline's own {axis.path} among them, {axis_text(own)}; found {one_of(axis.names)}; add it: "
        f"{flow({'values': [own, *axis.names]})}, or change the baseline: "
        f"{flow({'baseline': nested(axis.path, axis.names[0])})}"
    )


def _check_blocks(cell: Resolved, family: Family) -> Iterator[Finding]:
    """A block written as one value (`optimizer: adam`) would be lost where another layer writes it in full."""
    for layer in cell.layers:
        for block in _blocks(family):
            value = look_up(layer.settings, place_of(block))
            if value is not None and not isinstance(value, dict) and isinstance(layer.origin, tuple):
                yield (*layer.origin, *place_of(block)), expected("a mapping", value)


def _named_metrics(space: Space) -> list[tuple[Loc, str]]:
    """The metrics that verdicts and claims are about."""
    claims = enumerate(space.config.claims)
    named: list[tuple[Loc, str | None]] = [
        ((*space.primary_place, "metric"), space.config.primary.metric),
        *((("claims", index, "metric"), claim.metric) for index, claim in claims),
    ]
    return [(place, metric) for place, metric in named if metric is not None]


def _check_cell(cell: Resolved, space: Space) -> Iterator[Finding]:
    wrong, config, lost = wrong_settings(cell.settings, space.family)
    yield from ((_written_at(cell, place), message) for place, message in wrong)
    has_gpu = space.config.execution.gpus_per_trial > 0
    asked = Asked(_named_metrics(space), space.config.figures, space.config.primary.metric, has_gpu)
    by_place: dict[Loc | Outside, list[str]] = {}
    for place, message in space.family.findings(cell.settings, config, asked):
        if isinstance(place, InSpace):
            by_place.setdefault(place.place, []).append(message)
        elif isinstance(place, Outside):
            by_place.setdefault(place, []).append(message)
        elif not _speaks_of(message, lost):
            by_place.setdefault(_written_at(cell, place), []).append(message)
    yield from ((place, "; ".join(messages)) for place, messages in by_place.items())


def wrong_settings(
    settings: Mapping[str, Any], family: Family
) -> tuple[list[tuple[Loc, str]], Settings | None, set[str]]:
    """What is wrong with a cell's settings; the cell without those; and their names.

    Pydantic looks at what settings are to each other only where each is right by itself. So wrong ones are taken
    out and the rest is looked at again, until it is sound; what then is said of one that was taken out, and is a
    default now, does not count. The cell is None where it is unknown.
    """
    found: dict[Loc, str] = {}
    lost: set[str] = set()
    while True:
        try:
            return list(found.items()), family.Config.model_validate(settings), lost
        except ValidationError as error:
            wrong = validation_problems(error, family.Config, settings)
        emptied = {place[:-1] for place in found if not look_up(settings, place[:-1])}  # by taking those out
        found |= {
            place: said
            for place, said in wrong
            if place not in {*found, *emptied} and not _speaks_of(said, lost)
        }
        rest = settings
        for place, _ in wrong:
            rest = _without(rest, place, family)
        lost |= {str(place[-1]) for place, _ in wrong if place}
        if rest == settings:
            return list(found.items()), None, lost
        settings = rest


def _without(settings: Any, place: Loc, family: Family) -> Any:
    """The settings without what is at a place, the whole of a list; text in place of a name that must be there."""
    if not isinstance(settings, Mapping) or not place:
        return settings
    first, *rest = place
    if place in family.text_settings:
        return {**settings, first: ""}
    inside = settings.get(str(first))
    if rest and isinstance(inside, Mapping):
        return {**settings, first: _without(inside, tuple(rest), family)}
    return {key: value for key, value in settings.items() if key != first}


def _speaks_of(message: str, names: Set[str]) -> bool:
    return not names.isdisjoint(re.findall(r"\w+", message))


def check_warm_starts(space: Space) -> Iterator[Finding]:
    """Every cell that starts from another one finds it, and none ends at itself."""
    for problem in warm_start_problems(space):
        cell = resolve(space, problem.axis_values)
        yield _written_at(cell, problem.place), f"{problem.message} (cell {problem.cell})"


def _check_unused(cells: Sequence[Resolved], family: Family) -> Iterator[Finding]:
    """A setting that has a meaning in no cell changes nothing: surely a mistake."""
    for dropped in dict.fromkeys(path for cell in cells for path in cell.dropped):
        if all(
            dropped in cell.dropped or look_up(cell.settings, place_of(dropped)) is None for cell in cells
        ):
            holder = next(cell for cell in cells if dropped in cell.dropped)
            reason = family.unused(dropped, [cell.settings for cell in cells])
            yield _written_at(holder, place_of(dropped)), f"no cell uses it{reason}"


def _blocks(family: Family) -> list[str]:
    """Dotted paths of the mappings of settings in a cell."""
    return sorted({path.rpartition(".")[0] for path in family.setting_paths()} - {""})


def _written_at(cell: Resolved, place: Loc) -> Loc | Outside:
    """Where the setting at a place of a cell was written, or what is nearest to it."""
    layer = _layer_of(cell, place)
    if layer.file is not None:
        source, start = layer.file
        there = source.problem((*start, *place), "")
        return Outside(there.file, there.where, there.line)
    if isinstance(layer.origin, str):
        inside = "" if layer.is_one_value else dotted(place)
        return Outside(layer.origin, inside) if inside else Outside("", layer.origin)
    return layer.origin if layer.is_one_value else (*layer.origin, *place)


def _layer_of(cell: Resolved, place: Loc) -> Layer:
    """The layer that holds most of the path to a place, of equals the one that wins; else the baseline.

    Where they hold a part of it alone, the baseline too: a default that does not fit is nobody's, and best set there.
    """
    depths = [_depth(layer.settings, place) for layer in reversed(cell.layers)]
    baseline = next(layer for layer in cell.layers if layer.origin == BASELINE_PLACE)
    if max(depths) < len(place) and _depth(baseline.settings, place) == max(depths):
        return baseline
    return cell.layers[-1 - depths.index(max(depths))]


def _depth(settings: object, place: Loc) -> int:
    for depth, part in enumerate(place):
        if not isinstance(settings, dict) or part not in settings:
            return depth
        settings = settings[part]
    return len(place)
