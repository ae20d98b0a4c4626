"""The cells that the space lists."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from orchestrator.space.axes import AxisValue, AxisValues, as_tuple, axis_text
from orchestrator.space.designs._base import Allowed, Axes, Design, Finding, Point
from trainables.wording import expected


class Config(Design):
    """The baseline, then the listed cells; an axis that a cell does not name has the baseline's value."""

    kind: Literal["explicit"]
    cells: Annotated[tuple[dict[str, AxisValue], ...], BeforeValidator(as_tuple), Field(min_length=1)]
    """Axis -> value for each cell; other axes stay at the baseline's value."""
    takes_ranges = True

    def num_points(self, axes: Axes) -> int:
        """The baseline and the cells listed."""
        return 1 + len(self.cells)

    def points(self, axes: Axes, baseline: AxisValues, allowed: Allowed) -> Iterator[Point]:
        """The baseline first: contrasts need it."""
        yield dict(baseline)
        for cell in self.cells:
            yield {**baseline, **cell}

    def findings(self, axes: Axes, baseline: AxisValues) -> Iterator[Finding]:
        """Cells name axes and values that there are."""
        yield from super().findings(axes, baseline)
        for index, cell in enumerate(self.cells):
            for name, value in cell.items():
                place = ("design", "cells", index, name)
                if name not in axes:
                    yield place, expected("an axis of this space", name, axes)
                elif not axes[name].holds(value):
                    yield place, expected(f"a value of axis {name}", value, map(axis_text, axes[name].names))
