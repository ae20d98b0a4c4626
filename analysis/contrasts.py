"""The contrasts and claims of a study: from its frames to judged comparisons and sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.adaptive import Looks, seeds_wanted
from analysis.claims import ClaimResult, LocatedClaim, locate, result
from analysis.comparability import comparable_values, incomparable, other_features, shared_images
from analysis.frames import MISSING, STOPPED, StudyFrames, primary_values, remembered
from analysis.labels import known_curves, metric_info, p_value, place_label, plural, with_interval
from analysis.stats import MAX_SEEDS, Contrast, PairedSample, SeedsRange
from analysis.stats.sequential import Stage
from analysis.stats.spending import Spending
from orchestrator.ledger.comparisons import Comparison, comparisons, contrasts


@dataclass(frozen=True)
class Judgement:
    """Everything decided about a study."""

    contrasts: list[Contrast]
    """One per cell other than the baseline, in the plan's order; `name` is the cell."""
    claims: list[ClaimResult]
    num_comparisons: int
    """All that alpha is shared among: contrasts, and claims about other pairs of cells or other metrics."""
    spending: Spending
    """Who may spend how much of alpha, and what is left."""


@remembered
def judge_study(frames: StudyFrames) -> Judgement:
    """Judge all contrasts against the baseline, and all claims, at the looks that the study has planned.

    The chance of any wrong verdict among them is at most alpha. Claims about another metric or place in a trial than
    the primary ones have no margin.
    """
    looks, located = Looks(frames), [locate(frames, claim) for claim in frames.study.claims]
    stages = _stages(frames, looks, located)

    def judged(comparison: Comparison) -> Contrast:
        found = stages[comparison.key].contrast
        return found if found.name == comparison.cell else found.reversed(comparison.cell)

    claims = [result(one, None if one.comparison is None else judged(one.comparison)) for one in located]
    main = [] if frames.study.is_search else contrasts(frames.study)
    return Judgement([judged(one) for one in main], claims, len(stages), looks.spending)


def _stages(frames: StudyFrames, looks: Looks, located: Sequence[LocatedClaim]) -> dict[str, Stage]:
    """Key of every comparison of the study -> how far it has come."""
    about = {one.comparison.key: one for one in located if one.comparison is not None}

    def stage(comparison: Comparison) -> Stage:
        claim = None if comparison.is_primary else about[comparison.key]
        metric = frames.primary_metric if claim is None else claim.metric
        place = {} if claim is None else claim.at

        def sample(at: StudyFrames) -> PairedSample:
            return sample_of(at, metric, *comparison.pair, place)

        return looks.stage(comparison, sample, frames.margin if comparison.is_primary else 0.0)

    return {one.key: stage(one) for one in comparisons(frames.study)}


def next_seeds(frames: StudyFrames) -> dict[str, int]:
    """Cell -> how many seeds it should have now, where they are added while they are needed."""
    claims = [locate(frames, claim) for claim in frames.study.claims]
    stages = _stages(frames, Looks(frames), claims)
    pairs = {one.pair: stages[one.key] for one in comparisons(frames.study) if one.is_primary}
    return seeds_wanted(frames, pairs)


def sample_of(
    frames: StudyFrames, metric: str, cell: str, reference: str, at: Mapping[str, float] | None = None
) -> PairedSample:
    """The paired sample of two cells at coordinates `at`, over the images that both were measured on.

    Empty, with the reason in `incomparable`, where they were not measured on the same thing.
    """
    trials = frames.trials
    reason = incomparable(frames, metric, cell, reference) or other_features(frames, metric, cell, reference)
    images = None if metric in known_curves() else shared_images(frames, cell, reference)
    if not reason and (images is not None or at):
        values = comparable_values(frames, metric, at or {}, images)
        if values is None:
            reason = f"{metric_info(metric).label} was measured on different images"
        elif at and values.empty:
            reason = f"{metric_info(metric).label} was not measured at {place_label(at)}"
        else:
            trials = trials.assign(**{f"metric_{metric}": trials["signature"].map(values)})
    return paired_sample(trials, metric, cell, reference, reason)


def paired_sample(
    trials: pd.DataFrame, metric: str, cell: str, reference: str, reason: str = ""
) -> PairedSample:
    """Differences cell - reference over their planned seeds, positive where `cell` is better.

    A finished trial without a finite value counts as failed: a NaN is an outcome. One that was stopped early is
    counted and enters nothing. With a `reason` why they cannot be compared there are no differences.
    """
    left, right = (_outcomes(trials, metric, name) for name in (cell, reference))
    nothing = (np.nan, MISSING)
    pairs = {seed: (left.get(seed, nothing), right.get(seed, nothing)) for seed in sorted(left | right)}
    fates = {seed: _fate(mine[1], its[1]) for seed, (mine, its) in pairs.items()}
    count = Counter(fates.values())
    paired = [] if reason else [seed for seed, fate in fates.items() if fate == "paired"]
    sign = metric_info(metric).sign
    return PairedSample(
        name=cell,
        differences=np.array([sign * (pairs[seed][0][0] - pairs[seed][1][0]) for seed in paired], np.float64),
        seeds=tuple(paired),
        failed_better=count["reference failed"],
        failed_worse=count["cell failed"],
        failed_both=count["both failed"],
        missing=count[MISSING],
        stopped=count["stopped"],
        incomparable=reason,
    )


