"""Training curves of the values of an axis: every seed faintly, their mean, and its t interval."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field
from scipy import stats

from analysis.figures._base import (
    Axes,
    AxisValue,
    FigureConfig,
    FigureKind,
    Problems,
    as_tuple,
    unknown_axis,
    unknown_fixed,
)
from analysis.frames import StudyFrames
from analysis.labels import CURVE_LABELS, X_LABELS, axis_label, plural, value_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes as PlotAxes
    from matplotlib.figure import Figure

LEVEL = 0.95
MAX_POINTS = 250
"""Points kept per line: more than a 2 in panel can show."""

CurveName = Literal["loss_direction", "loss_total", "loss_recon", "learning_rate"]


class Config(FigureConfig):
    """One line per value of `by`, one panel per entry of `y`."""

    kind: Literal["curves"]
    by: str
    """An axis of the space, or `cell`."""
    y: Annotated[tuple[CurveName, ...], BeforeValidator(as_tuple), Field(min_length=1)] = ("loss_direction",)
    x: Literal["optimizer_step", "image_steps", "epoch"] = "optimizer_step"
    scale: Literal["linear", "log"] = "linear"
    smooth: int | None = Field(default=None, ge=1)
    """Batches of the moving average; a twentieth of the run when left out. Epochs are not smoothed."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Values of other axes; the baseline's when left out."""

    def problems(self, axes: Axes) -> Problems:
        """Axes that do not exist."""
        return unknown_axis(("by",), self.by, [*axes, "cell"]) + unknown_fixed(self.fixed, axes)

    def default_name(self) -> str:
        """`curves_encoder`."""
        return f"curves_{self.by}"

    def heading(self) -> str:
        """`Training curves by encoder`."""
        return f"Training curves by {axis_label(self.by)}"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """Columns y, value, label, order, seed, x, loss, smooth: a row per point of a seed's smoothed curve.

    `value` is the axis value, `order` its place in the axis. `seed` is NaN for the mean over seeds, which
    also has `low` and `high` of its 95 % t interval (NaN for one seed) and `n`, and exists where all seeds
    do.
    """
    order = {value: index for index, value in enumerate(frames.axis_values(config.by))}
    pieces = []
    for (value,), cell in frames.cells_along([config.by], config.fixed).items():
        label = frames.cell_label(cell) if config.by == "cell" else value_label(value)
        own = frames.curves[frames.curves["cell"] == cell]
        for y in config.y:
            seeds = [_seed_curve(curve, y, config).assign(seed=seed) for seed, curve in own.groupby("seed")]
            if seeds:
                lines = pd.concat([*seeds, _mean_curve(seeds)])
                pieces.append(lines.assign(y=y, value=value, label=label, order=order.get(value, len(order))))
    columns = ["y", "value", "label", "order", "seed", "x", "loss", "low", "high", "n", "smooth"]
    if not pieces:
        return pd.DataFrame(columns=columns)
    table = pd.concat(pieces, ignore_index=True).reindex(columns=columns)
    return table.sort_values(["y", "order"], kind="stable", key=_in_order(config.y)).reset_index(drop=True)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """One panel per y, a shared legend above."""
    from analysis import style

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("No training curves yet.")
        shown = table.drop_duplicates("order").sort_values("order")
        looks = style.line_styles(list(shown["value"]))
        columns = min(len(config.y), 3)
        rows = -(-len(config.y) // columns)
        width = style.TEXT_WIDTH if columns > 1 else 3.6
        figure = style.new_figure(width, 2.1 * rows + 0.35, w_pad=0.06)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, y in zip(panels, config.y, strict=False):
            _draw_panel(panel, table[table["y"] == y], y, config, looks)
        for panel in panels[len(config.y) :]:
            panel.remove()
        handles, labels = panels[0].get_legend_handles_labels()
        per_row = min(len(labels), 5 if columns > 1 else 3)
        figure.legend(handles, labels, loc="outside upper center", ncols=per_row, handlelength=1.6)
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """What is drawn, how it is smoothed, and over how many seeds."""
    what = " and ".join(CURVE_LABELS[y][0].lower() + CURVE_LABELS[y][1:] for y in config.y)
    start = f"Training curves by {axis_label(config.by)}: {what}."
    if table.empty:
        return f"{start} No trial has finished yet."
    counts = table["n"].dropna().astype(int)
    few, many = (counts.min(), counts.max()) if len(counts) else (1, 1)
    seeds = plural(many, "seed") if few == many else f"{few} to {many} seeds"
    lines = "Faint lines are single seeds, thick lines their mean, bands the 95 % t interval of the mean"
    if many == 1:
        lines = "One line is one seed, so no interval can be given"
    smooth = int(table["smooth"].max())
    smoothing = f" Moving average over {smooth} batches." if smooth > 1 else ""
    if config.x == "epoch":
        smoothing = " Points are means over the batches of an epoch."
    axis = " Logarithmic y axis." if config.scale == "log" else ""
    held = ", ".join(f"{axis_label(axis)} = {value_label(value)}" for axis, value in config.fixed.items())
    fixed = f" Held at {held}." if held else ""
    return f"{start} {lines} ({seeds}).{smoothing}{axis}{fixed}"


def _seed_curve(curve: pd.DataFrame, y: str, config: Config) -> pd.DataFrame:
    """One seed's x, loss and smooth, sorted by x, thinned to what can be seen."""
    if config.x == "epoch":
        means = curve.groupby("epoch")[y].mean()
        return pd.DataFrame({"x": means.index.astype(float), "loss": means.to_numpy(), "smooth": 1})
    curve = curve.sort_values(config.x)
    window = min(config.smooth or max(1, len(curve) // 20), len(curve))
    # Trailing and full windows only: a shrinking one at the ends would mix smoothings in one line.
    loss = curve[y].astype("float64").rolling(window).mean().to_numpy()[window - 1 :]
    x = curve[config.x].to_numpy(dtype="float64")[window - 1 :]
    keep = (
        np.unique(np.linspace(0, len(x) - 1, MAX_POINTS).astype(int)) if len(x) > MAX_POINTS else slice(None)
    )
    return pd.DataFrame({"x": x[keep], "loss": loss[keep], "smooth": window})


def _mean_curve(seeds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean over seeds and its t interval, where every seed has a point."""
    grouped = pd.concat(seeds).groupby("x")["loss"]
    mean = grouped.agg(["mean", "std", "count"])
    mean = mean[mean["count"] == len(seeds)]
    n = len(seeds)
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * mean["std"] / n**0.5 if n > 1 else np.nan
    return pd.DataFrame(
        {
            "x": mean.index,
            "loss": mean["mean"].to_numpy(),
            "low": (mean["mean"] - half).to_numpy(),
            "high": (mean["mean"] + half).to_numpy(),
            "n": n,
            "smooth": int(seeds[0]["smooth"].iloc[0]),
            "seed": np.nan,
        }
    )


def _draw_panel(
    panel: "PlotAxes", table: pd.DataFrame, y: str, config: Config, looks: dict[Any, dict[str, Any]]
) -> None:
    from analysis import style

    for _, lines in table.groupby("order"):
        look = looks[lines["value"].iloc[0]]
        single = lines[lines["seed"].notna()]
        for _, line in single.groupby("seed"):
            panel.plot(line["x"], line["loss"], color=look["color"], alpha=0.25, linewidth=0.45)
        mean = lines[lines["seed"].isna()]
        panel.fill_between(
            mean["x"].astype(float), mean["low"].astype(float), mean["high"].astype(float),
            color=look["color"], alpha=0.13, linewidth=0,
        )  # fmt: skip
        panel.plot(mean["x"], mean["loss"], label=lines["label"].iloc[0], **look)
    panel.set_yscale(config.scale)
    panel.set_xlabel(X_LABELS[config.x])
    panel.set_ylabel(CURVE_LABELS[y])
    panel.margins(x=0.01)
    style.light_grid(panel, "y")


def _in_order(names: Sequence[str]) -> Any:
    """Sort key: `y` by its place in the options, everything else as it is."""
    return lambda column: column.map(names.index) if column.name == "y" else column


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption)
