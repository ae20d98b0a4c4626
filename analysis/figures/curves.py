"""Training curves of the values of an axis: every seed faintly, their mean, and its t interval."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field

from analysis.curve_lines import at_shared_places, mean_with_interval, trailing_mean, usual_window
from analysis.figures._base import (
    Axes,
    AxisValue,
    FigureConfig,
    FigureKind,
    Problems,
    as_tuple,
    nearest,
    unknown_axis,
    unknown_fixed,
    used_twice,
)
from analysis.figures._panels import SINGLE_WIDTH, legend_above, legend_height, panel_grid
from analysis.frames import StudyFrames
from analysis.labels import axis_label, curve_label, known_curves, plural, value_label, x_labels
from trainables.wording import one_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes as PlotAxes
    from matplotlib.figure import Figure

MAX_WITH_SEEDS = 3
"""Lines up to which single seeds are drawn too."""
MAX_POINTS = 250
"""Points kept per line: more than a 2 in panel can show."""

USUAL = ("loss", "train_loss")
"""Columns drawn where a space names none and the family none either: the first of them that the curves have."""


class Config(FigureConfig):
    """One line per value of `by`, one panel per entry of `y`."""

    kind: Literal["curves"]
    by: str
    """An axis of the space (`init` for warm starts), or `cell`."""
    panels: str | None = None
    """An axis with a panel for each value, beside the panels of `y`."""
    y: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Columns of the curves; the loss when left out."""
    x: str = "optimizer_step"
    """What runs along the x axis: `optimizer_step`, `epoch`, or what the family counts beside them."""
    scale: Literal["linear", "log"] = "linear"
    """Scale of the y axis."""
    smooth: int | None = Field(default=None, ge=1)
    """Batches of the moving average; a twentieth of the run when left out. Epochs are not smoothed."""
    count_parents: bool = False
    """Whether a warm start's curve begins where its parent's training ended: the same total compute at the same x."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Values of other axes; the baseline's when left out."""

    def problems(self, axes: Axes) -> Problems:
        """Axes that do not exist."""
        problems = unknown_axis(("by",), self.by, [*axes, "cell"]) + unknown_fixed(self.fixed, axes)
        known = known_curves()
        for index, name in enumerate(self.y if known else ()):
            if name not in known:
                expected = f"expected {one_of(known)}; found {name!r}{nearest(name, known)}"
                problems += [(("y", index), expected)]
        if self.x not in (labels := x_labels()):
            problems += [(("x",), f"expected {one_of(labels)}; found {self.x!r}{nearest(self.x, labels)}")]
        if self.panels is not None:
            problems += unknown_axis(("panels",), self.panels, axes)
        return problems + used_twice({"by": self.by, "panels": self.panels})

    def default_name(self) -> str:
        """`curves_encoder`."""
        return f"curves_{self.by}"

    def heading(self) -> str:
        """`Training curves by encoder`."""
        return f"Training curves by {axis_label(self.by)}"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """Columns y, value, label, order, seed, x, loss, smooth: a row per point of a seed's smoothed curve.

    `value` is the axis value, `order` its place in the axis. `seed` is NaN for the mean over seeds, which
    also has `low` and `high` of its 95 % t interval (NaN for one seed) and `n`, and goes as far
    as all seeds do.
    """
    order = {value: index for index, value in enumerate(frames.axis_values(config.by))}
    names = [config.by, *([config.panels] if config.panels else [])]
    x = config.x if frames.curves[config.x].notna().any() else "epoch"
    curves = _after_parents(frames, x) if config.count_parents else frames.curves
    shown = config.y or usual_columns(curves)
    pieces = []
    for (value, *panel), cell in frames.cells_along(names, config.fixed).items():
        label = frames.cell_label(cell) if config.by == "cell" else value_label(value)
        own = curves[curves["cell"] == cell]
        for y in shown:
            seeds = [
                _seed_curve(curve, y, x, config).assign(seed=seed) for seed, curve in own.groupby("seed")
            ]
            if seeds:
                lines = pd.concat([*seeds, _mean_curve(seeds)]).assign(y=y, value=value, label=label)
                part = value_label(panel[0]) if panel else ""
                pieces.append(lines.assign(order=order.get(value, len(order)), panel=part, x_name=x))
    columns = [
        "y",
        "panel",
        "value",
        "label",
        "order",
        "seed",
        "x_name",
        "x",
        "loss",
        "low",
        "high",
        "n",
        "smooth",
    ]
    if not pieces:
        return pd.DataFrame(columns=columns)
    table = pd.concat(pieces, ignore_index=True).reindex(columns=columns)
    return table.sort_values(["y", "order"], kind="stable", key=_in_order(shown)).reset_index(drop=True)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """One panel per y, a shared legend above."""
    from analysis import style

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("No training curves yet.")
        shown = table.drop_duplicates("order").sort_values("order")
        looks = style.line_styles(list(shown["value"]))
        parts = [(y, part) for y in dict.fromkeys(table["y"]) for part in dict.fromkeys(table["panel"])]
        width = SINGLE_WIDTH if len(parts) == 1 else style.TEXT_WIDTH
        figure, panels = panel_grid(len(parts), legend=legend_height(list(shown["label"]), width))
        for panel, (y, part) in zip(panels, parts, strict=True):
            _draw_panel(panel, table[(table["y"] == y) & (table["panel"] == part)], y, config, looks)
            if part:
                panel.set_title(f"{axis_label(str(config.panels))} {part}", loc="left")
        legend_above(figure, panels)
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """What is drawn, how it is smoothed, and over how many seeds."""
    labels = [curve_label(y) for y in (config.y or dict.fromkeys(table["y"]))]
    what = " and ".join(label[0].lower() + label[1:] for label in labels) or "no column"
    start = f"Training curves by {axis_label(config.by)}: {what}."
    if table.empty:
        return f"{start} No trial has finished yet."
    counts = table["n"].dropna().astype(int)
    few, many = (counts.min(), counts.max()) if len(counts) else (1, 1)
    seeds = plural(many, "seed") if few == many else f"{few} to {many} seeds"
    lines = "Lines are means over seeds, bands the 95 % t interval of the mean"
    if table["order"].nunique() <= MAX_WITH_SEEDS:
        lines = "Faint lines are single seeds, thick lines their mean, bands the 95 % t interval of the mean"
    if many == 1:
        lines = "One line is one seed, so no interval can be given"
    smooth = int(table["smooth"].max())
    smoothing = f" Moving average over {smooth} batches." if smooth > 1 else ""
    if str(table["x_name"].iloc[0]) == "epoch":
        smoothing = " Points are means over the batches of an epoch."
    axis = " Logarithmic y axis." if config.scale == "log" else ""
    held = ", ".join(f"{axis_label(axis)} = {value_label(value)}" for axis, value in config.fixed.items())
    fixed = f" Held at {held}." if held else ""
    parents = " Warm starts begin where their parent's training ended." if config.count_parents else ""
    return f"{start} {lines} ({seeds}).{smoothing}{axis}{parents}{fixed}"


