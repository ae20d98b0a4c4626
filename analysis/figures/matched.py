"""Metrics where another one or the sweep is equal: what a comparison of distances has to be to mean anything."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from analysis.figures._base import (
    Axes,
    AxisValue,
    FigureConfig,
    FigureKind,
    Names,
    Problems,
    unknown_axis,
    unknown_fixed,
    unknown_metric,
    unknown_metrics,
)
from analysis.figures._panels import legend_above, legend_height, panel_grid, seed_interval
from analysis.figures._sweeps import draw_sweeps
from analysis.figures._text import TextTable
from analysis.figures.line import line_order
from analysis.frames import StudyFrames
from analysis.labels import (
    axis_label,
    decimals_for,
    known_curves,
    known_metrics,
    metric_info,
    number,
    places,
    swept,
    value_label,
    with_interval,
)
from analysis.matching import match, reach
from analysis.measurements import has_metric, values_over

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = [
    *["part", "metric", "value", "label", "order", "is_baseline", "seed", "place", "x", "target"],
    *["mean", "low", "high", "n", "not_reached", "interpolation_error"],
    *["difference", "difference_low", "difference_high", "num_pairs"],
]


class Config(FigureConfig):
    """One panel per metric; lines go along the sweep, bars stand at the matched place."""

    kind: Literal["matched"]
    metrics: Annotated[Names | None, Field(min_length=1)] = None
    """All distances that were measured (metrics where lower is better) when left out."""
    at: str | None = None
    """What is made equal: a metric that grows along the sweep, or the coordinate that is swept; the metric that the
    family names for it when left out."""
    target: float | None = None
    """Its value; the largest that every trial reaches when left out."""
    by: str = "cell"
    """`cell` or an axis."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Values of other axes, `epoch` or another coordinate."""

    def problems(self, axes: Axes) -> Problems:
        """Axes and metrics that do not exist."""
        problems = unknown_axis(("by",), self.by, [*axes, "cell"])
        along = swept()
        if along is None:
            return [*problems, (("kind",), "this family has no coordinate to sweep over")]
        problems += unknown_metric(("at",), self.at, [along.name])
        problems += unknown_fixed(self.fixed, axes, [name for name in places() if name != along.name])
        return problems + unknown_metrics("metrics", self.metrics)

    @property
    def at_label(self) -> str:
        """What is made equal, as a reader sees it."""
        return metric_info(self.equal).label if self.equal in known_metrics() else axis_label(self.equal)

    @property
    def equal(self) -> str:
        """Name of what is made equal."""
        along = swept()
        return self.at or ("" if along is None else along.said.size or along.name)

    @property
    def along(self) -> str:
        """Name of the coordinate that is swept."""
        along = swept()
        return "" if along is None else along.name

    def default_name(self) -> str:
        """`matched_s_dir`."""
        return f"matched_{self.equal}"

    def heading(self) -> str:
        """`Distances at equal S_dir`."""
        what = (
            "Distances"
            if self.metrics is None
            else ", ".join(metric_info(name).label for name in self.metrics)
        )
        return f"{what} at equal {self.at_label}"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """Rows with `part` sweep (a mean over seeds per place) and matched (per seed, and their mean with `seed` NaN).

    A matched mean has its 95 % t interval over the seeds that reach the target, their count n, how many do not,
    the mean interpolation error, and the difference to the baseline, paired by seed.
    """
    rows: list[dict[str, Any]] = []
    start = 0.0 if (along := swept()) is None else along.start
    sizes = (
        None
        if config.equal == config.along
        else values_over(frames, config.equal, [config.by, config.along], config.fixed)
    )
    for metric in config.metrics or _distances(frames, config.equal):
        sweep = _sweep(frames, config, metric, sizes)
        if sweep.empty:
            continue
        target = _target(sweep, start) if config.target is None else config.target
        lines = line_order(frames, config.by, sweep)
        matches = {
            value: _matched_seeds(sweep[sweep[f"at_{config.by}"] == value], target, start) for value in lines
        }
        baseline = _baseline_value(frames, config)
        for order, (value, label) in enumerate(lines.items()):
            shared = {"metric": metric, "value": value, "label": label, "order": order, "target": target}
            shared |= {"is_baseline": value == baseline}
            rows += [shared | row for row in _sweep_rows(sweep[sweep[f"at_{config.by}"] == value])]
            rows += [shared | row for row in _matched_rows(matches[value], matches.get(baseline))]
    return pd.DataFrame(rows, columns=_COLUMNS)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """Sweeps as lines, matched means with their intervals beside them, one panel per metric."""
    from analysis import style

    with style.styled():
        means = table[(table["part"] == "matched") & table["seed"].isna()]
        if means.empty:
            return style.nothing_to_draw("No sweep yet.")
        metrics = list(dict.fromkeys(table["metric"]))
        lines = means.drop_duplicates("order").sort_values("order")
        values = list(lines["value"])
        looks = {
            order: style.line_styles(values)[value] | style.markers(values)[value]
            for order, value in zip(lines["order"], values, strict=True)
        }
        width = style.TEXT_WIDTH if len(metrics) > 1 else 3.6
        figure, panels = panel_grid(len(metrics), legend=legend_height(list(lines["label"]), width))
        for panel, metric in zip(panels, metrics, strict=True):
            draw_sweeps(panel, table[table["metric"] == metric], config.equal, looks)
            panel.set_ylabel(metric_info(metric).plot_label, **style.MATH)
        legend_above(figure, panels)
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """What is equal, how it was found, and who never got there."""
    means = table[(table["part"] == "matched") & table["seed"].isna()]
    start = f"Metrics at equal {config.at_label}, interpolated along the {axis_label(config.along)} sweep of each seed."
    if means.empty:
        return f"{start} No sweep yet."
    targets = ", ".join(value_label(round(target, 4)) for target in means["target"].dropna().unique())
    chosen = "given" if config.target is not None else "the largest that every trial reaches"
    text = f"{start} The dashed line is {config.at_label} {targets or 'without a common value'} ({chosen})."
    text += " Marks at it (set apart to be seen) are means over seeds, bars 95 % t intervals; open marks: one seed."
    error = means["interpolation_error"].max()
    if np.isfinite(error):
        text += f" Interpolation between its values adds at most {number(float(error))}."
    elif config.equal != config.along:
        text += " Two values per sweep cannot show the error of interpolating between them."
    lost = int(means.drop_duplicates("order")["not_reached"].sum())
    return text + (f" Trials that never reach it, left out: {lost}." if lost else "")


