"""Panels side by side under one legend, and lines with error bars in them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis import style
from analysis.labels import value_label
from analysis.stats import FloatArray, t_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SINGLE_WIDTH = 3.6
"""Inches of a figure with one panel."""
LABEL_WIDTH = 0.09
"""Width of a tick's label, as a share of a panel: five characters."""


def panel_grid(count: int, *, height: float = 2.1, legend: float = 0.35) -> "tuple[Figure, list[Axes]]":
    """A figure with `count` panels, at most three in a row, and inches for a legend above them."""
    columns = min(count, 3)
    rows = -(-count // columns)
    width = style.TEXT_WIDTH if columns > 1 else SINGLE_WIDTH
    figure = style.new_figure(width, height * rows + legend, w_pad=0.06)
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for panel in panels[count:]:
        panel.remove()
    return figure, panels[:count]


def legend_above(figure: "Figure", panels: "Sequence[Axes]") -> None:
    """One legend for all panels, in as many columns as fit."""
    found = {
        label: handle
        for panel in panels
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    if len(found) < 2:
        return
    per_row = _per_row(list(found), float(figure.get_size_inches()[0]))
    figure.legend(
        list(found.values()), list(found), loc="outside upper center", handlelength=2.2,
        ncols=per_row, columnspacing=1.2,
    )  # fmt: skip


def legend_height(labels: Sequence[str], width: float) -> float:
    """Inches that `legend_above` needs for these labels."""
    return 0.16 * -(-len(labels) // _per_row(labels, width)) + 0.12 if len(labels) > 1 else 0.0


def _per_row(labels: Sequence[str], width: float) -> int:
    """Entries that fit beside each other: all of them, or so many that rows are about equally long."""
    total = sum(style.text_width([label], 8) + 0.48 for label in labels)
    rows = max(1, -(-int(100 * total) // max(1, int(100 * (width - 0.2)))))
    return max(1, -(-len(labels) // rows))


def line_with_errors(
    panel: "Axes", line: pd.DataFrame, label: str, look: dict[str, Any], shift: float = 0.0
) -> None:
    """A line through `mean` over `x`, with bars from `low` to `high` where they exist."""
    x, mean = line["x"].to_numpy(dtype=float) + shift, line["mean"].to_numpy(dtype=float)
    low, high = (line[end].to_numpy(dtype=float) for end in ("low", "high"))
    bars = np.vstack([mean - low, high - mean])
    panel.plot(x, mean, label=label, markersize=3.6, markeredgewidth=0, **look)
    has_bar = np.isfinite(bars).all(axis=0)
    panel.errorbar(
        x[has_bar], mean[has_bar], bars[:, has_bar], fmt="none", ecolor=look["color"],
        elinewidth=0.8, capsize=1.8, capthick=0.8,
    )  # fmt: skip


def seed_interval(values: FloatArray) -> dict[str, float]:
    """mean, low and high of the 95 % t interval, and n, of finite values over seeds."""
    values = values[np.isfinite(values)]
    interval = t_interval(values)
    mean = float(values.mean()) if len(values) else np.nan
    return {"mean": mean, "low": interval.low, "high": interval.high, "n": len(values)}


def mark_ticks(panel: "Axes", values: Sequence[float]) -> None:
    """Ticks at the values themselves where there are few, so that no reader has to guess them.

    A value too near to the last one that is labelled has a tick without a label.
    """
    if len(values) > 9:
        return
    values = sorted(values)
    places = np.log(values) if panel.get_xscale() == "log" else np.asarray(values)
    labels: list[str] = []
    labelled = -np.inf
    for value, place in zip(values, places, strict=True):
        is_free = place - labelled >= LABEL_WIDTH * (places[-1] - places[0])
        labels.append(value_label(value) if is_free else "")
        labelled = place if is_free else labelled
    panel.set_xticks(values, labels)
    panel.minorticks_off()
