"""Verdicts while they form: which of them may be named before every planned seed has run.

Whoever reads a verdict after every trial and stops at the first one that suits has looked too often. So `helps`,
`hurts` and `equivalent` are said once every planned seed of a comparison has run, or at a look that the space itself
has planned (docs/design/006, 018); before that there are an interval and a number of pairs.
"""

from analysis.adaptive import schedule_of
from analysis.contrasts import Judgement, seeds_sentence, verdict_sentence
from analysis.frames import StudyFrames
from analysis.labels import plural, with_interval
from analysis.stats import Contrast

FORMING = "running"
"""The word for a contrast whose verdict may not be named yet."""


NOTHING = "no verdict"
"""The word for one without a single pair, as `verdict_sentence` says it."""


def planned_pairs(frames: StudyFrames, contrast: Contrast) -> int:
    """Pairs that a contrast is to have; where seeds are added while they are needed, the most there may be."""
    if schedule := schedule_of(frames):
        return schedule[-1]
    [cell] = (cell for cell in frames.study.cells if cell.cell == contrast.name)
    return len(cell.trials)


def is_forming(frames: StudyFrames, judgement: Judgement, contrast: Contrast) -> bool:
    """Whether more seeds are to come before a contrast may be named. Others need not wait for it."""
    if not schedule_of(frames):
        return contrast.sample.missing > 0
    num_ended = contrast.n + contrast.num_failed + contrast.sample.stopped
    return contrast.verdict == "undecided" and num_ended < planned_pairs(frames, contrast)


def word(frames: StudyFrames, judgement: Judgement, contrast: Contrast) -> str:
    """The verdict as it may be said now: `running` while it forms, `estimate` where there are too few pairs for any,
    `no verdict` where there is none at all.
    """
    if is_forming(frames, judgement, contrast):
        return FORMING
    if contrast.n == 0:
        return NOTHING
    if contrast.is_estimate:
        return "estimate"
    return f"{contrast.words} (early)" if contrast.ended_early else contrast.words


def sentence(frames: StudyFrames, judgement: Judgement, contrast: Contrast) -> str:
    """The sentence of a contrast as it may be said now: `verdict_sentence`, or while it forms what there is so far."""
    if contrast.sample.incomparable or not is_forming(frames, judgement, contrast):
        return verdict_sentence(frames, contrast)
    label, planned = frames.cell_label(contrast.name), plural(planned_pairs(frames, contrast), "pair")
    if contrast.n == 0:
        return f"{label}: {FORMING}, none of {planned} yet."
    shown = with_interval(contrast.mean, contrast.interval.low, contrast.interval.high)
    failed = f", {contrast.num_failed} failed" if contrast.num_failed else ""
    return (
        f"{label}: {FORMING}, {shown}, {contrast.n} of {planned}{failed}. {seeds_sentence(contrast)}".rstrip()
    )
