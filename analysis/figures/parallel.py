"""Parallel coordinates: every cell (or trial of a search) as a line through its axis values and metrics."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from analysis.figures._base import (
    Axes,
    FigureConfig,
    FigureKind,
    Names,
    Problems,
    unknown_axis,
    unknown_metrics,
)
from analysis.frames import StudyFrames
from analysis.labels import axis_label, metric_info, number, plural, value_label
from analysis.measurements import values_over

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDE_SPAN = 30
_COLUMNS = [
    *["cell", "label", "is_baseline", "is_best", "coordinate", "place", "name", "value", "position"],
    *["quality", "metric"],
]


class Config(FigureConfig):
    """Axes first, then metrics, the primary one last."""

    kind: Literal["parallel"]
    axes: Names | None = None
    """All axes of the space when left out."""
    metrics: Annotated[Names | None, Field(min_length=1)] = None
    """The last one is what lines are coloured by; the primary metric alone when left out."""

    def problems(self, axes: Axes) -> Problems:
        """Axes and metrics that do not exist."""
        problems = [
            p for index, name in enumerate(self.axes or ()) for p in unknown_axis(("axes", index), name, axes)
        ]
        return problems + unknown_metrics("metrics", self.metrics)

    def default_name(self) -> str:
        """`parallel`."""
        return "parallel"

    def heading(self) -> str:
        """`All cells at a glance`."""
        return "All cells at a glance"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per cell and coordinate: its value as text and its position in 0 to 1, `quality` the last metric's.

    Words stand in the order of the space; numbers by size, on a logarithmic scale where they span much.
    """
    metrics = config.metrics or (frames.primary_metric,)
    measured = {name: values_over(frames, name, ["cell"]).astype({"value": float}) for name in metrics}
    means = {name: table.groupby("at_cell")["value"].mean().dropna() for name, table in measured.items()}
    last = means[metrics[-1]]
    axes = config.axes or tuple(frames.study.axes)
    points = {entry.cell: dict(entry.axis_values) for entry in frames.study.cells if entry.cell in last.index}
    if not points:
        return pd.DataFrame(columns=_COLUMNS)
    best = (last * metric_info(metrics[-1]).sign).idxmax()
    rows = []
    for place, name in enumerate((*axes, *metrics)):
        is_axis = place < len(axes)
        values: dict[str, Any] = {
            cell: point.get(name) if is_axis else means[name].get(cell, np.nan)
            for cell, point in points.items()
        }
        positions = _positions(values, list(frames.study.axes.get(name, ())) if is_axis else [])
        for cell, value in values.items():
            shown = value_label(value) if is_axis else number(float(value))
            row = [cell, frames.cell_label(cell), cell == frames.baseline, cell == best, name, place]
            title = axis_label(name) if is_axis else metric_info(name).plot_label
            rows.append([*row, title, shown, positions[cell], float(last[cell]), metrics[-1]])
    return pd.DataFrame(rows, columns=_COLUMNS)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """Lines from light to dark by quality; the best one thick, the baseline dashed."""
    import matplotlib

    from analysis import style

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("No trial has finished yet.")
        places = table.drop_duplicates("place").sort_values("place")
        figure = style.new_figure(style.TEXT_WIDTH, 2.5)
        axes = figure.subplots()
        low, high = float(table["quality"].min()), float(table["quality"].max())
        ramp = matplotlib.colormaps["viridis_r"]
        for _, line in sorted(table.groupby("cell"), key=lambda item: item[1]["quality"].iloc[0]):
            part = 0.5 if high == low else (float(line["quality"].iloc[0]) - low) / (high - low)
            is_best, is_baseline = bool(line["is_best"].iloc[0]), bool(line["is_baseline"].iloc[0])
            label = (
                "best and baseline"
                if is_best and is_baseline
                else "best"
                if is_best
                else "baseline"
                if is_baseline
                else None
            )
            line = line.sort_values("place")
            axes.plot(line["place"], line["position"], color=ramp(0.1 + 0.85 * part), label=label,
                      linewidth=2.2 if is_best else 1.4 if is_baseline else 0.8, alpha=0.9,
                      linestyle=(0, (4, 1.5)) if is_baseline else "-")  # fmt: skip
        for row in places.to_dict("records"):
            _draw_scale(axes, row["place"], table[table["place"] == row["place"]])
        axes.set_xlim(-0.25, len(places) - 0.55)
        axes.set_ylim(-0.06, 1.06)
        axes.set_xticks(places["place"], list(places["name"]))
        axes.xaxis.tick_top()
        axes.tick_params(length=0, pad=8)
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_visible(False)
        figure.legend(loc="outside lower center", ncols=2, handlelength=3)
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """How to read the lines."""
    start = "Every cell as a line through its settings and its means over seeds"
    if table.empty:
        return f"{start}. No trial has finished yet."
    last = metric_info(str(table["metric"].iloc[0])).label
    count = plural(table["cell"].nunique(), "line")
    return f"{start} ({count}), coloured by {last}; the thick line is the best, the dashed one the baseline."


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether numbers span so much that their axis is logarithmic."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > _WIDE_SPAN


def _positions(values: dict[str, Any], order: list[Any]) -> dict[str, float]:
    """Place of each value in 0 to 1."""
    numbers = [v for v in values.values() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) == len(values):
        scaled = {cell: float(value) for cell, value in values.items()}
        if is_logarithmic([value for value in scaled.values() if np.isfinite(value)]):
            scaled = {cell: float(np.log(value)) for cell, value in scaled.items()}
        low, high = np.nanmin(list(scaled.values())), np.nanmax(list(scaled.values()))
        return {
            cell: 0.5 if high == low else float((value - low) / (high - low))
            for cell, value in scaled.items()
        }
    known = order or sorted(set(map(str, values.values())))
    last = max(len(known) - 1, 1)
    return {cell: known.index(value) / last if value in known else np.nan for cell, value in values.items()}


def _draw_scale(axes: Any, place: int, own: pd.DataFrame) -> None:
    """A vertical line with the values written beside it, as many as do not touch."""
    from analysis import style

    axes.plot([place, place], [0, 1], color=style.INK, linewidth=0.6, zorder=0.5)
    written: list[float] = []
    ends = own.dropna(subset="position").sort_values("position")
    ordered = [*([0, len(ends) - 1] if len(ends) > 1 else [0]), *range(1, len(ends) - 1)] if len(ends) else []
    for index in ordered:
        row = ends.iloc[index]
        if all(abs(row["position"] - other) > 0.09 for other in written):
            written.append(float(row["position"]))
            text = axes.text(place + 0.03, row["position"], row["value"], ha="left", va="center", fontsize=7)
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6})


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption)
