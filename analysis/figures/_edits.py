"""Finding the stored pictures of a grid: one edit per place, and the references beside them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import pandas as pd

from analysis.figures._base import AxisValue
from analysis.frames import MISSING, StudyFrames
from analysis.labels import value_label
from analysis.measurements import POINTS

DIMENSIONS = (*POINTS, "image", "seed")
"""What a grid can run over besides the axes of the space and `cell`."""
REFERENCES = {
    "original": ("original", "original"),
    "reconstruction": ("reconstruction", "reconstr."),
    "counterfactual": ("true edit", "true edit"),
}
"""Kinds of samples shown beside the edits -> their headings, beside a row and above a tile."""
RECONSTRUCTION = "reconstr."
"""Label of strength 0."""


class Asked(Protocol):
    """What the options of a grid say, whichever figure has them."""

    @property
    def images(self) -> int | tuple[str, ...]:
        """How many held-out images, or which."""

    @property
    def only(self) -> Mapping[str, Sequence[AxisValue]]:
        """The values that a dimension is kept to."""

    @property
    def fixed(self) -> dict[str, AxisValue]:
        """The value of a dimension that nothing runs over."""

    @property
    def references(self) -> bool | Sequence[str]:
        """Whether references are shown beside the edits, or which."""

    def dimensions(self) -> tuple[str, str, str]:
        """(panels, rows, columns)."""


@dataclass(frozen=True)
class Source:
    """The stored edits of one seed, and what is held fixed."""

    frames: StudyFrames
    seed: int
    edits: pd.DataFrame
    references: pd.DataFrame
    images: list[str]
    strength: float
    """The preview strength: the one that was kept for most epochs."""
    steps: float | None
    """The first step count of the baseline's evaluation; None where no trial tells."""

    def own_steps(self, edits: pd.DataFrame) -> float | None:
        """Step count that a cell's edits are shown at: the baseline's, else the cell's own smallest."""
        found = set(edits["num_sample_steps"].dropna())
        return self.steps if not found or self.steps in found else min(found)

    def attribute(self, cell: str | None) -> str:
        """What a cell's editor was trained for; nothing where no trial tells."""
        trials = self.frames.trials
        own = trials.loc[trials["cell"] == cell, "config"].dropna()
        return str(json.loads(own.iloc[0]).get("attribute", "")) if len(own) else ""


def find_source(frames: StudyFrames, config: Asked) -> Source:
    """Everything that a grid can show."""
    seed = int(config.fixed.get("seed", frames.seeds[0]))
    edits = frames.samples[frames.samples["kind"] == "edit"]
    # Ids come from any seed, so that a failed first seed still shows which images are missing.
    shown = config.images
    images = _shared_images(frames.samples)[:shown] if isinstance(shown, int) else list(shown)
    kept = frames.samples[frames.samples["kind"] == "edit"].groupby("strength")["epoch"].nunique()
    strength = float(kept[kept == kept.max()].index.max()) if len(kept) else 1.0
    references = frames.samples[frames.samples["kind"] != "edit"]
    steps = frames.trials.loc[frames.trials["is_baseline"], "primary_steps"].dropna()
    return Source(
        frames, seed, edits, references, images, strength, float(steps.iloc[0]) if len(steps) else None
    )


def _shared_images(samples: pd.DataFrame) -> list[str]:
    """Image ids, those that most cells show first: cells of different attributes leave different faces out."""
    num_cells = samples.groupby("image_id", sort=False)["cell"].nunique()
    return [str(image) for image in num_cells.sort_values(ascending=False, kind="stable").index]


def dimension_values(source: Source, config: Asked, name: str) -> list[Any]:
    """What a dimension runs over; one empty value for no dimension."""
    if name == "":
        return [""]
    if name in config.only:
        return list(config.only[name])
    if name == "image":
        return list(source.images)
    if name == "seed":
        return list(source.frames.seeds)
    if name in POINTS:
        values = source.edits[name].dropna().unique()
        return sorted(float(value) if name == "strength" else int(value) for value in values)
    return source.frames.axis_values(name)


