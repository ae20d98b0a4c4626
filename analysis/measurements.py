"""What was measured where: a metric of each trial at every epoch and value of its coordinates.

Per-image metrics become their (weighted) mean over images; metrics of a whole set, such as FID, are rows
without an image and are taken as they are. Trials that failed or were stopped early have no values.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames import AxisValue, StudyFrames, primary, primary_values
from analysis.labels import EPOCH, known_curves, places

WEIGHT = "_weight"
"""Ends the name of the column that holds each image's weight in a metric's mean."""

_IDENTITY = ["cell", "seed", "signature"]


def _columns() -> list[str]:
    return [*_IDENTITY, *places(), "value", "std_images", "num_images"]


def measured(frames: StudyFrames, metric: str) -> pd.DataFrame:
    """Columns cell, seed, signature, those of `places`, value, std_images, num_images.

    A row per finished trial and place where `metric` was measured; `std_images` is the population standard
    deviation over images, NaN for a metric of a set. Losses have an epoch alone. Where only the trial's summary
    is known, that is the one row.
    """
    finished = set(finished_trials(frames)["signature"])
    if metric in known_curves():  # losses have a value at every epoch
        table = _losses(frames, metric)
    elif metric in frames.evaluations and frames.evaluations[metric].notna().any():
        table = _evaluated(frames.evaluations, metric)
    else:
        table = _summaries(frames, metric)
    return table[table["signature"].isin(finished)].reindex(columns=_columns()).reset_index(drop=True)


def values_over(
    frames: StudyFrames, metric: str, over: Sequence[str], fixed: Mapping[str, AxisValue] | None = None
) -> pd.DataFrame:
    """`measured`, a row per trial and point of `over`; the values of `over` are in `at_<name>` columns.

    `over` and `fixed` name axes (or `cell`) and `places`. What neither names is at the baseline's
    axis value, the last epoch, and each trial's own coordinates.
    """
    fixed = dict(fixed or {})
    points = places()
    axes = [name for name in over if name not in points]
    held = {name: value for name, value in fixed.items() if name in frames.study.axes}
    at_places = {name: fixed.get(name) for name in points if name not in over}
    table = _at(frames, measured(frames, metric), at_places)
    if not [name for name in over if name in points] and not any(name in fixed for name in points):
        table = _with_recorded(frames, table, metric)
    pieces = []
    by_cell = dict(iter(table.groupby("cell", observed=True)))
    for values, cell in frames.cells_along(axes, held).items():
        at = {f"at_{name}": value for name, value in zip(axes, values, strict=True)}
        own = by_cell.get(cell, table.head(0))
        at |= {f"at_{name}": own[name] for name in over if name in points}
        pieces.append(own.assign(**at))
    columns = [*(f"at_{name}" for name in over), *_columns()]
    if not pieces:
        return pd.DataFrame(columns=columns)
    return pd.concat(pieces, ignore_index=True)[columns]


def image_rows(
    frames: StudyFrames, column: str, fixed: Mapping[str, AxisValue] | None = None
) -> pd.DataFrame:
    """Rows of single images that have `column`, of finished trials, at the places that `fixed` names.

    Where it names none: the last epoch, and each trial's own coordinates.
    """
    rows = frames.evaluations
    return _at_places(frames, rows[rows["image_id"].notna()], column, fixed)


def subgroup_rows(
    frames: StudyFrames, metric: str, label: str, fixed: Mapping[str, AxisValue] | None = None
) -> pd.DataFrame:
    """Rows of a metric of sets within the groups of a label, named in `group`; at places as in `image_rows`."""
    rows = frames.evaluations
    named = rows["subgroup"].astype("object").where(rows["subgroup"].notna(), "").astype(str)
    is_own = rows["image_id"].isna() & named.str.startswith(f"{label}=")
    own = rows[is_own].assign(group=named[is_own].str.removeprefix(f"{label}="))
    return _at_places(frames, own, metric, fixed)


def _at_places(
    frames: StudyFrames, rows: pd.DataFrame, column: str, fixed: Mapping[str, AxisValue] | None
) -> pd.DataFrame:
    """The rows that have `column`, of finished trials, at the places that `fixed` names or at each trial's own."""
    if column not in rows:
        return rows.head(0).assign(**{column: np.nan})
    trials = finished_trials(frames).set_index("signature")
    rows = rows[rows[column].notna() & rows["signature"].isin(trials.index)]
    chosen = pd.Series(True, index=rows.index)
    defaults = {EPOCH: rows.groupby("signature")[EPOCH].transform("max")}
    defaults |= {name: rows["signature"].map(trials[primary(name)]) for name in places() if name != EPOCH}
    for name, default in defaults.items():
        asked = (fixed or {}).get(name)
        chosen &= rows[name] == (default.fillna(rows[name]) if asked is None else asked)
    return rows[chosen]


