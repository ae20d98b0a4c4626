"""What a paired comparison is made of: its sample, its interval, its verdict."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Verdict = Literal["helps", "hurts", "equivalent", "undecided"]


@dataclass(frozen=True)
class Interval:
    """A two-sided interval; both ends NaN where it does not exist (fewer than two pairs)."""

    low: float
    high: float
    level: float
    """Confidence level, e.g. 0.95; of a contrast, 1 minus what its look may spend, so that all cover at once."""


@dataclass(frozen=True)
class LookAt:
    """Where in its study's plan a contrast was judged."""

    num_seeds: int | None = None
    """Seeds of the look; None in a study that is judged once, at what there is."""
    is_held: bool = True
    """Whether verdicts are given; before a planned look there are estimates only."""
    is_planned: bool = True
    """Whether the first plan had this look; a later one judges at what the reserve leaves."""
    is_early: bool = False
    """Whether more seeds were planned: a difference that decides early is more often too large than too small."""


THE_ONLY_LOOK = LookAt()


@dataclass(frozen=True)
class PairedSample:
    """What is known of one contrast before any other contrast is looked at."""

    name: str
    differences: FloatArray
    """(n,) oriented so that positive is better; only seeds where both sides have a finite value."""
    seeds: tuple[int, ...]
    """The n seeds of `differences`, in order."""
    failed_better: int = 0
    """Seeds where only the reference failed: worst rank goes to the reference."""
    failed_worse: int = 0
    """Seeds where only the compared cell failed."""
    failed_both: int = 0
    missing: int = 0
    """Seeds where a side has not run (yet)."""
    stopped: int = 0
    """Seeds where a side was stopped early: a shorter training is no replicate of the others."""
    incomparable: str = ""
    """Why the two cells were not measured on the same thing; then there are no differences."""
    unit: str = "seed"
    """What each difference is of: a seed, an item or a cluster of items."""
    share_better: float | None = None
    """Share of pairs that are better, where the differences are not those of single pairs."""