def text(table: pd.DataFrame, config: Config) -> TextTable:
    """Per line and metric: the matched mean with its half width, and the difference to the baseline."""
    means = table[(table["part"] == "matched") & table["seed"].isna()]
    titles = [
        axis_label(config.by),
        "metric",
        f"at {config.at_label}",
        "mean",
        "against baseline",
        "interpolation",
        "n",
        "not reached",
    ]
    rows = []
    for _, row in means.iterrows():
        info = metric_info(row["metric"])
        half = (row["high"] - row["low"]) / 2
        decimals = decimals_for(half)
        shown = number(row["mean"], decimals=decimals) + (
            "" if decimals is None else f" ± {number(half, decimals=decimals)}"
        )
        against = "baseline" if row["is_baseline"] else "–"
        if not row["is_baseline"] and row["num_pairs"]:
            against = with_interval(row["difference"], row["difference_low"], row["difference_high"])
        error = "–" if np.isnan(row["interpolation_error"]) else number(row["interpolation_error"])
        target = "–" if np.isnan(row["target"]) else value_label(round(row["target"], 4))
        label = f"{info.label} {info.arrow}"
        rows.append(
            [
                row["label"],
                label,
                target,
                shown,
                against,
                error,
                str(int(row["n"])),
                str(int(row["not_reached"])),
            ]
        )
    return TextTable(titles, rows, 2)


