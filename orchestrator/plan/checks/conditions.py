"""What can be wrong with an axis's `when`, its `off`, and a space's `constraints`."""

from collections.abc import Iterator

from orchestrator.space.axes import AxisConfig, AxisValues, Condition, axis_text, matches
from orchestrator.space.config import SpaceConfig
from orchestrator.space.designs import Finding
from orchestrator.space.points import Selection, condition_text, settled_point
from trainables.wording import expected
from trainables.yaml_tree import Loc


def check_conditions(config: SpaceConfig) -> Iterator[Finding]:
    """Conditions name axes and values that there are, and no axis waits for itself."""
    for name, axis in config.axes.items():
        place: Loc = ("axes", name, "when")
        yield from _check_condition(axis.when, config, place)
        if loop := _loop(name, config):
            yield place, f"conditions that come back to themselves: {loop}"
        if axis.off is not None and not axis.holds(axis.off):
            yield ("axes", name, "off"), _no_value(name, axis, axis.off)
    for index, rule in enumerate(config.constraints):
        yield from _check_condition(rule.excluded, config, ("constraints", index, "not"))


def check_selection(config: SpaceConfig, selection: Selection, baseline: AxisValues) -> Iterator[Finding]:
    """The baseline is among the points, and every axis acts in one of them."""
    acting_baseline, because = settled_point(config, baseline, baseline)
    for index, rule in enumerate(config.constraints):
        if not because and matches(rule.excluded, acting_baseline):
            yield ("constraints", index, "not"), "excludes the baseline, which every cell is compared with"
    yield from _namesakes(selection)
    for name, axis in config.axes.items():
        asked = [
            (point, acting) for point, acting in selection.points if point.axis_values[name] != baseline[name]
        ]
        if asked and all(acting[name] == baseline[name] for _, acting in asked):
            yield (
                ("axes", name, "when"),
                f"never acts: no cell of design {config.design.kind} varies it where {condition_text(axis.when)}",
            )


def _namesakes(selection: Selection) -> Iterator[Finding]:
    """Two points of one name, as `1` and `"1"` give, could not be distinguished in the ledger."""
    seen: set[str] = set()
    for point, _ in selection.points:
        if point.name in seen:
            yield ("axes",), f"two cells would be called {point.name}; expected values that read differently"
        seen.add(point.name)


def _check_condition(condition: Condition, config: SpaceConfig, place: Loc) -> Iterator[Finding]:
    for name, meant in condition.items():
        if name not in config.axes:
            yield (*place, name), expected("an axis of this space", name, config.axes)
            continue
        for value in meant:
            if not config.axes[name].holds(value):
                yield (*place, name), _no_value(name, config.axes[name], value)


def _no_value(name: str, axis: AxisConfig, value: object) -> str:
    if axis.range is not None:
        return expected(f"a number from {axis.range.low} to {axis.range.high}", value)
    return expected(f"a value of axis {name}", value, map(axis_text, axis.names))


def _loop(start: str, config: SpaceConfig) -> str:
    """The chain of conditions from an axis back to itself, or nothing."""
    chains: list[tuple[str, ...]] = [(start,)]
    while chains:
        chain = chains.pop()
        for name in config.axes[chain[-1]].when:
            if name == start:
                return " <- ".join((*chain, name))
            if name in config.axes and name not in chain:
                chains.append((*chain, name))
    return ""