def usual_columns(curves: pd.DataFrame) -> tuple[str, ...]:
    """The loss of these curves; the first other column of numbers where none has a usual name."""
    held = [name for name in (*known_curves()[:1], *USUAL) if name in curves and curves[name].notna().any()]
    if held:
        return (held[0],)
    numbers = curves.select_dtypes("float64").drop(columns=["learning_rate"], errors="ignore")
    others = [
        name for name in numbers.columns if numbers[name].notna().any() and not name.startswith("axis_")
    ]
    return tuple(others[:1])


def _after_parents(frames: StudyFrames, x: str) -> pd.DataFrame:
    """The curves with each trial's x moved on by its parent's x where it took over, parents' parents included."""
    curves, trials = frames.curves, frames.trials.set_index("signature")
    ends: dict[str, float] = {}

    def moved_by(signature: str) -> float:
        if signature not in ends:
            ends[signature] = 0.0  # A chain has no cycles; this only bounds a damaged one.
            parent = trials["parent"].get(signature)
            if isinstance(parent, str) and parent:
                own = curves[curves["signature"] == parent]
                epoch = _start_epoch(trials["config"].get(signature))
                own = own if epoch is None else own[own["epoch"] <= epoch]
                ends[signature] = moved_by(parent) + (float(own[x].max()) if len(own) else 0.0)
        return ends[signature]

    return curves.assign(**{x: curves[x] + curves["signature"].map(moved_by)})


