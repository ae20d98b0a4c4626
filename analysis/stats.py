"""Paired statistics for few seeds: small pure functions on arrays, and the contrast they make up.

Letters: n = paired seeds, m = contrasts judged together. A paired difference is oriented so that positive is
better, and comes as one float array `differences` of shape (n,).

Why these tests
- t interval and paired t test: cover 95 % for nearly normal differences at any n >= 2. A percentile bootstrap
  covers 84 % at n = 5 and 90 % at n = 10, so it is not used.
- Sign flip: if a cell and the baseline do not differ, swapping their names within a seed changes nothing, so
  every one of the 2^n sign patterns of the differences is equally likely. Counting those at least as extreme
  as the observed one gives a p value that is exact for every n and every distribution. It guards the t test
  against a distribution that is not nearly normal.
- TOST: "not significant" is not "equal". Two one-sided t tests against -margin and +margin can show it.
- Holm: one family for all contrasts of a study, since any of them may be the one that gets reported.

A cell helps or hurts when the t interval at Holm's level leaves zero out and the sign-flip p, uncorrected, is at
most alpha. The smallest two-sided sign-flip p is 2 / 2^n, so nothing is decided below n = 6 at alpha = 0.05
(`min_pairs`). Correcting the sign flip as well would ask for 8 seeds as soon as there are four contrasts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
Verdict = Literal["helps", "hurts", "equivalent", "undecided"]

EXACT_UP_TO = 20
"""Pairs up to which all sign patterns are enumerated: 2^19 sums, a few milliseconds."""
MONTE_CARLO_DRAWS = 99_999
POWER = 0.8
MAX_SEEDS = 10_000


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


# ---------------------------------------------------------------------------------------------------------
# Single tests


def t_interval(values: FloatArray, level: float = 0.95) -> Interval:
    """Two-sided t interval of the mean of `values` (n,); NaN ends below two values."""
    n = len(values)
    if n < 2:
        return Interval(float("nan"), float("nan"), level)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * _standard_error(values)
    mean = float(np.mean(values))
    return Interval(mean - half, mean + half, level)


def sign_flip_p(differences: FloatArray, seed: int = 0) -> float:
    """Two-sided sign-flip p that the mean of `differences` (n,) is zero; NaN for n = 0.

    Exact up to 20 pairs; beyond, 99,999 random sign patterns from a seeded generator, with the observed one
    counted in, so that the p is valid and never zero.
    """
    n = len(differences)
    if n == 0:
        return float("nan")
    observed = abs(float(np.sum(differences)))
    # Rounding must not make a pattern that ties with the observed one look less extreme.
    threshold = observed - 1e-12 * float(np.sum(np.abs(differences)))
    if n <= EXACT_UP_TO:
        return float(np.mean(np.abs(_all_signed_sums(differences)) >= threshold))
    count = 0
    generator = np.random.default_rng(seed)
    for draws in _chunks(MONTE_CARLO_DRAWS, 10_000):
        signs = generator.integers(0, 2, size=(draws, n)) * 2 - 1
        count += int(np.sum(np.abs(signs @ differences) >= threshold))
    return (1 + count) / (1 + MONTE_CARLO_DRAWS)


def paired_t_p(differences: FloatArray) -> float:
    """Two-sided p of the paired t test against no difference; NaN below two pairs."""
    if len(differences) < 2:
        return float("nan")
    error = _standard_error(differences)
    if error == 0:
        return 0.0 if differences[0] else 1.0
    statistic = abs(float(np.mean(differences))) / error
    return 2 * float(stats.t.sf(statistic, len(differences) - 1))


def tost_p(differences: FloatArray, margin: float) -> float:
    """p that the mean of `differences` (n,) lies outside ±`margin` (two one-sided t tests).

    Small means equivalent. NaN where margin <= 0 or n < 2.
    """
    n = len(differences)
    if margin <= 0 or n < 2:
        return float("nan")
    mean, error = float(np.mean(differences)), _standard_error(differences)
    if error == 0:
        return 0.0 if abs(mean) < margin else 1.0
    above_low = stats.t.sf((mean + margin) / error, n - 1)
    below_high = stats.t.cdf((mean - margin) / error, n - 1)
    return float(max(above_low, below_high))


def probability_of_improvement(differences: FloatArray) -> float:
    """Share of `differences` (n,) above zero, ties one half; NaN for n = 0."""
    if len(differences) == 0:
        return float("nan")
    return float(np.mean((differences > 0) + 0.5 * (differences == 0)))


def worst_rank(sample: PairedSample) -> tuple[float, float]:
    """(p, mean signed rank) when a failed trial is ranked worse than every finished one (Lachin 1999).

    Ranks are of |difference|; a failure gets the rank above all of them, against its side; a seed where both
    sides failed is a tie. p is the sign-flip p of the signed ranks.
    """
    ranks = stats.rankdata(np.abs(sample.differences)) * np.sign(sample.differences)
    worst = len(ranks) + 1.0
    signed = np.concatenate(
        [
            ranks,
            np.full(sample.failed_better, worst),
            np.full(sample.failed_worse, -worst),
            np.zeros(sample.failed_both),
        ]
    )
    mean = float(np.mean(signed)) if len(signed) else float("nan")
    return sign_flip_p(signed), mean


# ---------------------------------------------------------------------------------------------------------
# Many contrasts


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-adjusted p values, in the order given. NaN stays NaN and still counts in m: it was planned."""
    m = len(p_values)
    adjusted = [float("nan")] * m
    largest = 0.0
    for step, index in enumerate(_order(p_values)):
        largest = max(largest, min(1.0, (m - step) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """Confidence level of each contrast's interval under Holm.

    The k-th smallest p is tested at alpha / (m - k + 1) until one fails; that one and all after it share the
    level at which the procedure stopped.
    """
    m = len(p_values)
    levels = [float("nan")] * m
    threshold, stopped = alpha / max(m, 1), False
    for step, index in enumerate(_order(p_values)):
        if not stopped:
            threshold = alpha / (m - step)
            stopped = p_values[index] > threshold
        levels[index] = 1 - threshold
    return [1 - threshold if np.isnan(level) else level for level in levels]


def min_pairs(alpha: float) -> int:
    """Smallest n whose smallest possible sign-flip p, 2 / 2^n, is at most alpha."""
    n = 1
    while 2.0 / 2**n > alpha:
        n += 1
    return n


def seeds_for_power(effect: float, sd: float, alpha: float, power: float = POWER) -> int:
    """Smallest n whose two-sided paired t test finds `effect` with probability `power`.

    `effect` and `sd` (of the paired difference) share a unit. At most 10,000, which then means "or more".
    """
    if sd == 0:
        return 2
    ratio = abs(effect) / sd
    if ratio == 0 or paired_power(ratio, MAX_SEEDS, alpha) < power:
        return MAX_SEEDS
    low, high = 1, MAX_SEEDS  # power(low) < power <= power(high)
    while high - low > 1:
        middle = (low + high) // 2
        if paired_power(ratio, middle, alpha) >= power:
            high = middle
        else:
            low = middle
    return high


def paired_power(ratio: float, n: int, alpha: float) -> float:
    """Power of the two-sided paired t test for an effect of `ratio` standard deviations with n pairs."""
    if n < 2:
        return 0.0
    critical = float(stats.t.ppf(1 - alpha / 2, n - 1))
    noncentrality = ratio * n**0.5
    # The lower tail underflows to NaN for large effects; there it is zero for every purpose.
    lower = float(np.nan_to_num(stats.nct.cdf(-critical, n - 1, noncentrality)))
    return float(stats.nct.sf(critical, n - 1, noncentrality)) + lower


def judge(samples: Sequence[PairedSample], *, margin: float, alpha: float) -> list[Contrast]:
    """The contrasts of a study, judged as one Holm family.

    `margin` is the smallest difference that matters, in units of the metric; 0 switches equivalence off.
    """
    p_values = [paired_t_p(sample.differences) for sample in samples]
    tost_values = [tost_p(sample.differences, margin) for sample in samples]
    rows = zip(
        samples,
        holm(p_values),
        tost_values,
        holm(tost_values),
        holm_levels(p_values, alpha),
        strict=True,
    )
    return [_contrast(*row, margin=margin, alpha=alpha, m=len(samples)) for row in rows]


def decide(
    mean: float, n: int, *, p_holm: float, sign_flip: float, tost_p_holm: float, alpha: float, fewest: int
) -> Verdict:
    """The verdict of one contrast; undecided below `fewest` pairs.

    Equivalence comes first: a difference that is real but surely smaller than the margin does not matter, by
    the space's own definition of what matters.
    """
    if n < fewest:
        return "undecided"
    if tost_p_holm <= alpha:
        return "equivalent"
    if p_holm <= alpha and sign_flip <= alpha:
        return "helps" if mean > 0 else "hurts"
    return "undecided"


def _contrast(
    sample: PairedSample,
    p_holm: float,
    tost: float,
    tost_holm: float,
    level: float,
    *,
    margin: float,
    alpha: float,
    m: int,
) -> Contrast:
    differences = sample.differences
    n = len(differences)
    mean = float(np.mean(differences)) if n else float("nan")
    sd = float(np.std(differences, ddof=1)) if n > 1 else float("nan")
    fewest = min_pairs(alpha)
    p = sign_flip_p(differences)
    needed = None
    if n > 1:
        needed = max(fewest, seeds_for_power(max(abs(mean), margin), sd, alpha / max(m, 1)))
    worst_p, worst_mean = worst_rank(sample)
    return Contrast(
        sample=sample,
        mean=mean,
        sd=sd,
        interval=t_interval(differences, level),
        p=p,
        p_holm=p_holm,
        tost_p=tost,
        tost_p_holm=tost_holm,
        probability_of_improvement=probability_of_improvement(differences),
        worst_rank_p=worst_p,
        worst_rank_mean=worst_mean,
        verdict=decide(
            mean, n, p_holm=p_holm, sign_flip=p, tost_p_holm=tost_holm, alpha=alpha, fewest=fewest
        ),
        min_pairs=fewest,
        seeds_needed=needed,
        margin=margin,
        alpha=alpha,
    )


def _standard_error(values: FloatArray) -> float:
    """Standard error of the mean of `values` (n,), n >= 2; exactly 0 for equal values."""
    if np.all(values == values[0]):
        return 0.0  # np.std of equal numbers can be 1e-17, which would make any t statistic huge.
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _all_signed_sums(differences: FloatArray) -> FloatArray:
    """Sums under all sign patterns with the first sign fixed, (2^(n-1),): the others mirror them."""
    sums = differences[:1].astype(np.float64)
    for difference in differences[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def _chunks(total: int, size: int) -> list[int]:
    return [min(size, total - start) for start in range(0, total, size)]


def _order(p_values: Sequence[float]) -> list[int]:
    """Indices by ascending p, NaN left out; ties in the order given."""
    return sorted((i for i, p in enumerate(p_values) if not np.isnan(p)), key=lambda i: p_values[i])