def finished_trials(frames: StudyFrames) -> pd.DataFrame:
    """Trials that count: done, and not stopped early."""
    trials = frames.trials
    return trials[(trials["status"] == "done") & ~trials["is_stopped"]]


def has_metric(frames: StudyFrames, metric: str) -> bool:
    """Whether any finished trial has a value of a metric."""
    return bool(measured(frames, metric)["value"].notna().any())


def weighted_means(rows: pd.DataFrame, metric: str, by: Sequence[str]) -> pd.DataFrame:
    """Weighted mean, standard deviation and count of images of `metric` per group of `by`."""
    rows = rows[rows[metric].notna()]
    weights = rows[metric + WEIGHT] if metric + WEIGHT in rows else pd.Series(1.0, index=rows.index)
    weights = weights.fillna(1.0)
    summed = rows[list(by)].assign(weighted=rows[metric] * weights, weight=weights, plain=rows[metric])
    grouped = summed.groupby(list(by), sort=False, observed=True, dropna=False)
    sums = grouped[["weighted", "weight"]].sum()
    return pd.DataFrame(
        {
            "value": sums["weighted"] / sums["weight"].where(sums["weight"] != 0),
            "std_images": grouped["plain"].std(ddof=0),
            "num_images": grouped["plain"].count(),
        }
    ).reset_index()


def _evaluated(evaluations: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Means over images, and the rows of whole sets beside them."""
    of_images = evaluations[evaluations["image_id"].notna()]
    is_of_all = evaluations["image_id"].isna() & evaluations["subgroup"].isna()
    of_sets = evaluations[is_of_all & evaluations[metric].notna()]
    table = weighted_means(of_images, metric, [*_IDENTITY, *places()])
    if of_sets.empty:
        return table
    own = of_sets[[*_IDENTITY, *places()]].assign(
        value=of_sets[metric],
        std_images=np.nan,
        num_images=of_sets.get("num_images", np.nan),
    )
    return own if table.empty else pd.concat([table, own], ignore_index=True)


def _losses(frames: StudyFrames, metric: str) -> pd.DataFrame:
    means = frames.curves.groupby([*_IDENTITY, "epoch"], sort=False, observed=True)[metric].mean()
    table = means.rename("value").reset_index()
    return table.assign(std_images=np.nan, num_images=np.nan)


def _summaries(frames: StudyFrames, metric: str) -> pd.DataFrame:
    values = primary_values(frames.trials, metric)
    trials = frames.trials[values.notna()]
    return trials[_IDENTITY].assign(
        **{name: trials["epochs"] if name == EPOCH else trials[primary(name)] for name in places()},
        value=values,
        std_images=primary_values(trials, f"{metric}_std"),
        num_images=np.nan,
    )


def _at(frames: StudyFrames, table: pd.DataFrame, at_places: Mapping[str, Any]) -> pd.DataFrame:
    """The rows at given places; where one is None, at each trial's own primary one (the last epoch)."""
    trials = frames.trials.set_index("signature")
    for name, value in at_places.items():
        known = table[name].notna()
        if value is not None:
            table = table[(table[name] == value) | ~known]
        elif name == EPOCH:
            table = table[(table[EPOCH] == table.groupby("signature")[EPOCH].transform("max")) | ~known]
        else:
            own = table["signature"].map(trials[primary(name)])
            table = table[(table[name] == own) | ~known | own.isna()]
    return table


def _with_recorded(frames: StudyFrames, table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The trial's own summary where it recorded one: the number that the verdicts are about."""
    recorded = primary_values(frames.trials, metric).set_axis(frames.trials["signature"])
    own = table["signature"].map(recorded)
    return table.assign(value=own.where(own.notna(), table["value"]))
