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
- One level per comparison: alpha is shared out in parts (`spending`), and a comparison may say anything at its part:
  helps, hurts or equivalent. What it says wrongly depends on the truth, which is one: at no difference only helps and
  hurts are wrong, at or beyond the margin only equivalent and the wrong sign, so the part covers all its words. Holm's
  steps would be sharper for each kind of word alone; used for both, a study with some cells that do not differ and some
  that differ by the margin errs in up to twice alpha (7.9 % simulated at 5 %, docs/design/018-error-rates.md).
  Equal parts also make the intervals shown cover all at once.

A cell helps or hurts when the t interval at its level leaves zero out and the sign-flip p, uncorrected, is at
most alpha. The smallest two-sided sign-flip p is 2 / 2^n, so nothing is decided below n = 6 at alpha = 0.05
(`min_pairs`). Correcting the sign flip as well would ask for 8 seeds as soon as there are four contrasts.
"""

from analysis.stats.contrast import Contrast
from analysis.stats.families import contrast_of, decide, judge
from analysis.stats.power import (
    MAX_SEEDS,
    POWER,
    SeedsRange,
    decision_power,
    min_pairs,
    seeds_range,
    seeds_to_decide,
)
from analysis.stats.results import (
    FloatArray,
    Interval,
    LookAt,
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
    "LookAt",
    "PairedSample",
    "SeedsRange",
    "Verdict",
    "contrast_of",
    "decide",
    "decision_power",
    "judge",
    "min_pairs",
    "paired_t_p",
    "probability_of_improvement",
    "seeds_range",
    "seeds_to_decide",
    "sign_flip_p",
    "t_interval",
    "t_quantile",
    "tost_p",
    "worst_rank",
]
