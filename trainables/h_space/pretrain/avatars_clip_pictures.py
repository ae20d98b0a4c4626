"""The pictures that the avatars' CLIP model is trained on: every kind and style, and true edits.

Legend: N faces; B pictures of 3 x 32 x 32 pixels in [-1, 1]; as drawn, pictures are (N, 32, 32, 3) uint8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.h_space.attributes import ATTRIBUTES, Attribute
from trainables.h_space.domains.avatars.drawing import Picture, draw_faces
from trainables.h_space.domains.avatars.faces import EMOTIONS, KINDS, TRAIN_SEEDS, Face, redraw, sample_face
from trainables.h_space.pretrain.avatars_clip_recipe import ClipTraining
from trainables.h_space.pretrain.pixels import to_unit_range

STYLED: Final = ("pixel_art", "sketch")
HALF_WAY: Final = (0.35, 1.0)
"""How far a picture that is on its way from an ordinary face may be and still be called what it becomes."""
ON_THE_WAY: Final = (0.15, 1.0)
"""How far the edits of `edits_batch` have come: their direction is that of the whole way."""


@dataclass(frozen=True)
class Pictures:
    """Faces with their pictures and the share of a batch that comes from them."""

    faces: Sequence[Face]
    pixels: Picture
    share: float
    plain: Picture | None = None
    """The same faces as ordinary persons, where half of the pictures are to be mixed with them: an edit is judged
    on its way too, and a model that knows only finished goblins gives it no direction there."""


@dataclass(frozen=True)
class Edits:
    """Faces that lack an attribute, and the same faces with it."""

    attributes: Sequence[Attribute]
    wanted: npt.NDArray[np.int64]
    """(N,) rows of `attributes`."""
    before: Picture
    after: Picture


def training_faces(settings: ClipTraining) -> list[tuple[list[Face], float]]:
    """Ordinary faces, unseen kinds, and other styles, with their shares of a batch."""
    first, second = settings.num_persons, settings.num_persons + settings.num_unseen
    persons = [sample_face(seed) for seed in TRAIN_SEEDS[:first]]
    unseen = [sample_face(seed, kinds=KINDS[1:], emotions=EMOTIONS) for seed in TRAIN_SEEDS[first:second]]
    styled_seeds = TRAIN_SEEDS[second : second + settings.num_styled]
    kinds = ("person",) * 9 + KINDS[1:]
    styled = [sample_face(seed, kinds=kinds, styles=STYLED, emotions=EMOTIONS) for seed in styled_seeds]
    return [(persons, 0.5), (unseen, 0.32), (styled, 0.18)]


def drawn(faces: Sequence[Face], share: float, half_way: bool = False, *, num_processes: int = 2) -> Pictures:
    """Faces with their pictures; with `half_way` those that are no ordinary persons are drawn as such too."""
    plain = [redraw(face, {"kind": "person", "style": "plain"}) for face in faces]
    pixels = draw_faces(faces, num_processes=num_processes)
    if not half_way or plain == list(faces):
        return Pictures(faces, pixels, share)
    return Pictures(faces, pixels, share, draw_faces(plain, num_processes=num_processes))


def true_edits(num_faces: int = 250, *, num_processes: int = 2) -> Edits:
    """The first training faces that lack an attribute, `num_faces` of them for each that can be drawn.

    What is lacking are labels: the colour of a bald or grey head's hair changes, and the picture does not.
    """
    attributes = [attribute for attribute in ATTRIBUTES.values() if attribute.redraw]
    before: list[Face] = []
    after: list[Face] = []
    for attribute in attributes:
        faces = map(sample_face, TRAIN_SEEDS)
        pairs = ((face, redraw(face, attribute.redraw)) for face in faces)
        chosen = list(islice((pair for pair in pairs if pair[0] != pair[1]), num_faces))
        before.extend(face for face, _ in chosen)
        after.extend(edit for _, edit in chosen)
    return Edits(
        attributes,
        np.repeat(np.arange(len(attributes)), num_faces),
        draw_faces(before, num_processes=num_processes),
        draw_faces(after, num_processes=num_processes),
    )


def random_batch(
    pictures: Sequence[Pictures], size: int, rng: np.random.Generator
) -> tuple[list[Face], Tensor]:
    """Faces and their pixels, (size, 3, 32, 32) in [-1, 1], in the shares that `pictures` say."""
    counts = rng.multinomial(size, [source.share for source in pictures])
    faces: list[Face] = []
    pixels = []
    for source, count in zip(pictures, counts, strict=True):
        rows = rng.integers(len(source.faces), size=count)
        faces.extend(source.faces[row] for row in rows)
        pixels.append(_half_way(source, rows, rng))
    return faces, torch.cat(pixels)


def edits_batch(edits: Edits, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Faces, the same on their way to an attribute, both (size, 3, 32, 32) in [-1, 1], and the attributes, (size,)."""
    rows = rng.integers(len(edits.wanted), size=size)
    before, after = to_unit_range(edits.before[rows]), to_unit_range(edits.after[rows])
    amounts = rng.uniform(*ON_THE_WAY, size=len(rows))
    return before, _mixed(before, after, amounts), torch.from_numpy(edits.wanted[rows])


def _half_way(source: Pictures, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> Tensor:
    """The pictures of these rows, half of them mixed with their ordinary faces where there are any."""
    pixels = to_unit_range(source.pixels[rows])
    if source.plain is None:
        return pixels
    amounts = np.where(rng.random(len(rows)) < 0.5, rng.uniform(*HALF_WAY, size=len(rows)), 1.0)
    return _mixed(to_unit_range(source.plain[rows]), pixels, amounts)


def _mixed(start: Tensor, end: Tensor, amounts: npt.NDArray[np.float64]) -> Tensor:
    """Pictures as far from `start` to `end` as `amounts`, (B,), say."""
    return start.lerp(end, torch.from_numpy(amounts).float().view(-1, 1, 1, 1))
