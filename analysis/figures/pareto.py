"""Quality against cost: which cells nothing else beats at a lower price."""

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from analysis.figures._base import Axes, FigureConfig, FigureKind, Problems, nearest, unknown_metric
from analysis.figures._panels import panel_grid, seed_interval
from analysis.figures._text import Bold, TextTable
from analysis.frames import StudyFrames
from analysis.labels import metric_info, number, with_interval, x_labels
from analysis.measurements import finished_trials, values_over
from trainables.wording import one_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Panel
    from matplotlib.figure import Figure

_COSTS = {
    "wall_seconds": "Wall time of a trial, s",
    "train_seconds": "Training time, s",
    "num_parameters": "Parameters",
    "optimizer_steps": "Optimizer steps",
}


def costs() -> dict[str, str]:
    """What trials are counted by -> its label."""
    counted = {name: label for name, label in x_labels().items() if name not in ("epoch", "optimizer_step")}
    return _COSTS | counted


_COLUMNS = [
    *["cell", "label", "is_baseline", "metric", "cost_name", "cost", "cost_low", "cost_high"],
    *["mean", "low", "high", "n", "is_front"],
]


class Config(FigureConfig):
    """One point per cell."""

    kind: Literal["pareto"]
    metric: str | None = None
    """The primary metric when left out."""
    cost: str = "wall_seconds"
    """What runs along the x axis: `wall_seconds`, `train_seconds`, `num_parameters`, `optimizer_steps`, or what the
    family counts beside them."""
    scale: Literal["linear", "log"] = "linear"
    """Scale of the cost axis."""

    def problems(self, axes: Axes) -> Problems:
        """A metric or a cost that does not exist."""
        if self.cost not in (known := costs()):
            return [(("cost",), f"expected {one_of(known)}; found {self.cost!r}{nearest(self.cost, known)}")]
        return unknown_metric(("metric",), self.metric)

    def default_name(self) -> str:
        """`pareto_wall_seconds`."""
        return f"pareto_{self.cost}"

    def heading(self) -> str:
        """`Quality against wall time of a trial`."""
        return f"Quality against {costs()[self.cost][0].lower()}{costs()[self.cost][1:].split(',')[0]}"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per cell with a finished trial: means over seeds with t intervals, and whether it is on the front.

    A cell is on the front when no other has both a mean at least as good and a mean cost at most as high, one
    of them strictly.
    """
    metric = config.metric or frames.primary_metric
    values = values_over(frames, metric, ["cell"])
    trials = finished_trials(frames)
    rows = []
    for cell in frames.cells:
        own = values.loc[values["at_cell"] == cell, "value"].to_numpy(dtype=float)
        costs = trials.loc[trials["cell"] == cell, config.cost].to_numpy(dtype=float)
        if not np.isfinite(own).any() or not np.isfinite(costs).any():
            continue
        cost = seed_interval(costs)
        row = {
            "cell": cell,
            "label": frames.cell_label(cell),
            "is_baseline": cell == frames.baseline,
            "metric": metric,
        }
        row |= {
            "cost_name": config.cost,
            "cost": cost["mean"],
            "cost_low": cost["low"],
            "cost_high": cost["high"],
        }
        rows.append(row | seed_interval(own))
    table = pd.DataFrame(rows, columns=_COLUMNS[:-1])
    return table.assign(is_front=on_front(table["cost"], table["mean"] * metric_info(metric).sign))


def on_front(cost: pd.Series, quality: pd.Series) -> list[bool]:
    """Whether no other entry is at least as cheap and as good, and better in one of the two."""
    points = list(zip(cost.astype(float), quality.astype(float), strict=True))
    return [
        not any(c <= cost_here and q >= here and (c, q) != (cost_here, here) for c, q in points)
        for cost_here, here in points
    ]


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """Filled dots are the front, joined by steps; open dots are beaten; names beside them."""
    from analysis import style
    from analysis.figures._labels_beside import label_points

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("No trial has finished yet.")
        figure, (panel,) = panel_grid(1, height=2.6, legend=0)
        figure.set_size_inches(4.4, 2.6)
        info = metric_info(str(table["metric"].iloc[0]))
        front = table[table["is_front"]].sort_values("cost")
        panel.step(
            front["cost"], front["mean"], where="post", color=style.CATEGORIES[0], linewidth=0.9, zorder=1
        )
        for row in table.to_dict("records"):
            colour = style.CATEGORIES[0] if row["is_front"] else style.MUTED
            if np.isfinite(row["low"]):
                panel.plot([row["cost"]] * 2, [row["low"], row["high"]], color=colour, linewidth=0.8)
            if np.isfinite(row["cost_low"]) and row["cost_high"] > row["cost_low"]:
                panel.plot(
                    [row["cost_low"], row["cost_high"]], [row["mean"]] * 2, color=colour, linewidth=0.8
                )
            draw_point(panel, row["cost"], row["mean"], row["is_front"], row["is_baseline"])
        panel.set_xscale(config.scale)
        panel.set_xlabel(costs()[config.cost])
        panel.set_ylabel(info.plot_label, **style.MATH)
        panel.margins(x=0.12, y=0.1)
        style.light_grid(panel, "y")
        label_points(figure, panel, table["cost"], table["mean"], list(table["label"]))
        return figure


def draw_point(panel: "Panel", x: float, y: float, is_front: bool, is_reference: bool) -> None:
    """Filled where nothing beats it, a square where others are compared with it."""
    from analysis import style

    colour = style.CATEGORIES[0] if is_front else style.MUTED
    panel.plot(x, y, "s" if is_reference else "o", color=colour, markersize=5,
               markerfacecolor=colour if is_front else "white", markeredgewidth=1)  # fmt: skip


def caption(table: pd.DataFrame, config: Config) -> str:
    """What is on the front, and how uncertain that is."""
    cost = costs()[config.cost][0].lower() + costs()[config.cost][1:]
    if table.empty:
        return f"Quality against {cost}. No trial has finished yet."
    info = metric_info(str(table["metric"].iloc[0]))
    better = "higher" if info.higher_is_better else "lower"
    text = (
        f"{info.label} ({better} is better) against {cost}; means over seeds, bars are 95 % t intervals. Filled: no "
        "other cell is at once as good and as cheap; open: one is. "
    )
    return text + "The square is the baseline. Means decide the front, so overlapping bars leave it open."


def text(table: pd.DataFrame, config: Config) -> TextTable:
    """Cells with cost and quality; those on the front bold."""
    info_of = metric_info(str(table["metric"].iloc[0])).label if len(table) else "quality"
    rows = [
        [
            Bold(row["label"]) if row["is_front"] else row["label"],
            number(row["cost"]) if row["cost"] < 1e3 else f"{row['cost']:,.0f}",
            with_interval(row["mean"], row["low"], row["high"]).lstrip("+"),
            str(row["n"]),
        ]
        for row in table.to_dict("records")
    ]
    return TextTable(["cell", costs()[config.cost], f"{info_of} [95 %]", "n"], rows)


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, text=text)
