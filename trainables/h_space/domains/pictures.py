"""Pictures that were not drawn here, as a domain's images: what files in folders and rows of tables have in common.

Legend: B images, C channels, H x W pixels in [-1, 1].
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from trainables.h_space.attributes import Attribute
from trainables.h_space.domains.decoding import (
    PictureError,
    PictureFacts,
    PictureSource,
    inspect,
    read_pixels,
)
from trainables.h_space.domains.images import HeldOut, Split, in_order, to_signed

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

_NAMED: Final = 5
REQUIRED: Final[tuple[Split, ...]] = ("train", "test")
_SPARED_OF: Final = 5
"""Of so many training pictures one is a validation picture, where there are none of their own."""


class PictureImages(ABC):
    """Pictures of the splits `train` and `test`; ids read `<split>/<name>`.

    Validation pictures are those of `validation`; where there is no such split they are a fifth of the training ones,
    chosen by their names, and a trial that is measured on them trains on the others.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._image_shape: tuple[int, int, int] | None = None
        self._looked: dict[tuple[Split, int | None, HeldOut], Looked] = {}

    @property
    @abstractmethod
    def _names(self) -> Mapping[Split, Sequence[str]]:
        """Names of the pictures of every split that is there, in order. Raises FolderError for one without pictures."""

    @abstractmethod
    def picture(self, image_id: str) -> PictureSource:
        """Where a picture is read from. Raises PictureError where there is none."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes with the pictures, their order and their labels. Raises FolderError for what cannot be read."""

    @property
    @abstractmethod
    def label_names(self) -> tuple[str, ...]:
        """What pictures are labelled with."""

    @abstractmethod
    def labels(self, image_id: str) -> Mapping[str, str]:
        """What is known of a picture; nothing for one without labels."""

    @abstractmethod
    def _in_both(self) -> list[tuple[str, str]]:
        """(training, test) ids of pictures that are byte for byte the same."""

    @property
    def _left_out(self) -> list[str]:
        """What of the folder is not read, and why."""
        return []

    @cached_property
    def _spared(self) -> frozenset[str]:
        """Names of the training pictures that are validation pictures too; none where those are apart."""
        if "validation" in self._names:
            return frozenset()
        names = self._names["train"]
        by_digest = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        return frozenset(by_digest[: len(names) // _SPARED_OF])

    def held_out_ids(self, split: HeldOut) -> list[str]:
        """Ids of all pictures that trials may be measured on."""
        return self._ids(split, split)

    def _ids(self, split: Split, held_out: HeldOut) -> list[str]:
        """All ids of a split, in order of names; of `train` those that are not held out."""
        there: Split = "train" if split == "validation" and split not in self._names else split
        names = self._names[there]
        if there != split:
            names = [name for name in names if name in self._spared]
        elif split == "train" and held_out == "validation":
            names = [name for name in names if name not in self._spared]
        return [f"{there}/{name}" for name in names]

    def all_ids(self, *splits: Split) -> Iterator[str]:
        """Ids of the pictures that are kept under these splits; of all when none is named."""
        return (f"{split}/{name}" for split in splits or self._names for name in self._names[split])

    def resize_to(self, image_shape: tuple[int, int, int]) -> None:
        """Centre-crop to the model's aspect, resize (bicubic) and convert to its channels when loading."""
        self._image_shape = image_shape

    def ids(
        self,
        split: Split,
        count: int,
        attribute: Attribute,
        seed: int | None = None,
        held_out: HeldOut = "test",
    ) -> list[str]:
        """The first images by name, or a seed's own."""
        names = list(islice(in_order(self._ids(split, held_out), split, seed), count))
        if len(names) < count:
            raise ValueError(f"{self._folder} holds only {len(names)} {split} images, {count} were asked")
        return names

    def count(self, split: Split, held_out: HeldOut = "test") -> int:
        """As many as there are pictures."""
        return len(self._ids(split, held_out))

    def load(self, ids: list[str]) -> Tensor:
        """(B, C, H, W). Raises PictureError for a picture that cannot be read."""
        assert self._image_shape is not None, "resize_to comes first"
        shape = self._image_shape
        return to_signed(np.stack([read_pixels(self.picture(image_id), shape)[0] for image_id in ids]))

    def shows(self, image_id: str, attribute: Attribute) -> bool:
        """Whether the labels say all that the attribute asks for."""
        own = self.labels(image_id)
        return bool(attribute.redraw) and all(
            _means(own.get(name), value) for name, value in attribute.redraw.items()
        )

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

    # What a plan says of the pictures before anything is trained

    @property
    def remarks(self) -> list[str]:
        """What of the folder is not read, and the test pictures that are training pictures as well."""
        if not (same := self._in_both()):
            return self._left_out
        first, second = same[0]
        return [
            *self._left_out,
            f"{len(same)} test pictures are training pictures as well, such as {second} ({first}): what is measured "
            "on them says nothing about new pictures; move or remove them",
        ]

    def looked_at(self, split: Split, count: int | None, held_out: HeldOut = "test") -> Looked:
        """Read the headers of a split's first pictures, or of all, so that bad ones are known before training."""
        known = self._looked.get((split, count, held_out))
        if known is None:
            known = self._looked[split, count, held_out] = Looked()
            for image_id in self._ids(split, held_out)[:count]:
                try:
                    known.facts.append(inspect(self.picture(image_id)))
                except PictureError as error:
                    known.wrong.append(str(error))
        return known


@dataclass(frozen=True)
class Looked:
    """What the headers of pictures tell."""

    facts: list[PictureFacts] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Why a picture cannot be read, with its path, for each such one."""

    @property
    def problem(self) -> str | None:
        """The pictures that cannot be read, the first of them by name; None where all can."""
        if not self.wrong:
            return None
        more = len(self.wrong) - _NAMED
        listed = "; ".join(self.wrong[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
        total = len(self.wrong) + len(self.facts)
        return f"{len(self.wrong)} of {total} pictures cannot be read, replace or remove them: {listed}"

    def remarks(self, height: int, width: int) -> list[str]:
        """What is done to some of the pictures, each said once."""
        told: Counter[str] = Counter()
        for facts in self.facts:
            told.update(facts.remarks)
            told[f"smaller than {width} x {height}, enlarged"] += facts.height < height or facts.width < width
        return [f"{count} of {len(self.facts)} pictures: {remark}" for remark, count in told.items() if count]


_WORDS: Final = {
    True: frozenset(("yes", "true", "1", "1.0")),
    False: frozenset(("no", "false", "0", "0.0", "-1")),
}
"""What tables write for what is there or not."""


def _means(label: str | None, value: object) -> bool:
    """Whether a label says the value of an attribute."""
    if isinstance(value, bool):
        return label is not None and label.lower() in _WORDS[value]
    return label == value
