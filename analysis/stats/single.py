"""Tests and intervals of a single paired sample."""

import numpy as np

from analysis.stats.results import FloatArray, Interval, PairedSample

EXACT_UP_TO = 20
"""Pairs up to which all sign patterns are enumerated: 2^19 sums, a few milliseconds."""
MONTE_CARLO_DRAWS = 99_999
BOUNDED_ABOVE = 20_000
"""Pairs above which no sign patterns are drawn: a bound of the exact p does as well."""
_SIGNS = 20_000_000
"""Signs drawn in all, where many pairs would ask for more."""


def t_quantile(level: float, n: int) -> float:
    """Half the width of the two-sided t interval of a mean of n >= 2 values, in standard errors."""
    from scipy import special

    return float(special.stdtrit(n - 1, (1 + level) / 2))


def t_interval(values: FloatArray, level: float = 0.95) -> Interval:
    """Two-sided t interval of the mean of `values` (n,); NaN ends below two values."""
    n = len(values)
    if n < 2:
        return Interval(float("nan"), float("nan"), level)
    half = t_quantile(level, n) * _standard_error(values)
    mean = float(np.mean(values))
    return Interval(mean - half, mean + half, level)


def sign_flip_p(differences: FloatArray, seed: int = 0) -> float:
    """Two-sided sign-flip p that the mean of `differences` (n,) is zero; NaN for n = 0.

    Exact up to 20 pairs; beyond, up to 99,999 random sign patterns from a seeded generator, with the observed one
    counted in, so that the p is valid and never zero. Above 20,000 pairs it is an upper bound of the exact p.
    """
    n = len(differences)
    if n == 0:
        return float("nan")
    observed = abs(float(np.sum(differences)))
    # Rounding must not make a pattern that ties with the observed one look less extreme.
    threshold = observed - 1e-12 * float(np.sum(np.abs(differences)))
    if n <= EXACT_UP_TO:
        return float(np.mean(np.abs(_all_signed_sums(differences)) >= threshold))
    if n > BOUNDED_ABOVE:
        return _sign_flip_bound(differences)
    count = 0
    generator = np.random.default_rng(seed)
    total = min(MONTE_CARLO_DRAWS, _SIGNS // n)
    for draws in _chunks(total, max(1, min(10_000, 2_000_000 // n))):
        signs = generator.integers(0, 2, size=(draws, n)) * 2 - 1
        count += int(np.sum(np.abs(signs @ differences) >= threshold))
    return (1 + count) / (1 + total)


def _sign_flip_bound(differences: FloatArray) -> float:
    """An upper bound of the exact sign-flip p: the better of Hoeffding's and of the normal law with its largest error.

    The error is at most 0.56 Σ|d|³ / (Σd²)^(3/2) on each side (Berry and Esseen; Shevtsova 2010).
    """
    from scipy import stats

    squares = float(np.sum(differences**2))
    if squares == 0:
        return 1.0
    z = float(abs(np.sum(differences)) / np.sqrt(squares))
    error = 0.56 * float(np.sum(np.abs(differences) ** 3)) / float(np.power(squares, 1.5))
    return min(1.0, 2 * (float(stats.norm.sf(z)) + error), 2 * float(np.exp(-(z**2) / 2)))


def paired_t_p(differences: FloatArray) -> float:
    """Two-sided p of the paired t test against no difference; NaN below two pairs."""
    from scipy import special

    if len(differences) < 2:
        return float("nan")
    error = _standard_error(differences)
    if error == 0:
        return 0.0 if differences[0] else 1.0
    statistic = abs(float(np.mean(differences))) / error
    return 2 * float(special.stdtr(len(differences) - 1, -statistic))


def tost_p(differences: FloatArray, margin: float) -> float:
    """p that the mean of `differences` (n,) lies outside ±`margin` (two one-sided t tests).

    Small means equivalent. NaN where margin <= 0 or n < 2.
    """
    from scipy import special

    n = len(differences)
    if margin <= 0 or n < 2:
        return float("nan")
    mean, error = float(np.mean(differences)), _standard_error(differences)
    if error == 0:
        return 0.0 if abs(mean) < margin else 1.0
    above_low = special.stdtr(n - 1, -(mean + margin) / error)
    below_high = special.stdtr(n - 1, (mean - margin) / error)
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
    from scipy import stats

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