def _fate(mine: str, its: str) -> str:
    """What becomes of a pair of trials, by their states."""
    for state in (MISSING, "stopped"):
        if state in (mine, its):
            return state
    bad = (mine == "failed", its == "failed")
    return {
        (False, False): "paired",
        (True, False): "cell failed",
        (False, True): "reference failed",
        (True, True): "both failed",
    }[bad]


def verdict_sentence(frames: StudyFrames, contrast: Contrast) -> str:
    """The verdict, its numbers and what is missing; and a warning where nothing differs at all."""
    told = _verdict(frames, contrast)
    if contrast.n < 2 or contrast.sample.differences.any():
        return told
    return f"{told} All {contrast.n} pairs have exactly the same values: check that the change takes effect."


def _verdict(frames: StudyFrames, contrast: Contrast) -> str:
    """One sentence that carries the verdict, its numbers and what is missing."""
    label = frames.cell_label(contrast.name)
    counts = _counts(contrast)
    if contrast.sample.incomparable:
        return f"{label}: no verdict, not comparable: {contrast.sample.incomparable}."
    if contrast.n == 0:
        return f"{label}: no verdict, {counts}."
    shown = with_interval(contrast.mean, contrast.interval.low, contrast.interval.high)
    numbers = f"{shown}, {counts}"
    if contrast.verdict in ("helps", "hurts"):
        caution = "" if contrast.survives_failures else " Not so once failed trials are ranked worst."
        return f"{label} {contrast.words}: {numbers}, {p_value(contrast.p_holm)}.{caution}{_early(contrast)}"
    if contrast.verdict == "equivalent":
        inside = max(-contrast.interval.low, contrast.interval.high) <= contrast.margin
        shown = "" if inside else f" Two one-sided tests show it, {p_value(contrast.tost_p_holm)}."
        return f"{label} is equivalent within ±{contrast.margin:g}: {numbers}.{shown}"
    word = "estimate only" if contrast.is_estimate else "undecided"
    guard = f" The sign-flip test does not agree, {p_value(contrast.p)}." if contrast.is_held_back else ""
    return f"{label}: {word}, {numbers}.{guard} {seeds_sentence(contrast)}"


def _early(contrast: Contrast) -> str:
    """What to think of a difference that ended a comparison before its last planned look."""
    if not contrast.ended_early:
        return ""
    return (
        f" Decided early, after {contrast.look.num_seeds} seeds: the difference itself is likely overstated."
    )


def seeds_sentence(contrast: Contrast) -> str:
    """How many seeds would decide, in all; empty where the contrast is decided."""
    if contrast.verdict != "undecided":
        return ""
    few = ""
    if contrast.n < contrast.min_pairs:
        few = f"No test can decide below {contrast.min_pairs} pairs"
    elif not contrast.look.is_held:
        seeds = contrast.look.num_seeds
        few = (
            "This plan has no look at it"
            if seeds is None
            else f"Verdicts come after {seeds} seeds, as planned"
        )
    if contrast.seeds_range is None:
        return f"{few}." if few else ""
    needed = (
        f"{seeds_range_words(contrast.seeds_range)} {contrast.sample.unit}s in all would decide (80 % power)"
    )
    return f"{few}; {needed}." if few else f"{needed[0].upper()}{needed[1:]}."


def seeds_range_words(needed: SeedsRange) -> str:
    """`about 14 to 60`, where 14 to 60 decide truths that are like what was observed."""
    if needed.low >= MAX_SEEDS:
        return f"more than {MAX_SEEDS:,}"
    if needed.high >= MAX_SEEDS:
        return f"{needed.low:,} or many more"
    return f"about {needed.low}" if needed.low == needed.high else f"about {needed.low} to {needed.high:,}"


def _counts(contrast: Contrast) -> str:
    parts = [plural(contrast.n, "pair")]
    if contrast.num_failed:
        parts.append(f"{contrast.num_failed} failed")
    if contrast.sample.stopped:
        parts.append(f"{contrast.sample.stopped} stopped early")
    if contrast.sample.missing:
        parts.append(f"{contrast.sample.missing} not run")
    return ", ".join(parts)


def _outcomes(trials: pd.DataFrame, metric: str, cell: str) -> dict[int, tuple[float, str]]:
    """Seed -> value and state (done, failed, stopped, missing) of a cell's trials."""
    # Row by row of each column, not of the frame: picking its rows would be most of the time that a verdict takes.
    own = np.flatnonzero(trials["cell"] == cell)
    values = primary_values(trials, metric).to_numpy()[own]
    status = trials["status"].to_numpy(dtype=object)[own]
    # Interrupted trials will run again: they are missing, not failed.
    state = np.where(np.isin(status, [MISSING, "interrupted"]), MISSING, "failed")
    state = np.where((status == "done") & np.isfinite(values), "done", state)
    is_stopped = (
        trials["is_stopped"].to_numpy(dtype=bool)[own] if "is_stopped" in trials else np.isin(status, STOPPED)
    )
    state = np.where(is_stopped, "stopped", state)
    seeds = trials["seed"].to_numpy(dtype=int)[own].tolist()
    return dict(zip(seeds, zip(values.tolist(), state.tolist(), strict=True), strict=True))
