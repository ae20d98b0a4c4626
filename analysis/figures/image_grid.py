"""Pictures of held-out items over any two of: an axis, cell, epoch, a coordinate, image, seed; a third as panels."""

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
    nearest,
    unknown_axis,
    unknown_fixed,
    used_twice,
)
from analysis.figures._edits import (
    MADE,
    dimension_values,
    dimensions,
    find_source,
    held_axes,
    made_tile,
    reference_tiles,
    tile_label,
)
from analysis.frames import StudyFrames
from analysis.labels import axis_label, places, plural, references, sample_kinds, swept, value_label

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLACE = ["panel", "panel_label", "row", "row_label", "column", "column_label", "kind", "cell", "seed"]


class Config(FigureConfig):
    """What runs down, across and over panels; everything else is fixed."""

    kind: Literal["image_grid"]
    rows: str
    """What runs down: an axis, `cell`, `image`, `epoch`, a coordinate or `seed`."""
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
    """Values that a dimension is kept to, in this order: `{epoch: [1, 3]}`."""
    fixed: dict[str, AxisValue] = Field(default_factory=dict)
    """Axis values, `epoch`, coordinates or `seed`; the baseline's, the last epoch, what most samples or the baseline
    are made at, and the first seed when left out."""
    references: Annotated[bool | tuple[str, ...], BeforeValidator(as_tuple)] = True
    """Whether what trials are compared with, such as originals, is shown too, or which kinds of it."""

    def problems(self, axes: Axes) -> Problems:
        """Unknown axes, and one dimension used twice."""
        known = [*axes, "cell", *dimensions()]
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
        named = self.references if isinstance(self.references, tuple) else ()
        for index, name in enumerate(named):
            if name not in references():
                message = (
                    f"expected one of {', '.join(references())}; found {name!r}{nearest(name, references())}"
                )
                problems.append((("references", index), message))
        return problems + unknown_fixed(self.fixed, axes, (*places(), "seed"))

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
        return f"{_made()} by {axis_label(self.rows)} and {axis_label(self.columns)}"


def compute(frames: StudyFrames, config: Config) -> pd.DataFrame:
    """A row per tile, with its PNG; references have negative rows or columns and a `kind` other than `MADE`.

    Pictures are those of the study's first seed, whatever they look like. A tile without a picture says why
    in `status`: failed, missing (not run), or no picture.
    """
    names = [*_PLACE, "image_id", *places(), "below", "above", "status", "png"]
    if frames.samples.empty:
        return pd.DataFrame(columns=names)
    source = find_source(frames, config)
    runs = config.dimensions()
    panels, rows, columns = (dimension_values(source, config, name) for name in runs)
    along = [name for name in runs if name == "cell" or name in frames.study.axes]
    cells = frames.cells_along(along, held_axes(frames, config))
    tiles = []
    for (p, panel), (r, row), (c, column) in product(*map(enumerate, (panels, rows, columns))):
        point = dict(zip(runs, (panel, row, column), strict=True))
        place = {"panel": p, "row": r, "column": c}
        labels = {
            f"{part}_label": tile_label(frames, name, value)
            for part, name, value in zip(("panel", "row", "column"), runs, (panel, row, column), strict=True)
        }
        tiles.append(place | labels | made_tile(source, config, point, cells))
    if config.references:
        tiles += reference_tiles(source, config, panels)
    return pd.DataFrame(tiles, columns=names)


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
    start = f"{_made()} of held-out images by {axis_label(rows)} (rows) and {axis_label(columns)} (columns)"
    start += f", one panel per {axis_label(panels)}." if panels else "."
    made = table[table["kind"] == MADE]
    if made["png"].isna().all():
        return f"{start} No pictures yet."
    shown = {panels, rows, columns}
    by_choice = "" if "seed" in config.fixed else " (the first, not chosen by looks)"
    fixed = [] if "seed" in shown else [f"seed {int(made['seed'].iloc[0])}{by_choice}"]
    for name in places():
        values = made[name].dropna().unique()
        if name not in shown and len(values):
            listed = ", ".join(value_label(float(value)) for value in sorted(values))
            fixed.append(f"{axis_label(name)} {listed}")
    fixed += [f"{axis_label(n)} {value_label(v)}" for n, v in config.fixed.items() if n not in dimensions()]
    is_same = made.groupby("seed")["image_id"].agg(frozenset).nunique() == 1
    which = "The same images everywhere" if is_same else "Every seed has images of its own"
    text = f"{start} {which}; {'; '.join(fixed)}."
    along = swept()
    if along is not None and along.name in (rows, columns) and (made[along.name] < along.start).any():
        text += f" {along.said.meaning}"
    shown_kinds = {*table["kind"]}
    text += "".join(
        f" {kind.note}" for kind in references().values() if kind.note and kind.name in shown_kinds
    )
    lost = int(made["png"].isna().sum())
    return text + (f" {plural(lost, 'tile')} without a picture." if lost else "")


def _made() -> str:
    """What trials made, in a word."""
    plural = next((kind.plural for kind in sample_kinds() if not kind.is_reference), "samples")
    return plural[:1].upper() + plural[1:]


FIGURE = FigureKind(config=Config, compute=compute, draw=draw, caption=caption, vector=False)
