"""Contrasts of a study whose seeds are added while they are needed, look by look."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from analysis.claims import Pair
from analysis.frames import MISSING, StudyFrames
from analysis.stats import PairedSample, judge
from analysis.stats.sequential import Stage, judge_in_looks

Sample = Callable[[StudyFrames, Pair], PairedSample]
"""The paired sample of two cells over all trials of some frames."""


def schedule_of(frames: StudyFrames) -> tuple[int, ...]:
    """Numbers of seeds at which the results are looked at; empty where the number of seeds is fixed."""
    rule = frames.study.adaptive
    return () if rule is None else tuple(rule["schedule"])


def stages(frames: StudyFrames, pairs: Sequence[Pair], sample: Sample) -> dict[Pair, Stage]:
    """How far each contrast has come. One that no look has judged is undecided, at what there is of it."""
    schedule = schedule_of(frames)
    at_look = [_first_seeds(frames, count) for count in schedule]

    def sample_at(index: int, look: int) -> PairedSample | None:
        complete = all(_has_run(at_look[look], cell, schedule[look]) for cell in pairs[index])
        return sample(at_look[look], pairs[index]) if complete else None

    found = judge_in_looks(len(pairs), sample_at, schedule=schedule, margin=frames.margin, alpha=frames.alpha)
    return {
        pair: stage or _unjudged(sample(frames, pair), frames)
        for pair, stage in zip(pairs, found, strict=True)
    }


def seeds_wanted(frames: StudyFrames, pairs: Sequence[Pair], sample: Sample) -> dict[str, int]:
    """Cell -> how many seeds it should have now. Cells of no open contrast get no more; the baseline gets all."""
    schedule = schedule_of(frames)
    wanted: dict[str, int] = {}
    for pair, stage in stages(frames, pairs, sample).items():
        count = schedule[stage.look] if stage.is_closed else schedule[stage.look + 1]
        for cell in pair:
            wanted[cell] = max(wanted.get(cell, 0), count)
    if frames.baseline is not None and wanted:
        wanted[frames.baseline] = max(wanted.values())
    return wanted


def _first_seeds(frames: StudyFrames, count: int) -> StudyFrames:
    return replace(frames, trials=frames.trials[frames.trials["seed"] < count])


def _has_run(frames: StudyFrames, cell: str, count: int) -> bool:
    status = frames.trials.loc[frames.trials["cell"] == cell, "status"]
    return len(status) == count and not status.isin([MISSING, "interrupted"]).any()


def _unjudged(sample: PairedSample, frames: StudyFrames) -> Stage:
    """A contrast before its first look: an estimate and nothing more."""
    [contrast] = judge([sample], margin=frames.margin, alpha=frames.alpha)
    return Stage(replace(contrast, verdict="undecided"), -1, is_closed=False)
