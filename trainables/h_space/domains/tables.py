"""Pictures in rows: of Parquet files, or of a Hugging Face dataset that `save_to_disk` wrote (Arrow files)."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.digests import remembered
from trainables.h_space.domains.decoding import PictureCell, PictureError
from trainables.h_space.domains.images import SPLITS, Split
from trainables.h_space.domains.pictures import REQUIRED, PictureImages
from trainables.h_space.domains.scanning import FolderError
from trainables.wording import expected, one_of

_SAVED: Final = "state.json"
"""What `datasets.Dataset.save_to_disk` writes beside its Arrow files, whose names it holds."""


class TableImages(PictureImages):
    """The rows of each split, named by their number from 0; the other columns are their labels.

    Files of a split are `train-*.parquet` or `train.parquet` in the folder or in `data/`, all of `train/*.parquet`, or
    those of a saved dataset in `train/`. Pictures are what the files hold, not where: written again as other files,
    other rows a group or from Parquet to Arrow, they have the same fingerprint.
    """

    def __init__(self, folder: Path, column: str | None = None) -> None:
        """`column` has the pictures; where it is None, the only one that can.

        Raises FolderError where `train` or `test` has no files, or no column holds pictures.
        """
        super().__init__(folder)
        files = {split: _files(folder, split) for split in SPLITS}
        if missing := [split for split in REQUIRED if not files[split]]:
            raise FolderError(_without_splits(folder, missing))
        self._files = {split: paths for split, paths in files.items() if paths}
        first = files["train"][0]
        schema = _schema(first)
        self._column = _picture_column(schema, column, first)
        self._label_columns = tuple(
            one.name for one in schema if one.name != self._column and _is_label(one.type)
        )
        self._classes = _classes(schema)
        for path in (path for paths in files.values() for path in paths):
            if absent := {self._column, *self._label_columns}.difference(_schema(path).names):
                raise FolderError(f"{path} has no column {min(absent)}, which {first} has")
        self._read_last: tuple[_Rows, pa.ChunkedArray] | None = None

    @cached_property
    def _parts(self) -> Mapping[Split, Sequence[_Rows]]:
        found = {split: list(_parts(paths)) for split, paths in self._files.items()}
        for split, parts in found.items():
            if not parts:
                raise FolderError(
                    f"{self._files[split][0]} has no rows, so that there are no {split} pictures"
                )
        return found

    @cached_property
    def _names(self) -> Mapping[Split, Sequence[str]]:
        return {split: [str(row) for row in range(parts[-1].end)] for split, parts in self._parts.items()}

    def picture(self, image_id: str) -> PictureCell:
        """The file in a row. Raises PictureError, naming file and row, where there is none."""
        split, row = _place(image_id)
        parts = self._parts[split]
        part = parts[bisect_right(parts, row, key=lambda part: part.start) - 1]
        if self._read_last is None or self._read_last[0] is not part:
            self._read_last = part, part.read([self._column])[self._column]
        return _cell(self._read_last[1][row - part.start], f"{part.path} row {row - part.start + part.first}")

    @cached_property
    def _labels(self) -> Mapping[Split, pa.Table]:
        return {
            split: pa.concat_tables([part.read(self._label_columns) for part in parts])
            for split, parts in self._parts.items()
        }

    @property
    def label_names(self) -> tuple[str, ...]:
        """The other columns, but for those of lists and the like."""
        return self._label_columns

    def labels(self, image_id: str) -> Mapping[str, str]:
        """What the row says: classes by their names, "yes" and "no" for true and false, nothing for nothing."""
        split, row = _place(image_id)
        table = self._labels[split]
        return {name: self._label(name, table[name][row].as_py()) for name in self._label_columns}

    def _label(self, name: str, value: object) -> str:
        classes = self._classes.get(name)
        if classes is not None and isinstance(value, int):
            return classes[value] if 0 <= value < len(classes) else ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        return "" if value is None else str(value)

    @cached_property
    def _digests(self) -> Mapping[str, str]:
        """sha256 of every picture by its id. Reads all of them."""
        return {
            image_id: hashlib.sha256(self.picture(image_id).content).hexdigest()
            for image_id in self.all_ids()
        }

    @property
    def fingerprint(self) -> str:
        """The pictures in their order, and their labels. Raises PictureError for a row without a picture."""

        def compute() -> str:
            rows = [[digest, *self.labels(image_id).items()] for image_id, digest in self._digests.items()]
            text = json.dumps([{split: len(names) for split, names in self._names.items()}, rows])
            return hashlib.sha256(text.encode()).hexdigest()

        paths = [path for paths in self._files.values() for path in paths]
        return remembered(f"pictures of rows, column {self._column}", paths, compute)

    def _in_both(self) -> list[tuple[str, str]]:
        trained = {self._digests[image_id]: image_id for image_id in self.all_ids("train")}
        tested = ((self._digests[image_id], image_id) for image_id in self.all_ids("test"))
        return [(trained[digest], image_id) for digest, image_id in tested if digest in trained]


@dataclass(frozen=True)
class _Rows:
    """Rows that are read at once: a row group of a Parquet file, or all of an Arrow file, which is mapped."""

    path: Path
    group: int
    first: int
    """Number of the first one in its file."""
    start: int
    """Number of the first one in its split."""
    end: int

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns. Raises FolderError for a file that cannot be read."""
        try:
            if self.path.suffix == ".arrow":
                return _arrow(self.path).select(columns)
            return pq.ParquetFile(self.path).read_row_group(self.group, columns=list(columns))
        except (OSError, pa.ArrowException) as error:
            raise _damaged(self.path, error) from error


