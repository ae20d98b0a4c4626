"""Tables of labels: a CSV with a column `image_id` and one for each label."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

ID_COLUMN = "image_id"


def read_labels(path: Path) -> Mapping[str, Mapping[str, str]]:
    """Image id -> label -> value. Raises ValueError for a file without a column of ids, OSError for none."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        _labels_among(reader.fieldnames or (), path)
        return {row.pop(ID_COLUMN): row for row in reader}


def label_columns(path: Path) -> tuple[str, ...]:
    """The labels that a file gives; raises as `read_labels` does."""
    with path.open(encoding="utf-8", newline="") as file:
        return _labels_among(csv.DictReader(file).fieldnames or (), path)


def _labels_among(columns: Sequence[str], path: Path) -> tuple[str, ...]:
    if ID_COLUMN not in columns:
        raise ValueError(f"{path} has no column {ID_COLUMN}; found {', '.join(columns) or 'nothing'}")
    return tuple(name for name in columns if name != ID_COLUMN)
