"""The full configuration, and each ingredient left out alone."""

from collections.abc import Iterator
from typing import Literal

from orchestrator.space.axes import AxisValues, axis_text
from orchestrator.space.designs._base import Allowed, Axes, Design, Finding, Point


class Config(Design):
    """The baseline, which is the full best configuration, then each axis alone put back to its `off` value.

    `off` is the axis's first value where it is not given. It must differ from the baseline's own: an axis whose
    ingredient the baseline does not have cannot lose it.
    """

    kind: Literal["leave_one_out"]

    def num_points(self, axes: Axes) -> int:
        """The baseline and one an axis."""
        return 1 + len(axes)

    def points(self, axes: Axes, baseline: AxisValues, allowed: Allowed) -> Iterator[Point]:
        """The baseline, then one point per axis."""
        yield dict(baseline)
        for name, axis in axes.items():
            yield {**baseline, name: axis.off_value}

    def findings(self, axes: Axes, baseline: AxisValues) -> Iterator[Finding]:
        """Every axis can be put back."""
        yield from super().findings(axes, baseline)
        for name, axis in axes.items():
            if axis.range is None and axis.off_value == baseline[name]:
                off = axis_text(axis.off_value)
                yield (
                    ("axes", name),
                    f"leave_one_out puts it back to {off}, which is the baseline's own; give `off`, or a baseline "
                    "with the ingredient in",
                )
