"""From one point of a space to its full configuration, remembering where every setting was written."""

from dataclasses import dataclass
from typing import Any

from orchestrator.space.axes import AxisValues
from orchestrator.space.config import Space
from orchestrator.space.mappings import merge, nested
from trainables.exchange import Layer
from trainables.yaml_tree import Loc

BASELINE_PLACE: Loc = ("baseline",)
"""Where a space's file says what all cells share."""


@dataclass(frozen=True)
class Resolved:
    """A cell before validation: its settings, and the layers they came from, later ones winning."""

    settings: dict[str, Any]
    layers: tuple[Layer, ...]
    dropped: tuple[str, ...]
    """Settings that have no meaning in this cell."""


def resolve(space: Space, values: AxisValues) -> Resolved:
    """Merge everything that says something about this point.

    Later wins: what the family says < baseline < axis values < command line.
    Raises UserError when the family cannot read what it needs.
    """
    family, folder = space.family, space.folder
    written = [Layer(space.config.baseline, BASELINE_PLACE), *_axis_layers(space, values)]
    written += [Layer(nested(s.path, s.value), s.option, is_one_value=True) for s in space.settings]
    chosen = family.absolute(merge(*(layer.settings for layer in written)), folder)
    layers = (*family.layers(space.config, chosen), *written)
    settings = family.absolute(merge(*(layer.settings for layer in layers)), folder)
    settings, dropped = family.settled(settings)
    return Resolved(settings, layers, dropped)


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