def held_axes(frames: StudyFrames, config: Asked) -> dict[str, AxisValue]:
    """Axis values that the grid is held at."""
    return {name: value for name, value in config.fixed.items() if name in frames.study.axes}


def edit_tile(
    source: Source, config: Asked, point: dict[str, Any], cells: dict[tuple[Any, ...], str]
) -> dict[str, Any]:
    """Find the one picture at a point of the grid, or say why there is none."""
    axes = source.frames.study.axes
    cell = cells.get(tuple(value for name, value in point.items() if name == "cell" or name in axes))
    asked = config.fixed | point
    image, seed = point.get("image", source.images[0]), point.get("seed", source.seed)
    strength = asked.get("strength", source.strength)
    edits = source.edits
    own = edits[(edits["cell"] == cell) & (edits["seed"] == seed) & (edits["image_id"] == image)]
    own = own[own["strength"] == strength]
    own, epoch = _narrowed(own, "epoch", asked.get("epoch"), own["epoch"].max() if len(own) else None)
    own, steps = _narrowed(own, "num_sample_steps", asked.get("num_sample_steps"), source.own_steps(own))
    tile = {"kind": "edit", "cell": cell, "seed": seed, "image_id": image}
    status, png = ("done", own["image"].iloc[0]) if len(own) else (_why_missing(source, cell, seed), None)
    tile |= {"epoch": epoch, "strength": strength, "num_sample_steps": steps}
    return tile | {"attribute": source.attribute(cell), "status": status, "png": png}


def _narrowed(own: pd.DataFrame, name: str, asked: Any, default: Any) -> tuple[pd.DataFrame, Any]:
    """The rows at an asked or default value of a place, and that value."""
    value = default if asked is None else asked
    return own[own[name] == value], value


def _why_missing(source: Source, cell: str | None, seed: int) -> str:
    trials = source.frames.trials
    if cell is None:
        return "no cell"
    own = trials[(trials["cell"] == cell) & (trials["seed"] == seed)]
    status = str(own["status"].iloc[0]) if len(own) else MISSING
    return "no picture" if status == "done" else status


def reference_tiles(source: Source, config: Asked, panels: Sequence[Any]) -> list[dict[str, Any]]:
    """Originals, reconstructions and true edits: columns or rows beside images, else a strip on top."""
    by_panel, by_row, by_column = (name == "image" for name in config.dimensions())
    wanted = REFERENCES if config.references is True else config.references or ()
    kinds = [kind for kind in REFERENCES if kind in wanted and _is_shared(source, kind)]
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
            place |= labels | {"panel_label": tile_label(source.frames, config.dimensions()[0], shown)}
            tiles.append(place | {"kind": kind, "image_id": image, "status": status, "png": png})
    return tiles


def _is_shared(source: Source, kind: str) -> bool:
    """Whether there is one such picture per image; true edits differ where attributes are compared."""
    own = source.references[source.references["kind"] == kind]
    if own.empty:
        return False
    return kind != "counterfactual" or bool((own.groupby("image_id")["image"].nunique() == 1).all())


def _reference_png(source: Source, kind: str, image: str) -> bytes | None:
    own = source.references[(source.references["kind"] == kind) & (source.references["image_id"] == image)]
    first = own.sort_values("is_baseline", ascending=False, kind="stable")
    return None if first.empty else bytes(first["image"].iloc[0])


def tile_label(frames: StudyFrames, name: str, value: Any) -> str:
    """Pictures speak for themselves; their ids would only be noise."""
    if name == "cell":
        return frames.cell_label(str(value))
    if name == "strength":
        return RECONSTRUCTION if value == 0 else value_label(round(float(value), 3))
    return "" if name == "image" else value_label(value)
