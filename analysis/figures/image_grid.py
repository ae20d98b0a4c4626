"""Edited held-out pictures over any two of: an axis, cell, epoch, strength, steps, image, seed; a third as panels."""

from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal

import pandas as pd
from pydantic import BeforeValidator, Field

from analysis.figures._base import (
    Axes,
    AxisValue,
    FigureConfig,
    FigureKind,
    Problems,
    as_tuple,
    unknown_axis,
    unknown_fixed,
    used_twice,
)
from analysis.figures._edits import (
    DIMENSIONS,
    dimension_values,
    edit_tile,
    find_source,
    held_axes,
    reference_tiles,
    tile_label,
)
from analysis.frames import StudyFrames
from analysis.labels import axis_label, plural, value_label
from analysis.measurements import POINTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = [
    *["panel", "panel_label", "row", "row_label", "column", "column_label", "kind", "cell", "seed"],
    *["image_id", "epoch", "strength", "num_sample_steps", "attribute", "status", "png"],
]


class Config(FigureConfig):
    """What runs down, across and over panels; everything else is fixed."""

    kind: Literal["image_grid"]
    rows: str
    """What runs down: an axis, `cell`, `image`, `epoch`, `strength`, `num_sample_steps` or `seed`."""
    columns: str
    """What runs across, as `rows`."""
    panels: str | None = None
    """`image` when left out and several images are neither rows nor columns."""
    images: Annotated[
        Annotated[int, Field(ge=1)] | Annotated[tuple[str, ...], Field(min_length=1)],
        BeforeValidator(as_tuple),
    ] = 3
    """Held-out images shown: the first ones, or these, by their ids."""
    only: dict[str, Annotated[tuple[AxisValue, ...], BeforeValidator(as_tuple)]] = Field(default_factory=dict)
    """Values that a dimension is kept to, in this order: `{strength: [0, 0.5, 1]}`."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Axis values, `epoch`, `strength`, `num_sample_steps` or `seed`; the baseline's, the last epoch, the preview
    strength, the first step count and the first seed when left out."""
    references: Annotated[
        bool | tuple[Literal["original", "reconstruction", "counterfactual"], ...], BeforeValidator(as_tuple)
    ] = True
    """Whether originals, reconstructions and true edits are shown too, or which of them."""

    def problems(self, axes: Axes) -> Problems:
        """Unknown axes, and one dimension used twice."""
        known = [*axes, "cell", *DIMENSIONS]
        problems: Problems = []
        for field in ("rows", "columns", "panels"):
            name = getattr(self, field)
            if name is not None:
                problems += unknown_axis((field,), name, known)
        problems += used_twice({"rows": self.rows, "columns": self.columns, "panels": self.panels})
        for name, values in self.only.items():
            problems += unknown_axis(("only", name), name, known)
            for value in values:
                problems += [
                    (("only", *place[1:]), message)
                    for place, message in unknown_fixed({name: value}, axes, known)
                ]
        return problems + unknown_fixed(self.fixed, axes, (*POINTS, "seed"))

    @property
    def num_images(self) -> int:
        """How many images are shown."""
        return self.images if isinstance(self.images, int) else len(self.images)

    def dimensions(self) -> tuple[str, str, str]:
        """(panels, rows, columns); panels is "" where there is one panel."""
        panels = self.panels or ""
        if not panels and "image" not in (self.rows, self.columns) and self.num_images > 1:
            panels = "image"
        return panels, self.rows, self.columns

    def default_name(self) -> str:
        """`image_grid_epoch_encoder`."""
        return f"image_grid_{self.rows}_{self.columns}"

    def heading(self) -> str:
        """`Edits by epoch and encoder`."""
        return f"Edits by {axis_label(self.rows)} and {axis_label(self.columns)}"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per tile, with its PNG; references have negative rows or columns and a `kind` other than edit.

    Pictures are those of the study's first seed, whatever they look like. A tile without a picture says why
    in `status`: failed, missing (not run), or no picture.
    """
    if frames.samples.empty:
        return pd.DataFrame(columns=_COLUMNS)
    source = find_source(frames, config)
    dimensions = config.dimensions()
    panels, rows, columns = (dimension_values(source, config, name) for name in dimensions)
    along = [name for name in dimensions if name == "cell" or name in frames.study.axes]
    cells = frames.cells_along(along, held_axes(frames, config))
    tiles = []
    for (p, panel), (r, row), (c, column) in product(*map(enumerate, (panels, rows, columns))):
        point = dict(zip(dimensions, (panel, row, column), strict=True))
        place = {"panel": p, "row": r, "column": c}
        labels = {
            f"{part}_label": tile_label(frames, name, value)
            for part, name, value in zip(
                ("panel", "row", "column"), dimensions, (panel, row, column), strict=True
            )
        }
        tiles.append(place | labels | edit_tile(source, config, point, cells))
    if config.references:
        tiles += reference_tiles(source, config, panels)
    return pd.DataFrame(tiles, columns=_COLUMNS)


def draw(table: pd.DataFrame, config: Config) -> "Figure":
    """The tiles, enlarged by whole pixels, with as few labels as can be."""
    from analysis import style
    from analysis.figures._tiles import draw_tiles

    with style.styled():
        if table.empty or not table["png"].notna().any():
            return style.nothing_to_draw("No pictures yet.")
        return draw_tiles(table, config.dimensions())


def caption(table: pd.DataFrame, config: Config) -> str:
    """What runs where, what is fixed, and which seed it is."""
    panels, rows, columns = config.dimensions()
    start = f"Edits of held-out images by {axis_label(rows)} (rows) and {axis_label(columns)} (columns)"
    start += f", one panel per {axis_label(panels)}." if panels else "."
    edits = table[table["kind"] == "edit"]
    if edits["png"].isna().all():
        return f"{start} No pictures yet."
    shown = {panels, rows, columns}
    by_choice = "" if "seed" in config.fixed else " (the first, not chosen by looks)"
    fixed = [] if "seed" in shown else [f"seed {int(edits['seed'].iloc[0])}{by_choice}"]
    for name in POINTS:
        values = edits[name].dropna().unique()
        if name not in shown and len(values):
            listed = ", ".join(value_label(float(value)) for value in sorted(values))
            fixed.append(f"{axis_label(name)} {listed}")
    fixed += [f"{axis_label(n)} {value_label(v)}" for n, v in config.fixed.items() if n not in DIMENSIONS]
    text = f"{start} The same images everywhere; {'; '.join(fixed)}."
    if "strength" in (rows, columns) and (edits["strength"] < 0).any():
        text += " Negative strengths were never trained; reconstr. is the reconstruction (strength 0)."
    if (table["kind"] == "counterfactual").any():
        text += " True edits are drawn from the image's own description."
    lost = int(edits["png"].isna().sum())
    return text + (f" {plural(lost, 'tile')} without a picture." if lost else "")


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, vector=False)
