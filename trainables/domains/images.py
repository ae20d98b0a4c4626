"""Where a domain's images come from: drawn avatars or a folder of pictures.

Legend: B images, C channels, H x W pixels in [-1, 1].
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from trainables.attributes import Attribute
from trainables.domains.avatars import drawing, faces

Split = Literal["train", "test"]

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

    def load(self, ids: list[str]) -> Tensor:
        """(B, C, H, W)."""

    def labels(self, image_id: str) -> Mapping[str, str]:
        """What is known of the image; empty where there are no labels."""

    def counterfactuals(self, ids: list[str], attribute: Attribute) -> Tensor | None:
        """The true edits, (B, C, H, W), or None where they cannot be drawn."""


def to_signed(pixels: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, C) bytes to (B, C, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1.0


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
            if split == "train" or _lacks(seed, attribute):
                found.append(f"avatar-{seed}")
        raise ValueError(f"the {split} split holds only {len(found)} faces, {count} were asked")

    def load(self, ids: list[str]) -> Tensor:
        """(B, 3, 32, 32)."""
        return to_signed(np.stack([drawing.draw(_face(image_id)) for image_id in ids]))

    def labels(self, image_id: str) -> Mapping[str, str]:
        """The options the face was drawn with."""
        return faces.labels(_face(image_id))

    def counterfactuals(self, ids: list[str], attribute: Attribute) -> Tensor | None:
        """The same faces drawn again with the attribute."""
        if not attribute.redraw:
            return None
        edited = [drawing.draw(faces.redraw(_face(image_id), attribute.redraw)) for image_id in ids]
        return to_signed(np.stack(edited))


@lru_cache(maxsize=4096)
def _face(image_id: str) -> faces.Face:
    return faces.sample_face(int(image_id.removeprefix("avatar-")))


def _lacks(seed: int, attribute: Attribute) -> bool:
    face = faces.sample_face(seed)
    return not attribute.redraw or any(getattr(face, key) != value for key, value in attribute.redraw.items())


class FolderImages:
    """Pictures under `train/` and `test/`, in name order; ids read `<split>/<file name>`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._size: tuple[int, int] | None = None

    @property
    def fingerprint(self) -> str:
        """The folder's file names and sizes."""
        listing = [
            f"{path.name}:{path.stat().st_size}" for split in ("train", "test") for path in self._files(split)
        ]
        return hashlib.sha256("\n".join(listing).encode()).hexdigest()

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

    def load(self, ids: list[str]) -> Tensor:
        """(B, 3, H, W)."""
        from torchvision.transforms.v2 import functional as transform

        pictures = []
        for image_id in ids:
            with Image.open(self._folder / image_id) as file:
                picture = file.convert("RGB")
            if self._size is not None and picture.size[::-1] != self._size:
                picture = transform.center_crop(picture, [min(picture.size)] * 2).resize(
                    self._size[::-1], Image.Resampling.BICUBIC
                )
            pictures.append(np.asarray(picture, dtype=np.uint8))
        return to_signed(np.stack(pictures))

    def labels(self, image_id: str) -> Mapping[str, str]:
        """A folder knows nothing of its pictures."""
        return {}

    def counterfactuals(self, ids: list[str], attribute: Attribute) -> Tensor | None:
        """Photographs cannot be drawn again."""
        return None
