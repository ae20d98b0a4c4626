"""Leakage: which other attributes an edit moves. Attribute trained by attribute moved."""

import json
from typing import TYPE_CHECKING, Literal

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
)
from analysis.figures._panels import seed_interval
from analysis.figures._text import Bold, TextTable
from analysis.figures.line import line_order
from analysis.frames import StudyFrames
from analysis.labels import axis_label, number, places, plural, value_label
from analysis.measurements import image_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHIFTS = "attribute_shifts"
"""Column of `evaluations`: per image, JSON {attribute: change of its cosine with that attribute's text direction,
edit minus reconstruction}."""
_COLUMNS = ["trained", "label", "order", "moved", "is_own", "mean", "low", "high", "n", "num_images"]


class Config(FigureConfig):
    """One row per editor, one column per attribute that it moves."""

    kind: Literal["leakage"]
    by: str = "attribute"
    """An axis, or `cell`; what runs down."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Values of other axes, `epoch`, `strength` or `num_sample_steps`."""

    def problems(self, axes: Axes) -> Problems:
        """Axes that do not exist."""
        return unknown_axis(("by",), self.by, [*axes, "cell"]) + unknown_fixed(self.fixed, axes, places())

    def default_name(self) -> str:
        """`leakage_attribute`."""
        return f"leakage_{self.by}"

    def heading(self) -> str:
        """`Leakage into other attributes`."""
        return "Leakage into other attributes"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per editor and attribute: the mean shift over images, then its mean and t interval over seeds."""
    shifts = _shifts(frames, config)
    held = {name: value for name, value in config.fixed.items() if name in frames.study.axes}
    cells = {value: cell for (value,), cell in frames.cells_along([config.by], held).items()}
    own_attribute = _attributes(frames)
    rows = []
    labels = line_order(frames, config.by, pd.DataFrame({f"at_{config.by}": list(cells)}))
    for order, (value, label) in enumerate(labels.items()):
        own = shifts[shifts["cell"] == cells[value]]
        for moved, column in own.groupby("moved", sort=True):
            seeds = column.groupby("seed")["shift"].mean().to_numpy(dtype=float)
            entry = {"trained": value, "label": label, "order": order, "moved": moved}
            entry |= {
                "is_own": own_attribute.get(cells[value]) == moved,
                "num_images": column["image_id"].nunique(),
            }
            rows.append(entry | seed_interval(seeds))
    return pd.DataFrame(rows, columns=_COLUMNS)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """A matrix in two hues around zero, its numbers written in; an editor's own attribute is framed."""
    from matplotlib.patches import Rectangle

    from analysis import style

    with style.styled():
        if table.empty:
            return style.nothing_to_draw("No attribute shifts measured yet.")
        matrix = _matrix(table, "mean")
        columns, rows = list(matrix.columns), list(matrix.index)
        labels = table.drop_duplicates("order").set_index("order")["label"]
        top = style.text_width(map(value_label, columns), 7.5) * 0.75 + 0.15
        left = style.text_width(labels, 7.5) + 0.2
        tile = min(0.42, (style.TEXT_WIDTH - left - 0.75) / len(columns))
        height = max(0.24, min(tile, 0.3)) * len(rows)
        width = left + tile * len(columns) + 0.75
        figure = style.new_figure(width, height + top + 0.15, w_pad=None)
        total = height + top + 0.15
        axes = figure.add_axes((left / width, 0.1 / total, tile * len(columns) / width, height / total))
        bound = float(np.nanmax(np.abs(matrix.to_numpy()))) or 1.0
        image = axes.pcolormesh(np.arange(len(columns) + 1), np.arange(len(rows) + 1), matrix.to_numpy(),
                                cmap="PuOr_r", vmin=-bound, vmax=bound, edgecolor="white", linewidth=0.8)  # fmt: skip
        for entry in table.to_dict("records"):
            x, y = columns.index(entry["moved"]), rows.index(entry["order"])
            ink = "white" if abs(entry["mean"]) > 0.6 * bound else style.INK
            shown = number(entry["mean"], signed=True, decimals=2 if bound >= 0.1 else 3)
            axes.text(
                x + 0.5, y + 0.5, shown, ha="center", va="center", color=ink, fontsize=min(7, 15 * tile)
            )
            if entry["is_own"]:
                axes.add_patch(
                    Rectangle(
                        (x + 0.04, y + 0.06), 0.92, 0.88, fill=False, edgecolor=style.INK, linewidth=1.1
                    )
                )
        axes.set_ylim(len(rows), 0)
        axes.set_yticks(np.arange(len(rows)) + 0.5, [labels[row] for row in rows], fontsize=7.5)
        axes.xaxis.tick_top()
        axes.set_xticks(np.arange(len(columns)) + 0.5, list(map(value_label, columns)), fontsize=7.5,
                        rotation=45, ha="left", rotation_mode="anchor")  # fmt: skip
        axes.tick_params(length=0, pad=2)
        for side in axes.spines.values():
            side.set_visible(False)
        bar = figure.add_axes(
            ((left + tile * len(columns) + 0.12) / width, 0.1 / total, 0.09 / width, height / total)
        )
        figure.colorbar(image, cax=bar).ax.tick_params(labelsize=6.5, length=2)
        bar.locator_params(axis="y", nbins=5)
        return figure


