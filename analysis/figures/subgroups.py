"""Any metric by a label of the images, or by groups of image ids: does an editor serve all faces alike?"""

import csv
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy import stats

from analysis.figures._base import (
    Axes,
    AxisValue,
    FigureConfig,
    FigureKind,
    Names,
    Problems,
    unknown_axis,
    unknown_fixed,
    unknown_metrics,
)
from analysis.figures._panels import legend_above, legend_height
from analysis.figures._text import TextTable
from analysis.frames import StudyFrames
from analysis.labels import axis_label, decimals_for, is_of_sets, metric_info, number, plural, value_label
from analysis.measurements import POINTS, WEIGHT, image_rows
from analysis.stats import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes as PlotAxes
    from matplotlib.figure import Figure

_COLUMNS = ["metric", "value", "label", "order", "group", "mean", "low", "high", "n", "num_seeds"]


class Config(FigureConfig):
    """Groups down, one mark per value of `by`, one panel per metric."""

    kind: Literal["subgroups"]
    metrics: Annotated[Names, Field(min_length=1)]
    label: str | None = None
    """A label of the images (`skin`, `gender`, `glasses`), or the column of `file` that names the group."""
    file: str | None = None
    """A CSV with a column `image_id` and a column `label` (`group` when left out); relative to the study's folder or to
    the working directory."""
    by: str = "cell"
    """`cell` or an axis."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Values of other axes, `epoch`, `strength` or `num_sample_steps`."""

    def problems(self, axes: Axes) -> Problems:
        """Axes and metrics that do not exist, and no way to tell groups."""
        problems = unknown_axis(("by",), self.by, [*axes, "cell"])
        if self.label is None and self.file is None:
            problems.append(
                (("label",), "expected a label of the images, or a `file` of groups; found nothing")
            )
        problems += unknown_fixed(self.fixed, axes, POINTS) + unknown_metrics("metrics", self.metrics)
        for index, name in enumerate(self.metrics):
            if is_of_sets(name):
                message = f"expected a metric of single images; {name} is one of a whole set and has no value by group"
                problems.append((("metrics", index), message))
        return problems

    @property
    def group_name(self) -> str:
        """What tells the groups apart."""
        return self.label or "group"

    def default_name(self) -> str:
        """`subgroups_skin`."""
        return f"subgroups_{self.group_name}"

    def heading(self) -> str:
        """`S_dir by skin`."""
        return (
            f"{', '.join(metric_info(name).label for name in self.metrics)} by {axis_label(self.group_name)}"
        )


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per metric, value of `by` and group: mean over images and its 95 % t interval, n images, seeds.

    Each image is first averaged over seeds: the question is whether other faces would give the same, so faces
    are the sample. Raises FileNotFoundError or ValueError for a file of groups that cannot be used.
    """
    groups = _groups_of(frames, config)
    held = {name: value for name, value in config.fixed.items() if name in frames.study.axes}
    cells = frames.cells_along([config.by], held)
    named = {
        value: frames.cell_label(str(value)) if config.by == "cell" else value_label(value)
        for value in frames.axis_values(config.by)
    }
    rows = []
    for metric in config.metrics:
        images = image_rows(frames, metric, config.fixed)
        for order, (value, label) in enumerate(named.items()):
            own = images[images["cell"] == cells.get((value,))]
            for group, members in own.groupby(own["image_id"].map(groups), sort=True):
                entry = {
                    "metric": metric,
                    "value": value,
                    "label": label,
                    "order": order,
                    "group": str(group),
                }
                rows.append(entry | _summary(members, metric))
    return pd.DataFrame(rows, columns=_COLUMNS)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """Groups as rows with their n, marks with intervals; a panel per metric."""
    from analysis import style

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("No images of any group measured yet.")
        metrics = list(dict.fromkeys(table["metric"]))
        groups = list(dict.fromkeys(table.sort_values("group")["group"]))
        lines = table.drop_duplicates("order").sort_values("order")
        values = list(lines["value"])
        looks = {o: style.markers(values)[v] for o, v in zip(lines["order"], values, strict=True)}
        width = style.TEXT_WIDTH if len(metrics) > 1 else 4.2
        height = (
            0.55 + len(groups) * max(0.24, 0.1 * len(values)) + legend_height(list(lines["label"]), width)
        )
        figure = style.new_figure(width, height, w_pad=0.06)
        panels = list(figure.subplots(1, len(metrics), sharey=True, squeeze=False).ravel())
        for panel, metric in zip(panels, metrics, strict=True):
            _draw_panel(panel, table[table["metric"] == metric], groups, looks)
        sizes = table.groupby("group")["n"].max()
        panels[0].set_yticks(range(len(groups)), [f"{value_label(g)} ($n$ = {sizes[g]})" for g in groups])
        legend_above(figure, panels)
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """What the bars are a sample of."""
    what = ", ".join(metric_info(name).label for name in config.metrics)
    start = f"{what} by {axis_label(config.group_name)} of the image."
    if table.empty:
        return f"{start} No images of any group measured yet."
    seeds = plural(int(table["num_seeds"].max()), "seed")
    small = int(table["n"].min())
    text = f"{start} Means over the images of a group, each averaged over {seeds} first; bars are 95 % t intervals"
    text += " over images (none below two), n counts images."
    return text + (
        f" The smallest group has {plural(small, 'image')}: read its row with care." if small < 10 else ""
    )


def text(table: pd.DataFrame, config: Config) -> TextTable:
    """Groups down, values of `by` across, mean and half width; metrics as rows of their own where several."""
    lines = list(dict.fromkeys(table.sort_values("order")["label"]))
    several = table["metric"].nunique() > 1
    rows = []
    for (metric, group), own in table.groupby(["metric", "group"], sort=False):
        info = metric_info(str(metric))
        at = own.set_index("label")
        entries = [_entry(at.loc[label]) if label in at.index else "–" for label in lines]
        rows.append(
            [
                value_label(group),
                *([f"{info.label} {info.arrow}"] if several else []),
                *entries,
                str(own["n"].max()),
            ]
        )
    return TextTable(
        [axis_label(config.group_name), *(["metric"] if several else []), *lines, "n"],
        rows,
        2 if several else 1,
    )


def _groups_of(frames: StudyFrames, config: Config) -> dict[str, str]:
    """image id -> group."""
    if config.file is None:
        labelled = frames.evaluations[["image_id", "labels"]].dropna().drop_duplicates("image_id")
        read = {image: json.loads(labels) for image, labels in labelled.itertuples(index=False)}
        return {image: str(labels[config.label]) for image, labels in read.items() if config.label in labels}
    path = next(
        (p for p in (frames.folder / config.file, frames.folder.cwd() / config.file) if p.is_file()), None
    )
    if path is None:
        raise FileNotFoundError(
            f"figure subgroups: no file {config.file} in {frames.folder} or {frames.folder.cwd()}"
        )
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    wanted = {"image_id", config.group_name}
    if not rows or not wanted <= rows[0].keys():
        raise ValueError(f"{path}: expected columns {' and '.join(sorted(wanted))}")
    return {row["image_id"]: row[config.group_name] for row in rows}


def _summary(members: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Weighted mean over images of their means over seeds, with the t interval of a ratio estimate."""
    columns = [metric, *([metric + WEIGHT] if metric + WEIGHT in members else [])]
    images = members.groupby("image_id")[columns].mean()
    values = images[metric].to_numpy(dtype=float)
    weights = images[columns[-1]].to_numpy(dtype=float) if len(columns) > 1 else np.ones(len(values))
    mean, half = weighted_mean_interval(values, weights)
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": len(values),
            "num_seeds": members["seed"].nunique()}  # fmt: skip


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
    return mean, float(stats.t.ppf((1 + level) / 2, n - 1)) * error


