"""Interaction of two axes: does the effect of one depend on the other?"""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from analysis.figures._base import (
    Axes,
    AxisValue,
    FigureConfig,
    FigureKind,
    Problems,
    unknown_axis,
    unknown_fixed,
    unknown_metric,
    used_twice,
)
from analysis.figures._panels import legend_above, legend_height, line_with_errors, panel_grid, seed_interval
from analysis.figures._text import TextTable
from analysis.figures.line import line_order
from analysis.frames import StudyFrames
from analysis.labels import axis_label, metric_info, places, value_label, with_interval
from analysis.measurements import values_over

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = [
    *["metric", "value", "label", "order", "x_value", "x_label", "x", "mean", "low", "high", "n"],
    *["interaction", "interaction_low", "interaction_high", "num_pairs"],
]


class Config(FigureConfig):
    """Values of `x` along the axis, one line per value of `by`: parallel lines are no interaction."""

    kind: Literal["interaction"]
    x: str
    """What runs along the x axis."""
    by: str
    """Both axes of the space, `epoch`, or coordinates."""
    metric: str | None = None
    """The primary metric when left out."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Values of what is neither `x` nor `by`; the baseline's and the primary ones when left out."""

    def problems(self, axes: Axes) -> Problems:
        """Axes and metrics that do not exist."""
        known = [*axes, *places()]
        problems = unknown_axis(("x",), self.x, known) + unknown_axis(("by",), self.by, known)
        problems += used_twice({"x": self.x, "by": self.by}) + unknown_metric(("metric",), self.metric)
        return problems + unknown_fixed(self.fixed, axes, places())

    def default_name(self) -> str:
        """`interaction_heads_depth`."""
        return f"interaction_{self.x}_{self.by}"

    def heading(self) -> str:
        """`Interaction of heads and depth`."""
        return f"Interaction of {axis_label(self.x)} and {axis_label(self.by)}"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per pair of values: mean over seeds and t interval, and the interaction with the first values.

    `interaction` is (value at both) - (x alone) - (by alone) + (neither), paired by seed: NaN in the first row
    and column, and where one of the four was not run.
    """
    metric = config.metric or frames.primary_metric
    values = values_over(frames, metric, [config.x, config.by], config.fixed)
    values = values[values["value"].notna()]
    across, lines = (line_order(frames, name, values) for name in (config.x, config.by))
    seeds = {
        (x, by): own.set_index("seed")["value"].astype(float)
        for (x, by), own in values.groupby([f"at_{config.x}", f"at_{config.by}"], observed=True)
    }
    rows: list[dict[str, Any]] = []
    row: dict[str, Any]
    for order, (by, label) in enumerate(lines.items()):
        for place, (x, x_label) in enumerate(across.items()):
            if (x, by) not in seeds:
                continue
            row = {"metric": metric, "value": by, "label": label, "order": order}
            row |= {"x_value": x, "x_label": x_label, "x": place}
            row |= seed_interval(np.asarray(seeds[x, by], dtype=np.float64))
            gap = _interaction(seeds, x, by, next(iter(across)), next(iter(lines)))
            row |= {
                "interaction": gap["mean"],
                "interaction_low": gap["low"],
                "interaction_high": gap["high"],
            }
            rows.append(row | {"num_pairs": gap["n"]})
    return pd.DataFrame(rows, columns=_COLUMNS)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """Lines over the values of `x`, slightly apart so that bars do not cover each other."""
    from analysis import style

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("Nothing measured yet.")
        lines = table.drop_duplicates("order").sort_values("order")
        values = list(lines["value"])
        dashes, marks = style.line_styles(values), style.markers(values)
        labels = [_named(config.by, label) for label in lines["label"]]
        figure, (panel,) = panel_grid(1, legend=legend_height(labels, 3.6))
        for place, (order, own) in enumerate(table.groupby("order")):
            value = own["value"].iloc[0]
            look = dashes[value] | {"marker": marks[value]["marker"]}
            shift = (place - (len(values) - 1) / 2) * min(0.06, 0.3 / len(values))
            line_with_errors(
                panel, own.sort_values("x"), labels[list(lines["order"]).index(order)], look, shift
            )
        ticks = table.drop_duplicates("x").sort_values("x")
        panel.set_xticks(ticks["x"], ticks["x_label"])
        panel.set_xlabel(axis_label(config.x))
        panel.set_ylabel(metric_info(str(table["metric"].iloc[0])).plot_label, **style.MATH)
        style.light_grid(panel, "y")
        legend_above(figure, [panel])
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """How to read it, and the strongest interaction in numbers."""
    start = f"Interaction of {axis_label(config.x)} and {axis_label(config.by)}: parallel lines mean none."
    if table.empty:
        return f"{start} Nothing measured yet."
    info = metric_info(str(table["metric"].iloc[0]))
    text = f"{start} Means of {info.label} over seeds, bars are 95 % t intervals."
    known = table[table["interaction"].notna()]
    if known.empty:
        return text + " No combination of two changes was run, so the interaction is not known."
    row = known.iloc[int(known["interaction"].abs().to_numpy().argmax())]
    shown = with_interval(row["interaction"], row["interaction_low"], row["interaction_high"])
    where = f"{_named(config.x, row['x_label'])} with {_named(config.by, row['label'])}"
    return f"{text} The largest difference of differences is {shown}, at {where} (not corrected for having looked)."


def text(table: pd.DataFrame, config: Config) -> TextTable:
    """Every combination that changes both axes: the difference of differences, paired by seed."""
    known = table[table["interaction"].notna()]
    rows = [
        [value_label(row["x_label"]), row["label"],
         with_interval(row["interaction"], row["interaction_low"], row["interaction_high"]), str(int(row["num_pairs"]))]
        for _, row in known.iterrows()
    ]  # fmt: skip
    return TextTable(
        [axis_label(config.x), axis_label(config.by), "difference of differences [95 %]", "n"], rows, 2
    )


def _named(name: str, label: str) -> str:
    """`heads 4`; places of a trial are named by their labels already."""
    return label if name in places() else f"{axis_label(name)} {label}"


def _interaction(
    seeds: dict[Any, pd.Series], x: Any, by: Any, first_x: Any, first_by: Any
) -> dict[str, float]:
    corners = [(x, by), (x, first_by), (first_x, by), (first_x, first_by)]
    if x == first_x or by == first_by or any(corner not in seeds for corner in corners):
        return seed_interval(np.array([]))
    both, only_x, only_by, neither = (seeds[corner] for corner in corners)
    return seed_interval((both - only_x - only_by + neither).dropna().to_numpy(dtype=float))


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, text=text)
