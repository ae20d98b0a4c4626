"""Many contrasts judged together: Holm's procedure, power, and the verdicts."""

from collections.abc import Callable, Sequence

import numpy as np

from analysis.stats.results import Contrast, FloatArray, PairedSample, Verdict
from analysis.stats.single import (
    paired_t_p,
    probability_of_improvement,
    sign_flip_p,
    t_interval,
    tost_p,
    worst_rank,
)

POWER = 0.8
MAX_SEEDS = 10_000
_NUM_SPREADS = 400


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


def seeds_to_decide(mean: float, sd: float, margin: float, alpha: float, power: float = POWER) -> int:
    """Smallest n that decides with probability `power` were the true difference `mean`: as one, or as none that counts.

    `mean`, `sd` (of the paired difference) and `margin` share a unit. At most 10,000, which then means "or more".
    """
    return 2 if sd == 0 else _fewest(lambda n: decision_power(mean / sd, margin / sd, n, alpha), power)


def _fewest(power_of: Callable[[int], float], power: float) -> int:
    """Smallest n from 2 on at which a power that grows with n is reached."""
    if power_of(MAX_SEEDS) < power:
        return MAX_SEEDS
    low, high = 1, MAX_SEEDS  # power(low) < power <= power(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= power else (middle, high)
    return high


def decision_power(ratio: float, margin: float, n: int, alpha: float) -> float:
    """Chance that n pairs decide, by the two-sided t test or by TOST; all in standard deviations of the difference.

    Undecided is a mean too far from zero to be equivalent and too near to differ. Given the sample's standard deviation
    that is an interval of a normal law; the average over `_NUM_SPREADS` quantiles of that deviation is the chance.
    """
    from scipy import stats

    if n < 2:
        return 0.0
    quantiles = (np.arange(_NUM_SPREADS) + 0.5) / _NUM_SPREADS
    error = np.sqrt(stats.chi2.ppf(quantiles, n - 1) / (n - 1) / n)
    differs = stats.t.ppf(1 - alpha / 2, n - 1) * error
    equivalent = np.maximum(margin - stats.t.ppf(1 - alpha, n - 1) * error, 0.0)

    def within(bound: FloatArray) -> FloatArray:
        low, high = (stats.norm.cdf((side * bound - ratio) * n**0.5) for side in (-1, 1))
        return np.asarray(high - low)

    return float(1 - np.mean(np.maximum(within(differs) - within(equivalent), 0.0)))


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
    level = alpha / max(len(samples), 1)
    return [contrast_of(*row, margin=margin, alpha=alpha, alpha_of_one=level) for row in rows]


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


def contrast_of(
    sample: PairedSample,
    p_holm: float,
    tost: float,
    tost_holm: float,
    level: float,
    *,
    margin: float,
    alpha: float,
    alpha_of_one: float,
) -> Contrast:
    """One contrast with its verdict, from p values that its family has adjusted, at its interval's level.

    `alpha_of_one` is what more seeds would be judged at.
    """
    differences = sample.differences
    n = len(differences)
    mean = float(np.mean(differences)) if n else float("nan")
    sd = float(np.std(differences, ddof=1)) if n > 1 else float("nan")
    fewest = min_pairs(alpha)
    p = sign_flip_p(differences)
    needed = None
    if n > 1:
        needed = max(fewest, seeds_to_decide(mean, sd, margin, alpha_of_one))
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


def _order(p_values: Sequence[float]) -> list[int]:
    """Indices by ascending p, NaN left out; ties in the order given."""
    return sorted((i for i, p in enumerate(p_values) if not np.isnan(p)), key=lambda i: p_values[i])
