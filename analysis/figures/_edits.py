"""Finding the stored pictures of a grid: one sample per place, and the references beside them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import pandas as pd

from analysis.figures._base import AxisValue
from analysis.frames import MISSING, StudyFrames, primary
from analysis.labels import EPOCH, filled, places, references, swept, value_label
from trainables.exchange import SampleKind


def dimensions() -> tuple[str, ...]:
    """What a grid can run over besides the axes of the space and `cell`."""
    return (*places(), "image", "seed")


MADE = "made"
"""Kind of a tile that shows what a trial made."""


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
        """Whether references are shown beside what trials made, or which."""

    def dimensions(self) -> tuple[str, str, str]:
        """(panels, rows, columns)."""


@dataclass(frozen=True)
class Source:
    """What trials made, as stored, and what is held fixed."""

    frames: StudyFrames
    seed: int
    made: pd.DataFrame
    references: pd.DataFrame
    images: list[str]
    usual: Mapping[str, float | None]
    """Coordinate -> where samples are shown: the value of a sweep that was kept for most epochs, else that which the
    baseline is judged at; None where no trial tells."""

    def own(self, name: str, samples: pd.DataFrame) -> float | None:
        """Where a cell's samples are shown: where all are, or at its own smallest where it has none there."""
        found = set(samples[name].dropna())
        if name == EPOCH:
            return max(found, default=None)
        usual = self.usual[name]
        along = swept()
        is_swept = along is not None and along.name == name
        return usual if is_swept or not found or usual in found else min(found)

    def image_of(self, seed: int, image: str) -> str:
        """The image of another seed that has the place of this one, where seeds have images of their own."""
        own = _shared_images(self.made[self.made["seed"] == seed])
        place = self.images.index(image)
        return image if image in own or place >= len(own) else own[place]

    def ends(self, cell: str | None) -> dict[str, str]:
        """What lies `below` and `above` where the sweep begins, in the words of a cell's settings."""
        trials, along = self.frames.trials, swept()
        own = trials.loc[trials["cell"] == cell, "config"].dropna()
        if along is None or along.said.ends is None or own.empty:
            return {"below": "", "above": ""}
        texts = (filled(end, json.loads(own.iloc[0])) for end in along.said.ends)
        return dict(zip(("below", "above"), texts, strict=True))


def find_source(frames: StudyFrames, config: Asked) -> Source:
    """Everything that a grid can show."""
    seed = int(config.fixed.get("seed", frames.seeds[0]))
    is_reference = frames.samples["kind"].isin(references())
    made = frames.samples[~is_reference & frames.samples["image"].notna()]
    # Where the first seed failed, ids come from any seed, so that it still shows which images are missing.
    own, shown = frames.samples[frames.samples["seed"] == seed], config.images
    known = _shared_images(frames.samples if own.empty else own)
    images = known[:shown] if isinstance(shown, int) else list(shown)
    usual = {name: _usual(frames, made, name) for name in places()[1:]}
    return Source(frames, seed, made, frames.samples[is_reference], images, usual)


def _usual(frames: StudyFrames, made: pd.DataFrame, name: str) -> float | None:
    along = swept()
    if along is not None and along.name == name:
        kept = made.groupby(name)["epoch"].nunique()
        return float(kept[kept == kept.max()].index.max()) if len(kept) else None
    judged = frames.trials.loc[frames.trials["is_baseline"], primary(name)].dropna()
    return float(judged.iloc[0]) if len(judged) else None


def _shared_images(samples: pd.DataFrame) -> list[str]:
    """Image ids, those that most cells show first: cells may leave different ones out."""
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
    if name in places():
        return sorted(float(value) for value in source.made[name].dropna().unique())
    return source.frames.axis_values(name)


def held_axes(frames: StudyFrames, config: Asked) -> dict[str, AxisValue]:
    """Axis values that the grid is held at."""
    return {name: value for name, value in config.fixed.items() if name in frames.study.axes}