def _distances(frames: StudyFrames, at: str) -> list[str]:
    """Metrics that doing nothing wins, where they were measured."""
    known = [name for name in known_metrics() if name not in known_curves() and name != at]
    return [name for name in known if not metric_info(name).higher_is_better and has_metric(frames, name)]


def _sweep(frames: StudyFrames, config: Config, metric: str, sizes: pd.DataFrame | None) -> pd.DataFrame:
    """y (the metric) and x (what is made equal) per trial and place of the sweep."""
    at = f"at_{config.by}"
    along = config.along
    sweep = values_over(frames, metric, [config.by, along], config.fixed).rename(columns={"value": "y"})
    sweep = sweep[sweep["y"].notna() & sweep[along].notna()]
    sweep = sweep.assign(place=sweep[along].astype(float))
    if sizes is None:
        return sweep.assign(x=sweep["place"])
    keys = [at, "signature", along]
    return sweep.merge(sizes[[*keys, "value"]].rename(columns={"value": "x"}), on=keys)


def _target(sweep: pd.DataFrame, start: float) -> float:
    """The largest size that every trial reaches; NaN where one does not go beyond another's start."""
    ranges = [
        reach(own["place"].to_numpy(dtype=float), own["x"].to_numpy(dtype=float), start)
        for _, own in sweep.groupby("signature")
    ]
    target = min(high for _, high in ranges)
    return target if target > max(low for low, _ in ranges) else float("nan")


def _matched_seeds(own: pd.DataFrame, target: float, start: float) -> pd.DataFrame:
    """place, y and interpolation error of each seed at the target."""
    found = {}
    for seed, trial in own.groupby("seed"):
        place, x, y = (trial[name].to_numpy(dtype=float) for name in ("place", "x", "y"))
        result = match(place, x, y, target, start)
        found[seed] = {"y": result.value, "place": result.at, "error": result.interpolation_error}
    return pd.DataFrame.from_dict(found, orient="index", columns=["y", "place", "error"], dtype=float)


def _sweep_rows(own: pd.DataFrame) -> list[dict[str, Any]]:
    means = own.groupby("place")[["x", "y"]].agg(["mean", "count"])
    return [
        {"part": "sweep", "seed": np.nan, "place": place, "x": row["x", "mean"], "mean": row["y", "mean"],
         "n": int(row["y", "count"])}
        for place, row in means.iterrows()
    ]  # fmt: skip


def _matched_rows(seeds: pd.DataFrame, baseline: pd.DataFrame | None) -> list[dict[str, Any]]:
    reached = seeds[seeds["y"].notna()]
    error = reached["error"].mean() if reached["error"].notna().any() else np.nan
    row: dict[str, Any] = {"part": "matched", "seed": np.nan, "place": reached["place"].mean()}
    row |= seed_interval(reached["y"].to_numpy(dtype=float))
    row |= {"not_reached": len(seeds) - len(reached), "interpolation_error": error, "num_pairs": 0}
    if baseline is not None and baseline is not seeds:
        paired = (reached["y"] - baseline["y"]).dropna().to_numpy(dtype=float)
        gap = seed_interval(paired)
        row |= {"difference": gap["mean"], "difference_low": gap["low"], "difference_high": gap["high"]}
        row["num_pairs"] = len(paired)
    singles = [
        {
            "part": "matched",
            "seed": seed,
            "place": one["place"],
            "mean": one["y"],
            "interpolation_error": one["error"],
        }
        for seed, one in seeds.iterrows()
    ]
    return [row, *singles]


def _baseline_value(frames: StudyFrames, config: Config) -> Any:
    study = frames.study.baseline
    if study is None:
        return None
    return study.cell if config.by == "cell" else study.axis_values.get(config.by)


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, text=text)