def _draw_panel(
    panel: "PlotAxes", table: pd.DataFrame, groups: list[str], looks: dict[Any, dict[str, Any]]
) -> None:
    from analysis import style

    step = 0.7 / max(len(looks), 1)
    for place, (order, own) in enumerate(table.groupby("order")):
        look = looks[order]
        y = np.array([groups.index(group) for group in own["group"]]) + (place - (len(looks) - 1) / 2) * step
        mean = own["mean"].to_numpy(dtype=float)
        bars = np.nan_to_num(np.vstack([mean - own["low"], own["high"] - mean]).astype(float))
        panel.errorbar(mean, y, xerr=bars, fmt=look["marker"], color=look["color"], markersize=4,
                       markeredgewidth=0, elinewidth=0.9, capsize=0, label=own["label"].iloc[0])  # fmt: skip
    panel.set_xlabel(metric_info(str(table["metric"].iloc[0])).plot_label)
    panel.set_ylim(len(groups) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.locator_params(axis="x", nbins=5)
    style.light_grid(panel, "x")


def _entry(row: pd.Series) -> str:
    half = (row["high"] - row["low"]) / 2
    decimals = decimals_for(half)
    return number(row["mean"], decimals=decimals) + (
        "" if decimals is None else f" ± {number(half, decimals=decimals)}"
    )


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, text=text)
