"""Where a domain's images come from: what every source offers, and the drawn avatars (`folder` has pictures).

Legend: B images, C channels, H x W pixels in [-1, 1].
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainables.digests import remembered
from trainables.h_space.attributes import Attribute
from trainables.h_space.domains.avatars import drawing, faces, masks

if TYPE_CHECKING:
    from torch import Tensor

Split = Literal["train", "validation", "test"]
HeldOut = Literal["validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

T = TypeVar("T")

_NUM_SAMPLED = 8
"""Faces of each split that a fingerprint draws."""


class ImageSource(Protocol):
    """Images with stable ids, and what is known of each."""

    @property
    def fingerprint(self) -> str:
        """Changes when any image would."""

    def resize_to(self, image_shape: tuple[int, int, int]) -> None:
        """Deliver images of this (C, H, W) from now on."""

    def ids(
        self,
        split: Split,
        count: int,
        attribute: Attribute,
        seed: int | None = None,
        held_out: HeldOut = "test",
    ) -> list[str]:
        """`count` ids of a split to which the edit can be applied: a seed's own, or the first ones without a seed.

        More of them begin as fewer do. Training images are none of the `held_out` ones, which the trial is measured
        on. Raises ValueError when the split holds fewer.
        """

    def count(self, split: Split, held_out: HeldOut = "test") -> int:
        """How many images a split holds; of `train` those that are not held out."""

    def load(self, ids: list[str]) -> Tensor:
        """(B, C, H, W). Raises PictureError for a file that cannot be read."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """What every image is labelled with; empty where there are no labels."""

    def labels(self, image_id: str) -> Mapping[str, str]:
        """What is known of the image; empty where there are no labels."""

    def shows(self, image_id: str, attribute: Attribute) -> bool:
        """Whether the image's labels say that it has the attribute already."""

    @property
    def can_redraw(self) -> bool:
        """Whether the true edit of an attribute with a `redraw` can be drawn."""

    def counterfactuals(self, ids: list[str], attribute: Attribute) -> Tensor | None:
        """The true edits, (B, C, H, W), or None where they cannot be drawn."""

    def parts(self, ids: list[str]) -> Tensor | None:
        """The true part that each pixel shows, (B, H, W), or None where it is not known."""


def to_signed(pixels: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, C) bytes to (B, C, H, W) in [-1, 1]."""
    import torch  # Only now: plans look at domains without it.

    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1.0


@dataclass(frozen=True)
class AvatarImages:
    """Faces drawn from their own seeds; ids read `avatar-<seed>`."""

    size: int = drawing.SIZE
    """Pixels of a side."""

    @property
    def fingerprint(self) -> str:
        """Digest of drawn faces of every kind: a change of the drawing rules or of the libraries behind them shows."""
        files = [Path(module.__file__) for module in (drawing, faces, masks) if module.__file__]
        libraries = [
            f"{name} {version(name)}" for name in ("dicebear-core", "dicebear-styles", "resvg-py", "numpy")
        ]
        sized = "" if self.size == drawing.SIZE else f" of {self.size} pixels"
        return remembered(
            f"drawn faces{sized} {libraries}", files, partial(drawn_digest, self.size), is_slow=True
        )

    def resize_to(self, image_shape: tuple[int, int, int]) -> None:
        """Faces are drawn at the size that the domain file says; another model is a mistake in it."""
        drawn = (3, self.size, self.size)
        if image_shape != drawn:
            raise ValueError(f"avatars are drawn as {drawn}, but the diffusion model wants {image_shape}")

    def ids(
        self,
        split: Split,
        count: int,
        attribute: Attribute,
        seed: int | None = None,
        held_out: HeldOut = "test",
    ) -> list[str]:
        """Training: any ordinary face. Else only faces that do not have the attribute yet."""
        found: list[str] = []
        for face_seed in in_order(_seeds(split), split, seed):
            if len(found) == count:
                return found
            if split == "train" or _lacks(faces.sample_face(face_seed), attribute):
                found.append(f"avatar-{face_seed}")
        raise ValueError(f"the {split} split holds only {len(found)} faces, {count} were asked")

    def count(self, split: Split, held_out: HeldOut = "test") -> int:
        """As many as there are seeds."""
        return len(_seeds(split))

    def load(self, ids: list[str]) -> Tensor:
        """(B, 3, size, size)."""
        return to_signed(drawing.draw_faces([_face(image_id) for image_id in ids], size=self.size))

    @property
    def label_names(self) -> tuple[str, ...]:
        """The options that say what a face shows."""
        return tuple(faces.CHOICES)

    def labels(self, image_id: str) -> Mapping[str, str]:
        """The options the face was drawn with."""
        return faces.labels(_face(image_id))

    def shows(self, image_id: str, attribute: Attribute) -> bool:
        """Whether the face was drawn with all that the attribute asks for."""
        return not _lacks(_face(image_id), attribute)

    @property
    def can_redraw(self) -> bool:
        """Every face is drawn."""
        return True

    def counterfactuals(self, ids: list[str], attribute: Attribute) -> Tensor | None:
        """The same faces drawn again with the attribute."""
        if not attribute.redraw:
            return None
        edited = [faces.redraw(_face(image_id), attribute.redraw) for image_id in ids]
        return to_signed(drawing.draw_faces(edited, size=self.size))

    def parts(self, ids: list[str]) -> Tensor:
        """The parts the faces were drawn with, indices into `masks.PARTS`."""
        import torch

        return torch.from_numpy(masks.draw_masks([_face(image_id) for image_id in ids], self.size))


def in_order(whole: Sequence[T], split: Split, seed: int | None) -> Iterator[T]:
    """The images of a split from the first one on, or shuffled by a seed."""
    if seed is None:
        yield from whole
        return
    draws, seen = Random(f"images of seed {seed}, {split}"), set[int]()
    while 2 * len(seen) < len(
        whole
    ):  # Few of many are wanted: nothing as long as the split is made for them.
        place = draws.randrange(len(whole))
        if place not in seen:
            seen.add(place)
            yield whole[place]
    rest = [place for place in range(len(whole)) if place not in seen]
    draws.shuffle(rest)
    yield from (whole[place] for place in rest)


def _seeds(split: Split) -> range:
    """Seeds of the faces of a split."""
    of = {"train": faces.TRAIN_SEEDS, "validation": faces.VALIDATION_SEEDS, "test": faces.TEST_SEEDS}
    return of[split]


def drawn_digest(size: int = drawing.SIZE) -> str:
    """sha256 of pictures and parts of faces: of every split, and drawn again with every label there is."""
    seeds = [seed for split in SPLITS for seed in _seeds(split)[:_NUM_SAMPLED]]
    plain = [faces.sample_face(seed) for seed in seeds]
    changes = [{name: value} for name, values in faces.CHOICES.items() for value in values]
    again = [faces.redraw(face, change) for face, change in zip(cycle(plain), changes, strict=False)]
    whole = hashlib.sha256()
    for face in dict.fromkeys([*plain, *again]):
        whole.update(drawing.draw(face, size).tobytes() + masks.draw_mask(face, size).tobytes())
    return whole.hexdigest()


@lru_cache(maxsize=4096)
def _face(image_id: str) -> faces.Face:
    return faces.sample_face(int(image_id.removeprefix("avatar-")))


def _lacks(face: faces.Face, attribute: Attribute) -> bool:
    return not attribute.redraw or any(getattr(face, key) != value for key, value in attribute.redraw.items())
