"""Points drawn at random from values and ranges."""

import random
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from orchestrator.space.axes import AxisValues
from orchestrator.space.designs._base import Allowed, Axes, Design, Point

MAX_MISSES = 1000
"""Draws in a row that give nothing new before a space counts as exhausted."""


class Config(Design):
    """The baseline, then `samples` different points, every axis drawn evenly from its values or its range.

    More samples go on with the same sequence, so that raising the number runs only the difference.
    """

    kind: Literal["random"]
    samples: int = Field(ge=1)
    """Points beside the baseline; fewer where the axes have no more."""
    seed: int = Field(default=0, ge=0)
    """Seed of the draws; trials have seeds of their own."""
    takes_ranges = True

    def num_points(self, axes: Axes) -> int:
        """The baseline and the samples."""
        return 1 + self.samples

    def points(self, axes: Axes, baseline: AxisValues, allowed: Allowed) -> Iterator[Point]:
        """The baseline first. What the constraints exclude is drawn again, not counted."""
        yield dict(baseline)
        seen = {tuple(baseline.values())}
        draws = random.Random(self.seed)
        misses = 0
        while len(seen) <= self.samples and misses < MAX_MISSES:
            point = {name: axis.at(draws.random()) for name, axis in axes.items()}
            if tuple(point.values()) in seen or not allowed(point):
                misses += 1
                continue
            misses = 0
            seen.add(tuple(point.values()))
            yield point
