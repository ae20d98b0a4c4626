"""Points of a search's axes: which axes act, all points of a grid, drawn numbers made short. Knows no Optuna."""

import math
from collections.abc import Mapping, Sequence

from orchestrator.space.axes import SIGNIFICANT_DIGITS, AxisConfig, AxisValue, AxisValues, matches

Axes = Mapping[str, AxisConfig]


def in_order(axes: Axes) -> list[str]:
    """Axes, each after those that its condition looks at."""
    ordered: list[str] = []
    waiting = list(axes)
    while waiting:
        ready = [name for name in waiting if axes[name].when.keys() <= set(ordered)]
        ordered += ready or waiting  # A circle is refused when the space is loaded.
        waiting = [name for name in waiting if name not in ordered]
    return ordered


def grid_size(axes: Axes) -> int:
    """How many combinations there are; some of them may be the same point."""
    return math.prod(len(grid_values(axis)) for axis in axes.values())


def grid_point(axes: Axes, baseline: AxisValues, index: int) -> dict[str, AxisValue]:
    """The combination of this number, without the axes that do not act there; the last axis changes first."""
    names = in_order(axes)
    chosen: dict[str, AxisValue] = {}
    for name in reversed(names):
        values = grid_values(axes[name])
        index, at = divmod(index, len(values))
        chosen[name] = values[at]
    point = dict(baseline)
    acting: dict[str, AxisValue] = {}
    for name in names:
        if matches(axes[name].when, point):
            point[name] = acting[name] = chosen[name]
    return acting


def grid_values(axis: AxisConfig) -> Sequence[AxisValue]:
    """The listed values, or the steps of a range."""
    found = axis.range
    if found is None:
        return axis.names
    step = found.step or 1
    return [found.low + index * step for index in range(num_steps(axis) + 1)]


def num_steps(axis: AxisConfig) -> int:
    """How many whole steps lie between the ends of a range; steps of 1 where it gives none."""
    found = axis.range
    assert found is not None, "listed values have no steps"
    return math.floor((found.high - found.low) / (found.step or 1) + 1e-9)


def shortened(axis: AxisConfig, value: AxisValue) -> AxisValue:
    """A drawn number with as many digits as a reader needs, still in its range."""
    if axis.range is None or not isinstance(value, float):
        return value
    short = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return min(max(short, float(axis.range.low)), float(axis.range.high))
