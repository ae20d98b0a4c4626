"""The contrasts, claims and amounts of a report as text."""

import pandas as pd

from analysis.claims import ClaimResult
from analysis.contrasts import Judgement, seeds_range_words
from analysis.figures._text import TextTable
from analysis.forming import word
from analysis.frames import StudyFrames
from analysis.labels import metric_info, number, p_value, place_label, with_interval
from analysis.stats import Contrast

EFFECT_TITLES = [
    *[
        "cell",
        "verdict",
        "difference [interval]",
        "level",
        "pairs",
        "failed",
        "stopped",
        "not run",
        "p (adjusted)",
        "sign-flip p",
    ],
    *["TOST p (adjusted)", "P(better)", "p, failures worst", "seeds to decide"],
]


_PRINTED = (
    "cell",
    "verdict",
    "difference [interval]",
    "pairs",
    "p (adjusted)",
    "TOST p (adjusted)",
    "seeds to decide",
)
"""Columns of the contrasts that fit the width of a page."""


def printed_contrasts(frames: StudyFrames, judgement: Judgement) -> TextTable:
    """The contrasts in the columns that fit the width of a page."""
    kept = [EFFECT_TITLES.index(title) for title in _PRINTED]
    rows = [[row[index] for index in kept] for row in effect_rows(frames, judgement)]
    return TextTable(list(_PRINTED), rows, 2)


def effect_rows(frames: StudyFrames, judgement: Judgement) -> list[list[str]]:
    """A row per contrast, with `EFFECT_TITLES` as its titles."""
    return [
        [
            frames.cell_label(contrast.name),
            word(frames, judgement, contrast),
            with_interval(contrast.mean, contrast.interval.low, contrast.interval.high),
            f"{100 * contrast.interval.level:.3g} %",
            str(contrast.n),
            str(contrast.num_failed),
            str(contrast.sample.stopped),
            str(contrast.sample.missing),
            _short_p(contrast.p_holm),
            _short_p(contrast.p),
            _short_p(contrast.tost_p_holm),
            number(contrast.probability_of_improvement, decimals=2),
            _short_p(contrast.worst_rank_p) if contrast.num_failed else "–",
            _seeds_to_decide(contrast),
        ]
        for contrast in judgement.contrasts
    ]


def _seeds_to_decide(contrast: Contrast) -> str:
    if contrast.verdict != "undecided" or contrast.n == 0:
        return "–"
    if contrast.seeds_range is None:
        return f"≥ {contrast.min_pairs}"
    return seeds_range_words(contrast.seeds_range).removeprefix("about ").replace(" to ", "–")


def _short_p(value: float) -> str:
    return p_value(value).removeprefix("p ").removeprefix("= ")


def claim_row(claim: ClaimResult) -> dict[str, str]:
    """What the report says of a claim: text, source, verdict and numbers."""
    contrast = claim.contrast
    numbers = "no such cells in the plan"
    if contrast is not None:
        interval = contrast.interval
        numbers = f"{with_interval(contrast.mean, interval.low, interval.high)}, n = {contrast.n}, "
        numbers += p_value(contrast.p_holm)
        if contrast.sample.incomparable:
            numbers = f"not comparable: {contrast.sample.incomparable}"
    metric = metric_info(claim.metric).label
    metric += f" at {place_label(claim.at)}" if claim.at else ""
    published = claim.published
    if published:
        what = published.get("metric") or "the published metric"
        numbers += f"; published {number(published['better'])} against {number(published['worse'])} ({what})"
    return {
        "text": claim.text,
        "source": claim.source,
        "verdict": claim.verdict,
        "note": claim.note,
        "numbers": f"{metric}, {claim.comparison}: {numbers}",
    }


def amount(value: float) -> str:
    """A count or a mean, with thousands separated."""
    if pd.isna(value):
        return "–"
    return f"{value:,.0f}" if value >= 10 or float(value).is_integer() else number(float(value))