def made_tile(
    source: Source, config: Asked, point: dict[str, Any], cells: dict[tuple[Any, ...], str]
) -> dict[str, Any]:
    """Find the one picture at a point of the grid, or say why there is none."""
    axes = source.frames.study.axes
    cell = cells.get(tuple(value for name, value in point.items() if name == "cell" or name in axes))
    asked = config.fixed | point
    seed = point.get("seed", source.seed)
    image = source.image_of(seed, point.get("image", source.images[0]))
    made = source.made
    own = made[(made["cell"] == cell) & (made["seed"] == seed) & (made["image_id"] == image)]
    tile = {"kind": MADE, "cell": cell, "seed": seed, "image_id": image}
    along = swept()
    # The sweep comes first: its end was kept after fewer epochs than its usual place.
    for name in sorted(places(), key=lambda name: (along is None or name != along.name, name != EPOCH)):
        own, tile[name] = _narrowed(own, name, asked.get(name), source.own(name, own))
    status, png = ("done", own["image"].iloc[0]) if len(own) else (_why_missing(source, cell, seed), None)
    return tile | source.ends(cell) | {"status": status, "png": png}


def _narrowed(own: pd.DataFrame, name: str, asked: Any, default: Any) -> tuple[pd.DataFrame, Any]:
    """The rows at an asked or default value of a place, and that value."""
    value = default if asked is None else asked
    if value is None and own[name].isna().all():  # trials of this family do not say it
        return own, None
    return own[own[name] == value], value


def _why_missing(source: Source, cell: str | None, seed: int) -> str:
    trials = source.frames.trials
    if cell is None:
        return "no cell"
    own = trials[(trials["cell"] == cell) & (trials["seed"] == seed)]
    status = str(own["status"].iloc[0]) if len(own) else MISSING
    return "no picture" if status == "done" else status


def reference_tiles(source: Source, config: Asked, panels: Sequence[Any]) -> list[dict[str, Any]]:
    """References: columns or rows beside images, else a strip on top."""
    by_panel, by_row, by_column = (name == "image" for name in config.dimensions())
    known = references()
    wanted = known if config.references is True else config.references or ()
    kinds = [kind for kind in known if kind in wanted and _is_shown(source, known[kind])]
    tiles = []
    for panel, shown in enumerate(panels):
        images = [shown] if by_panel else source.images if by_row or by_column else source.images[:1]
        for (k, kind), (i, image) in product(enumerate(kinds), enumerate(images)):
            before = k - len(kinds)
            row, column = (i, before) if by_row else (before, i) if by_column else (-1, k)
            png = _reference_png(source, kind, image)
            status = "done" if png else "no picture"
            place: dict[str, Any] = {"panel": panel, "row": row, "column": column}
            beside, above = known[kind].label, known[kind].short
            labels = (
                {"row_label": beside, "column_label": ""}
                if by_column
                else {"row_label": "", "column_label": above}
            )
            place |= labels | {"panel_label": tile_label(source.frames, config.dimensions()[0], shown)}
            tiles.append(place | {"kind": kind, "image_id": image, "status": status, "png": png})
    return tiles


def _is_shown(source: Source, kind: SampleKind) -> bool:
    """Whether there are such pictures, and one per image where cells may not differ in it."""
    own = source.references[source.references["kind"] == kind.name]
    if own.empty:
        return False
    return not kind.only_shared or bool((own.groupby("image_id")["image"].nunique() == 1).all())


def _reference_png(source: Source, kind: str, image: str) -> bytes | None:
    own = source.references[(source.references["kind"] == kind) & (source.references["image_id"] == image)]
    first = own.sort_values("is_baseline", ascending=False, kind="stable")
    return None if first.empty else bytes(first["image"].iloc[0])


def tile_label(frames: StudyFrames, name: str, value: Any) -> str:
    """Pictures speak for themselves; their ids would only be noise."""
    if name == "cell":
        return frames.cell_label(str(value))
    along = swept()
    if along is not None and along.name == name:
        is_neutral = value == along.start and along.said.neutral_label
        return along.said.neutral_label if is_neutral else value_label(round(float(value), 3))
    return "" if name == "image" else value_label(value)
