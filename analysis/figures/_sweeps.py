"""A panel of a matched comparison: sweeps of a coordinate as lines, and what they are where they are equal."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.labels import axis_label, known_metrics, metric_info

if TYPE_CHECKING:
    from matplotlib.axes import Axes as PlotAxes


def draw_sweeps(panel: "PlotAxes", table: pd.DataFrame, at: str, looks: dict[Any, dict[str, Any]]) -> None:
    """Draw the rows of one metric; `at` is what is made equal, `looks` the colour, dashes and mark of each line."""
    from analysis import style

    target = float(table["target"].iloc[0])
    num_lines = len(looks)
    sweeps = table[table["part"] == "sweep"]
    spread = float(sweeps["x"].max() - sweeps["x"].min()) or 1.0
    if np.isfinite(target):
        panel.axvline(target, color=style.MUTED, linewidth=0.7, linestyle=(0, (3, 2)), zorder=0)
    for order, own in table.groupby("order"):
        look = looks[order]
        sweep = own[own["part"] == "sweep"].sort_values("place")
        plain = {name: value for name, value in look.items() if name != "marker"}
        panel.plot(sweep["x"], sweep["mean"], label=own["label"].iloc[0], marker=look["marker"], markersize=2.4,
                   markeredgewidth=0, alpha=0.75, **plain)  # fmt: skip
        row = own[(own["part"] == "matched") & own["seed"].isna()].iloc[0]
        if not np.isfinite(row["mean"]):
            continue
        # Beside the dashed line by turns, so that intervals do not cover each other.
        x = target + (float(row["order"]) - (num_lines - 1) / 2) * min(0.02, 0.12 / num_lines) * spread
        bar = np.array([[row["mean"] - row["low"]], [row["high"] - row["mean"]]], dtype=float)
        panel.errorbar(x, float(row["mean"]), bar if np.isfinite(row["low"]) else None, fmt=look["marker"],
                       color=look["color"], markersize=4.5, markeredgewidth=0.8, elinewidth=1.0, capsize=1.8,
                       markerfacecolor=look["color"] if row["n"] > 1 else "white")  # fmt: skip
    panel.set_xlabel(metric_info(at).plot_label if at in known_metrics() else axis_label(at), **style.MATH)
    panel.margins(x=0.05)
    style.light_grid(panel, "y")
