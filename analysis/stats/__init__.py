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

from analysis.stats.families import (
    MAX_SEEDS,
    POWER,
    decide,
    decision_power,
    holm,
    holm_levels,
    judge,
    min_pairs,
    seeds_to_decide,
)
from analysis.stats.results import (
    Contrast,
    FloatArray,
    Interval,
    PairedSample,
    Verdict,
)
from analysis.stats.single import (
    EXACT_UP_TO,
    MONTE_CARLO_DRAWS,
    paired_t_p,
    probability_of_improvement,
    sign_flip_p,
    t_interval,
    t_quantile,
    tost_p,
    worst_rank,
)

__all__ = [
    "EXACT_UP_TO",
    "MAX_SEEDS",
    "MONTE_CARLO_DRAWS",
    "POWER",
    "Contrast",
    "FloatArray",
    "Interval",
    "PairedSample",
    "Verdict",
    "decide",
    "decision_power",
    "holm",
    "holm_levels",
    "judge",
    "min_pairs",
    "paired_t_p",
    "probability_of_improvement",
    "seeds_to_decide",
    "sign_flip_p",
    "t_interval",
    "t_quantile",
    "tost_p",
    "worst_rank",
]
