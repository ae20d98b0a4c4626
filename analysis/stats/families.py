"""Contrasts judged at their levels."""

from collections.abc import Sequence

import numpy as np

from analysis.stats.contrast import Contrast
from analysis.stats.power import min_pairs
from analysis.stats.results import THE_ONLY_LOOK, FloatArray, LookAt, PairedSample, Verdict
from analysis.stats.single import paired_t_p, sign_flip_p, t_interval, tost_p


def judge(samples: Sequence[PairedSample], *, margin: float, alpha: float) -> list[Contrast]:
    """The contrasts of a study that is judged once, each at its part of `alpha`.

    `margin` is the smallest difference that matters, in units of the metric; 0 switches equivalence off.
    """
    level = alpha / max(len(samples), 1)
    return [contrast_of(sample, level, margin=margin, alpha=alpha) for sample in samples]


def decide(differences: FloatArray, level: float, *, margin: float, alpha: float) -> Verdict:
    """The verdict on paired differences (n,) at a level; undecided below `min_pairs(alpha)`.

    Equivalence comes first: a difference that is real but surely smaller than the margin does not matter, by
    the space's own definition of what matters.
    """
    if len(differences) < min_pairs(alpha) or level <= 0:
        return "undecided"
    if tost_p(differences, margin) <= level:
        return "equivalent"
    if paired_t_p(differences) <= level and sign_flip_p(differences) <= alpha:
        return "helps" if np.mean(differences) > 0 else "hurts"
    return "undecided"


def contrast_of(
    sample: PairedSample,
    level: float,
    *,
    margin: float,
    alpha: float,
    next_level: float | None = None,
    look: LookAt = THE_ONLY_LOOK,
) -> Contrast:
    """One contrast with its verdict and its interval at a level.

    `next_level` is what more seeds would be judged at; the same level where left out. Before a look is held nothing is
    decided.
    """
    differences = sample.differences
    n = len(differences)
    mean = float(np.mean(differences)) if n else float("nan")
    sd = float(np.std(differences, ddof=1)) if n > 1 else float("nan")
    p, tost = paired_t_p(differences), tost_p(differences, margin)
    verdict = decide(differences, level, margin=margin, alpha=alpha) if look.is_held else "undecided"
    return Contrast(
        sample=sample,
        mean=mean,
        sd=sd,
        interval=t_interval(differences, 1 - level),
        p_holm=_adjusted(p, level, alpha),
        tost_p=tost,
        tost_p_holm=_adjusted(tost, level, alpha),
        verdict=verdict,
        min_pairs=min_pairs(alpha),
        margin=margin,
        alpha=alpha,
        next_level=level if next_level is None else next_level,
        look=look,
    )


def _adjusted(p: float, level: float, alpha: float) -> float:
    """A p value scaled so that alpha is the line where the level was; NaN stays NaN."""
    if np.isnan(p):
        return p
    return min(1.0, p * alpha / level) if level > 0 else 1.0
