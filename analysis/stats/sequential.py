"""Judging contrasts while seeds are still being added: every look at the results has its own share of alpha.

Looking after every few seeds and stopping once p <= 0.05 finds something in nothing far more often than 5 % of the
time. Here alpha is spent as the seeds are: of at most N seeds, a look after n_k of them may cost

    alpha_k = alpha (n_k - n_{k-1}) / N        (sum over looks: alpha)

and each look is judged at its alpha_k as a study of fixed size would be at alpha. By the union bound the error of
all looks together is at most alpha, whatever the joint law of the looks: for the paired t test, the sign flip and
TOST alike. Classical boundaries (Pocock, O'Brien-Fleming, Lan-DeMets) spend more freely, but rest on normal
increments with a known spread; at 6 to 20 seeds they exceed alpha (docs/design/006-adaptive-seeds.md).

Many contrasts share alpha by Holm's steps: once some are decided, what they held goes to those still open, at the
look where it happens and at all later ones (Maurer and Bretz 2013). Differences and equivalences are a family each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from analysis.stats.families import contrast_of, min_pairs
from analysis.stats.results import Contrast, PairedSample
from analysis.stats.single import paired_t_p, sign_flip_p, tost_p


@dataclass(frozen=True)
class Stage:
    """How far one contrast has come."""

    contrast: Contrast
    """As at its last look; its p values are scaled so that alpha is the line, its interval is at that look's level."""
    look: int
    """Index of the last look that judged it; -1 before the first."""
    is_closed: bool
    """Whether it gets no more seeds."""


SampleAt = Callable[[int, int], PairedSample | None]
"""(contrast, look) -> its sample after that look's seeds; None while some of them have not run."""


def look_levels(schedule: Sequence[int], alpha: float) -> tuple[float, ...]:
    """What each look, after these numbers of seeds, may cost; together `alpha`."""
    before = (0, *schedule[:-1])
    return tuple(alpha * (now - then) / schedule[-1] for then, now in zip(before, schedule, strict=True))


def judge_in_looks(
    count: int, sample_at: SampleAt, *, schedule: Sequence[int], margin: float, alpha: float
) -> list[Stage | None]:
    """The contrasts of a study as the looks held so far leave them; None for one that no look has judged.

    A look is held once the seeds of all contrasts still open have run, so that going on later, or looking at a
    finished study again, gives the same.
    """
    stages: list[Stage | None] = [None] * count
    open_ones = list(range(count))
    family = _Family(count, margin, alpha)
    for look, level in enumerate(look_levels(schedule, alpha)):
        samples = [sample_at(index, look) for index in open_ones]
        if not open_ones or any(sample is None for sample in samples):
            break
        judged = family.judge([sample for sample in samples if sample is not None], level)
        is_last = look == len(schedule) - 1
        for index, contrast in zip(open_ones, judged, strict=True):
            decided = contrast.verdict != "undecided" or bool(contrast.sample.incomparable)
            stages[index] = Stage(contrast, look, decided or is_last)
        open_ones = [index for index in open_ones if not _is_closed(stages[index])]
    return stages


def _is_closed(stage: Stage | None) -> bool:
    return stage is not None and stage.is_closed


class _Family:
    """The contrasts of a study from look to look, and how many of them have been decided either way."""

    def __init__(self, size: int, margin: float, alpha: float) -> None:
        self._size, self._margin, self._alpha = size, margin, alpha
        self._num_different = 0
        self._num_equal = 0

    def judge(self, samples: Sequence[PairedSample], level: float) -> list[Contrast]:
        """Judge the open contrasts at a look of this level."""
        differences = [paired_t_p(sample.differences) for sample in samples]
        equalities = [tost_p(sample.differences, self._margin) for sample in samples]
        enough = [len(sample.differences) >= min_pairs(self._alpha) for sample in samples]
        certain = [
            ok and sign_flip_p(sample.differences) <= self._alpha
            for ok, sample in zip(enough, samples, strict=True)
        ]
        lines, self._num_different = self._thresholds(differences, certain, level, self._num_different)
        equal_lines, self._num_equal = self._thresholds(equalities, enough, level, self._num_equal)
        rows = zip(samples, differences, lines, equalities, equal_lines, strict=True)
        return [self._contrast(*row) for row in rows]

    def _thresholds(
        self, p_values: Sequence[float], may_count: Sequence[bool], level: float, num_before: int
    ) -> tuple[list[float], int]:
        """What each p is compared with under Holm, and how many have been rejected up to this look."""
        rejected = num_before
        lines = [level / max(1, self._size - rejected)] * len(p_values)
        order = sorted((i for i, p in enumerate(p_values) if p == p), key=lambda i: p_values[i])
        for position, index in enumerate(order):
            line = level / max(1, self._size - rejected)
            for later in order[position:]:
                lines[later] = line
            if p_values[index] > line:
                break
            rejected += may_count[index]
        return lines, rejected

    def _contrast(
        self, sample: PairedSample, p: float, line: float, equality: float, equal_line: float
    ) -> Contrast:
        alpha = self._alpha
        found = contrast_of(
            sample,
            min(1.0, alpha * p / line) if p == p else p,
            equality,
            min(1.0, alpha * equality / equal_line) if equality == equality else equality,
            1 - line,
            margin=self._margin,
            alpha=alpha,
            alpha_of_one=min(line, equal_line),
        )
        return replace(found, seeds_needed=None) if found.verdict != "undecided" else found
