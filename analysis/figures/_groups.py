"""Groups of images, and what a group's mean is a sample of."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames import StudyFrames
from analysis.measurements import WEIGHT
from analysis.stats import FloatArray, t_quantile


def groups_of(frames: StudyFrames, label: str | None, file: str | None) -> dict[str, str]:
    """Image id -> group: by a label of the images, or by the column of that name (`group`) of a CSV.

    Raises FileNotFoundError or ValueError for a file that cannot be used.
    """
    if file is None:
        labelled = frames.evaluations[["image_id", "labels"]].dropna().drop_duplicates("image_id")
        read = {image: json.loads(labels) for image, labels in labelled.itertuples(index=False)}
        return {image: str(labels[label]) for image, labels in read.items() if label in labels}
    places = (frames.folder / file, Path.cwd() / file)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"figure subgroups: no file {file} in {frames.folder} or {Path.cwd()}")
    with path.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    column = label or "group"
    if not rows or not {"image_id", column} <= rows[0].keys():
        raise ValueError(f"{path}: expected columns {' and '.join(sorted({'image_id', column}))}")
    return {row["image_id"]: row[column] for row in rows}


def image_summary(members: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Weighted mean over images of their means over seeds, with the t interval of a ratio estimate."""
    columns = [metric, *([metric + WEIGHT] if metric + WEIGHT in members else [])]
    images = members.groupby("image_id")[columns].mean()
    values = images[metric].to_numpy(dtype=float)
    weights = images[columns[-1]].to_numpy(dtype=float) if len(columns) > 1 else np.ones(len(values))
    mean, half = weighted_mean_interval(values, weights)
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": len(values),
            "num_seeds": members["seed"].nunique(), "features": None}  # fmt: skip


def set_summary(members: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Mean over seeds of what was measured within a group, with its t interval."""
    values = members.groupby("seed")[metric].mean().to_numpy(dtype=float)
    mean, half = weighted_mean_interval(values, np.ones(len(values)))
    features = ", ".join(sorted(set(members["feature_extractor"].dropna())))
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": int(members["num_images"].max()),
            "num_seeds": len(values), "features": features}  # fmt: skip


def weighted_mean_interval(
    values: FloatArray, weights: FloatArray, level: float = 0.95
) -> tuple[float, float]:
    """Weighted mean (n,) and the half width of its t interval, the mean being a ratio of two means.

    With equal weights the ordinary t interval. NaN half width below two values.
    """
    if not len(values) or weights.sum() == 0:
        return np.nan, np.nan
    mean = float(np.average(values, weights=weights))
    n = len(values)
    if n < 2:
        return mean, np.nan
    residuals = weights * (values - mean) / weights.mean()
    error = float(np.sqrt(np.sum(residuals**2) / (n - 1) / n))
    return mean, t_quantile(level, n) * error
