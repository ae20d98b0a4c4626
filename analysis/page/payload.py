"""What a study's page shows, computed from its frames and judgement by the functions that write the other files."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from analysis import accounting, methods, style
from analysis.contrasts import Judgement, seeds_sentence
from analysis.error_rate import alpha_sentence
from analysis.figures._text import Bold, TextTable
from analysis.figures.effects import Config as EffectsConfig
from analysis.figures.effects import caption, contrast_rows, improvement_label
from analysis.forming import is_forming, planned_pairs, sentence, word
from analysis.frames import StudyFrames
from analysis.labels import metric_info, with_interval
from analysis.page import shape
from analysis.page.curves import curves_of
from analysis.page.samples import Address, samples_of
from analysis.page.trials import failures_of, trials_of
from analysis.placebo import placebo_lines
from analysis.report_tables import EFFECT_TITLES, amount, claim_row, effect_rows
from analysis.search_summary import picked_sentence, trials_table
from analysis.stats import Contrast
from trainables.names import visible


def study_page(
    frames: StudyFrames,
    judgement: Judgement,
    figures: Sequence[shape.Figure] = (),
    address: Address | None = None,
) -> shape.StudyPage:
    """Everything that the page of a study shows, JSON-able and without a NaN.

    `figures` are those that were drawn for this page. `address` gives the address of a sample's file; when left out,
    the samples are part of the page, as many as it has room for.
    """
    trials = trials_of(frames)
    page: shape.StudyPage = {
        "version": shape.VERSION,
        "header": _header(frames),
        "metric": _metric(frames),
        "reference": frames.reference_label,
        "cells": _cells(frames),
        "effects": _effects(frames, judgement),
        "search": _search(frames),
        "claims": [_claim(claim_row(claim)) for claim in judgement.claims],
        "failures": failures_of(trials),
        "curves": curves_of(frames),
        "samples": samples_of(frames, address),
        "trials": trials,
        "figures": list(figures),
        "fairness": _fairness(frames),
        "tuning": accounting.tuning_effort(frames),
        "costs": table_of(TextTable(accounting.COST_TITLES, accounting.answer_costs(frames, judgement), 2)),
        "warnings": accounting.warnings(frames),
        "methods": methods.methods_paragraph(frames, judgement),
        "provenance": [list(pair) for pair in accounting.provenance(frames)],
    }
    return cast(shape.StudyPage, shown(page))


def shown(value: Any) -> Any:
    """The value without control characters and marks of direction in its texts, and with None for NaN."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {shown(name): shown(own) for name, own in value.items()}
    return [shown(own) for own in value] if isinstance(value, list | tuple) else value


def _header(frames: StudyFrames) -> shape.Header:
    return {
        "study": frames.study.name,
        "question": frames.study.question,
        "published": [[name, value] for name, value in frames.published.items()],
        "terms": _terms(frames),
        "progress": accounting.progress_sentence(frames),
        "counts": dict(Counter(map(str, frames.trials["status"]))),
        "num_trials": len(frames.trials),
        "cost": accounting.cost_sentence(frames),
        "plan_changes": accounting.plan_changes(frames),
        "last_finished": accounting.last_finished(frames),
    }


def _terms(frames: StudyFrames) -> str:
    info = metric_info(frames.primary_metric)
    metric = f"{info.label} ({'higher' if info.higher_is_better else 'lower'} is better)"
    if frames.study.is_search:
        return f"{metric}."
    return (
        f"{metric}, each cell against {frames.reference_label}, paired by seed. A difference matters from "
        f"{frames.margin:g} on: a verdict says whether it surely reaches that. Positive is an improvement."
    )


def _metric(frames: StudyFrames) -> shape.Metric:
    info = metric_info(frames.primary_metric)
    return {
        "name": info.name,
        "label": info.label,
        "unit": info.unit,
        "higher_is_better": info.higher_is_better,
        "description": info.description,
        "margin": frames.margin,
        "alpha": frames.alpha,
    }


def _cells(frames: StudyFrames) -> list[shape.Cell]:
    points = {cell.cell: cell.axis_values for cell in frames.study.cells}
    light, dark = (style.cell_styles(points, frames.study.axes, is_dark=is_dark) for is_dark in (False, True))
    return [
        {
            "name": cell.cell,
            "label": frames.cell_label(cell.cell),
            "is_baseline": cell.is_baseline,
            "num_trials": len(cell.trials),
            "look": {
                "light": light[cell.cell]["color"],
                "dark": dark[cell.cell]["color"],
                "dash": style.dashes(light[cell.cell]["linestyle"]),
            },
        }
        for cell in frames.study.cells
    ]


def _effects(frames: StudyFrames, judgement: Judgement) -> shape.Effects:
    places = {cell: index for index, cell in enumerate(frames.cells)}
    info = metric_info(frames.primary_metric)
    config = EffectsConfig(kind="effects")
    return {
        "effects": [
            _effect(frames, judgement, contrast, places[contrast.name]) for contrast in judgement.contrasts
        ],
        "margin": frames.margin,
        "error_rate": " ".join([*placebo_lines(frames), alpha_sentence(frames, judgement)]),
        "axis": improvement_label(info, frames.reference_label, info.label),
        "caption": caption(contrast_rows(frames, judgement), config),
        "table": table_of(TextTable(EFFECT_TITLES, effect_rows(frames, judgement), 2)),
    }


def _effect(frames: StudyFrames, judgement: Judgement, contrast: Contrast, cell: int) -> shape.Effect:
    interval = contrast.interval
    return {
        "cell": cell,
        "verdict": "undecided" if is_forming(frames, judgement, contrast) else contrast.verdict,
        "word": word(frames, judgement, contrast),
        "sentence": sentence(frames, judgement, contrast),
        "numbers": with_interval(contrast.mean, interval.low, interval.high) if contrast.n else "no pair",
        "mean": contrast.mean,
        "low": interval.low,
        "high": interval.high,
        "level": interval.level,
        "n": contrast.n,
        "num_planned": planned_pairs(frames, contrast),
        "seeds": list(contrast.sample.seeds),
        "differences": [float(difference) for difference in contrast.sample.differences],
        "seeds_to_decide": seeds_sentence(contrast),
    }


def _search(frames: StudyFrames) -> shape.Search | None:
    if not frames.study.is_search:
        return None
    return {"sentence": picked_sentence(frames), "table": table_of(trials_table(frames))}


def _claim(row: dict[str, str]) -> shape.Claim:
    return {
        "verdict": row["verdict"],
        "text": row["text"],
        "source": row["source"],
        "note": row["note"],
        "numbers": row["numbers"],
    }


def _fairness(frames: StudyFrames) -> shape.Table:
    table = accounting.fairness(frames).drop(columns="cell")
    rows = [[label, *map(amount, values)] for label, *values in table.itertuples(index=False)]
    return table_of(TextTable(["cell", *table.columns[1:]], rows))


def table_of(table: TextTable) -> shape.Table:
    """A table of texts as the page takes it."""
    bold = [
        [row, column]
        for row, entries in enumerate(table.rows)
        for column, entry in enumerate(entries)
        if isinstance(entry, Bold)
    ]
    return {
        "titles": list(table.titles),
        "rows": [list(map(str, row)) for row in table.rows],
        "bold": bold,
        "num_text_columns": table.num_text_columns,
    }
