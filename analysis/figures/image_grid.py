"""Edited held-out pictures over any two of: an axis, epoch, strength, image; a third one as panels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

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
from analysis.frames import MISSING, StudyFrames
from analysis.labels import axis_label, plural, value_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIMENSIONS = ("epoch", "strength", "image")
"""What a grid can run over besides the axes of the space."""
REFERENCES = {
    "original": ("original", "original"),
    "reconstruction": ("reconstruction", "reconstr."),
    "counterfactual": ("true edit", "true edit"),
}
"""Kinds of samples shown beside the edits -> their headings, beside a row and above a tile."""
_COLUMNS = [
    *["panel", "panel_label", "row", "row_label", "column", "column_label", "kind", "cell", "seed"],
    *["image_id", "epoch", "strength", "status", "png"],
]


class Config(FigureConfig):
    """What runs down, across and over panels; everything else is fixed."""

    kind: Literal["image_grid"]
    rows: str
    columns: str
    panels: str | None = None
    """`image` when left out and several images are neither rows nor columns."""
    images: int = Field(default=3, ge=1)
    """Held-out faces shown: the first ones."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Axis values, `epoch` or `strength`; baseline, last epoch and preview strength when left out."""
    references: bool = True
    """Whether originals, reconstructions and true edits are shown too."""

    def problems(self, axes: Axes) -> Problems:
        """Unknown axes, and one dimension used twice."""
        known = [*axes, *DIMENSIONS]
        problems: Problems = []
        for field in ("rows", "columns", "panels"):
            name = getattr(self, field)
            if name is not None:
                problems += unknown_axis((field,), name, known)
        if self.rows == self.columns:
            problems.append(
                (("columns",), f"expected another axis than rows; found {self.columns!r} for both")
            )
        if self.panels is not None and self.panels in (self.rows, self.columns):
            problems.append(
                (("panels",), f"expected another axis than rows and columns; found {self.panels!r}")
            )
        return problems + unknown_fixed(self.fixed, axes, ("epoch", "strength"))

    def dimensions(self) -> tuple[str, str, str]:
        """(panels, rows, columns); panels is "" where there is one panel."""
        panels = self.panels or ""
        if not panels and "image" not in (self.rows, self.columns) and self.images > 1:
            panels = "image"
        return panels, self.rows, self.columns

    def default_name(self) -> str:
        """`image_grid_epoch_encoder`."""
        return f"image_grid_{self.rows}_{self.columns}"

    def heading(self) -> str:
        """`Edits by epoch and encoder`."""
        return f"Edits by {axis_label(self.rows)} and {axis_label(self.columns)}"


