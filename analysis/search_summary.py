"""What a report says of a search in place of contrasts: a search picks, and only a test on fresh seeds compares."""

import pandas as pd

from analysis.figures._text import TextTable
from analysis.frames import StudyFrames, primary_values
from analysis.labels import axis_label, metric_info, number, plural, value_label
from analysis.report_tables import amount


def picked_sentence(frames: StudyFrames) -> str:
    """How the trials came about, and what the best one is not."""
    sampler = frames.study.design_settings.get("sampler", "random")
    seeds = plural(len(frames.seeds), "seed")
    return (
        f"A search: {plural(len(frames.cells), 'proposal')}, the untuned default among them, tried with {seeds} each "
        f"(Optuna, sampler {sampler}). The best is picked by its own number, which flatters it; only its test on fresh "
        "seeds compares it with the default."
    )


def trials_table(frames: StudyFrames) -> TextTable:
    """A row per point of the search that has finished, the best first, each with the settings that acted in it."""
    info = metric_info(frames.primary_metric)
    axes = list(frames.study.axes)
    rows = _points(frames).sort_values("mean", ascending=not info.higher_is_better, kind="stable")
    titles = ["", *map(axis_label, axes), f"{info.label} {info.arrow}", "parameters", "wall seconds"]
    texts = [
        [
            "untuned default" if cell == "baseline" else str(place),
            *("–" if pd.isna(row[f"axis_{axis}"]) else value_label(row[f"axis_{axis}"]) for axis in axes),
            number(float(row["mean"])),
            amount(row["num_parameters"]),
            amount(row["wall_seconds"]),
        ]
        for place, (cell, row) in enumerate(rows.iterrows(), start=1)
    ]
    return TextTable(titles, texts)


def _points(frames: StudyFrames) -> pd.DataFrame:
    """Cell -> its settings, and the means over its finished trials."""
    values = primary_values(frames.trials, frames.primary_metric)
    done = frames.trials.assign(mean=values)[(frames.trials["status"] == "done") & values.notna()]
    cells = done.astype({"cell": "str"}).groupby("cell", sort=False)
    settings = cells[[f"axis_{axis}" for axis in frames.study.axes]].first()
    return settings.join(cells[["mean", "num_parameters", "wall_seconds"]].mean())
