"""The contrasts and claims of a study: from its frames to judged comparisons and sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.adaptive import schedule_of, seeds_wanted, stages
from analysis.claims import ClaimResult, LocatedClaim, Pair, locate, result
from analysis.comparability import comparable_values, incomparable, other_features, shared_images
from analysis.frames import MISSING, STOPPED, StudyFrames, primary_values, remembered
from analysis.labels import metric_info, p_value, plural, with_interval
from analysis.stats import MAX_SEEDS, Contrast, PairedSample, judge
from analysis.stats.sequential import Stage


@dataclass(frozen=True)
class Judgement:
    """Everything decided about a study."""

    contrasts: list[Contrast]
    """One per cell other than the baseline, in the plan's order; `name` is the cell."""
    claims: list[ClaimResult]
    num_comparisons: int
    """Size of the Holm family of the primary metric: contrasts, and claims about other pairs of cells."""


@remembered
def judge_study(frames: StudyFrames) -> Judgement:
    """Judge all contrasts against the baseline, and all claims.

    Claims about the primary metric (at the primary strength) that compare two cells neither of which is the
    baseline join the family of the contrasts; claims about another metric or strength are a family of their
    own, without a margin.
    """
    main = (frames.primary_metric, None)
    pairs = contrast_pairs(frames)
    claims = [locate(frames, claim) for claim in frames.study.claims]
    families = _families(frames, claims)
    judged = {
        key: _judge_pairs(frames, *key, family, frames.margin if key == main else 0.0)
        for key, family in families.items()
        if key != main or not schedule_of(frames)
    }
    if schedule_of(frames):
        judged[main] = {pair: stage.contrast for pair, stage in main_stages(frames).items()}
    results = [result(claim, judged[claim.family]) for claim in claims]
    return Judgement([judged[main][pair] for pair in pairs], results, len(judged[main]))


def main_stages(frames: StudyFrames) -> dict[Pair, Stage]:
    """How far each contrast of the primary family has come, where seeds are added while they are needed."""
    return stages(frames, _main_family(frames), _main_sample)


def next_seeds(frames: StudyFrames) -> dict[str, int]:
    """Cell -> how many seeds it should have now, where they are added while they are needed."""
    return seeds_wanted(frames, _main_family(frames), _main_sample)


def _main_family(frames: StudyFrames) -> list[Pair]:
    claims = [locate(frames, claim) for claim in frames.study.claims]
    return _families(frames, claims)[(frames.primary_metric, None)]


def _main_sample(frames: StudyFrames, pair: Pair) -> PairedSample:
    return sample_of(frames, frames.primary_metric, *pair)


def _families(
    frames: StudyFrames, claims: Sequence[LocatedClaim]
) -> dict[tuple[str, float | None], list[Pair]]:
    """The pairs that are judged together, by metric and strength; the contrasts lead the primary family."""
    families: dict[tuple[str, float | None], list[Pair]] = {
        (frames.primary_metric, None): contrast_pairs(frames)
    }
    for claim in claims:
        family = families.setdefault(claim.family, [])
        if claim.cells is not None and claim.cells not in family and claim.cells[::-1] not in family:
            family.append(claim.cells)
    return families


def contrast_pairs(frames: StudyFrames) -> list[Pair]:
    """(cell, what it is compared with) in the plan's order; empty without a baseline.

    That is the baseline, or where the space names an axis to `compare`, each cell's counterpart along it.
    """
    baseline = frames.baseline
    if baseline is None:
        return []
    if frames.study.compare is not None:
        cells = [cell.cell for cell in frames.study.cells if cell.role == "design"]
        pairs = ((cell, frames.counterpart(cell)) for cell in cells)
        return [(cell, other) for cell, other in pairs if other not in (None, cell)]
    # A parent answers no question, and a control without an axis only that of the cell it belongs to.
    own = next(cell for cell in frames.study.cells if cell.cell == baseline)
    control = (own.starts_from or {}).get("control")
    compared = [c.cell for c in frames.study.cells if c.role == "design" or c.cell == control]
    return [(cell, baseline) for cell in compared if cell != baseline]