@dataclass(frozen=True)
class _Source:
    """The stored edits of one seed, and what is held fixed."""

    frames: StudyFrames
    seed: int
    edits: pd.DataFrame
    references: pd.DataFrame
    images: list[str]
    strength: float
    """The preview strength: the one that was kept for most epochs."""


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per tile, with its PNG; references have negative rows or columns and a `kind` other than edit.

    Pictures are those of the study's first seed, whatever they look like. A tile without a picture says why
    in `status`: failed, missing (not run), or no picture.
    """
    if frames.samples.empty:
        return pd.DataFrame(columns=_COLUMNS)
    source = _source(frames, config)
    dimensions = config.dimensions()
    panels, rows, columns = (_values(source, config, name) for name in dimensions)
    cells = frames.cells_along(
        [name for name in dimensions if name in frames.study.axes], _axes_of(frames, config)
    )
    tiles = []
    for (p, panel), (r, row), (c, column) in product(*map(enumerate, (panels, rows, columns))):
        point = dict(zip(dimensions, (panel, row, column), strict=True))
        place = {"panel": p, "row": r, "column": c}
        labels = {"panel_label": value_label(panel)}
        labels |= {"row_label": _label(dimensions[1], row), "column_label": _label(dimensions[2], column)}
        tiles.append(place | labels | _edit_tile(source, config, point, cells))
    if config.references:
        tiles += _reference_tiles(source, config, panels)
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
    fixed = [f"seed {int(edits['seed'].iloc[0])} (the first, not chosen by looks)"]
    for name in ("epoch", "strength"):
        values = edits[name].dropna().unique()
        if name not in (panels, rows, columns) and len(values):
            fixed.append(f"{name} {', '.join(value_label(float(value)) for value in sorted(values))}")
    fixed += [f"{axis_label(n)} {value_label(v)}" for n, v in config.fixed.items() if n not in DIMENSIONS]
    text = f"{start} The same images everywhere; {'; '.join(fixed)}."
    if (table["kind"] == "counterfactual").any():
        text += " True edits are drawn from the image's own description."
    lost = int(edits["png"].isna().sum())
    return text + (f" {plural(lost, 'tile')} without a picture." if lost else "")


def _source(frames: StudyFrames, config: Config) -> _Source:
    seed = frames.seeds[0]
    own = frames.samples[frames.samples["seed"] == seed]
    edits = own[own["kind"] == "edit"]
    # Ids come from any seed, so that a failed first seed still shows which images are missing.
    images = _shared_images(frames.samples)[: config.images]
    kept = frames.samples[frames.samples["kind"] == "edit"].groupby("strength")["epoch"].nunique()
    strength = float(kept[kept == kept.max()].index.max()) if len(kept) else 1.0
    references = frames.samples[frames.samples["kind"] != "edit"]
    return _Source(frames, seed, edits, references, images, strength)


def _shared_images(samples: pd.DataFrame) -> list[str]:
    """Image ids, those that most cells show first: cells of different attributes leave different faces out."""
    num_cells = samples.groupby("image_id", sort=False)["cell"].nunique()
    return [str(image) for image in num_cells.sort_values(ascending=False, kind="stable").index]


def _values(source: _Source, config: Config, name: str) -> list[Any]:
    """What a dimension runs over; one empty value for no dimension."""
    if name == "":
        return [""]
    if name == "image":
        return list(source.images)
    if name in ("epoch", "strength"):
        stored = source.frames.samples
        values = stored.loc[stored["kind"] == "edit", name].dropna().unique()
        return sorted(int(value) if name == "epoch" else float(value) for value in values)
    return source.frames.axis_values(name)


def _axes_of(frames: StudyFrames, config: Config) -> dict[str, AxisValue]:
    return {name: value for name, value in config.fixed.items() if name in frames.study.axes}


def _edit_tile(
    source: _Source, config: Config, point: dict[str, Any], cells: dict[tuple[Any, ...], str]
) -> dict[str, Any]:
    """Find the one picture at a point of the grid, or say why there is none."""
    axes = source.frames.study.axes
    cell = cells.get(tuple(value for name, value in point.items() if name in axes))
    image = point.get("image", source.images[0])
    strength = point.get("strength", config.fixed.get("strength", source.strength))
    own = source.edits[(source.edits["cell"] == cell) & (source.edits["image_id"] == image)]
    own = own[own["strength"] == strength]
    epoch = point.get("epoch", config.fixed.get("epoch", own["epoch"].max() if len(own) else None))
    own = own[own["epoch"] == epoch]
    tile = {"kind": "edit", "cell": cell, "seed": source.seed, "image_id": image}
    status, png = ("done", own["image"].iloc[0]) if len(own) else (_why_missing(source, cell), None)
    return tile | {"epoch": epoch, "strength": strength, "status": status, "png": png}


def _why_missing(source: _Source, cell: str | None) -> str:
    trials = source.frames.trials
    own = trials[(trials["cell"] == cell) & (trials["seed"] == source.seed)]
    status = str(own["status"].iloc[0]) if len(own) else MISSING
    return "no picture" if status == "done" else status


def _reference_tiles(source: _Source, config: Config, panels: Sequence[Any]) -> list[dict[str, Any]]:
    """Originals, reconstructions and true edits: columns or rows beside images, else a strip on top."""
    by_panel, by_row, by_column = (name == "image" for name in config.dimensions())
    kinds = [kind for kind in REFERENCES if _is_shared(source, kind)]
    tiles = []
    for panel, shown in enumerate(panels):
        images = [shown] if by_panel else source.images if by_row or by_column else source.images[:1]
        for (k, kind), (i, image) in product(enumerate(kinds), enumerate(images)):
            before = k - len(kinds)
            row, column = (i, before) if by_row else (before, i) if by_column else (-1, k)
            png = _reference_png(source, kind, image)
            status = "done" if png else "no picture"
            place: dict[str, Any] = {"panel": panel, "row": row, "column": column}
            beside, above = REFERENCES[kind]
            labels = (
                {"row_label": beside, "column_label": ""}
                if by_column
                else {"row_label": "", "column_label": above}
            )
            place |= labels | {"panel_label": value_label(shown)}
            tiles.append(place | {"kind": kind, "image_id": image, "status": status, "png": png})
    return tiles


def _is_shared(source: _Source, kind: str) -> bool:
    """Whether there is one such picture per image; true edits differ where attributes are compared."""
    own = source.references[source.references["kind"] == kind]
    if own.empty:
        return False
    return kind != "counterfactual" or bool((own.groupby("image_id")["image"].nunique() == 1).all())


def _reference_png(source: _Source, kind: str, image: str) -> bytes | None:
    own = source.references[(source.references["kind"] == kind) & (source.references["image_id"] == image)]
    first = own.sort_values("is_baseline", ascending=False, kind="stable")
    return None if first.empty else bytes(first["image"].iloc[0])


def _label(name: str, value: Any) -> str:
    """Pictures speak for themselves; their ids would only be noise."""
    return "" if name == "image" else value_label(value)


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, vector=False)
