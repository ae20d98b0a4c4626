"""Laying out pictures with labels, in inches; small pictures are enlarged by whole pixels."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis import style
from analysis.labels import axis_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.01
REFERENCE_GAP = 0.07
PANEL_GAP = 0.12
MAX_TILE = 0.64
MIN_TILE = 0.28
"""Inches; panels go below each other before their tiles get smaller."""
LABEL_SIZE = 7.5
LINE = 0.14
"""Height of a line of labels, in inches."""


@dataclass(frozen=True)
class _Layout:
    """Sizes in inches. A panel is a grid of tiles with its references on top, left, or in a strip."""

    tile: float
    num_rows: int
    num_columns: int
    reference_rows: int
    reference_columns: int
    strip: int
    """References in a strip above the grid, with headings of their own; 0 for none."""
    row_labels: float
    column_labels: float
    panel_title: float
    panels_per_row: int
    num_panels: int

    @property
    def step(self) -> float:
        return self.tile + GAP

    @property
    def panel_width(self) -> float:
        columns = max(self.num_columns + self.reference_columns, self.strip)
        return columns * self.step - GAP + (REFERENCE_GAP if self.reference_columns else 0)

    @property
    def strip_height(self) -> float:
        return self.step + LINE + REFERENCE_GAP if self.strip else 0

    @property
    def panel_height(self) -> float:
        rows = (self.num_rows + self.reference_rows) * self.step - GAP
        above = self.panel_title + self.strip_height + self.column_labels
        return above + rows + (REFERENCE_GAP if self.reference_rows else 0)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the figure."""
        lines = -(-self.num_panels // self.panels_per_row)
        width = self.row_labels + self.panels_per_row * (self.panel_width + PANEL_GAP) - PANEL_GAP
        return width + 0.02, lines * (self.panel_height + PANEL_GAP) - PANEL_GAP + 0.02

    def origin(self, panel: int) -> tuple[float, float]:
        """Left and top of a panel."""
        line, place = divmod(panel, self.panels_per_row)
        left = self.row_labels + place * (self.panel_width + PANEL_GAP)
        return left, line * (self.panel_height + PANEL_GAP)

    def corner(self, panel: int, row: int, column: int, is_strip: bool) -> tuple[float, float]:
        """Left and top of a tile; references have negative rows or columns."""
        left, top = self.origin(panel)
        top += self.panel_title
        if is_strip:
            return left + (column + 0.5) * self.panel_width / self.strip - self.tile / 2, top + LINE
        top += self.strip_height + self.column_labels
        x = left + (column + self.reference_columns) * self.step
        y = top + (row + self.reference_rows) * self.step
        return (
            x + (REFERENCE_GAP if self.reference_columns and column >= 0 else 0),
            y + (REFERENCE_GAP if self.reference_rows and row >= 0 else 0),
        )


def draw_tiles(table: pd.DataFrame, dimensions: tuple[str, str, str]) -> "Figure":
    """Draw the frame of `image_grid.compute`; `dimensions` are what runs over panels, rows and columns."""
    table = table.assign(is_strip=(table["kind"] != "edit") & ("image" not in dimensions[1:]))
    pictures = {key: decode(png) for key, png in table["png"].items() if png is not None}
    layout = _layout(table, dimensions, max(picture.shape[1] for picture in pictures.values()))
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


def _layout(table: pd.DataFrame, dimensions: tuple[str, str, str], pixels: int) -> _Layout:
    """Sizes at which everything fits the width of the text; `pixels` is the width of a picture."""
    edits, references = table[table["kind"] == "edit"], table[table["kind"] != "edit"]
    beside = references[~references["is_strip"]]
    num_panels = int(table["panel"].max()) + 1
    num_columns = int(edits["column"].max()) + 1
    reference_columns = -min(0, int(beside["column"].min())) if len(beside) else 0
    strip = references["kind"].nunique() if references["is_strip"].any() else 0
    widest = style.text_width([label for label in table["row_label"] if label], LABEL_SIZE)
    title = LINE + 0.05 if _has_title(edits["row_label"], dimensions[1]) else 0.0
    row_labels = title + widest + 0.07 if widest else 0.0
    across = max(num_columns + reference_columns, strip)
    tile, per_row = _tile_size(num_panels, across, style.TEXT_WIDTH - row_labels - 0.05, pixels)
    return _Layout(
        tile=tile,
        num_rows=int(edits["row"].max()) + 1,
        num_columns=num_columns,
        reference_rows=-min(0, int(beside["row"].min())) if len(beside) else 0,
        reference_columns=reference_columns,
        strip=strip,
        row_labels=row_labels,
        column_labels=_column_label_height(table[~table["is_strip"]], dimensions[2], tile),
        panel_title=LINE + 0.04 if dimensions[0] not in ("", "image") else 0.0,
        panels_per_row=per_row,
        num_panels=num_panels,
    )


def _tile_size(num_panels: int, across: int, space: float, pixels: int) -> tuple[float, int]:
    """(inches of a tile, panels per row): as many panels in a row as leave tiles of a fair size."""
    for per_row in range(num_panels, 0, -1):
        gaps = (per_row - 1) * PANEL_GAP + per_row * REFERENCE_GAP
        tile = min(MAX_TILE, (space - gaps) / (per_row * across) - GAP)
        if tile >= MIN_TILE or per_row == 1:
            break
    exact = int(tile * style.DPI / pixels) * pixels / style.DPI  # Whole screen pixels per picture pixel.
    return (exact if exact > 0.75 * tile else tile), per_row


def _has_title(labels: "pd.Series[str]", name: str) -> bool:
    """Bare numbers need the name of their axis beside them; names speak for themselves."""
    return name != "image" and all(label.replace(".", "").lstrip("-").isdigit() for label in labels)


def _column_label_height(table: pd.DataFrame, name: str, tile: float) -> float:
    labels = [label for label in table["column_label"] if label]
    if not labels:
        return 0.0
    title = LINE if _has_title(table.loc[table["kind"] == "edit", "column_label"], name) else 0.0
    turned = [label for label in labels if _is_turned(label, tile)]
    return title + (style.text_width(turned, LABEL_SIZE) + 0.06 if turned else LINE)


def _is_turned(label: str, tile: float) -> bool:
    return style.text_width([label], LABEL_SIZE) > tile + 0.04


def _label_panel(
    axes: "Axes", own: pd.DataFrame, layout: _Layout, panel: int, dimensions: tuple[str, str, str]
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


def _label_columns(axes: "Axes", own: pd.DataFrame, layout: _Layout, panel: int, name: str) -> None:
    first_row = -layout.reference_rows
    labels = own[own["column_label"] != ""].drop_duplicates("column").to_dict("records")
    is_axis_turned = any(
        _is_turned(tile["column_label"], layout.tile) for tile in labels if tile["column"] >= 0
    )
    for tile in labels:
        label = tile["column_label"]
        # All values of the axis are turned when one has to be; references decide for themselves.
        is_turned = is_axis_turned if tile["column"] >= 0 else _is_turned(label, layout.tile)
        x, y = layout.corner(panel, first_row, tile["column"], False)
        text = axes.text(x + layout.tile / 2, y - 0.03, label, fontsize=LABEL_SIZE, ha="center", va="bottom")
        text.set_rotation(90 if is_turned else 0)
    if _has_title(own.loc[own["kind"] == "edit", "column_label"], name):
        start, y = layout.corner(panel, first_row, 0, False)
        end, _ = layout.corner(panel, first_row, layout.num_columns - 1, False)
        middle = (start + end + layout.tile) / 2
        title = axes.text(middle, y - 0.03 - LINE, axis_label(name), ha="center", va="bottom")
        title.set(fontsize=LABEL_SIZE, color=style.MUTED, style="italic")


def _label_rows(axes: "Axes", own: pd.DataFrame, layout: _Layout, panel: int, name: str) -> None:
    first_column = -layout.reference_columns
    for tile in own[own["row_label"] != ""].drop_duplicates("row").to_dict("records"):
        x, y = layout.corner(panel, tile["row"], first_column, False)
        label = tile["row_label"]
        axes.text(x - 0.05, y + layout.tile / 2, label, ha="right", va="center", fontsize=LABEL_SIZE)
    if _has_title(own.loc[own["kind"] == "edit", "row_label"], name):
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
