"""A folder of pictures as a domain's images.

Legend: B images, C channels, H x W pixels in [-1, 1].
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from trainables.digests import file_digest
from trainables.h_space.attributes import Attribute
from trainables.h_space.domains.decoding import (
    PictureError,
    PictureFacts,
    inspect,
    read_pixels,
)
from trainables.h_space.domains.images import SPLITS, HeldOut, Split, in_order, to_signed
from trainables.h_space.domains.label_file import LabelTable, read_labels
from trainables.h_space.domains.scanning import ENDINGS, FolderError, Scan, scan

if TYPE_CHECKING:
    from torch import Tensor

LABELS_FILE: Final = "labels.csv"
_NAMED: Final = 5
_REQUIRED: Final[tuple[Split, ...]] = ("train", "test")
_SPARED_OF: Final = 5
"""Of so many training pictures one is a validation picture, where those have no folder of their own."""


class FolderImages:
    """Pictures under `train/` and `test/`, in name order; ids read `<split>/<file name>`.

    Validation pictures are under `validation/`; where there is no such folder they are a fifth of those under `train/`,
    chosen by their names, and a trial that is measured on them trains on the others.

    With `recursive` those in sub-folders too; their ids hold the sub-folder's name. A `labels.csv` beside them, with a
    column `image_id` and one for each label, tells what they show ("yes" and "no" for what is there or not).
    """

    def __init__(self, folder: Path, *, recursive: bool = False) -> None:
        """Raises FolderError where the folder does not have `train/` and `test/`."""
        if missing := [split for split in _REQUIRED if not (folder / split).is_dir()]:
            raise FolderError(_without_splits(folder, missing))
        self._folder = folder
        self._recursive = recursive
        self._image_shape: tuple[int, int, int] | None = None
        self._looked: dict[tuple[Split, int | None, HeldOut], Looked] = {}

    @cached_property
    def _scans(self) -> Mapping[Split, Scan]:
        """Raises FolderError for a split without pictures."""
        there = [split for split in SPLITS if split in _REQUIRED or (self._folder / split).is_dir()]
        return {split: scan(self._folder / split, self._recursive).checked() for split in there}

    @cached_property
    def _spared(self) -> frozenset[str]:
        """Names of the training pictures that are validation pictures too; none where those have a folder."""
        if "validation" in self._scans:
            return frozenset()
        names = self._scans["train"].names
        by_digest = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        return frozenset(by_digest[: len(names) // _SPARED_OF])

    def held_out_ids(self, split: HeldOut) -> list[str]:
        """Ids of all pictures that trials may be measured on."""
        return self._ids(split, split)

    def _ids(self, split: Split, held_out: HeldOut) -> list[str]:
        """All ids of a split, in name order; of `train` those that are not held out."""
        folder: Split = "train" if split == "validation" and split not in self._scans else split
        names: Sequence[str] = self._scans[folder].names
        if folder != split:
            names = [name for name in names if name in self._spared]
        elif split == "train" and held_out == "validation":
            names = [name for name in names if name not in self._spared]
        return [f"{folder}/{name}" for name in names]

    @property
    def fingerprint(self) -> str:
        """The pictures' names and contents, and the labels. Raises FolderError for a file that cannot be read."""
        names = [*self.all_ids(), *([LABELS_FILE] if (self._folder / LABELS_FILE).is_file() else [])]
        paths = [self._folder / name for name in names]
        try:
            # Sizes say where one file ends and the next begins.
            listed = [f"{name}:{path.stat().st_size}" for name, path in zip(names, paths, strict=True)]
            contents = file_digest(*paths)
        except OSError as error:
            raise FolderError(f"{error.filename} cannot be read: {error.strerror}") from error
        return hashlib.sha256("\n".join([*listed, contents]).encode()).hexdigest()

    @cached_property
    def _labels(self) -> LabelTable | None:
        """Raises LabelFileError for a file that is no table of these pictures' labels."""
        path = self._folder / LABELS_FILE
        if not path.exists():
            return None
        table = read_labels(path)
        table.check(self.all_ids())
        return table

    def all_ids(self, *splits: Split) -> Iterator[str]:
        """Ids of the pictures in these splits' folders; of all when none is named."""
        return (f"{split}/{name}" for split in splits or self._scans for name in self._scans[split].names)

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
        """As many as there are files."""
        return len(self._ids(split, held_out))

    def load(self, ids: list[str]) -> Tensor:
        """(B, C, H, W). Raises PictureError for a file that cannot be read."""
        assert self._image_shape is not None, "resize_to comes first"
        shape = self._image_shape
        return to_signed(np.stack([read_pixels(self._folder / image_id, shape)[0] for image_id in ids]))

    @property
    def label_names(self) -> tuple[str, ...]:
        """The columns of `labels.csv`."""
        return () if self._labels is None else self._labels.columns

    def labels(self, image_id: str) -> Mapping[str, str]:
        """What `labels.csv` says; nothing for an image that it leaves out."""
        return {} if self._labels is None else self._labels.of(image_id)

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
        """What of the folder is not read, and why."""
        found = [scan.remark for scan in self._scans.values() if scan.remark]
        unknown = "" if self._labels is None else self._labels.unknown(self.all_ids())
        return [*found, *filter(None, (unknown, self._in_both_remark()))]

    def _in_both_remark(self) -> str:
        """The pictures that are trained and tested on, byte for byte the same; empty where there are none."""
        tested: dict[int, list[str]] = {}
        for name in self.all_ids("test"):
            tested.setdefault((self._folder / name).stat().st_size, []).append(name)
        same = [
            (name, other)
            for name in self.all_ids("train")
            for other in tested.get((self._folder / name).stat().st_size, ())  # only these are read
            if file_digest(self._folder / name) == file_digest(self._folder / other)
        ]
        if not same:
            return ""
        first, second = same[0]
        return (
            f"{len(same)} test pictures are training pictures as well, such as {second} ({first}): what is measured "
            "on them says nothing about new pictures; move or remove them"
        )

    def looked_at(self, split: Split, count: int | None, held_out: HeldOut = "test") -> Looked:
        """Read the headers of a split's first pictures, or of all, so that bad ones are known before training."""
        known = self._looked.get((split, count, held_out))
        if known is None:
            known = self._looked[split, count, held_out] = Looked()
            for image_id in self._ids(split, held_out)[:count]:
                try:
                    known.facts.append(inspect(self._folder / image_id))
                except PictureError as error:
                    known.wrong.append(str(error))
        return known


def _without_splits(folder: Path, missing: Sequence[str]) -> str:
    """Why a folder is not one of two splits, and what to do."""
    if not folder.is_dir():
        return f"{folder} is not a folder; expected one with {_REQUIRED[0]}/ and {_REQUIRED[1]}/ folders of pictures"
    own = sum(path.suffix.lower() in ENDINGS for path in folder.iterdir())
    move = (
        f"; the {own} pictures in it have to be moved into {_REQUIRED[0]}/ and {_REQUIRED[1]}/" if own else ""
    )
    return f"{folder} has no {missing[0]}/ folder of images{move}"


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