def _start_epoch(config: object) -> int | None:
    """The parent's epoch that a warm start takes over at; None for its last."""
    init = json.loads(config).get("init") if isinstance(config, str) else None
    return init.get("epoch") if isinstance(init, dict) else None


def _seed_curve(curve: pd.DataFrame, y: str, x: str, config: Config) -> pd.DataFrame:
    """One seed's x, loss and smooth, sorted by x, thinned to what can be seen."""
    if x == "epoch":
        means = curve.groupby("epoch")[y].mean()
        return pd.DataFrame({"x": means.index.astype(float), "loss": means.to_numpy(), "smooth": 1})
    curve = curve.sort_values(x)
    window = min(config.smooth or usual_window(len(curve)), len(curve))
    loss = trailing_mean(curve[y].to_numpy(dtype="float64"), window)
    at = curve[x].to_numpy(dtype="float64")[window - 1 :]
    keep = (
        np.unique(np.linspace(0, len(at) - 1, MAX_POINTS).astype(int))
        if len(at) > MAX_POINTS
        else slice(None)
    )
    return pd.DataFrame({"x": at[keep], "loss": loss[keep], "smooth": window})


def _mean_curve(seeds: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean over seeds and its t interval, as far as all seeds go."""
    places, values = at_shared_places([(seed["x"].to_numpy(), seed["loss"].to_numpy()) for seed in seeds])
    is_known = np.isfinite(values).all(axis=0)
    mean, low, high = mean_with_interval(values[:, is_known])
    smooth = int(seeds[0]["smooth"].iloc[0])
    lines = {"x": places[is_known], "loss": mean, "low": low, "high": high}
    return pd.DataFrame({**lines, "n": len(seeds), "smooth": smooth, "seed": np.nan})


def _draw_panel(
    panel: "PlotAxes", table: pd.DataFrame, y: str, config: Config, looks: dict[Any, dict[str, Any]]
) -> None:
    from analysis import style

    for _, lines in table.groupby("order"):
        look = looks[lines["value"].iloc[0]]
        # Bands tell the spread; beyond a few lines, seeds as well are only a tangle.
        single = lines[lines["seed"].notna()] if len(looks) <= MAX_WITH_SEEDS else lines.head(0)
        for _, line in single.groupby("seed"):
            panel.plot(line["x"], line["loss"], color=look["color"], alpha=0.25, linewidth=0.45)
        mean = lines[lines["seed"].isna()]
        panel.fill_between(
            mean["x"].astype(float), mean["low"].astype(float), mean["high"].astype(float),
            color=look["color"], alpha=0.13, linewidth=0,
        )  # fmt: skip
        panel.plot(mean["x"], mean["loss"], label=lines["label"].iloc[0], **look)
    panel.set_yscale(config.scale)
    panel.set_xlabel(x_labels()[str(table["x_name"].iloc[0])])
    panel.set_ylabel(curve_label(y))
    panel.margins(x=0.01)
    style.light_grid(panel, "y")


def _in_order(names: Sequence[str]) -> Any:
    """Sort key: `y` by its place in the options, everything else as it is."""
    return lambda column: column.map(names.index) if column.name == "y" else column


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption)
