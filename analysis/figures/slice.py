"""Slices of a search: a metric of every finished trial against each setting that was searched."""

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from analysis.figures._base import Axes, FigureConfig, FigureKind, Problems, unknown_metric
from analysis.figures._panels import panel_grid
from analysis.frames import StudyFrames, primary_values
from analysis.labels import axis_label, metric_info, number, plural, value_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

_COLUMNS = ["axis", "label", "value", "x", "scale", "y", "asked", "is_best", "metric"]
_LOG_FROM = 10.0
"""Largest over smallest value from which positive numbers are drawn on a logarithmic scale."""
_LONG = 50.0
"""The same, from which only whole powers of ten are labelled: more would run into each other."""
_FEW = 5
"""So many different numbers are all labelled, and no others."""


class Config(FigureConfig):
    """One panel per axis that has more than one value, a point per finished trial."""

    kind: Literal["slice"]
    metric: str | None = None
    """The primary metric when left out."""

    def problems(self, axes: Axes) -> Problems:
        """A metric that does not exist."""
        return unknown_metric(("metric",), self.metric)

    def default_name(self) -> str:
        """`slice`."""
        return "slice"

    def heading(self) -> str:
        """`Each setting alone`."""
        return "Each setting alone"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per axis and finished trial: `x` its value, or the place of a word among the axis's values."""
    metric = config.metric or frames.primary_metric
    values = primary_values(frames.trials, metric)
    done = frames.trials[(frames.trials["status"] == "done") & np.isfinite(values)]
    y = values[done.index]
    if done.empty:
        return pd.DataFrame(columns=_COLUMNS)
    best = y.idxmax() if metric_info(metric).higher_is_better else y.idxmin()
    parts = []
    for axis in frames.study.axes:
        own = done[f"axis_{axis}"].dropna()
        if own.nunique() < 2:
            continue
        x, scale = _positions(own)
        parts.append(
            pd.DataFrame(
                {
                    "axis": axis,
                    "label": axis_label(axis),
                    "value": [value_label(value) for value in own],
                    "x": x,
                    "scale": scale,
                    "y": y[own.index],
                    "asked": own.index,
                    "is_best": own.index == best,
                    "metric": metric,
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """Light points were asked for first, dark ones last; the best trial is ringed in every panel."""
    from analysis import style

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("No two finished trials differ yet.")
        names = list(table["axis"].drop_duplicates())
        figure, panels = panel_grid(len(names), height=1.9, legend=0.05)
        for index, (panel, name) in enumerate(zip(panels, names, strict=True)):
            own = table[table["axis"] == name]
            panel.scatter(
                own["x"], own["y"], c=own["asked"], cmap="Blues", s=16, edgecolors=style.INK, linewidths=0.3,
                vmin=-table["asked"].max() / 2 - 1, zorder=2,
            )  # fmt: skip
            best = own[own["is_best"]]
            panel.scatter(
                best["x"], best["y"], s=70, facecolors="none", edgecolors=style.CATEGORIES[1], zorder=3
            )
            panel.margins(x=0.1)
            panel.set_ylim(*_with_room(table["y"]))
            _x_axis(panel, own)
            if index % 3 == 0:
                panel.set_ylabel(metric_info(str(own["metric"].iloc[0])).label)
            style.light_grid(panel, "y")
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """What is drawn, of how many trials, and what it does not show."""
    if table.empty:
        return "Each searched setting alone. No two finished trials differ yet."
    best = table[table["is_best"]]
    label = metric_info(str(table["metric"].iloc[0])).label
    trials = plural(int(table["asked"].nunique()), "finished trial")
    values = ", ".join(f"{row.label} {row.value}" for row in best.itertuples())
    return (
        f"{label} of {trials} of a search against each setting alone; all others differ as well. Later trials are "
        f"darker, the best one is ringed: {number(float(best['y'].iloc[0]))} at {values}. One seed, and picked: "
        "only the test on fresh seeds compares it with the default."
    )


def _with_room(values: pd.Series) -> tuple[float, float]:
    """The same range for every panel, with room for the ring."""
    room = 0.14 * (float(values.max() - values.min()) or 1.0)
    return float(values.min()) - room, float(values.max()) + room


def _positions(values: pd.Series) -> tuple[list[float], str]:
    """Where the values lie on the x axis, and its scale: linear, log or words."""
    if any(isinstance(value, (str, bool)) for value in values):
        order = sorted({value_label(value) for value in values})
        return [float(order.index(value_label(value))) for value in values], "words"
    numbers = values.astype(float)
    wide = numbers.min() > 0 and numbers.max() / numbers.min() >= _LOG_FROM
    return list(numbers), "log" if wide else "linear"


def _x_axis(panel: "Panel", own: pd.DataFrame) -> None:
    scale = own["scale"].iloc[0]
    if scale == "words":
        words = own.drop_duplicates("x").sort_values("x")
        panel.set_xticks(list(words["x"]), list(words["value"]), rotation=20, ha="right")
        panel.margins(x=0.2)
    else:
        panel.set_xscale(scale)
        places = sorted(own["x"].unique())
        if scale == "log":
            _label_sparsely(panel, places[-1] / places[0])
        elif len(places) <= _FEW:
            panel.set_xticks(places, [value_label(place) for place in places])
    panel.set_xlabel(own["label"].iloc[0])


def _label_sparsely(panel: "Panel", ratio: float) -> None:
    """1 and, of a short range, 3 of every decade: matplotlib would label every minor tick, one over the other."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if ratio < _LONG else (1.0,)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption)