def sample_of(
    frames: StudyFrames, metric: str, cell: str, reference: str, strength: float | None = None
) -> PairedSample:
    """The paired sample of two cells, over the images that both were measured on.

    Empty, with the reason in `incomparable`, where they were not measured on the same thing.
    """
    trials = frames.trials
    reason = incomparable(frames, cell, reference) or other_features(frames, metric, cell, reference)
    images = None if metric.startswith("loss_") else shared_images(frames, cell, reference)
    if not reason and (images is not None or strength is not None):
        values = comparable_values(frames, metric, strength, images)
        if values is None:
            reason = f"{metric_info(metric).label} was measured on different images"
        elif strength is not None and values.empty:
            reason = f"{metric_info(metric).label} was not measured at strength {strength:g}"
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
    left, right = _outcomes(trials, metric, cell), _outcomes(trials, metric, reference)
    both = left.add_suffix("_cell").join(right.add_suffix("_reference"), how="outer")
    states = both[["state_cell", "state_reference"]].astype("object").fillna(MISSING)
    absent = (states == MISSING).any(axis=1)
    stopped = (states == "stopped").any(axis=1) & ~absent
    left_out = absent | stopped
    bad_cell, bad_reference = ((states[column] == "failed") & ~left_out for column in states)
    paired = both[~left_out & ~bad_cell & ~bad_reference]
    paired = paired.head(0) if reason else paired
    sign = metric_info(metric).sign
    differences = sign * (paired["value_cell"] - paired["value_reference"])
    return PairedSample(
        name=cell,
        differences=differences.to_numpy(dtype=np.float64),
        seeds=tuple(int(seed) for seed in paired.index),
        failed_better=int((bad_reference & ~bad_cell).sum()),
        failed_worse=int((bad_cell & ~bad_reference).sum()),
        failed_both=int((bad_cell & bad_reference).sum()),
        missing=int(absent.sum()),
        stopped=int(stopped.sum()),
        incomparable=reason,
    )


def verdict_sentence(frames: StudyFrames, contrast: Contrast) -> str:
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
        return f"{label} {contrast.verdict}: {numbers}, {p_value(contrast.p_holm)}.{caution}"
    if contrast.verdict == "equivalent":
        return f"{label} is equivalent within ±{contrast.margin:g}: {numbers}."
    word = "estimate only" if contrast.is_estimate else "undecided"
    return f"{label}: {word}, {numbers}. {seeds_sentence(contrast)}"


def seeds_sentence(contrast: Contrast) -> str:
    """How many seeds would decide, in all; empty where the contrast is decided."""
    if contrast.verdict != "undecided":
        return ""
    few = f"No test can decide below {contrast.min_pairs} pairs"
    if contrast.seeds_needed is None:
        return f"{few}."
    if contrast.seeds_needed >= MAX_SEEDS:
        return f"More than {MAX_SEEDS:,} seeds would be needed."
    needed = f"about {contrast.seeds_needed} seeds in all would decide (80 % power)"
    return f"{few}; {needed}." if contrast.is_estimate else f"A{needed[1:]}."


def _counts(contrast: Contrast) -> str:
    parts = [plural(contrast.n, "pair")]
    if contrast.num_failed:
        parts.append(f"{contrast.num_failed} failed")
    if contrast.sample.stopped:
        parts.append(f"{contrast.sample.stopped} stopped early")
    if contrast.sample.missing:
        parts.append(f"{contrast.sample.missing} not run")
    return ", ".join(parts)


def _judge_pairs(
    frames: StudyFrames, metric: str, strength: float | None, pairs: list[Pair], margin: float
) -> dict[Pair, Contrast]:
    samples = [sample_of(frames, metric, cell, reference, strength) for cell, reference in pairs]
    contrasts = judge(samples, margin=margin, alpha=frames.alpha)
    return dict(zip(pairs, contrasts, strict=True))


def _outcomes(trials: pd.DataFrame, metric: str, cell: str) -> pd.DataFrame:
    """`value` and `state` (done, failed, missing) of a cell's trials, indexed by seed."""
    own = trials[trials["cell"] == cell]
    values = primary_values(own, metric)
    finite = np.isfinite(values)
    status = own["status"]
    # Interrupted trials will run again: they are missing, not failed.
    state = np.where(status.isin([MISSING, "interrupted"]), MISSING, "failed")
    state = np.where((status == "done") & finite, "done", state)
    is_stopped = own["is_stopped"] if "is_stopped" in own else status.isin(STOPPED)
    state = np.where(is_stopped, "stopped", state)
    return pd.DataFrame({"value": values.to_numpy(), "state": state}, index=own["seed"])
