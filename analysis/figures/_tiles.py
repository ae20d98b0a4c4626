"""Laying out pictures with labels, in inches; small pictures are enlarged by whole pixels."""

import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import style
from analysis.figures._edits import MADE
from analysis.figures._tile_layout import (
    LABEL_SIZE,
    LINE,
    Layout,
    find_layout,
    has_title,
    is_signed,
    is_turned,
)
from analysis.labels import Sweep, axis_label, swept

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_tiles(table: pd.DataFrame, dimensions: tuple[str, str, str]) -> "Figure":
    """Draw the frame of `image_grid.compute`; `dimensions` are what runs over panels, rows and columns."""
    table = table.assign(is_strip=(table["kind"] != MADE) & ("image" not in dimensions[1:]))
    pictures = {key: decode(png) for key, png in table["png"].items() if png is not None}
    layout = find_layout(table, dimensions, max(picture.shape[1] for picture in pictures.values()))
    figure = style.new_figure(*layout.size, w_pad=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for key, tile in zip(table.index, table.to_dict("records"), strict=True):
        left, top = layout.corner(tile["panel"], tile["row"], tile["column"], tile["is_strip"])
        if key in pictures:
            extent = (left, left + layout.tile, top + layout.tile, top)
            axes.imshow(_enlarged(pictures[key]), extent=extent, interpolation="antialiased")
        else:
            _draw_gap(axes, left, top, layout.tile, str(tile["status"]))
    for panel in range(layout.num_panels):
        _label_panel(axes, table[table["panel"] == panel], layout, panel, dimensions)
    axes.set_xlim(0, layout.size[0])
    axes.set_ylim(layout.size[1], 0)
    axes.set_aspect("auto")
    return figure


def decode(png: bytes) -> NDArray[np.uint8]:
    """A PNG's pixels, (H, W, 3)."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def _enlarged(picture: NDArray[np.uint8], at_least: int = 192) -> NDArray[np.uint8]:
    """Repeat whole pixels until no viewer will smooth them."""
    factor = max(1, -(-at_least // picture.shape[1]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def _label_panel(
    axes: "Axes", own: pd.DataFrame, layout: Layout, panel: int, dimensions: tuple[str, str, str]
) -> None:
    panels, rows, columns = dimensions
    left, top = layout.origin(panel)
    if layout.panel_title:
        title = f"{axis_label(panels)} = {own['panel_label'].iloc[0]}"
        axes.text(left + layout.panel_width / 2, top + LINE / 2, title, ha="center", va="center", fontsize=8)
    _label_columns(axes, own[~own["is_strip"]], layout, panel, columns)
    if panel % layout.panels_per_row == 0:
        _label_rows(axes, own[~own["is_strip"]], layout, panel, rows)
    for tile in own[own["is_strip"]].to_dict("records"):
        x, y = layout.corner(panel, -1, tile["column"], True)
        axes.text(
            x + layout.tile / 2, y - 0.025, tile["column_label"], ha="center", va="bottom", fontsize=6.5
        )


def _label_columns(axes: "Axes", own: pd.DataFrame, layout: Layout, panel: int, name: str) -> None:
    first_row = -layout.reference_rows
    labels = own[own["column_label"] != ""].drop_duplicates("column").to_dict("records")
    is_axis_turned = any(
        is_turned(tile["column_label"], layout.tile) for tile in labels if tile["column"] >= 0
    )
    for tile in labels:
        label = tile["column_label"]
        # All values of the axis are turned when one has to be; references decide for themselves.
        turned = is_axis_turned if tile["column"] >= 0 else is_turned(label, layout.tile)
        x, y = layout.corner(panel, first_row, tile["column"], False)
        text = axes.text(x + layout.tile / 2, y - 0.03, label, fontsize=LABEL_SIZE, ha="center", va="bottom")
        text.set_rotation(90 if turned else 0)
    if has_title(own.loc[own["kind"] == MADE, "column_label"], name):
        start, y = layout.corner(panel, first_row, 0, False)
        end, _ = layout.corner(panel, first_row, layout.num_columns - 1, False)
        middle = (start + end + layout.tile) / 2
        title = axes.text(middle, y - 0.03 - LINE, axis_label(name), ha="center", va="bottom")
        title.set(fontsize=LABEL_SIZE, color=style.MUTED, style="italic")
    along = swept()
    if along is not None and is_signed(own, name):
        _draw_arrows(axes, own[own["kind"] == MADE], along, layout, panel)


def _draw_arrows(axes: "Axes", edits: pd.DataFrame, along: Sweep, layout: Layout, panel: int) -> None:
    """Arrows to both ends of a strip that begins in its middle, with what lies there."""
    first = -layout.reference_rows
    _, y = layout.corner(panel, first, 0, False)
    y -= 0.06 + 2 * LINE
    below, above = (_one_of(edits[name]) for name in ("below", "above"))
    size = (edits[along.name] - along.start).abs()
    middle = float(edits.loc[size == size.min(), "column"].iloc[0])
    centre = layout.corner(panel, first, 0, False)[0] + middle * layout.step + layout.tile / 2
    left, _ = layout.corner(panel, first, 0, False)
    right = layout.corner(panel, first, layout.num_columns - 1, False)[0] + layout.tile
    for end, words in ((left, below), (right, above)):
        away = 0.12 if end > centre else -0.12
        axes.annotate(
            "", xy=(end, y), xytext=(centre + away, y),
            arrowprops={"arrowstyle": "-|>", "color": style.INK, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        text = axes.text((centre + away + end) / 2, y - 0.03, words, ha="center", va="bottom")
        text.set_fontsize(LABEL_SIZE)


def _one_of(texts: "pd.Series[str]") -> str:
    """What all of them say; nothing where they differ."""
    known = set(texts) - {""}
    return known.pop() if len(known) == 1 else ""


def _label_rows(axes: "Axes", own: pd.DataFrame, layout: Layout, panel: int, name: str) -> None:
    first_column = -layout.reference_columns
    for tile in own[own["row_label"] != ""].drop_duplicates("row").to_dict("records"):
        x, y = layout.corner(panel, tile["row"], first_column, False)
        label = tile["row_label"]
        axes.text(x - 0.05, y + layout.tile / 2, label, ha="right", va="center", fontsize=LABEL_SIZE)
    if has_title(own.loc[own["kind"] == MADE, "row_label"], name):
        _, top = layout.corner(panel, 0, 0, False)
        _, bottom = layout.corner(panel, layout.num_rows - 1, 0, False)
        middle = (top + bottom + layout.tile) / 2
        title = axes.text(LINE / 2, middle, axis_label(name), ha="center", va="center", rotation=90)
        title.set(fontsize=LABEL_SIZE, color=style.MUTED, style="italic")


def _draw_gap(axes: "Axes", left: float, top: float, tile: float, status: str) -> None:
    """A pale square with the reason why there is no picture."""
    from matplotlib.patches import Rectangle

    square = Rectangle((left, top), tile, tile, facecolor="#f2f2f2", edgecolor=style.HAIRLINE, linewidth=0.4)
    axes.add_patch(square)
    reason = axes.text(left + tile / 2, top + tile / 2, status.replace(" ", "\n"), ha="center", va="center")
    reason.set(fontsize=5.5, color=style.MUTED)
