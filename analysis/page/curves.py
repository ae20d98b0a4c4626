"""The training curves of a page: one thinned line per trial and column, and means over the seeds of a cell."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.curve_lines import (
    LEVEL,
    at_shared_places,
    extremes,
    mean_with_interval,
    trailing_mean,
    usual_window,
)
from analysis.figures.curves import usual_columns
from analysis.frames import StudyFrames
from analysis.labels import curve_label, known_curves, x_labels
from analysis.page.shape import CurveColumn, Curves, MeanLine, Packed, SeedLine
from analysis.stats import FloatArray

MAX_POINTS = 200
"""Points of a line: more than a plot of this page can show."""
MIN_POINTS = 40
"""Points of a line however many lines there are."""
MAX_SEED_VALUES = 1_000_000
MAX_MEAN_VALUES = 250_000
"""Points of all lines together: a page has room for about so many."""
_NOT_DRAWN = {"batch", "attempt", "seed"}
_GAP = 65535
"""Code of a number that is not there."""


def curves_of(frames: StudyFrames) -> Curves:
    """The curves of every trial that has some."""
    columns = _columns(frames)
    x = "optimizer_step" if frames.curves["optimizer_step"].notna().any() else "epoch"
    lines = _Lines(frames, x, columns)
    caption = (
        "Lines with a band are means over the seeds of a cell, as far as all of them go, smoothed by a moving average "
        f"over a twentieth of a curve, with the {100 * LEVEL:g} % t interval of the mean; between its own points "
        "a seed counts as a straight line. Single seeds are not smoothed; of long ones the lowest and highest point of "
        "every stretch are drawn."
    )
    return {
        "x": {"name": x, "label": x_labels()[x]},
        "columns": [CurveColumn(name=name, label=curve_label(name)) for name in columns],
        "seeds": lines.seeds(),
        "means": lines.means(),
        "grids": lines.grids.arrays,
        "caption": caption,
        "num_rows": len(frames.curves),
    }


def _columns(frames: StudyFrames) -> list[str]:
    """Columns that can be drawn, the one that matters most first."""
    held = frames.curves.select_dtypes("number")
    names = [
        name
        for name in dict.fromkeys([*known_curves(), *held.columns])
        if name in held and held[name].notna().any()
    ]
    left_out = {*_NOT_DRAWN, *x_labels()}
    names = [name for name in names if name not in left_out and not name.startswith("axis_")]
    asked = [y for figure in frames.study.figures if figure.get("kind") == "curves" for y in _listed(figure)]
    first = [name for name in [*asked, *usual_columns(frames.curves)] if name in names]
    return list(dict.fromkeys([*first, *names]))


def _listed(figure: object) -> list[str]:
    y = figure.get("y") if isinstance(figure, dict) else None
    return [y] if isinstance(y, str) else list(y or ())


@dataclass
class _Grids:
    """Places of points, each kept once."""

    arrays: list[list[float]] = field(default_factory=list)
    _known: dict[bytes, int] = field(default_factory=dict)

    def index(self, x: FloatArray) -> int:
        """The number of a grid, which is added where it is new."""
        key = x.tobytes()
        if key not in self._known:
            self._known[key] = len(self.arrays)
            self.arrays.append([float(f"{value:.7g}") for value in x])
        return self._known[key]


class _Lines:
    """The rows of the curves, by trial."""

    def __init__(self, frames: StudyFrames, x: str, columns: Sequence[str]) -> None:
        rows = frames.curves
        if x == "epoch":
            rows = rows.groupby(["signature", "epoch"], sort=False)[list(columns)].mean().reset_index()
        place = {signature: index for index, signature in enumerate(frames.trials["signature"])}
        trial = rows["signature"].map(place).to_numpy(dtype=np.int64)
        at = rows[x].to_numpy(dtype=np.float64)
        order = np.lexsort((at, trial))
        starts = np.flatnonzero(np.diff(trial[order], prepend=-1))
        self._trials = [int(index) for index in trial[order][starts]]
        self._x = np.split(at[order], starts[1:]) if len(starts) else []
        self._y = [
            np.split(rows[name].to_numpy(dtype=np.float64)[order], starts[1:]) if len(starts) else []
            for name in columns
        ]
        self._is_smoothed = x != "epoch"
        self._cells = frames.trials["cell"].cat.codes.to_numpy()
        self.grids = _Grids()

    def seeds(self) -> list[SeedLine]:
        """A line per trial and column; columns without a number in a trial are left out."""
        lines: list[SeedLine] = []
        points = _room(MAX_SEED_VALUES, len(self._trials) * len(self._y))
        for place, trial in enumerate(self._trials):
            for column, y in enumerate(self._y):
                own = y[place]
                if np.isnan(own).all():
                    continue
                at = self._x[place]
                if len(own) > points:
                    own = own[extremes(own, points).ravel()]
                    # Trials of one length share their grid: where in its stretch a peak lies is not seen.
                    at = at[np.linspace(0, len(at) - 1, len(own)).round().astype(int)]
                lines.append(
                    {"trial": trial, "column": column, "grid": self.grids.index(at), "y": packed(own)}
                )
        return lines

    def means(self) -> list[MeanLine]:
        """A line per column and cell with two trials or more, as far as all of them go."""
        lines: list[MeanLine] = []
        by_cell: dict[int, list[int]] = {}
        for place, trial in enumerate(self._trials):
            by_cell.setdefault(int(self._cells[trial]), []).append(place)
        several = {cell: places for cell, places in by_cell.items() if len(places) > 1}
        points = _room(MAX_MEAN_VALUES, 3 * len(several) * len(self._y))
        for cell, places in several.items():
            for column in range(len(self._y)):
                at, seeds = self._shared(column, places)
                if len(seeds) < 2 or not len(at):
                    continue
                mean, low, high = mean_with_interval(seeds)
                kept = np.unique(extremes(mean, points)) if len(mean) > points else slice(None)
                line: MeanLine = {
                    "cell": cell,
                    "column": column,
                    "grid": self.grids.index(at[kept]),
                    "n": len(seeds),
                    "y": packed(mean[kept]),
                    "low": packed(low[kept]),
                    "high": packed(high[kept]),
                }
                lines.append(line)
        return lines

    def _shared(self, column: int, places: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """Smoothed curves (seeds, points) of a cell, and their x."""
        curves = [
            self._smoothed(column, place) for place in places if not np.isnan(self._y[column][place]).all()
        ]
        if len(curves) < 2:
            return np.empty(0), np.empty((0, 0))
        return at_shared_places(curves)

    def _smoothed(self, column: int, place: int) -> tuple[FloatArray, FloatArray]:
        x, y = self._x[place], self._y[column][place]
        window = usual_window(len(y)) if self._is_smoothed else 1
        return x[window - 1 :], trailing_mean(y, window)


def _room(values: int, lines: int) -> int:
    """Points of each of so many lines; even, for a stretch takes two."""
    return min(MAX_POINTS, max(MIN_POINTS, values // max(lines, 1))) // 2 * 2


def packed(values: FloatArray) -> Packed:
    """Numbers in 16 bits each, by their logarithms where all are positive and span more than a factor of ten."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    is_log = low > 0 and high / low > 10
    shown = np.where(np.isfinite(values), values, low)
    share = np.log(shown / low) / np.log(high / low) if is_log else (shown - low) / (high - low or 1.0)
    codes = np.where(np.isfinite(values), (share * (_GAP - 1)).round(), _GAP).astype("<u2")
    return {"low": low, "high": high, "is_log": is_log, "codes": base64.b64encode(codes.tobytes()).decode()}
