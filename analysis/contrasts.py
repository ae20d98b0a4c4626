"""The contrasts and claims of a study: from its frames to judged comparisons and sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.frames import MISSING, StudyFrames, primary_values
from analysis.labels import metric_info, p_value, plural, value_label, with_interval
from analysis.stats import MAX_SEEDS, Contrast, PairedSample, Verdict, judge

Pair = tuple[str, str]
"""(cell, reference)."""

ClaimVerdict = Literal["supported", "contradicted", "undecided"]

_CLAIM_VERDICTS: dict[Verdict, ClaimVerdict] = {
    "helps": "supported",
    "hurts": "contradicted",
    "equivalent": "contradicted",  # A claim says one is better by an amount that matters.
    "undecided": "undecided",
}


@dataclass(frozen=True)
class ClaimResult:
    """A statement of the space, judged by the paired contrast of its two values."""

    text: str
    source: str
    metric: str
    comparison: str
    verdict: ClaimVerdict
    contrast: Contrast | None
    """None where the plan has no cell for one of the two values."""


@dataclass(frozen=True)
class _LocatedClaim:
    claim: Mapping[str, Any]
    metric: str
    cells: Pair | None
    """None where the plan has no cell for one of the values, or one cell for both."""


@dataclass(frozen=True)
class Judgement:
    """Everything decided about a study."""

    contrasts: list[Contrast]
    """One per cell other than the baseline, in the plan's order; `name` is the cell."""
    claims: list[ClaimResult]
    num_comparisons: int
    """Size of the Holm family of the primary metric: contrasts, and claims about other pairs of cells."""


def judge_study(frames: StudyFrames) -> Judgement:
    """Judge all contrasts against the baseline, and all claims.

    Claims about the primary metric that compare two cells neither of which is the baseline join the family of
    the contrasts; claims about another metric are a family of their own per metric, without a margin.
    """
    main_metric = frames.primary_metric
    pairs = contrast_pairs(frames)
    claims = [_located(frames, claim) for claim in frames.study.claims]
    families: dict[str, list[Pair]] = {main_metric: list(pairs)}
    for claim in claims:
        family = families.setdefault(claim.metric, [])
        if claim.cells is not None and claim.cells not in family and claim.cells[::-1] not in family:
            family.append(claim.cells)
    judged = {
        metric: _judge_pairs(frames, metric, family, frames.margin if metric == main_metric else 0.0)
        for metric, family in families.items()
    }
    main = judged[main_metric]
    results = [_claim_result(claim, judged[claim.metric]) for claim in claims]
    return Judgement([main[pair] for pair in pairs], results, len(main))


def contrast_pairs(frames: StudyFrames) -> list[Pair]:
    """(cell, baseline) for every other cell, in the plan's order; empty without a baseline."""
    baseline = frames.baseline
    if baseline is None:
        return []
    return [(cell, baseline) for cell in frames.cells if cell != baseline]


def paired_sample(trials: pd.DataFrame, metric: str, cell: str, reference: str) -> PairedSample:
    """Differences cell - reference over their planned seeds, positive where `cell` is better.

    A finished trial without a finite value counts as failed: a NaN is an outcome.
    """
    left, right = _outcomes(trials, metric, cell), _outcomes(trials, metric, reference)
    both = left.add_suffix("_cell").join(right.add_suffix("_reference"), how="outer")
    states = both[["state_cell", "state_reference"]].astype("object").fillna(MISSING)
    absent = (states == MISSING).any(axis=1)
    bad_cell, bad_reference = ((states[column] == "failed") & ~absent for column in states)
    paired = both[~absent & ~bad_cell & ~bad_reference]
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
    )


def verdict_sentence(frames: StudyFrames, contrast: Contrast) -> str:
    """One sentence that carries the verdict, its numbers and what is missing."""
    label = frames.cell_label(contrast.name)
    counts = _counts(contrast)
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
    if contrast.sample.missing:
        parts.append(f"{contrast.sample.missing} not run")
    return ", ".join(parts)


def _judge_pairs(frames: StudyFrames, metric: str, pairs: list[Pair], margin: float) -> dict[Pair, Contrast]:
    samples = [paired_sample(frames.trials, metric, cell, reference) for cell, reference in pairs]
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
    return pd.DataFrame({"value": values.to_numpy(), "state": state}, index=own["seed"])


def _located(frames: StudyFrames, claim: Mapping[str, Any]) -> _LocatedClaim:
    """Find the two cells of a claim, all other axes at the baseline."""
    along = frames.cells_along([claim["axis"]])
    better, worse = along.get((claim["better"],)), along.get((claim["worse"],))
    cells = None if better is None or worse is None or better == worse else (better, worse)
    return _LocatedClaim(claim, claim.get("metric") or frames.primary_metric, cells)


def _claim_result(located: _LocatedClaim, family: dict[Pair, Contrast]) -> ClaimResult:
    claim, cells = located.claim, located.cells
    comparison = f"{value_label(claim['better'])} against {value_label(claim['worse'])}"
    contrast: Contrast | None = None
    verdict: ClaimVerdict = "undecided"
    if cells is not None:
        contrast = family[cells] if cells in family else family[cells[::-1]].reversed(cells[0])
        verdict = _CLAIM_VERDICTS[contrast.verdict]
    source = str(claim.get("source", ""))
    return ClaimResult(str(claim["text"]), source, located.metric, comparison, verdict, contrast)