def caption(table: pd.DataFrame, config: Config) -> str:
    """What a number is, and over what it is averaged."""
    start = "Change of the image's cosine with each attribute's text direction, edit minus reconstruction"
    if table.empty:
        return f"{start}. No attribute shifts measured yet."
    seeds, images = plural(int(table["n"].max()), "seed"), plural(int(table["num_images"].max()), "image")
    return (
        f"{start}. Rows: what was trained; columns: what moved; frames: an editor's own attribute. Means over "
        f"{images}, then over {seeds}. Everything outside the frames is leakage."
    )


def text(table: pd.DataFrame, config: Config) -> TextTable:
    """The matrix with its numbers; own attributes bold."""
    columns = sorted(table["moved"].unique())
    rows = []
    for _, own in table.groupby("order"):
        at = own.set_index("moved")
        entries = []
        for moved in columns:
            shown = (
                number(float(at.loc[moved, "mean"]), signed=True, decimals=3) if moved in at.index else "–"
            )
            entries.append(Bold(shown) if moved in at.index and at.loc[moved, "is_own"] else shown)
        rows.append([str(own["label"].iloc[0]), *entries, str(own["n"].max())])
    return TextTable([axis_label(config.by), *map(value_label, columns), "n"], rows)


def _matrix(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Editors by attributes: own attributes first, in the order of the editors, so that they stand on a diagonal."""
    matrix = table.pivot_table(index="order", columns="moved", values=column, aggfunc="first")
    own = list(dict.fromkeys(table.sort_values("order").loc[table["is_own"], "moved"]))
    return matrix[[*own, *(name for name in matrix.columns if name not in own)]]


def _shifts(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """Columns cell, seed, image_id, moved, shift at the asked place."""
    columns = ["cell", "seed", "image_id", "moved", "shift"]
    rows = image_rows(frames, SHIFTS, config.fixed)
    found = [
        [cell, seed, image, moved, shift]
        for cell, seed, image, text in rows[["cell", "seed", "image_id", SHIFTS]].itertuples(index=False)
        for moved, shift in json.loads(text).items()
    ]
    return pd.DataFrame(found, columns=columns)


def _attributes(frames: StudyFrames) -> dict[str, str]:
    """cell -> the attribute that it was trained for."""
    known = frames.trials[frames.trials["config"].notna()].drop_duplicates("cell")
    return {
        str(cell): json.loads(text).get("attribute", "")
        for cell, text in zip(known["cell"], known["config"], strict=True)
    }


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, text=text)
