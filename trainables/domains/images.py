"""Where a domain's images come from: drawn avatars or a folder of pictures.

Legend: B images, C channels, H x W pixels in [-1, 1].
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from trainables.attributes import Attribute
from trainables.domains.avatars import drawing, faces, masks
from trainables.domains.label_file import read_labels

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")

_NUM_FINGERPRINT_FACES = 8


class ImageSource(Protocol):
    """Images with stable ids, and what is known of each."""

    @property
    def fingerprint(self) -> str:
        """Changes when any image would."""

    def resize_to(self, image_shape: tuple[int, int, int]) -> None:
        """Deliver images of this (C, H, W) from now on."""

    def ids(self, split: Split, count: int, attribute: Attribute) -> list[str]:
        """The first `count` ids of a split to which the edit can be applied.

        Raises ValueError when the split holds fewer.
        """

    def count(self, split: Split) -> int:
        """How many images a split holds."""

    def load(self, ids: list[str]) -> Tensor:
        """(B, C, H, W)."""

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
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def fitted(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at this height and width: its square centre resized (bicubic); untouched where it has that size."""
    from torchvision.transforms.v2 import functional as transform

    if picture.size[::-1] == size:
        return picture
    square: Image.Image = transform.center_crop(picture, [min(picture.size)] * 2)
    return square.resize(size[::-1], Image.Resampling.BICUBIC)


class AvatarImages:
    """Faces drawn from their own seeds; ids read `avatar-<seed>`."""

    @property
    def fingerprint(self) -> str:
        """Digest of a few drawn faces: any change of the drawing rules or of the libraries behind them shows."""
        sample = [
            drawing.draw(faces.sample_face(seed)).tobytes()
            for seed in faces.TRAIN_SEEDS[:_NUM_FINGERPRINT_FACES]
        ]
        return hashlib.sha256(b"".join(sample)).hexdigest()

    def resize_to(self, image_shape: tuple[int, int, int]) -> None:
        """Faces are drawn at one size; another model is a mistake in the domain file."""
        drawn = (3, drawing.SIZE, drawing.SIZE)
        if image_shape != drawn:
            raise ValueError(f"avatars are drawn as {drawn}, but the diffusion model wants {image_shape}")

    def ids(self, split: Split, count: int, attribute: Attribute) -> list[str]:
        """Training: any ordinary face. Test: only faces that do not have the attribute yet."""
        seeds = faces.TRAIN_SEEDS if split == "train" else faces.TEST_SEEDS
        found: list[str] = []
        for seed in seeds:
            if len(found) == count:
                return found
            if split == "train" or _lacks(faces.sample_face(seed), attribute):
                found.append(f"avatar-{seed}")
        raise ValueError(f"the {split} split holds only {len(found)} faces, {count} were asked")

    def count(self, split: Split) -> int:
        """As many as there are seeds."""
        return len(faces.TRAIN_SEEDS if split == "train" else faces.TEST_SEEDS)

    def load(self, ids: list[str]) -> Tensor:
        """(B, 3, 32, 32)."""
        return to_signed(np.stack([drawing.draw(_face(image_id)) for image_id in ids]))

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
        edited = [drawing.draw(faces.redraw(_face(image_id), attribute.redraw)) for image_id in ids]
        return to_signed(np.stack(edited))

    def parts(self, ids: list[str]) -> Tensor:
        """The parts the faces were drawn with, indices into `masks.PARTS`."""
        return torch.from_numpy(masks.draw_masks([_face(image_id) for image_id in ids]))


@lru_cache(maxsize=4096)
def _face(image_id: str) -> faces.Face:
    return faces.sample_face(int(image_id.removeprefix("avatar-")))


def _lacks(face: faces.Face, attribute: Attribute) -> bool:
    return not attribute.redraw or any(getattr(face, key) != value for key, value in attribute.redraw.items())


LABELS_FILE = "labels.csv"


class FolderImages:
    """Pictures under `train/` and `test/`, in name order; ids read `<split>/<file name>`.

    A `labels.csv` beside them, with a column `image_id` and one for each label, tells what they show ("yes" and "no"
    for what is there or not).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._size: tuple[int, int] | None = None

    @property
    def fingerprint(self) -> str:
        """The folder's file names and sizes."""
        listing = [
            f"{path.name}:{path.stat().st_size}" for split in ("train", "test") for path in self._files(split)
        ]
        labels = self._folder / LABELS_FILE
        if labels.is_file():
            listing.append(hashlib.sha256(labels.read_bytes()).hexdigest())
        return hashlib.sha256("\n".join(listing).encode()).hexdigest()

    @cached_property
    def _labels(self) -> Mapping[str, Mapping[str, str]]:
        """Image id -> label -> value. Raises ValueError for a file without a column of ids."""
        path = self._folder / LABELS_FILE
        return read_labels(path) if path.is_file() else {}

    def _files(self, split: str) -> list[Path]:
        suffixes = {".png", ".jpg", ".jpeg", ".webp"}
        return sorted(path for path in (self._folder / split).iterdir() if path.suffix.lower() in suffixes)

    def resize_to(self, image_shape: tuple[int, int, int]) -> None:
        """Centre-crop to the model's aspect and resize (bicubic) when loading."""
        self._size = image_shape[1:]

    def ids(self, split: Split, count: int, attribute: Attribute) -> list[str]:
        """The first images by name."""
        names = [f"{split}/{path.name}" for path in self._files(split)[:count]]
        if len(names) < count:
            raise ValueError(f"{self._folder / split} holds only {len(names)} images, {count} were asked")
        return names

    def count(self, split: Split) -> int:
        """As many as there are files."""
        return len(self._files(split))

    def load(self, ids: list[str]) -> Tensor:
        """(B, 3, H, W)."""
        pictures = []
        for image_id in ids:
            with Image.open(self._folder / image_id) as file:
                picture = file.convert("RGB")
            if self._size is not None:
                picture = fitted(picture, self._size)
            pictures.append(np.asarray(picture, dtype=np.uint8))
        return to_signed(np.stack(pictures))

    @property
    def label_names(self) -> tuple[str, ...]:
        """The columns of `labels.csv`."""
        return tuple(next(iter(self._labels.values()), {}))

    def labels(self, image_id: str) -> Mapping[str, str]:
        """What `labels.csv` says; nothing for an image that it leaves out."""
        return self._labels.get(image_id, {})

    def shows(self, image_id: str, attribute: Attribute) -> bool:
        """Whether the labels say all that the attribute asks for."""
        own = self.labels(image_id)
        wanted = {name: _YES_NO.get(value, value) for name, value in attribute.redraw.items()}
        return bool(wanted) and all(own.get(name) == value for name, value in wanted.items())

    @property
    def can_redraw(self) -> bool:
        """Photographs cannot be drawn again."""
        return False

    def counterfactuals(self, ids: list[str], attribute: Attribute) -> Tensor | None:
        """None: photographs cannot be drawn again."""
        return None

    def parts(self, ids: list[str]) -> Tensor | None:
        """None: nobody has drawn their parts."""
        return None


_YES_NO: Mapping[object, str] = {True: "yes", False: "no"}
