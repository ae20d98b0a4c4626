"""A metric against anything with an order: a numeric axis, the epoch, a coordinate."""

from typing import TYPE_CHECKING, Annotated, Literal

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
    unknown_metrics,
    used_twice,
)
from analysis.figures._panels import (
    SINGLE_WIDTH,
    legend_above,
    legend_height,
    line_with_errors,
    mark_ticks,
    panel_grid,
    seed_interval,
)
from analysis.frames import StudyFrames
from analysis.labels import axis_label, metric_info, places, plural, value_label
from analysis.measurements import values_over

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ["metric", "value", "label", "order", "x", "seed", "mean", "low", "high", "n"]


class Config(FigureConfig):
    """One line per value of `by`, one panel per metric."""

    kind: Literal["line"]
    x: str
    """An axis of numbers, `epoch` or a coordinate."""
    by: str | None = None
    """An axis, `cell` or another of what `x` can be; one line when left out."""
    metrics: Annotated[Names, Field(min_length=1)]
    """A panel each."""
    scale: Literal["linear", "log"] = "linear"
    """Scale of the x axis."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Values of what is neither `x` nor `by`; the baseline's and the primary ones when left out."""

    def problems(self, axes: Axes) -> Problems:
        """Axes and metrics that do not exist, and an x axis without an order."""
        problems = unknown_axis(("x",), self.x, [*axes, *places()])
        if self.by is not None:
            problems += unknown_axis(("by",), self.by, [*axes, "cell", *places()])
        words = [
            value
            for value in axes.get(self.x, ())
            if isinstance(value, bool) or not isinstance(value, (int, float))
        ]
        if words:
            problems.append((("x",), f"expected an axis of numbers; found {words[0]!r} among its values"))
        problems += used_twice({"x": self.x, "by": self.by})
        return problems + unknown_metrics("metrics", self.metrics) + unknown_fixed(self.fixed, axes, places())

    def default_name(self) -> str:
        """`line_fid_epoch`."""
        return f"line_{self.metrics[0]}_{self.x}"

    def heading(self) -> str:
        """`FID by epoch`."""
        return f"{', '.join(metric_info(name).label for name in self.metrics)} by {axis_label(self.x)}"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per metric, line and x: mean over seeds and its 95 % t interval, and a row per seed (`mean` its value)."""
    over = [config.x, *([config.by] if config.by else [])]
    rows: list[dict[str, object]] = []
    for metric in config.metrics:
        values = values_over(frames, metric, over, config.fixed)
        values = values[values["value"].notna() & values[f"at_{config.x}"].notna()]
        lines = line_order(frames, config.by, values)
        for order, (value, label) in enumerate(lines.items()):
            own = values if config.by is None else values[values[f"at_{config.by}"] == value]
            shared: dict[str, object] = {"metric": metric, "value": value, "label": label, "order": order}
            for x, at in own.groupby(own[f"at_{config.x}"].astype(float)):
                rows.append(
                    shared | {"x": x, "seed": np.nan} | seed_interval(at["value"].to_numpy(dtype=float))
                )
                seeds = zip(at["seed"], at["value"], strict=True)
                rows += [shared | {"x": x, "seed": seed, "mean": float(mean)} for seed, mean in seeds]
    return pd.DataFrame(rows, columns=COLUMNS)


def line_order(frames: StudyFrames, by: str | None, values: pd.DataFrame) -> dict[AxisValue, str]:
    """The lines of a figure and their labels, in the order of the space; measured places ascending."""
    if by is None:
        return {"": ""}
    if by in places():
        found = sorted(float(value) for value in values[f"at_{by}"].dropna().unique())
        return {value: f"{axis_label(by)} {value_label(value)}" for value in found}
    present = set(values[f"at_{by}"])
    named = {
        value: frames.cell_label(value) if by == "cell" else value_label(value)
        for value in frames.axis_values(by)
    }
    return {value: label for value, label in named.items() if value in present}


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """One panel per metric, a shared legend above."""
    from analysis import style

    with style.styled():
        means = table[table["seed"].isna()]
        if means.empty:
            return style.nothing_to_draw("Nothing measured yet.")
        looks = _looks(means)
        labels = list(means.drop_duplicates("order")["label"])
        width = SINGLE_WIDTH if len(config.metrics) == 1 else style.TEXT_WIDTH
        figure, panels = panel_grid(len(config.metrics), legend=legend_height(labels, width))
        for panel, metric in zip(panels, config.metrics, strict=True):
            own = means[means["metric"] == metric]
            # A little beside each other, so that bars do not cover each other.
            step = 0.012 * float(own["x"].max() - own["x"].min()) if config.scale == "linear" else 0.0
            for order, line in own.groupby("order"):
                shift = (float(str(order)) - (len(looks) - 1) / 2) * step
                line_with_errors(
                    panel, line.sort_values("x"), str(line["label"].iloc[0]), looks[order], shift
                )
            panel.set_xscale(config.scale)
            panel.set_xlabel(axis_label(config.x))
            panel.set_ylabel(metric_info(metric).plot_label, **style.MATH)
            mark_ticks(panel, sorted(own["x"].unique()))
            style.light_grid(panel, "y")
        legend_above(figure, panels)
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """What is drawn, over how many seeds, and what is held fixed."""
    what = ", ".join(metric_info(name).label for name in config.metrics)
    lines = f", one line per {axis_label(config.by)}" if config.by else ""
    start = f"{what} by {axis_label(config.x)}{lines}."
    means = table[table["seed"].isna()]
    if means.empty:
        return f"{start} Nothing measured yet."
    few, many = int(means["n"].min()), int(means["n"].max())
    seeds = plural(many, "seed") if few == many else f"{few} to {many} seeds"
    bars = "bars are 95 % t intervals of the mean" if many > 1 else "one seed, so no interval can be given"
    held = ", ".join(f"{axis_label(name)} = {value_label(value)}" for name, value in config.fixed.items())
    return f"{start} Means over {seeds}; {bars}." + (f" Held at {held}." if held else "")


def _looks(means: pd.DataFrame) -> dict[object, dict[str, object]]:
    from analysis import style

    lines = means.drop_duplicates("order").sort_values("order")
    values = list(lines["value"])
    dashes, marks = style.line_styles(values), style.markers(values)
    return {
        order: dashes[value] | {"marker": marks[value]["marker"]}
        for order, value in zip(lines["order"], values, strict=True)
    }


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption)
