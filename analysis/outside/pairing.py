"""Rows of results as paired samples: every value has its partner, and nothing is there twice or left out in silence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.labels import plural
from analysis.outside.question import Question, text_of
from analysis.outside.rows import Rows, listed
from analysis.stats import FloatArray, PairedSample, probability_of_improvement
from analysis.stats.crossed import Codes, Over, units
from trainables.errors import UserError
from trainables.wording import did_you_mean, expected, shown

_LARGEST = 1e90
"""Sums of the cubes of larger numbers are more than a double holds."""
_TRUTHS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Coded:
    """A column of names: each row's code, and what the codes stand for."""

    codes: Codes
    names: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Checked results, a row per variant, seed and item. Where there is no seed or item, all rows share one."""

    rows: Rows
    variants: Coded
    seeds: Coded
    items: Coded
    cluster_of_item: Codes
    """(items,) the cluster of each; itself where items have none."""
    num_clusters: int
    values: FloatArray
    """NaN where a run has no result."""

    def of(self, variant: str) -> tuple[NDArray[np.int64], Codes]:
        """The rows of a variant and their cells (seed and item in one number), in the order of the cells."""
        rows = np.flatnonzero(self.variants.codes == self.variants.names.index(variant))
        cells = self.seeds.codes[rows] * len(self.items.names) + self.items.codes[rows]
        order = np.argsort(cells, kind="stable")
        return rows[order], cells[order]


@dataclass(frozen=True)
class Comparison:
    """A variant and the baseline, paired."""

    sample: PairedSample
    over: Over
    num_pairs: int
    """Values that have a partner: one per seed and item."""
    num_seeds: int
    num_items: int
    num_clusters: int
    num_missing: int
    """Rows without a partner, left out."""


def table_of(rows: Rows, question: Question) -> Table:
    """The rows as a table. Raises UserError naming row and column of the first thing that is wrong."""
    for name, wanted in question.where:
        column = rows.column(name).map(text_of)
        chosen = (column == wanted).to_numpy(dtype=bool)
        if not chosen.any():
            known = list(column.dropna().unique())
            raise UserError(
                f"{rows.source}  column {name}: no row has {shown(wanted)}{did_you_mean(wanted, known)}"
            )
        rows = rows.kept(chosen)
    asked = [question.variant, question.seed, question.item, question.cluster]
    coded = [None if name is None else _names(rows, name) for name in asked]
    metric = rows.column(question.metric)
    if not len(rows):
        raise UserError(f"{rows.source}  holds no results, only names of columns")
    one = Coded(np.zeros(len(rows), dtype=np.int64), ("",))
    variants, seeds, items = (found or one for found in coded[:3])
    values = _numbers(rows, question, metric)
    _check_variants(rows, question, variants)
    _check_twice(rows, question, variants, seeds, items)
    clusters, num_clusters = _clusters(rows, question, items, coded[3])
    return Table(rows, variants, seeds, items, clusters, num_clusters, values)


def population(table: Table, question: Question) -> Over:
    """What verdicts speak for: what was asked, or both where seeds and items vary, or what does."""
    if question.over is not None:
        return question.over
    if question.item is None:
        return "seeds"
    return "both" if len(table.seeds.names) > 1 else "items"


def compare(table: Table, question: Question, variant: str) -> Comparison:
    """The paired sample of a variant. Raises UserError for a row without a partner, unless such are counted."""
    mine, its = table.of(variant), table.of(question.baseline)
    both, at_mine, at_its = np.intersect1d(mine[1], its[1], assume_unique=True, return_indices=True)
    missing = len(mine[1]) + len(its[1]) - 2 * len(both)
    if missing and (question.missing == "refuse" or not len(both)):
        raise _without_partner(table, question, variant, missing, len(both))
    sign = 1 if question.higher_is_better else -1
    left, right = table.values[mine[0][at_mine]], table.values[its[0][at_its]]
    bad, bad_reference = np.isnan(left), np.isnan(right)
    fine = ~bad & ~bad_reference
    cells, differences = both[fine], sign * (left[fine] - right[fine])
    over = population(table, question)
    seeds, items = np.divmod(cells, len(table.items.names))
    clusters = table.cluster_of_item[items]
    seed_codes, cluster_codes = (
        np.unique(own, return_inverse=True)[1].astype(np.int64) for own in (seeds, clusters)
    )
    replicates = units(differences, seed_codes, cluster_codes, over) if len(cells) else differences
    num_seeds, num_clusters = len(np.unique(seeds)), len(np.unique(clusters))
    sample = PairedSample(
        name=variant,
        differences=replicates,
        seeds=tuple(range(len(replicates))),
        failed_better=int((bad_reference & ~bad).sum()),
        failed_worse=int((bad & ~bad_reference).sum()),
        failed_both=int((bad & bad_reference).sum()),
        unit=_unit(over, num_seeds, num_clusters, question),
        share_better=probability_of_improvement(differences),
    )
    return Comparison(
        sample,
        over,
        len(cells),
        num_seeds,
        len(np.unique(items)),
        num_clusters,
        missing,
    )


def _unit(over: Over, num_seeds: int, num_clusters: int, question: Question) -> str:
    is_seed = over == "seeds" or (over == "both" and num_seeds <= num_clusters)
    return "seed" if is_seed else "item" if question.cluster is None else "cluster"


def _names(rows: Rows, name: str) -> Coded:
    """A column of names; several with commas between are taken together."""
    parts = [name] if name in rows.columns or "," not in name else name.split(",")
    found = [_coded(rows, part) for part in parts]
    if len(found) == 1:
        return found[0]
    codes, labels = found[0].codes, [[label] for label in found[0].names]
    for more in found[1:]:
        together, codes = np.unique(codes * len(more.names) + more.codes, return_inverse=True)
        pairs = (divmod(int(code), len(more.names)) for code in together)
        labels = [[*labels[left], more.names[right]] for left, right in pairs]
    return Coded(codes.astype(np.int64), tuple(", ".join(label) for label in labels))


def _coded(rows: Rows, name: str) -> Coded:
    column = rows.column(name).to_numpy(dtype=object)
    try:
        codes, originals = pd.factorize(column, use_na_sentinel=True)
    except TypeError:
        row = next(row for row, value in enumerate(column) if isinstance(value, list | dict | np.ndarray))
        raise rows.wrong(row, name, expected("a name or a number", column[row])) from None
    texts = [text_of(value) for value in originals]
    if any(text is None for text in texts) or (codes < 0).any():
        empty = {index for index, text in enumerate(texts) if text is None} | {-1}
        row = int(np.flatnonzero(np.isin(codes, list(empty)))[0])
        raise rows.wrong(row, name, "empty; expected a name or a number")
    names = tuple(dict.fromkeys(text for text in texts if text is not None))
    index = {text: code for code, text in enumerate(names)}
    renamed = np.array([index[text] for text in texts if text is not None], dtype=np.int64)
    return Coded(renamed[codes] if len(codes) else codes.astype(np.int64), names)


def _numbers(rows: Rows, question: Question, metric: pd.Series) -> FloatArray:
    """The metric as numbers; NaN only where results without a value are counted, as failed runs."""
    texts = {str(value).strip().lower() for value in metric.head(1000)}
    is_truth = texts <= _TRUTHS.keys()
    converted = pd.to_numeric(metric, errors="coerce") if not is_truth else None
    if converted is None or converted.dtype == object:
        values = np.array([_number(value, is_truth) for value in metric], dtype=np.float64)
    else:
        values = converted.to_numpy(dtype=np.float64)
    may_fail = question.missing == "count" and question.item is None
    for row in np.flatnonzero(~(np.abs(values) <= _LARGEST)):
        written = metric.iloc[row]
        is_none = text_of(written) is None or str(written).strip().lower() in ("nan", "none", "null")
        if is_none and may_fail:
            continue
        raise rows.wrong(int(row), question.metric, _not_a_number(written, is_none, question))
    return values


def _number(value: Any, is_truth: bool) -> float:
    if isinstance(value, bool) or is_truth:
        return _TRUTHS.get(str(value).strip().lower(), math.nan)
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _not_a_number(written: object, is_none: bool, question: Question) -> str:
    if is_none and question.item is None:
        return "no number; --missing count counts it as a failed run, as a study does"
    if is_none:
        return "no number; give the item the value that a failure deserves, or leave it out everywhere"
    comma = str(written).strip().replace(",", ".", 1)
    try:
        hint = f"; write {comma} with a point" if math.isfinite(float(comma)) and "," in str(written) else ""
    except ValueError:
        hint = ""
    return expected("a finite number", written) + hint


def _check_variants(rows: Rows, question: Question, variants: Coded) -> None:
    column = question.variant
    if question.baseline not in variants.names:
        near = did_you_mean(question.baseline, variants.names)
        raise UserError(
            f"{rows.source}  column {column}: no row has the baseline {shown(question.baseline)}{near}; there are "
            f"{listed(variants.names)}"
        )
    if len(variants.names) == 1:
        only = shown(question.baseline)
        raise UserError(
            f"{rows.source}  column {column}: every row is of {only}; expected another variant as well"
        )
    counts = np.bincount(variants.codes)
    if (counts == 1).any():
        code = int(np.flatnonzero(counts == 1)[0])
        row = int(np.flatnonzero(variants.codes == code)[0])
        message = (
            f"the only row of {shown(variants.names[code])}; one value has no spread: add seeds or items, "
            "or leave the variant out"
        )
        raise rows.wrong(row, column, message)


def _check_twice(rows: Rows, question: Question, variants: Coded, seeds: Coded, items: Coded) -> None:
    keys = (variants.codes * len(seeds.names) + seeds.codes) * len(items.names) + items.codes
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(np.diff(keys[order]) == 0)
    if not len(again):
        return
    at = again[np.argmin(order[again + 1])]
    first, second = int(order[at]), int(order[at + 1])
    what = _cell(question, variants, seeds, items, first)
    others = [name for name in rows.names if name not in question.columns]
    hint = f"; where rows differ in another column, name it with --item: {', '.join(others[:8])}"
    is_open = question.item is None and others
    message = f"a second row for {what}; the first is {rows.at(first)}{hint if is_open else ''}"
    raise rows.wrong(second, question.metric, message)


def _cell(question: Question, variants: Coded, seeds: Coded, items: Coded, row: int) -> str:
    """What a row is of: `variant b, seed 3, item 17`."""
    named = ((question.variant, variants), (question.seed, seeds), (question.item, items))
    return ", ".join(f"{name} {own.names[own.codes[row]]}" for name, own in named if name is not None)


def _clusters(rows: Rows, question: Question, items: Coded, clusters: Coded | None) -> tuple[Codes, int]:
    """The cluster of each item, and how many there are."""
    count = len(items.names)
    if clusters is None:
        return np.arange(count, dtype=np.int64), count
    found = np.zeros(count, dtype=np.int64)
    found[items.codes[::-1]] = clusters.codes[::-1]
    other = np.flatnonzero(found[items.codes] != clusters.codes)
    if len(other):
        row = int(other[0])
        item = int(items.codes[row])
        first = int(np.flatnonzero(items.codes == item)[0])
        message = (
            f"item {items.names[item]} is in {shown(clusters.names[clusters.codes[row]])}, and {rows.at(first)} in "
            f"{shown(clusters.names[found[item]])}; an item is in one cluster"
        )
        raise rows.wrong(row, str(question.cluster), message)
    return found, len(clusters.names)


def _without_partner(table: Table, question: Question, variant: str, missing: int, paired: int) -> UserError:
    """The first row that has no partner, and how many there are."""
    (mine, cells), (its, others) = table.of(variant), table.of(question.baseline)
    alone = [
        (int(row), lacking)
        for rows, own, theirs, lacking in (
            (mine, cells, others, question.baseline),
            (its, others, cells, variant),
        )
        for row in rows[~np.isin(own, theirs)]
    ]
    row, lacking = min(alone)
    named = ((question.seed, table.seeds), (question.item, table.items))
    where = ", ".join(f"{name} {own.names[own.codes[row]]}" for name, own in named if name is not None)
    column = question.item or question.seed or question.variant
    message = f"{shown(lacking)} has no row for {where}, so this value has no partner"
    if paired:
        message += (
            f" ({plural(missing, 'such row')} in all); add it, or count what is missing with --missing count"
        )
    else:
        message += (
            f"; {shown(variant)} and {shown(question.baseline)} share none, and are compared pair by pair"
        )
    return table.rows.wrong(row, column, message)


def relative_margin(table: Table, question: Question) -> float:
    """The margin in the metric's unit. Raises UserError for a share of a baseline that is zero."""
    if not question.margin_is_relative:
        return question.margin
    mean = baseline_mean(table, question)
    if not mean > 0:
        raise UserError(
            f"--margin: a share of the baseline means something only where its mean is above 0; found {mean:g}"
        )
    return question.margin / 100 * mean


def baseline_mean(table: Table, question: Question) -> float:
    """Mean of the metric over the baseline's rows that have a value."""
    rows, _ = table.of(question.baseline)
    values = table.values[rows]
    return float(np.mean(values[~np.isnan(values)])) if (~np.isnan(values)).any() else float("nan")


def names_of(variants: Sequence[str], baseline: str) -> list[str]:
    """The variants to compare, in the order of the rows."""
    return [name for name in variants if name != baseline]
