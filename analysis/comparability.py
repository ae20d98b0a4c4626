"""Whether two cells were measured on the same thing: the same images, with the same evaluation.

The published comparisons set models side by side that were measured on different images, and with other
settings of the measurement. Here a contrast is taken over the images that both cells share, and not at all where that
cannot be done, where the metric is measured against something else in each, or where a setting that moves every
result differs along with something else. Which settings those are, the study says.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames import StudyFrames, primary, remembered
from analysis.labels import metric_info, places, plural, value_label
from analysis.measurements import finished_trials, measured, weighted_means

SeedImage = tuple[int, str]
"""A seed, and the id of an image that its trials were measured on."""


def incomparable(frames: StudyFrames, metric: str, cell: str, reference: str) -> str:
    """Why a contrast of two cells would mean nothing; empty where it means something.

    A difference in a confounding setting is fine where it is the only one: then it is what is being asked.
    """
    left, right = (_configs(frames).get(name, {}) for name in (cell, reference))
    if not left or not right:
        return ""
    info = metric_info(metric)
    if moved := _apart(left, right, info.reference):
        name, values = moved
        return f"{info.label} is measured against another reference, since {name} differs ({values})"
    apart = _apart(left, right, frames.study.confounding)
    blocks = {path.partition(".")[0] for path in frames.study.confounding}
    others = [
        name
        for name in left.keys() | right.keys()
        if name not in blocks and left.get(name) != right.get(name)
    ]
    if apart is None or not others:
        return ""
    name, values = apart
    return f"{name} differs as well ({values})"


def _apart(left: Mapping[str, Any], right: Mapping[str, Any], paths: Sequence[str]) -> tuple[str, str] | None:
    """The first of these settings that differs, and both its values; None where none does."""
    for path in paths:
        mine, its = (_at(config, path) for config in (left, right))
        if mine != its:
            return path.rpartition(".")[2], f"{value_label(mine)} against {value_label(its)}"
    return None


def _at(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    found: Any = config
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


@remembered
def image_sets(frames: StudyFrames) -> dict[str, dict[int, frozenset[str]]]:
    """cell -> seed -> ids of the images that its finished trial was measured on; seeds may have images of their own."""
    rows = frames.evaluations[frames.evaluations["image_id"].notna()]
    rows = rows[rows["signature"].isin(set(finished_trials(frames)["signature"]))]
    found: dict[str, dict[int, frozenset[str]]] = {}
    for cell, own in rows.groupby("cell", observed=True):
        by_seed = own.groupby("seed")["image_id"].agg(frozenset)
        found[str(cell)] = dict(zip(by_seed.index.tolist(), by_seed, strict=True))
    return found


def shared_images(frames: StudyFrames, cell: str, reference: str) -> frozenset[SeedImage] | None:
    """The images that both cells were measured on with a seed; None where they are all the images of both."""
    mine, its = (image_sets(frames).get(name, {}) for name in (cell, reference))
    seeds = mine.keys() & its.keys()
    if all(mine[seed] == its[seed] for seed in seeds):
        return None
    return frozenset((seed, image) for seed in seeds for image in mine[seed] & its[seed])


def other_features(frames: StudyFrames, metric: str, cell: str, reference: str) -> str:
    """Why a metric of sets cannot be compared: its features are those of another network. Empty where it can."""
    rows = frames.evaluations
    if metric not in rows or "feature_extractor" not in rows:
        return ""
    rows = rows[rows["image_id"].isna() & rows[metric].notna()]
    mine, its = (
        set(rows.loc[rows["cell"] == name, "feature_extractor"].dropna()) for name in (cell, reference)
    )
    if not mine or not its or mine == its:
        return ""
    return f"its features come from {', '.join(sorted(mine))}, not from {', '.join(sorted(its))}"


def comparable_values(
    frames: StudyFrames, metric: str, at: Mapping[str, float], images: frozenset[SeedImage] | None
) -> pd.Series | None:
    """The metric of each trial (by signature) at given coordinates and over given images; None where it has none there.

    With neither, what the trial recorded as its summary is what counts, and the caller has it already.
    """
    if images is None:
        table = measured(frames, metric)
    else:
        rows = frames.evaluations
        if metric not in rows or not images:
            return None
        rows = rows[[pair in images for pair in zip(rows["seed"], rows["image_id"], strict=True)]]
        if rows[metric].isna().all():
            return None
        table = weighted_means(rows, metric, ["signature", *places()])
    trials = frames.trials.set_index("signature")
    for name in places()[1:]:
        own = table["signature"].map(trials[primary(name)])
        wanted = pd.Series(at[name], index=table.index) if name in at else own
        table = table[table[name].isna() | wanted.isna() | (table[name] == wanted)]
    last = table["epoch"] == table.groupby("signature")["epoch"].transform("max")
    return table[last].drop_duplicates("signature").set_index("signature")["value"].astype(np.float64)


def image_set_warnings(frames: StudyFrames) -> list[str]:
    """Which cells were measured on other images than the baseline."""
    if frames.baseline is None:
        return []
    lines = []
    for cell in frames.cells:
        images = shared_images(frames, cell, frames.baseline)
        if images is not None:
            label = frames.cell_label(cell)
            those = plural(len({image for _, image in images}), "image")
            lines.append(
                f"{label} was measured on other images than the baseline: compared on the {those} of both."
            )
    return lines


@remembered
def _configs(frames: StudyFrames) -> dict[str, dict[str, Any]]:
    """cell -> the settings of its first finished trial."""
    trials = frames.trials.loc[frames.trials["status"] == "done", ["cell", "config"]].dropna()
    texts = trials.drop_duplicates("cell")
    return {str(cell): json.loads(text) for cell, text in texts.itertuples(index=False)}
