"""A folder of picture files as a domain's images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from trainables.digests import file_digest
from trainables.h_space.domains.images import SPLITS, Split
from trainables.h_space.domains.label_file import LabelTable, read_labels
from trainables.h_space.domains.pictures import REQUIRED, PictureImages
from trainables.h_space.domains.scanning import ENDINGS, FolderError, Scan, scan

if TYPE_CHECKING:
    from pathlib import Path

LABELS_FILE: Final = "labels.csv"


class FolderImages(PictureImages):
    """Pictures under `train/`, `test/` and, where it is there, `validation/`, by their file names.

    With `recursive` those in sub-folders too; their names hold the sub-folder's. A `labels.csv` beside them, with a
    column `image_id` and one for each label, tells what they show ("yes" and "no" for what is there or not).
    """

    def __init__(self, folder: Path, *, recursive: bool = False) -> None:
        """Raises FolderError where the folder does not have `train/` and `test/`."""
        if missing := [split for split in REQUIRED if not (folder / split).is_dir()]:
            raise FolderError(_without_splits(folder, missing))
        super().__init__(folder)
        self._recursive = recursive

    @cached_property
    def _scans(self) -> Mapping[Split, Scan]:
        there = [split for split in SPLITS if split in REQUIRED or (self._folder / split).is_dir()]
        return {split: scan(self._folder / split, self._recursive).checked() for split in there}

    @property
    def _names(self) -> Mapping[Split, Sequence[str]]:
        return {split: scan.names for split, scan in self._scans.items()}

    def picture(self, image_id: str) -> Path:
        """The file."""
        return self._folder / image_id

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

    @property
    def label_names(self) -> tuple[str, ...]:
        """The columns of `labels.csv`."""
        return () if self._labels is None else self._labels.columns

    def labels(self, image_id: str) -> Mapping[str, str]:
        """What `labels.csv` says; nothing for an image that it leaves out."""
        return {} if self._labels is None else self._labels.of(image_id)

    @property
    def _left_out(self) -> list[str]:
        found = [scan.remark for scan in self._scans.values() if scan.remark]
        unknown = "" if self._labels is None else self._labels.unknown(self.all_ids())
        return [*found, *([unknown] if unknown else [])]

    def _in_both(self) -> list[tuple[str, str]]:
        tested: dict[int, list[str]] = {}
        for name in self.all_ids("test"):
            tested.setdefault((self._folder / name).stat().st_size, []).append(name)
        return [
            (name, other)
            for name in self.all_ids("train")
            for other in tested.get((self._folder / name).stat().st_size, ())  # only these are read
            if file_digest(self._folder / name) == file_digest(self._folder / other)
        ]


def _without_splits(folder: Path, missing: Sequence[str]) -> str:
    """Why a folder is not one of two splits, and what to do."""
    train, test = REQUIRED
    if not folder.is_dir():
        return f"{folder} is not a folder; expected one with {train}/ and {test}/ folders of pictures"
    own = sum(path.suffix.lower() in ENDINGS for path in folder.iterdir())
    move = f"; the {own} pictures in it have to be moved into {train}/ and {test}/" if own else ""
    return f"{folder} has no {missing[0]}/ folder of images{move}"
