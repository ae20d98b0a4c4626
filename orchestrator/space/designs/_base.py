"""What every design shares: its settings, its points, and what it asks of the axes."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

from orchestrator.space.axes import AxisConfig, AxisValue, AxisValues
from trainables.settings import Settings
from trainables.yaml_tree import Loc

Axes = Mapping[str, AxisConfig]
Point = dict[str, AxisValue]
"""A value for every axis."""
Allowed = Callable[[AxisValues], bool]
"""Whether the space's constraints let a point be."""
Finding = tuple[Loc, str]
"""A place in the space's file, and what is wrong there."""


class Design(Settings):
    """Chooses points of the axes. Each kind adds a literal `kind`, and what is its own."""

    kind: str
    takes_ranges: ClassVar[bool] = False
    """Whether an axis may have a range instead of values."""

    @abstractmethod
    def points(self, axes: Axes, baseline: AxisValues, allowed: Allowed) -> Iterator[Point]:
        """The points to run, the baseline among them if any of them has its values.

        A design that draws points at random leaves out those that are not `allowed`; one that lists them does
        not: the plan shows what was excluded, and why.
        """

    @abstractmethod
    def num_points(self, axes: Axes) -> int:
        """How many points it asks for at most, told without listing them."""

    def probes(self, axes: Axes, baseline: AxisValues, allowed: Allowed) -> Iterator[Point]:
        """Points to check before anything runs: those to run, unless they are not known beforehand."""
        return self.points(axes, baseline, allowed)

    def findings(self, axes: Axes, baseline: AxisValues) -> Iterator[Finding]:
        """What is wrong with the design on these axes."""
        if not self.takes_ranges:
            for name, axis in axes.items():
                if axis.range is not None:
                    yield (
                        ("axes", name, "values"),
                        f"design {self.kind} needs listed values; ranges are for the designs random and optuna",
                    )
