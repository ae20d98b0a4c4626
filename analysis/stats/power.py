"""Power: how many pairs decide, and with which chance."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from analysis.stats.results import FloatArray

POWER = 0.8
MAX_SEEDS = 10_000
_NUM_SPREADS = 400


class SeedsRange(NamedTuple):
    """How many seeds in all would decide, for truths like what was observed."""

    low: int
    typical: int
    """Were the truth exactly what was observed."""
    high: int


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
    from scipy import special

    if n < 2:
        return 0.0
    error = _standard_errors(n)
    differs = special.stdtrit(n - 1, 1 - alpha / 2) * error
    equivalent = np.maximum(margin - special.stdtrit(n - 1, 1 - alpha) * error, 0.0)
    bounds = np.stack([differs, equivalent])
    low, high = special.ndtr((np.stack([-bounds, bounds]) - ratio) * n**0.5)
    not_different, same = high - low
    return float(1 - np.mean(np.maximum(not_different - same, 0.0)))


@lru_cache(maxsize=1024)
def _standard_errors(n: int) -> FloatArray:
    """Quantiles of the standard error of a mean of n values whose deviation is 1, (`_NUM_SPREADS`,)."""
    from scipy import special

    quantiles = (np.arange(_NUM_SPREADS) + 0.5) / _NUM_SPREADS
    return np.asarray(np.sqrt(special.chdtri(n - 1, 1 - quantiles) / (n - 1) / n))


def seeds_range(mean: float, sd: float, n: int, margin: float, level: float, fewest: int) -> SeedsRange:
    """How many seeds would decide with 80 % power, were the truth what n pairs showed, or anything like it.

    Like it: mean and standard deviation within their central 50 % intervals. The count is largest for some and smallest
    for others of these; both are told.
    """
    from scipy import special

    half = special.stdtrit(n - 1, 0.75) * sd / n**0.5
    spreads = [sd * float((n - 1) / special.chdtri(n - 1, tail)) ** 0.5 for tail in (0.25, 0.75)]
    hardest = min(max(margin / 2, abs(mean) - half), abs(mean) + half)
    # An effect is hardest to decide at half the margin, and easier the further it is from there.
    ends = (abs(mean) - half, abs(mean) + half)
    counts = [seeds_to_decide(abs(end), spreads[0], margin, level) for end in ends]
    most = seeds_to_decide(hardest, spreads[1], margin, level)
    typical = seeds_to_decide(mean, sd, margin, level)
    low, high = min(*counts, typical), max(most, typical)
    return SeedsRange(*(max(fewest, count) for count in (low, typical, high)))
