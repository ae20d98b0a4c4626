"""Tables: cells, axis values, epochs or coordinates against metrics or the values of another axis."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field

from analysis.figures._base import (
    Axes,
    AxisValue,
    FigureConfig,
    FigureKind,
    Names,
    Problems,
    as_tuple,
    unknown_axis,
    unknown_fixed,
    unknown_metrics,
    used_twice,
)
from analysis.figures._text import Bold, TextTable
from analysis.frames import StudyFrames, summary_metrics
from analysis.labels import (
    axis_label,
    decimals_for,
    known_curves,
    known_metrics,
    metric_info,
    number,
    places,
    swept,
    value_label,
)
from analysis.measurements import values_over
from analysis.stats import t_interval

METRIC = "metric"
"""What stands for the metrics in `columns`."""
BASELINE_MARK = " †"

_COLUMNS = [
    *["row", "row_label", "column", "column_label", "cell", "metric", "mean", "spread", "n"],
    *["num_planned", "num_failed", "num_stopped", "is_baseline", "is_best"],
]
Spread = Literal["interval", "seeds", "images", "none"]


class Config(FigureConfig):
    """What runs down and across; several metrics under an axis across become rows of their own."""

    kind: Literal["table"]
    rows: Annotated[str | tuple[str, ...], BeforeValidator(as_tuple)] = "cell"
    """`cell`, an axis, `epoch`, a coordinate, or a list of these."""
    columns: str = METRIC
    """`metric`, or one of what `rows` can be."""
    metrics: Annotated[Names | None, Field(min_length=1)] = None
    """In this order; all that any trial has, primary first, when left out."""
    spread: Spread = "interval"
    """After ±: half width of the 95 % t interval over seeds. In brackets: standard deviation over `seeds`, or over
    `images` (mean over seeds)."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Axis values, `epoch` or a coordinate; the baseline's and the primary ones when left out."""

    @property
    def down(self) -> tuple[str, ...]:
        """What runs over rows."""
        return (self.rows,) if isinstance(self.rows, str) else self.rows

    @property
    def across(self) -> tuple[str, ...]:
        """What runs over columns beside metrics: nothing or one name."""
        return () if self.columns == METRIC else (self.columns,)

    def problems(self, axes: Axes) -> Problems:
        """Metrics and axes that do not exist, and one dimension used twice."""
        known = [*axes, "cell", *places()]
        problems = [p for name in self.down for p in unknown_axis(("rows",), name, known)]
        problems += unknown_axis(("columns",), self.columns, [*known, METRIC])
        problems += used_twice({"rows": self.down[0], "columns": self.columns})
        problems += unknown_fixed(self.fixed, axes, places())
        return problems + unknown_metrics("metrics", self.metrics)

    def default_name(self) -> str:
        """`table`, `table_depth_heads`."""
        if self.down == ("cell",) and not self.across:
            return "table"
        return "_".join(["table", *self.down, *self.across])

    def heading(self) -> str:
        """`All metrics by cell`."""
        names = " and ".join(map(axis_label, (*self.down, *self.across)))
        if self.metrics is None:
            return f"All metrics by {names}"
        shown = ", ".join(metric_info(name).label for name in self.metrics)
        return f"{shown} by {names}"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per entry: mean over seeds, `spread` (NaN below two seeds), counts of trials behind the row.

    `is_best` marks the best mean of a metric that doing nothing cannot win, down each column. Failed and
    stopped trials are counted, not averaged.
    """
    metrics = config.metrics or _present(frames)
    over = [*config.down, *config.across]
    rows = [entry for metric in metrics for entry in _entries(frames, config, metric, over)]
    table = pd.DataFrame(rows, columns=_COLUMNS[:-1])
    signed = table["mean"] * table["metric"].map(lambda name: metric_info(name).sign)
    best = signed.groupby([table["metric"], table["column"]]).transform("max")
    is_judged = table["metric"].map(lambda name: can_be_best(name, frames.primary_metric))
    return table.assign(is_best=(signed == best) & table["mean"].notna() & is_judged.astype(bool))


def caption(table: pd.DataFrame, config: Config) -> str:
    """What the numbers and marks mean."""
    meaning = {
        "interval": "Mean over seeds ± half width of its 95 % t interval.",
        "seeds": "Mean over seeds (standard deviation over seeds).",
        "images": "Mean over seeds (standard deviation over images, mean over seeds).",
        "none": "Mean over seeds.",
    }
    text = f"{meaning[config.spread]} The best mean is bold, which is not a test: the contrasts are."
    if any(not can_be_best(name, "") for name in table["metric"].unique()):
        text += " No distance is marked, since leaving the image as it is would win it."
    if config.across:
        text += f" Columns: {axis_label(config.columns)}."
    if table["is_baseline"].any() and not config.across:
        text += " † marks the baseline."
    held = ", ".join(f"{axis_label(name)} = {value_label(value)}" for name, value in config.fixed.items())
    text += f" Held at {held}." if held else ""
    if table["num_failed"].any():
        text += " n counts finished trials; failed ones have no value."
    return text


def text(table: pd.DataFrame, config: Config) -> TextTable:
    """The table as it is printed: label, one entry per column, n."""
    if config.across:
        return _across_an_axis(table, config)
    metrics = list(dict.fromkeys(table["metric"]))
    titles = [
        _down(config),
        *(f"{metric_info(name).label} {metric_info(name).arrow}" for name in metrics),
        "n",
    ]
    rows = []
    for _, own in table.groupby("row", sort=False):
        label = str(own["row_label"].iloc[0]) + (BASELINE_MARK if own["is_baseline"].iloc[0] else "")
        entries = own.set_index("metric")
        rows.append([label, *(_entry(entries.loc[name], config) for name in metrics), _count(own)])
    return TextTable(titles, rows)


def _down(config: Config) -> str:
    """What the first column names."""
    return ", ".join(map(axis_label, config.down))


def can_be_best(metric: str, primary: str) -> bool:
    """Along a sweep a metric where lower is better may be a distance from the item, which doing nothing wins."""
    return (
        metric == primary
        or metric_info(metric).higher_is_better
        or metric in known_curves()
        or swept() is None
    )


def _across_an_axis(table: pd.DataFrame, config: Config) -> TextTable:
    columns = list(dict.fromkeys(zip(table["column"], table["column_label"], strict=True)))
    several = table["metric"].nunique() > 1
    rows = []
    for (metric, _), own in table.groupby(["metric", "row"], sort=False):
        info = metric_info(str(metric))
        at = own.set_index("column")
        entries = [_entry(at.loc[name], config) if name in at.index else "–" for name, _ in columns]
        name = [f"{info.label} {info.arrow}"] if several else []
        rows.append([str(own["row_label"].iloc[0]), *name, *entries, _count(own)])
    titles = [_down(config), *([METRIC] if several else []), *(label for _, label in columns), "n"]
    return TextTable(titles, rows, 2 if several else 1)


def _entries(frames: StudyFrames, config: Config, metric: str, over: Sequence[str]) -> list[list[object]]:
    """One row of the frame per place of the table for a metric, those without any value included."""
    values = values_over(frames, metric, over, config.fixed)
    places = _places(frames, config, values, over)
    measured = values[values["value"].notna()]
    by_point = dict(iter(measured.groupby([f"at_{name}" for name in over], sort=False)))
    trials = frames.trials[["cell", "is_stopped"]]
    lost = trials.assign(failed=frames.trials["status"].isin(["failed", "skipped"]))
    counts = lost.groupby("cell", observed=False).agg(
        planned=("failed", "size"), failed=("failed", "sum"), stopped=("is_stopped", "sum")
    )
    by_cell = dict(zip(counts.index, counts.astype(int).itertuples(index=False, name=None), strict=True))
    rows: list[list[object]] = []
    for point, cell in places.items():
        own, (planned, failed, stopped) = by_point.get(point, measured.head(0)), by_cell[cell]
        down, across = point[: len(config.down)], point[len(config.down) :]
        mean = float(own["value"].mean()) if len(own) else np.nan
        names = [_label(frames, name, value) for name, value in zip(over, point, strict=True)]
        row_label = ", ".join(names[: len(down)])
        place = [repr(down), row_label, repr(across), ", ".join(names[len(down) :])]
        rows.append(
            [*place, cell, metric, mean, _spread(own, config.spread), len(own), planned, failed, stopped,
             cell == frames.baseline]
        )  # fmt: skip
    return rows


def _places(
    frames: StudyFrames, config: Config, values: pd.DataFrame, over: Sequence[str]
) -> dict[tuple[AxisValue, ...], str]:
    """Every point of the table and its cell, in the order of the space; measured places ascending."""
    axes = [name for name in over if name not in places()]
    held = {name: value for name, value in config.fixed.items() if name in frames.study.axes}
    found: dict[tuple[AxisValue, ...], str] = {}
    for at, cell in frames.cells_along(axes, held).items():
        named = dict(zip(axes, at, strict=True))
        own = values[values["cell"] == cell]
        points: list[dict[str, AxisValue]] = [{}]
        for name in over:
            if name in places():
                seen = sorted(own[f"at_{name}"].dropna().unique())
                points = [point | {name: float(value)} for point in points for value in seen]
        for point in points:
            found[tuple((named | point)[name] for name in over)] = cell
    return found


def _spread(own: pd.DataFrame, spread: Spread) -> float:
    values = own["value"].to_numpy(dtype=float)
    if spread == "interval":
        interval = t_interval(values)
        return (interval.high - interval.low) / 2
    if spread == "images":
        return float(own["std_images"].mean())
    return float(np.std(values, ddof=1)) if spread == "seeds" and len(values) > 1 else np.nan


def _label(frames: StudyFrames, name: str, value: AxisValue) -> str:
    if name == "cell":
        return frames.cell_label(str(value))
    return f"{axis_label(name)} {value_label(value)}" if name in places() else value_label(value)


def _present(frames: StudyFrames) -> list[str]:
    """All summary metrics known to the registry, the primary one first."""
    known = set(known_metrics()) - set(known_curves()[1:])
    found = [name for name in summary_metrics(frames.trials) if name in known]
    first = frames.primary_metric
    return [first, *(name for name in found if name != first)]


def _count(own: pd.DataFrame) -> str:
    n, planned = int(own["n"].max()), int(own["num_planned"].max())
    parts = [f"{int(own[f'num_{word}'].max())} {word}" for word in ("failed", "stopped")]
    lost = ", ".join(part for part in parts if not part.startswith("0 "))
    return f"{n}" if n == planned else f"{n} of {planned}" + (f" ({lost})" if lost else "")


def _entry(row: pd.Series, config: Config) -> str:
    if np.isnan(row["mean"]):
        return "–"
    decimals = decimals_for(row["spread"])
    shown = number(row["mean"], decimals=decimals)
    if decimals is not None:
        spread = number(row["spread"], decimals=decimals)
        shown += f" ± {spread}" if config.spread == "interval" else f" ({spread})"
    return Bold(shown) if row["is_best"] else shown


FIGURE = FigureKind(config=Config, compute=compute, caption=caption, text=text)
