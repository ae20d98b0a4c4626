"""What a report says of a search in place of contrasts: a search picks, and only a test on fresh seeds compares."""

import pandas as pd

from analysis.figures._text import TextTable
from analysis.frames import StudyFrames, primary_values
from analysis.labels import axis_label, metric_info, number, plural, value_label
from analysis.report_tables import amount


def picked_sentence(frames: StudyFrames) -> str:
    """How the trials came about, and what the best one is not."""
    sampler = frames.study.design_settings["sampler"]
    seeds = plural(len(frames.seeds), "seed")
    return (
        f"A search: {plural(len(frames.cells), 'proposal')}, the untuned default among them, tried with {seeds} each "
        f"(Optuna, sampler {sampler}). The best was selected on this metric, so its score "
        "is optimistic; only its test on fresh seeds compares it with the default."
    )


def trials_table(frames: StudyFrames) -> TextTable:
    """A row per point of the search that has finished, the best first, each with the settings that acted in it."""
    metrics = [metric_info(name) for name in _metrics(frames)]
    axes = list(frames.study.axes)
    default = None if frames.study.default is None else frames.study.default.cell
    rows = _points(frames).sort_values(
        metrics[0].name, ascending=not metrics[0].higher_is_better, kind="stable"
    )
    titles = ["place", *map(axis_label, axes), *(f"{info.label} {info.arrow}" for info in metrics)]
    titles += ["parameters", "wall seconds"]
    texts = [
        [
            "untuned default" if cell == default else str(place),
            *("–" if pd.isna(row[f"axis_{axis}"]) else value_label(row[f"axis_{axis}"]) for axis in axes),
            *(number(float(row[info.name])) for info in metrics),
            amount(row["num_parameters"]),
            amount(row["wall_seconds"]),
        ]
        for place, (cell, row) in enumerate(rows.iterrows(), start=1)
    ]
    return TextTable(titles, texts)


def _points(frames: StudyFrames) -> pd.DataFrame:
    """Cell -> its settings, and the means over its finished trials."""
    metrics = _metrics(frames)
    trials = frames.trials.assign(**{name: primary_values(frames.trials, name) for name in metrics})
    done = trials[(trials["status"] == "done") & trials[metrics[0]].notna()]
    cells = done.astype({"cell": "str"}).groupby("cell", sort=False)
    settings = cells[[f"axis_{axis}" for axis in frames.study.axes]].first()
    return settings.join(cells[[*metrics, "num_parameters", "wall_seconds"]].mean())


def _metrics(frames: StudyFrames) -> list[str]:
    """The metrics that the search was for, the primary one first; costs have columns of their own."""
    names = dict.fromkeys([frames.primary_metric, *frames.study.design_settings.get("objectives", ())])
    return [name for name in names if name == frames.primary_metric or f"metric_{name}" in frames.trials]
