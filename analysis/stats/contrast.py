"""One paired comparison with its verdict."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from analysis.stats.power import SeedsRange, seeds_range
from analysis.stats.results import THE_ONLY_LOOK, Interval, LookAt, PairedSample, Verdict
from analysis.stats.single import probability_of_improvement, sign_flip_p, worst_rank


@dataclass(frozen=True)
class Contrast:
    """One paired comparison, judged together with the other contrasts of its study."""

    sample: PairedSample
    mean: float
    """Mean paired difference, positive is better; NaN without pairs."""
    sd: float
    """Standard deviation of the paired differences (n - 1); NaN below two pairs."""
    interval: Interval
    p_holm: float
    """Paired t test, adjusted for all that the study judges: below alpha exactly where the interval leaves zero out."""
    tost_p: float
    """NaN without a margin or below two pairs."""
    tost_p_holm: float
    """The same, adjusted."""
    verdict: Verdict
    min_pairs: int
    """Pairs below which no verdict is possible at this alpha."""
    margin: float
    alpha: float
    next_level: float
    """What more seeds would be judged at."""
    look: LookAt = THE_ONLY_LOOK

    @property
    def name(self) -> str:
        """What is compared with the reference."""
        return self.sample.name

    @property
    def n(self) -> int:
        """Number of complete pairs."""
        return len(self.sample.differences)

    @cached_property
    def p(self) -> float:
        """Sign-flip p, unadjusted: the guard."""
        return sign_flip_p(self.sample.differences)

    @property
    def probability_of_improvement(self) -> float:
        """Share of pairs that are better, ties count one half."""
        told = self.sample.share_better
        return probability_of_improvement(self.sample.differences) if told is None else told

    @property
    def worst_rank_p(self) -> float:
        """Sign-flip p of signed ranks when failed trials are ranked worse than every finished one."""
        return self._worst_rank[0]

    @property
    def worst_rank_mean(self) -> float:
        """Mean signed rank in that analysis; its sign is the direction once failures count."""
        return self._worst_rank[1]

    @cached_property
    def _worst_rank(self) -> tuple[float, float]:
        return worst_rank(self.sample)

    @cached_property
    def seeds_range(self) -> SeedsRange | None:
        """Seeds in all for 80 % power; None where it is decided or the spread unknown (below two pairs)."""
        if self.verdict != "undecided" or self.n < 2:
            return None
        return seeds_range(self.mean, self.sd, self.n, self.margin, self.next_level, self.min_pairs)

    @property
    def seeds_needed(self) -> int | None:
        """The same, were the truth exactly what was observed."""
        return None if self.seeds_range is None else self.seeds_range.typical

    @property
    def num_failed(self) -> int:
        """Seeds lost because at least one side failed."""
        return self.sample.failed_better + self.sample.failed_worse + self.sample.failed_both

    @property
    def is_estimate(self) -> bool:
        """True where no test could have decided, for few pairs or before a planned look: a number, not a verdict."""
        return self.verdict == "undecided" and (self.n < self.min_pairs or not self.look.is_held)

    @property
    def is_held_back(self) -> bool:
        """Whether the interval leaves zero out and the guard, the sign-flip test, alone keeps it from a verdict."""
        return self.verdict == "undecided" and not self.is_estimate and self.p_holm <= self.alpha < self.p

    @property
    def exceeds_margin(self) -> bool:
        """Whether the whole interval of a contrast that helps or hurts lies beyond the margin."""
        end = {"helps": self.interval.low, "hurts": -self.interval.high}.get(self.verdict)
        return self.margin > 0 and end is not None and end >= self.margin

    @property
    def is_short_of_margin(self) -> bool:
        """Whether a look found that the cell is surely not better by the margin: also where it hurts."""
        if not self.look.is_held or self.n < self.min_pairs or self.margin <= 0:
            return False
        return self.verdict == "equivalent" or self.interval.high < self.margin

    @property
    def ended_early(self) -> bool:
        """Whether it helps or hurts by a look before the last planned one, where differences are likely overstated."""
        return self.verdict in ("helps", "hurts") and self.look.is_early

    @property
    def words(self) -> str:
        """The verdict with what it says of the margin: `helps, by at least the margin`."""
        if self.verdict not in ("helps", "hurts") or self.margin <= 0:
            return self.verdict
        sizes = {True: "by at least the margin", False: "perhaps by less than matters"}
        return f"{self.verdict}, {sizes[self.exceeds_margin]}"

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
                share_better=None if sample.share_better is None else 1 - sample.share_better,
            ),
            mean=-self.mean,
            interval=Interval(-self.interval.high, -self.interval.low, self.interval.level),
            verdict=swapped.get(self.verdict, self.verdict),
        )
