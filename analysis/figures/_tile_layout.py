"""Sizes and places of a grid of pictures, in inches."""

import re
from dataclasses import dataclass

import pandas as pd

from analysis import style
from analysis.figures._edits import MADE
from analysis.labels import swept

GAP = 0.01
ARROWS = 0.26
"""Height of the arrows over a signed strip, with their words."""
REFERENCE_GAP = 0.07
PANEL_GAP = 0.12
MAX_TILE = 0.64
MIN_TILE = 0.28
"""Inches; panels go below each other before their tiles get smaller."""
LABEL_SIZE = 7.5
_NUMBER = re.compile(r"−?[\d.]+(e-?\d+)?|repr\.|none")
LINE = 0.14
"""Height of a line of labels, in inches."""


@dataclass(frozen=True)
class Layout:
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


def find_layout(table: pd.DataFrame, dimensions: tuple[str, str, str], pixels: int) -> Layout:
    """Sizes at which everything fits the width of the text; `pixels` is the width of a picture."""
    edits, references = table[table["kind"] == MADE], table[table["kind"] != MADE]
    beside = references[~references["is_strip"]]
    num_panels = int(table["panel"].max()) + 1
    num_columns = int(edits["column"].max()) + 1
    reference_columns = -min(0, int(beside["column"].min())) if len(beside) else 0
    strip = references["kind"].nunique() if references["is_strip"].any() else 0
    widest = style.text_width([label for label in table["row_label"] if label], LABEL_SIZE)
    title = LINE + 0.05 if has_title(edits["row_label"], dimensions[1]) else 0.0
    row_labels = title + widest + 0.07 if widest else 0.0
    across = max(num_columns + reference_columns, strip)
    tile, per_row = _tile_size(num_panels, across, style.TEXT_WIDTH - row_labels - 0.05, pixels)
    return Layout(
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


def has_title(labels: "pd.Series[str]", name: str) -> bool:
    """Bare numbers need the name of their axis beside them; names speak for themselves."""
    return name != "image" and all(_NUMBER.fullmatch(label) for label in labels)


def _column_label_height(table: pd.DataFrame, name: str, tile: float) -> float:
    labels = [label for label in table["column_label"] if label]
    if not labels:
        return 0.0
    title = LINE if has_title(table.loc[table["kind"] == MADE, "column_label"], name) else 0.0
    title += ARROWS if is_signed(table, name) else 0.0
    turned = [label for label in labels if is_turned(label, tile)]
    return title + (style.text_width(turned, LABEL_SIZE) + 0.06 if turned else LINE)


def is_signed(table: pd.DataFrame, name: str) -> bool:
    """Whether a sweep goes to both sides of where it begins over columns: what can be reversed, and what cannot."""
    along = swept()
    if along is None or along.name != name:
        return False
    return bool((table[name] < along.start).any() and (table[name] > along.start).any())


def is_turned(label: str, tile: float) -> bool:
    return style.text_width([label], LABEL_SIZE) > tile + 0.04