def _parts(paths: Sequence[Path]) -> Iterator[_Rows]:
    start = 0
    for path in paths:
        first = 0
        for group, count in enumerate(_lengths(path)):
            if count:
                yield _Rows(path, group, first, start, start + count)
            first, start = first + count, start + count


def _lengths(path: Path) -> list[int]:
    """Numbers of rows of a file that are read at once."""
    try:
        if path.suffix == ".arrow":
            return [_arrow(path).num_rows]
        metadata = pq.read_metadata(path)
        return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def _schema(path: Path) -> pa.Schema:
    try:
        return _arrow(path).schema if path.suffix == ".arrow" else pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def _arrow(path: Path) -> pa.Table:
    """The rows of a stream of Arrow batches, mapped: what is not looked at is not read."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
        return stream.read_all()


def _damaged(path: Path, error: Exception) -> FolderError:
    kind = "Arrow" if path.suffix == ".arrow" else "Parquet"
    return FolderError(
        f"{path} cannot be read as {kind} ({error}); it may be cut off: write or download it again"
    )


def _files(folder: Path, split: Split) -> list[Path]:
    """The files of a split, in order."""
    inside = folder / split
    if (saved := inside / _SAVED).is_file():
        try:
            return [inside / one["filename"] for one in json.loads(saved.read_bytes())["_data_files"]]
        except (ValueError, KeyError, TypeError) as error:
            raise FolderError(
                f"{saved} does not name its Arrow files: {type(error).__name__}: {error}"
            ) from error
    places = [(inside, "*"), (folder, split), (folder, f"{split}-*"), (folder / "data", split)]
    found = ([*place.glob(f"{name}.parquet")] for place, name in [*places, (folder / "data", f"{split}-*")])
    return next((sorted(paths) for paths in found if paths), [])


def _without_splits(folder: Path, missing: Sequence[Split]) -> str:
    if not folder.is_dir():
        return f"{folder} is not a folder"
    if (folder / _SAVED).is_file():
        return (
            f"{folder} is a dataset without splits: save it with two, such as "
            "`dataset.train_test_split(0.1).save_to_disk(FOLDER)`"
        )
    there = sorted(path.name for path in folder.iterdir())
    return (
        f"{folder} has no {missing[0]} rows: expected {missing[0]}-*.parquet there or in data/, "
        f"{missing[0]}/*.parquet, or a dataset that save_to_disk wrote with splits train and test; found "
        f"{', '.join(there[:5]) or 'nothing'}"
    )


def _picture_column(schema: pa.Schema, asked: str | None, path: Path) -> str:
    fitting = [str(one.name) for one in schema if _holds_pictures(one.type)]
    if asked is None and len(fitting) == 1:
        return fitting[0]
    if asked is not None and asked in fitting:
        return asked
    columns = ", ".join(f"{one.name} ({one.type})" for one in schema) or "none"
    if asked is not None:
        raise FolderError(
            f"images.column: {expected(f'a column of {path} that holds picture files', asked, fitting)}; its columns: "
            f"{columns}"
        )
    if fitting:
        raise FolderError(
            f"{path} has several columns of pictures: name {one_of(fitting)} as `column` under `images:`"
        )
    raise FolderError(
        f"{path} has no column of picture files: expected binary, or a struct of bytes and path as Hugging Face "
        f"datasets write it; found {columns}"
    )


def _holds_pictures(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(one.name == "bytes" and _holds_pictures(one.type) for one in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_label(kind: pa.DataType) -> bool:
    tests = (pa.types.is_primitive, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in (*tests, pa.types.is_dictionary))


def _classes(schema: pa.Schema) -> Mapping[str, Sequence[str]]:
    """Names of the classes of Hugging Face's columns of class labels, whose cells are numbers."""
    told: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = told.get("info", {}).get("features", {})
    return {name: one["names"] for name, one in features.items() if one.get("_type") == "ClassLabel"}


def _cell(cell: pa.Scalar, place: str) -> PictureCell:
    value = cell.as_py()
    content = value.get("bytes") if isinstance(value, Mapping) else value
    if not content:
        path = value.get("path") if isinstance(value, Mapping) else None
        found = (
            f"the path {path!r} alone: save the dataset with its pictures (`save_to_disk`)"
            if path
            else "nothing"
        )
        raise PictureError(f"{place} has no picture; found {found}")
    return PictureCell(place, content)


def _place(image_id: str) -> tuple[Split, int]:
    """Split and row."""
    name, _, row = image_id.partition("/")
    return next(split for split in SPLITS if split == name), int(row)
