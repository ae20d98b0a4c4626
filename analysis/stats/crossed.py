"""Seeds and items crossed: the sample of a comparison whose pairs share seeds in one direction and items in the other.

Letters: k = pairs, one per seed and item; S = seeds; C = clusters of items (items, where they have none).

    d_si = effect + a_s + b_c(i) + e_si

A mean over all pairs varies with the seeds and with the items. Their number is not k: pairs of one seed share a_s,
pairs of one item b_c. Counting each as a replicate of its own finds differences in nothing.

- New seeds, these items: one value per seed, and as many replicates as seeds.
- New items, these seeds: one value per cluster, and as many replicates as clusters.
- New seeds and new items: V = V_seeds + V_items - V_cells, each the variance of the mean that groups of that kind show
  (Cameron, Gelbach and Miller 2011; Owen's pigeonhole bootstrap has the same target, 2007), and never below either of
  the first two. The larger of the two alone is too small: with equal parts it misses a half of V.

The last is handed on as a sample like any other: one value per seed, or per cluster where there are fewer of them,
spread about the mean so that its standard error is the root of V. So the same tests judge it, with as many replicates
as the scarcer of the two has: fewer than six seeds decide nothing about new seeds, however many items there are.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.stats.results import FloatArray

Codes = NDArray[np.int64]
"""(k,) the group of each pair, from 0 on without gaps."""
Over = Literal["seeds", "items", "both"]
"""What a verdict speaks for: new seeds, new items, or both."""


def units(values: FloatArray, seeds: Codes, clusters: Codes, over: Over) -> FloatArray:
    """The independent replicates behind the mean of paired differences `values` (k,); their mean is the same."""
    by_seed, by_cluster = group_values(values, seeds), group_values(values, clusters)
    if over == "seeds":
        return by_seed
    if over == "items":
        return by_cluster
    fewer = by_seed if len(by_seed) <= len(by_cluster) else by_cluster
    return with_variance(fewer, two_way_variance(values, seeds, clusters))


def group_values(values: FloatArray, groups: Codes) -> FloatArray:
    """One value per group, (G,), whose mean is that of `values` and whose spread is that of the groups' sums.

    For groups of one size it is the mean of each. A larger group weighs more in the mean of all pairs, and here.
    """
    mean = float(np.mean(values))
    sums = np.bincount(groups, weights=values - mean)
    return np.asarray(mean + sums * (len(sums) / len(values)))


def two_way_variance(values: FloatArray, seeds: Codes, clusters: Codes) -> float:
    """Variance of the mean of `values` (k,) over new seeds and new clusters; NaN below two of either.

    Where every seed has items of its own, it is that over seeds: they come with their items.
    """
    _, cells = np.unique(seeds * (int(np.max(clusters)) + 1) + clusters, return_inverse=True)
    of_seeds, of_clusters, of_cells = (
        _variance_of_mean(group_values(values, groups)) for groups in (seeds, clusters, cells)
    )
    if np.max(cells) == np.max(clusters):
        return of_seeds
    return max(of_seeds + of_clusters - of_cells, of_seeds, of_clusters)


def with_variance(units_: FloatArray, variance: float) -> FloatArray:
    """The values (G,) spread about their mean so that its variance is the given one.

    Where they do not differ at all, as seeds without influence, evenly spread normal quantiles stand for them.
    """
    own, mean = _variance_of_mean(units_), float(np.mean(units_))
    if variance == own or np.isnan(variance):
        return units_
    if own > 0:
        return np.asarray(mean + (units_ - mean) * np.sqrt(variance / own))
    quantiles = _normal_quantiles(len(units_))
    return np.asarray(mean + quantiles * np.sqrt(variance / _variance_of_mean(quantiles)))


def _variance_of_mean(values: FloatArray) -> float:
    """s² / G of values (G,); exactly 0 for equal ones, NaN below two."""
    if len(values) < 2:
        return float("nan")
    return 0.0 if np.all(values == values[0]) else float(np.var(values, ddof=1) / len(values))


def _normal_quantiles(count: int) -> FloatArray:
    from scipy import stats

    return np.asarray(stats.norm.ppf((np.arange(count) + 0.5) / count))
