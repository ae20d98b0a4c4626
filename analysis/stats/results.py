"""What a paired comparison is made of: its sample, its interval, its verdict."""

from dataclasses import dataclass, replace
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
    """Confidence level, e.g. 0.95; per contrast it follows Holm's step."""


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


@dataclass(frozen=True)
class Contrast:
    """One paired comparison, judged together with the other contrasts of its study."""

    sample: PairedSample
    mean: float
    """Mean paired difference, positive is better; NaN without pairs."""
    sd: float
    """Standard deviation of the paired differences (n - 1); NaN below two pairs."""
    interval: Interval
    p: float
    """Sign-flip p, unadjusted: the guard."""
    p_holm: float
    """Paired t test, adjusted by Holm: what the interval shows."""
    tost_p: float
    """NaN without a margin or below two pairs."""
    tost_p_holm: float
    probability_of_improvement: float
    """Share of pairs that are better, ties count one half."""
    worst_rank_p: float
    """Sign-flip p of signed ranks when failed trials are ranked worse than every finished one."""
    worst_rank_mean: float
    """Mean signed rank in that analysis; its sign is the direction once failures count."""
    verdict: Verdict
    min_pairs: int
    """Pairs below which no verdict is possible at this alpha."""
    seeds_needed: int | None
    """Seeds in all for 80 % power; None where the spread is unknown (below two pairs)."""
    margin: float
    alpha: float

    @property
    def name(self) -> str:
        """What is compared with the reference."""
        return self.sample.name

    @property
    def n(self) -> int:
        """Number of complete pairs."""
        return len(self.sample.differences)

    @property
    def num_failed(self) -> int:
        """Seeds lost because at least one side failed."""
        return self.sample.failed_better + self.sample.failed_worse + self.sample.failed_both

    @property
    def is_estimate(self) -> bool:
        """True where so few pairs exist that no test could have decided: report the number, not a verdict."""
        return self.verdict == "undecided" and self.n < self.min_pairs

    @property
    def survives_failures(self) -> bool:
        """False where helps or hurts rests on leaving failed trials out."""
        if self.num_failed == 0 or self.verdict in ("equivalent", "undecided"):
            return True
        same_sign = np.sign(self.worst_rank_mean) == np.sign(self.mean)
        return bool(same_sign and self.worst_rank_p <= self.alpha)

    def reversed(self, name: str) -> "Contrast":
        """The same comparison seen from the reference, now called `name`."""
        sample = self.sample
        swapped: dict[Verdict, Verdict] = {"helps": "hurts", "hurts": "helps"}
        return replace(
            self,
            sample=replace(
                sample,
                name=name,
                differences=-sample.differences,
                failed_better=sample.failed_worse,
                failed_worse=sample.failed_better,
            ),
            mean=-self.mean,
            interval=Interval(-self.interval.high, -self.interval.low, self.interval.level),
            probability_of_improvement=1 - self.probability_of_improvement,
            worst_rank_mean=-self.worst_rank_mean,
            verdict=swapped.get(self.verdict, self.verdict),
        )
