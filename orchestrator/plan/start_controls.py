"""Controls of warm starts as values of the axis that says how cells start.

A control trains from scratch for as long as a warm cell and its ancestors together (`orchestrator.plan.warm_starts`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.plan.cells import Cell
from orchestrator.space.config import AxisConfig, AxisValue


def start_axis(axes: Mapping[str, AxisConfig]) -> str | None:
    """The axis whose values say how a cell starts; of several, the one that can also say: from scratch."""
    setting = [name for name, axis in axes.items() if _inits(axis)]
    deciding = [name for name in setting if None in _inits(axes[name])]
    return next(iter([*deciding, *setting]), None)


def _inits(axis: AxisConfig) -> list[Any]:
    overrides = [axis.override(value) for value in axis.names]
    return [override["init"] for override in overrides if "init" in override]


def control_value(value: AxisValue) -> str:
    """The value that a warm start's control has on the axis of starts."""
    return f"scratch_matched_to_{value}"


def control_values(axis: AxisConfig) -> list[str]:
    """The values that controls may add to an axis."""
    return [control_value(value) for value in axis.names] if _inits(axis) else []


def axes_with_controls(axes: Mapping[str, AxisConfig], cells: Iterable[Cell]) -> dict[str, list[AxisValue]]:
    """Axis -> its values, those of controls in the plan after the space's own."""
    found: dict[str, list[AxisValue]] = {name: list(axis.names) for name, axis in axes.items()}
    for cell in cells:
        for name, value in cell.axis_values.items():
            if cell.role == "design" and value not in found[name]:
                found[name].append(value)
    return found
