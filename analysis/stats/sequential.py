"""Judging one comparison look by look: it is decided at the first look that decides it, and stays so.

Looking after every few seeds and stopping once p <= 0.05 finds something in nothing far more often than 5 % of the
time. Here every look has a level of its own (`analysis.stats.spending`), and by the union bound a comparison is wrong
in at most the sum of them, whatever the joint law of the looks: for the paired t test, the sign flip and TOST alike.
Classical boundaries (Pocock, O'Brien-Fleming, Lan-DeMets) spend more freely, but rest on normal increments with a known
spread; at 6 to 20 seeds they exceed alpha (docs/design/006-adaptive-seeds.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.stats.contrast import Contrast
from analysis.stats.families import contrast_of
from analysis.stats.results import LookAt, PairedSample
from analysis.stats.spending import Look


@dataclass(frozen=True)
class Stage:
    """How far one comparison has come."""

    contrast: Contrast
    """As at its last look, with its interval at that look's level; before the first an estimate."""
    num_seeds: int
    """Seeds of its last look; 0 before the first."""
    is_closed: bool
    """Whether it gets no more seeds by any plan that there is."""


SampleAt = Callable[[Look], PairedSample | None]
"""A comparison's sample after the seeds of a look; None while some of them have not run."""


def judge_in_looks(
    looks: Sequence[Look], sample_at: SampleAt, *, margin: float, alpha: float, next_level: float
) -> Stage | None:
    """One comparison as the looks held so far leave it; None before the first.

    A look is held once all its seeds have run, so that going on later, or looking at a finished study again, gives the
    same. `next_level` is what seeds beyond the plan would be judged at.
    """
    stage: Stage | None = None
    for index, look in enumerate(looks):
        sample = sample_at(look)
        if sample is None:
            continue
        later = looks[index + 1].level if index + 1 < len(looks) else next_level
        where = LookAt(len(look.seeds), is_planned=look.plan == looks[0].plan, is_early=not look.is_last)
        contrast = contrast_of(sample, look.level, margin=margin, alpha=alpha, next_level=later, look=where)
        is_decided = contrast.verdict != "undecided" or bool(contrast.sample.incomparable)
        stage = Stage(contrast, len(look.seeds), is_decided or index == len(looks) - 1)
        if is_decided:
            break
    return stage
