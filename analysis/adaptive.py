"""The looks of a study: what each comparison may be judged at, and what its looks so far have found."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from analysis.frames import MISSING, StudyFrames
from analysis.stats import LookAt, PairedSample, min_pairs
from analysis.stats.families import contrast_of
from analysis.stats.sequential import Stage, judge_in_looks
from analysis.stats.spending import Look, Spending, spend
from orchestrator.ledger import planned_looks
from orchestrator.ledger.comparisons import Comparison

Sample = Callable[[StudyFrames], PairedSample]
"""The paired sample of one comparison over all trials of some frames."""


def schedule_of(frames: StudyFrames) -> tuple[int, ...]:
    """Numbers of seeds at which the results are looked at; empty where the number of seeds is fixed."""
    rule = frames.study.adaptive
    return () if rule is None else tuple(rule["schedule"])


class Looks:
    """A study's plans, and its frames as they were after the seeds of each look."""

    def __init__(self, frames: StudyFrames) -> None:
        self._frames = frames
        plans = frames.study.plans or (planned_looks(frames.study),)
        self.spending: Spending = spend(plans, frames.alpha, min_pairs(frames.alpha))
        self._at: dict[frozenset[int], StudyFrames] = {}

    def stage(self, comparison: Comparison, sample: Sample, margin: float) -> Stage:
        """How far a comparison has come. One that no look has judged is undecided, at what there is of it."""
        looks = self.spending.looks.get(comparison.key, [])

        def sample_at(look: Look) -> PairedSample | None:
            at = self._after(look.seeds)
            complete = all(_has_run(at, cell, len(look.seeds)) for cell in comparison.pair)
            return sample(at) if complete else None

        beyond = self.spending.next_level.get(comparison.key, 0.0)
        alpha = self._frames.alpha
        found = judge_in_looks(looks, sample_at, margin=margin, alpha=alpha, next_level=beyond)
        if found is not None:
            return found
        # Too few seeds for a look: no verdict can rest on the interval, so it is as wide as all of alpha allows.
        level = looks[0].level if looks else alpha / max(self.spending.num_comparisons, 1)
        before = LookAt(len(looks[0].seeds) if looks else None, is_held=False)
        own = sample(self._frames)
        return Stage(
            contrast_of(
                own, level, margin=margin, alpha=alpha, next_level=level if looks else beyond, look=before
            ),
            0,
            bool(own.incomparable),
        )

    def _after(self, seeds: tuple[int, ...]) -> StudyFrames:
        """The frames with the trials of these seeds alone."""
        trials, key = self._frames.trials, frozenset(seeds)
        if key not in self._at:
            self._at[key] = replace(self._frames, trials=trials[trials["seed"].isin(key)])
        return self._at[key]


def seeds_wanted(frames: StudyFrames, stages: Mapping[tuple[str, str], Stage]) -> dict[str, int]:
    """Cell -> how many seeds it should have now. Cells of no open contrast get no more; the baseline gets all."""
    schedule = schedule_of(frames) or (len(frames.seeds),)
    wanted: dict[str, int] = {}
    for pair, stage in stages.items():
        later = [count for count in schedule if count > stage.num_seeds]
        count = later[0] if later and not stage.is_closed else max(stage.num_seeds, schedule[0])
        for cell in pair:
            wanted[cell] = max(wanted.get(cell, 0), count)
    if frames.baseline is not None and wanted:
        wanted[frames.baseline] = max(wanted.values())
    return wanted


def _has_run(frames: StudyFrames, cell: str, count: int) -> bool:
    status = frames.trials["status"].to_numpy(dtype=object)[frames.trials["cell"] == cell]
    return len(status) == count and not np.isin(status, [MISSING, "interrupted"]).any()
