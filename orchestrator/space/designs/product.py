"""Every combination of the axes' values."""

import itertools
import math
from collections.abc import Iterator
from typing import Literal

from orchestrator.space.axes import AxisValues
from orchestrator.space.designs._base import Allowed, Axes, Design, Point


class Config(Design):
    """Every combination, the last axis changing fastest."""

    kind: Literal["product"]

    def num_points(self, axes: Axes) -> int:
        """As many as the numbers of values come to when multiplied."""
        return math.prod(len(axis.names) for axis in axes.values())

    def points(self, axes: Axes, baseline: AxisValues, allowed: Allowed) -> Iterator[Point]:
        """All combinations."""
        for values in itertools.product(*(axis.names for axis in axes.values())):
            yield dict(zip(axes, values, strict=True))
