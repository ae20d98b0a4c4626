"""The baseline, each axis alone, and chosen interactions."""

import itertools
import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from orchestrator.space.axes import AxisValues, as_tuple
from orchestrator.space.designs._base import Allowed, Axes, Design, Finding, Point
from trainables.wording import expected

Interaction = Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=2)]


class Config(Design):
    """The baseline, then each axis alone, then every combination within each of the chosen interactions."""

    kind: Literal["one_factor"]
    interactions: Annotated[tuple[Interaction, ...], BeforeValidator(as_tuple)] = ()
    """Groups of axes whose combinations are run as well, all other axes at the baseline's value."""

    def num_points(self, axes: Axes) -> int:
        """Each value once, and the combinations of each interaction."""
        together = [[axes[name] for name in group if name in axes] for group in self.interactions]
        alone = sum(len(axis.names) for axis in axes.values())
        return 1 + alone + sum(math.prod(len(axis.names) for axis in group) for group in together)

    def points(self, axes: Axes, baseline: AxisValues, allowed: Allowed) -> Iterator[Point]:
        """The baseline first; a point that two parts of the design ask for comes twice."""
        yield dict(baseline)
        for name, axis in axes.items():
            for value in axis.names:
                if value != baseline[name]:
                    yield {**baseline, name: value}
        for together in self.interactions:
            for values in itertools.product(*(axes[name].names for name in together)):
                yield {**baseline, **dict(zip(together, values, strict=True))}

    def findings(self, axes: Axes, baseline: AxisValues) -> Iterator[Finding]:
        """Interactions of axes that there are, each axis once."""
        yield from super().findings(axes, baseline)
        for index, together in enumerate(self.interactions):
            for position, name in enumerate(together):
                place = ("design", "interactions", index, position)
                if name not in axes:
                    yield place, expected("an axis of this space", name, axes)
                elif name in together[:position]:
                    yield place, f"expected each axis once; found {name} twice"
